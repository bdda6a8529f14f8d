"""Training that was stopped, and goes on to the same digits."""

from collections.abc import Mapping
from types import GeneratorType
from typing import Any

import keras
from keras.callbacks import BackupAndRestore, CallbackList

from recsys.train import batches, feed
from recsys.train.balance import AfterEpoch
from recsys.train.order import Epochs
from recsys.train.resume_file import Resume
from recsys.train.resuming import Callbacks

GENERATOR = "a generator"


def callbacks(
    model: Any, data: Any, epochs: Epochs, arguments: Mapping[str, Any]
) -> Any:
    """Returns the callbacks of a `fit`, with those that the model needs first.

    Keras' `BackupAndRestore` becomes a `Resume` on TensorFlow. As it goes on between
    epochs only, with what the data has next, any data will do.

    Args:
        model: The model.
        data: What `fit` reads.
        epochs: The orders of its rows.
        arguments: Further arguments of `fit`, and the weights of classes.

    Raises:
        ValueError: If training would not go on as the callbacks promise.
    """
    needed = [epochs, *([AfterEpoch()] if model.balance is not None else [])]
    given = arguments.get("callbacks") or []
    if isinstance(given, CallbackList) and not epochs.step:
        for callback in needed:
            given.append(callback)
        return given
    others = [*needed, *keras.tree.flatten(given)]
    resumes = [each for each in others if isinstance(each, (Resume, BackupAndRestore))]
    on_tensorflow = keras.backend.backend() == "tensorflow"
    resume, remove = resumes[0] if resumes else None, False
    if isinstance(resume, BackupAndRestore):
        if resume.save_freq not in ("epoch", False):
            raise ValueError(
                "BackupAndRestore: save_freq must be 'epoch', as it does not know "
                "which batches an epoch still has; recsys.train.callbacks.Resume does. "
                f"Received: save_freq={resume.save_freq}"
            )
        if not on_tensorflow:
            return others
        remove, resume = resume.delete_checkpoint, Resume(resume.backup_dir)
    if resume is None and not epochs.step:
        return others
    within = bool(epochs.step) or isinstance(resumes[0], Resume)
    found = _unknown_order(data, arguments.get("shuffle", True))
    steps = arguments.get("steps_per_epoch")
    backend = keras.backend.backend()
    for wanted, holds, received in (
        ("data that can be read again", not within or found != GENERATOR, found),
        ("callbacks that are a list", not isinstance(given, CallbackList), given),
        ("one callback that resumes", len(resumes) < 2, f"{len(resumes)} of them"),
        ("no steps_per_epoch", not (within and steps), f"steps_per_epoch={steps}"),
        ("the TensorFlow backend", on_tensorflow, backend),
    ):
        if not holds:
            raise ValueError(f"To go on, fit needs {wanted}. Received: {received}")
    if found and within:
        raise ValueError(
            "To go on in an epoch, fit needs data whose order is known: that of a "
            "FeaturePipeline's dataset(shuffle=True), without shuffle() or cache(). "
            f"Received: {found}"
        )
    is_dataset = batches.is_dataset(data)
    described: dict[str, str] = {}
    if (classes := arguments.get("class_weight")) is not None:
        described["class_weight"] = str(classes)
    described |= feed.described(data) if is_dataset else {}
    steps = steps or (int(data.cardinality()) if is_dataset else None)
    return Callbacks(
        resume,
        [each for each in others if each not in resumes],
        model=model,
        data=described,
        steps=steps if steps is not None and steps >= 0 else None,
        initial_epoch=arguments.get("initial_epoch", 0),
        epochs=arguments.get("epochs", 1),
        verbose=arguments.get("verbose", "auto"),
        remove=remove,
    )


def _unknown_order(data: Any, shuffle: Any) -> str | None:
    """What makes the order of batches another one in another process, if known."""
    if batches.is_dataset(data):
        return feed.without_order(data)
    if isinstance(data, GeneratorType):
        return GENERATOR
    if isinstance(data, keras.utils.PyDataset) and shuffle:
        return "a PyDataset and shuffle=True"
    sampler = type(getattr(data, "sampler", None)).__name__  # of a DataLoader
    return None if sampler in ("NoneType", "SequentialSampler") else sampler
