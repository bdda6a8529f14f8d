"""A look at files, and one commented YAML: `recsys init FILE... --output run.yaml`."""

from recsys.runs.init.draft import Draft
from recsys.runs.init.making import init

__all__ = ["Draft", "init"]
