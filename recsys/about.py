"""What is known of a model: the docstrings of its file, and what it declares."""

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recsys.feature.needs import NEEDS, NeedName
from recsys.registry import family_of
from recsys.train.factory import needs_of

_PAPER = re.compile(r"(?:([A-Z][\w -]*?) )?(\d{4}), (https?://[^\s,;]+)")


@dataclass(frozen=True)
class Paper:
    """Where a model comes from.

    Attributes:
        venue: Where it appeared, `""` if nowhere but on the web.
        year: When.
        url: Link to it.
    """

    venue: str
    year: int
    url: str


@dataclass(frozen=True)
class About:
    """A model of the registry.

    Attributes:
        name: Its name there.
        family: Its folder.
        label: How papers write the name, and that of its variants.
        title: Title of the paper.
        papers: The paper, and others it draws on.
        factory: What builds it.
        needs: What it cannot do without, keys of `recsys.feature.needs.NEEDS`.
    """

    name: str
    family: str
    label: str
    title: str
    papers: tuple[Paper, ...]
    factory: Callable[..., Any]
    needs: tuple[NeedName, ...]

    @property
    def tasks(self) -> str:
        """How many tasks it answers, `""` for a match model, which has none."""
        takes = inspect.signature(self.factory).parameters
        return "several" if "task_list" in takes else "one" if "task" in takes else ""

    def text(self) -> str:
        """Returns paper, figure, signature with arguments, and needs."""
        module = inspect.getmodule(self.factory)
        signature = inspect.signature(self.factory)
        names = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        call = inspect.Signature(names)
        needs = [f"- {NEEDS[need].wanted}" for need in self.needs]
        parts = [
            inspect.getdoc(module),
            f"recsys.{self.family}.{self.name}{call}",
            inspect.getdoc(self.factory),
            "\n".join(["Needs:", *needs]) if needs else "Needs: fields.",
        ]
        return "\n\n".join(str(part) for part in parts)


def about(name: str) -> About:
    """Returns what is known of a model.

    Args:
        name: One of `list_models()`.

    Raises:
        ValueError: If no model has that name.
    """
    family = family_of(name)
    module = importlib.import_module(f"recsys.{family}.{name}")
    factory = getattr(module, name)
    head = re.split(r"\n+    ", inspect.getdoc(module) or "")[0]
    first, _, rest = head.partition("\n\n")
    label, _, title = " ".join(first.split()).rstrip(".").partition(": ")
    found = _PAPER.findall(" ".join(rest.split()))
    papers = tuple(Paper(venue, int(year), url) for venue, year, url in found)
    return About(name, family, label, title, papers, factory, needs_of(factory))
