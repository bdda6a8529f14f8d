"""What the data is: fields, tasks and their schema file."""

from recsys._face import public_face
from recsys.feature.content import Content
from recsys.feature.field import Field
from recsys.feature.task import Task

__all__ = ["Content", "Field", "Task"]

public_face(__name__)
