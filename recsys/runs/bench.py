"""Several models on the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from recsys.registry import list_models
from recsys.runs import folder as places
from recsys.runs.comparing import Comparison, compare
from recsys.runs.finished import Run
from recsys.runs.reading import read_config
from recsys.runs.running import as_used, check_same, run


def bench(
    source: str | Path | Mapping[str, Any],
    models: Sequence[str],
    *,
    seeds: int = 3,
    name: str | None = None,
    settings: Sequence[str] = (),
    runs: str | Path = places.RUNS,
    console: Console | None = None,
) -> Comparison:
    """Trains models with the same rows, arguments and seeds, and compares them.

    Each is a run in a folder of its own in `runs/NAME`. Of a call that is repeated,
    runs that have ended stay, and one that was stopped goes on.

    Args:
        source: As in `run`; its model is replaced, its arguments are those of all.
        models: Names of models, the one to compare with first.
        seeds: How often each is trained, with seeds 0, 1, and so on.
        name: Name of the folder. Default: that of the file, with `-bench` behind it.
        settings, runs, console: As in `run`.

    Raises:
        FileNotFoundError, ValueError: As in `run` and `compare`; or a model is unknown
            or there twice; or a run is there that was made otherwise.
    """
    for model in models:
        if model not in list_models() or [*models].count(model) > 1:
            raise ValueError(
                "bench: models must be names of `recsys models` with commas between "
                f"them, each once. Received: {model!r}"
            )
    if len(models) < 2 or seeds < 1:
        raise ValueError(
            "bench must have two models or more, and one seed. Received: "
            f"{len(models)} models and {seeds} seeds"
        )
    origin = read_config(source, settings).origin
    stem = "run" if origin.path is None else origin.path.stem
    here = Path(runs) / (name or f"{stem}-bench")
    here.mkdir(parents=True, exist_ok=True)
    found = []
    with places.held(here):
        for model in models:
            own = [f"model.name={model}", f"training.seeds={[*range(seeds)]}"]
            folder = here / model
            if (folder / places.RECORD).is_file() and places.is_finished(folder):
                read = read_config(source, [*settings, *own])
                check_same(folder / places.CONFIG, as_used(read))
                found.append(Run(folder))
                continue
            found.append(
                run(
                    source,
                    name=model,
                    settings=[*settings, *own],
                    resume=(folder / places.RECORD).is_file(),
                    runs=here,
                    console=console,
                    samples=here / places.SAMPLES,
                )
            )
    return compare(found)
