"""Raw inputs to tensors: what is learned from the training rows, one encoder for each task.

An encoder's state is plain values that can be written as JSON, so that a saved model can read raw inputs by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from luthier.data import Dataset
from luthier.errors import SettingError
from luthier.estimators.images import ImageEncoder
from luthier.estimators.sounds import SoundEncoder
from luthier.estimators.tables import TableEncoder
from luthier.estimators.texts import TextEncoder


class Encoder(Protocol):
    """Turns the inputs of a data set into tensors for the recipe of its task."""

    @property
    def constants(self) -> dict[str, Any]:
        """What the recipe has to know: a vocabulary's size, a rate."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What it does to the data and has to be told."""
        ...

    def encode(self, dataset: Dataset) -> Any:
        """Return a tensor, or a tuple of two (Any: numbers and codes of a table)."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what it has learned as plain values."""
        ...

    def example(self, rows: int) -> Any:
        """Return inputs of the right shapes and ranges, to build a network for."""
        ...


def learn_encoder(dataset: Dataset, rows: Any, *, seconds: float) -> Encoder:
    """Learn an encoder on the training rows.

    Parameters
    ----------
    dataset
        All rows.
    rows : (m,) int array
        Those to learn from.
    seconds
        Of the whole budget, infinite if it is counted otherwise: large images and long texts are made smaller where
        time is short.
    """
    known = dataset.take(rows)
    if dataset.task == "image":
        return ImageEncoder.learn(known, seconds=seconds)
    if dataset.task == "audio":
        return SoundEncoder.learn(known)
    if dataset.task == "tabular":
        return TableEncoder.learn(known)
    return TextEncoder.learn(known, seconds=seconds)


def encoder_of(task: str, state: Mapping[str, Any]) -> Encoder:
    """Make an encoder again from its state."""
    kinds: dict[str, Any] = {
        "image": ImageEncoder,
        "audio": SoundEncoder,
        "tabular": TableEncoder,
        "text": TextEncoder,
        "seq2seq": TextEncoder,
    }
    if task not in kinds:
        raise SettingError(f"no task {task!r}: use {', '.join(kinds)}")
    encoder: Encoder = kinds[task].of(state)
    return encoder
