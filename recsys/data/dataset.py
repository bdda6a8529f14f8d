"""Packed columns as a `tf.data.Dataset` of whole batches."""

import random
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.data.layout import KINDS, Selection, Slot, apart
from recsys.data.packed import checksum, checksum_of, read_packed
from recsys.data.reader import FINGERPRINT

if TYPE_CHECKING:
    import tensorflow as tf

    from recsys.data.prepared import Prepared
    from recsys.data.written import Written

Block = tuple[np.ndarray, np.ndarray]

BLOCK_ROWS = 2**18
CHUNK_ROWS = 2**12


class Order:
    """The orders of rows: a pure function of the seed, the epoch and the block.

    Each pass over a dataset is the next epoch; `Model.fit` says which one.

    Args:
        seed: Seed of all orders; `None` draws one.
        epoch: The epoch of the first pass.
        step: Batches of it to leave out.
        shuffled: Whether rows are put in it.
        streamed: Whether it is of chunks on disk, which is another one than in memory.

    Attributes:
        drawn: Whether nobody gave a seed; `Model.fit` then takes that of the model.
        turn: Held by the `fit` that says which epoch is next.
    """

    def __init__(
        self,
        seed: int | None,
        epoch: int = 0,
        step: int = 0,
        shuffled: bool = True,
        streamed: bool = False,
    ) -> None:
        self.seed = random.getrandbits(63) if seed is None else seed % 2**64
        self.drawn = seed is None
        self.start = self.epoch = epoch
        self.step = step
        self.shuffled = shuffled
        self.streamed = streamed
        self.turn = threading.Lock()

    def next_epoch(self) -> int:
        """Returns the epoch of a pass that begins."""
        self.epoch += 1
        return self.epoch - 1

    def of_chunks(self, epoch: int, number: int) -> np.ndarray:
        """Returns the order of the chunks of an epoch."""
        return np.random.default_rng([self.seed, epoch]).permutation(number)

    def salt(self, epoch: int, block: int = 0) -> np.ndarray:
        """Returns the seed of the order of a block's rows, `(2,)`."""
        state = np.random.SeedSequence([self.seed, epoch, block]).generate_state(2)
        return state.astype("int64")


def dataset_of(
    rows: "Prepared | Written",
    order: Order,
    *,
    batch_size: int,
    shuffle: bool,
    drop_remainder: bool,
) -> "tf.data.Dataset":
    """Returns rows as batches that `Model` knows.

    Args:
        rows: The rows; they are put on the disk if the order is of streamed ones.
        order: The orders of the epochs.
        batch_size, shuffle, drop_remainder: As in `batches`.
    """
    slots = rows.part.slots
    if order.streamed:
        folder = rows.write()
        known = checksum_of(Path(folder.name), slots, rows.num_rows)
        blocks = on_disk(
            folder,
            slots,
            num_rows=rows.num_rows,
            batch_size=batch_size,
            shuffle=shuffle,
            order=order,
        )
    else:
        block = rows.block()
        known = checksum(block)
        blocks = in_memory(block, order)
    whole = dataset = batches(
        blocks,
        rows.part,
        num_rows=rows.num_rows,
        batch_size=batch_size,
        shuffle=shuffle,
        drop_remainder=drop_remainder,
    )
    if order.step:
        dataset = from_step(whole, order)
        dataset.recsys_whole = whole  # `Model.fit` leaves the batches out itself
    for each in (dataset, whole):
        setattr(each, FINGERPRINT, rows.fingerprint)
        each.recsys_order = order  # `Model.fit` sets its epoch
        each.recsys_rows = rows.num_rows, batch_size, known
        each.recsys_checked = True  # `Model` need not check these inputs again
    return dataset


def salts(order: Order) -> "tf.data.Dataset":
    """Returns a dataset of one element, the salt of the next epoch, `(2,)`."""
    import tensorflow as tf

    def salt(_: Any) -> Any:
        drawn = tf.numpy_function(lambda: order.salt(order.next_epoch()), [], tf.int64)
        return tf.ensure_shape(drawn, (2,))

    return tf.data.Dataset.range(1).map(salt)


def in_memory(block: Block, order: Order) -> "tf.data.Dataset":
    """Returns a dataset of one block, all rows, and its salt."""
    import tensorflow as tf

    return tf.data.Dataset.zip((tf.data.Dataset.from_tensors(block), salts(order)))


