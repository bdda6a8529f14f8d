from collections.abc import Sequence
from typing import Any

from keras import Variable

from recsys.types import Tensor

class SeedGenerator:
    state: Variable
    def __init__(self, seed: int | None = ..., name: str | None = ...) -> None: ...
    def next(self) -> Tensor: ...

_Seed = int | SeedGenerator | None

def normal(
    shape: Sequence[int],
    mean: float = ...,
    stddev: float = ...,
    dtype: Any = ...,
    seed: _Seed = ...,
) -> Tensor: ...
def uniform(
    shape: Sequence[int],
    minval: float = ...,
    maxval: float = ...,
    dtype: Any = ...,
    seed: _Seed = ...,
) -> Tensor: ...
def randint(
    shape: Sequence[int],
    minval: int,
    maxval: int,
    dtype: Any = ...,
    seed: _Seed = ...,
) -> Tensor: ...
