"""The input of a column, and the pipeline that gives its values their meaning."""

from typing import Any

import keras

from recsys.saving import saved


@saved
class InputColumn(keras.layers.InputLayer):
    """An input whose values mean what one fitted pipeline says.

    It is part of the graph, so that files and parts of a model know it.

    Args:
        shape: Shape of a row.
        fingerprint: What the pipeline is known by, see `Field`.
    """

    def __init__(self, shape: Any = None, *, fingerprint: str, **kwargs: Any) -> None:
        super().__init__(shape, **kwargs)
        self.fingerprint = fingerprint

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fingerprint": self.fingerprint}