def from_step(dataset: "tf.data.Dataset", order: Order) -> "tf.data.Dataset":
    """Returns the same batches, but for those that the first pass leaves out."""
    import tensorflow as tf

    def left_out() -> int:
        step, order.step = order.step, 0
        return step

    def rest(_: Any) -> Any:
        step = tf.numpy_function(left_out, [], tf.int64)
        return dataset.skip(tf.ensure_shape(step, ()))

    return tf.data.Dataset.range(1).flat_map(rest)


def on_disk(
    folder: "tempfile.TemporaryDirectory[str]",
    slots: Sequence[Slot],
    *,
    num_rows: int,
    batch_size: int,
    shuffle: bool,
    order: Order,
) -> "tf.data.Dataset":
    """Returns a dataset of blocks of about `BLOCK_ROWS` rows, and their salts.

    They are read while it is used.

    Args:
        folder: Has what `write_packed` wrote. It is removed when the dataset is.
        slots: The columns.
        num_rows: Rows in it.
        batch_size: All blocks but the last have a multiple of so many rows.
        shuffle: Whether a block is put together from chunks of `CHUNK_ROWS` rows of
            random places.
        order: That of the chunks, and the salts.
    """
    import tensorflow as tf

    path = Path(folder.name)
    widths = [sum(s.width for s in slots if s.kind == kind) for kind in KINDS]

    def read() -> Iterator[tuple[Block, np.ndarray]]:
        epoch, block = order.next_epoch(), 0
        starts = [*range(0, num_rows, CHUNK_ROWS)]
        if shuffle:
            starts = [starts[place] for place in order.of_chunks(epoch, len(starts))]
        waiting: list[list[np.ndarray]] = []
        for start in starts:
            stop = min(start + CHUNK_ROWS, num_rows)
            waiting.append(read_packed(path, slots, start, stop))
            size = sum(len(ids) for ids, _ in waiting)
            if size >= max(BLOCK_ROWS, batch_size):
                ids, numbers = _joined(waiting)
                whole = size - size % batch_size
                yield (ids[:whole], numbers[:whole]), order.salt(epoch, block)
                block += 1
                waiting = [[ids[whole:], numbers[whole:]]]
        yield _joined(waiting), order.salt(epoch, block)

    signature = (
        tuple(
            tf.TensorSpec((None, width), kind)
            for width, kind in zip(widths, KINDS, strict=True)
        ),
        tf.TensorSpec((2,), tf.int64),
    )
    blocks = tf.data.Dataset.from_generator(read, output_signature=signature)
    # TensorFlow keeps generators for good, so `read` must not hold the folder.
    weakref.finalize(blocks, folder.cleanup)
    return blocks.prefetch(1)


def batches(
    blocks: "tf.data.Dataset",
    part: Selection,
    *,
    num_rows: int,
    batch_size: int,
    shuffle: bool,
    drop_remainder: bool,
) -> "tf.data.Dataset":
    """Returns blocks cut into whole batches, never row by row.

    Args:
        blocks: Dataset of packed rows, all but the last of whole batches, and salts.
        part: What is packed in them.
        num_rows: Rows of all blocks.
        batch_size: Rows of a batch.
        shuffle: Whether the rows of each block are put in the order of its salt.
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
            order = tf.random.experimental.stateless_shuffle(tf.range(num), salt)
        stop = num - num % batch_size if drop_remainder else num
        starts = tf.data.Dataset.range(0, stop, batch_size)
        return starts.map(
            lambda start: _arrange(_unpack(rows_at(block, order, start), slots), part),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    num_batches = (
        num_rows // batch_size if drop_remainder else -(-num_rows // batch_size)
    )
    dataset = blocks.flat_map(cut)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _arrange(columns: dict[str, Any], part: Selection) -> Any:
    """From the columns of a batch to what Keras reads."""
    y = {label.name: columns.pop(label.name) for label in part.labels}
    if not y:
        return columns
    if part.sample_weight:
        weight = columns.pop("sample_weight")
        return columns, y, weight
    return columns, y


def _joined(chunks: Sequence[Sequence[np.ndarray]]) -> Block:
    ids, numbers = zip(*chunks, strict=True)
    return np.concatenate(ids), np.concatenate(numbers)


def _unpack(packed: Sequence[Any], slots: Sequence[Slot]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for kind, block in zip(KINDS, packed, strict=True):
        of_kind = [slot for slot in slots if slot.kind == kind]
        parts = apart(block, [slot.shape for slot in of_kind])
        columns |= {s.name: part for s, part in zip(of_kind, parts, strict=True)}
    return {slot.name: columns[slot.name] for slot in slots}
