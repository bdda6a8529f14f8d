"""Packed columns as a `tf.data.Dataset` of whole batches."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from recsys.data.layout import Part, Slot, pack, to_columns

if TYPE_CHECKING:
    import tensorflow as tf

Block = tuple[np.ndarray, np.ndarray]

BLOCK_ROWS = 2**18


def in_memory(
    columns: dict[str, np.ndarray], slots: Sequence[Slot]
) -> "tf.data.Dataset":
    """Returns a dataset of one block: all rows."""
    import tensorflow as tf

    block = pack(columns, slots, "int32"), pack(columns, slots, "float32")
    return tf.data.Dataset.from_tensors(block)


def streamed(
    folder: "tempfile.TemporaryDirectory[str]",
    slots: Sequence[Slot],
    batch_size: int,
    shuffle: bool,
    seed: int | None,
) -> "tf.data.Dataset":
    """Returns a dataset of blocks of about `BLOCK_ROWS` rows, read while it is used.

    Args:
        folder: Holds `rows.parquet`, the model input with lists not yet padded. It is
            removed when the dataset is.
        slots: The columns.
        batch_size: All blocks but the last have a multiple of so many rows.
        shuffle: Whether the blocks are put together from row groups of random places.
        seed: Seed of the order of the row groups.
    """
    import tensorflow as tf

    random = np.random.default_rng(seed)

    def read() -> Iterator[Block]:
        file = pq.ParquetFile(Path(folder.name) / "rows.parquet")
        order = np.arange(file.num_row_groups)
        waiting: list[Block] = []
        for group in random.permutation(order) if shuffle else order:
            columns = to_columns(file.read_row_group(group), slots)
            waiting.append(
                (pack(columns, slots, "int32"), pack(columns, slots, "float32"))
            )
            rows = sum(len(ids) for ids, _ in waiting)
            if rows >= max(BLOCK_ROWS, batch_size):
                ids, numbers = _joined(waiting)
                whole = rows - rows % batch_size
                yield ids[:whole], numbers[:whole]
                waiting = [(ids[whole:], numbers[whole:])]
        if any(len(ids) for ids, _ in waiting):
            yield _joined(waiting)

    widths = [sum(s.width for s in slots if s.kind == k) for k in ("int32", "float32")]
    signature = (
        tf.TensorSpec((None, widths[0]), tf.int32),
        tf.TensorSpec((None, widths[1]), tf.float32),
    )
    blocks = tf.data.Dataset.from_generator(read, output_signature=signature)
    return blocks.prefetch(1)


def batches(
    blocks: "tf.data.Dataset",
    part: Part,
    *,
    num_rows: int,
    batch_size: int,
    shuffle: bool,
    seed: int | None,
    drop_remainder: bool,
) -> "tf.data.Dataset":
    """Returns blocks cut into whole batches, never row by row.

    Args:
        blocks: Dataset of packed rows; all but the last of whole batches.
        part: What is packed in them.
        num_rows: Rows of all blocks.
        batch_size: Rows of a batch.
        shuffle: Whether the rows of each block are put in a new order in each epoch.
        seed: Seed of that order.
        drop_remainder: Whether to leave out a last batch that is not full.
    """
    import tensorflow as tf

    slots = part.slots

    def rows_at(block: Any, order: Any, start: Any) -> list[Any]:
        if order is None:
            return [packed[start : start + batch_size] for packed in block]
        chosen = order[start : start + batch_size]
        return [tf.gather(packed, chosen) for packed in block]

    def cut(block: Any, salt: Any) -> Any:
        num = tf.shape(block[0], tf.int64)[0]
        order = None
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(tf.range(num), [salt, 0])
        stop = num - num % batch_size if drop_remainder else num
        starts = tf.data.Dataset.range(0, stop, batch_size)
        return starts.map(
            lambda start: _arrange(_unpack(rows_at(block, order, start), slots), part),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    salts = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    num_batches = (
        num_rows // batch_size if drop_remainder else -(-num_rows // batch_size)
    )
    dataset = tf.data.Dataset.zip(blocks, salts).flat_map(cut)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _arrange(columns: dict[str, Any], part: Part) -> Any:
    """From the columns of a batch to what Keras reads."""
    y = {label.name: columns.pop(label.name) for label in part.labels}
    if not y:
        return columns
    if part.sample_weight:
        weight = columns.pop("sample_weight")
        return columns, y, weight
    return columns, y


def _joined(blocks: Sequence[Block]) -> Block:
    ids, numbers = zip(*blocks, strict=True)
    return np.concatenate(ids), np.concatenate(numbers)


def _unpack(packed: Sequence[Any], slots: Sequence[Slot]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for kind, block in zip(("int32", "float32"), packed, strict=True):
        start = 0
        for slot in slots:
            if slot.kind == kind:
                stop = start + slot.width
                columns[slot.name] = (
                    block[:, start] if slot.length is None else block[:, start:stop]
                )
                start = stop
    return {slot.name: columns[slot.name] for slot in slots}
