"""What the data is: fields, tasks and their schema file."""

from recsys.feature.field import Field
from recsys.feature.task import Task

__all__ = ["Field", "Task"]
