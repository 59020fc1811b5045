"""Targets to tensors and back: labels of any type, numbers on any scale, texts to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luthier.data import Dataset
from luthier.errors import DataError
from luthier.estimators.texts import Vocabulary, mostly_one_word

_SKEWED, _MENDED = 1.0, 0.5  # a skewness from which on the logarithm is tried, and what must remain of it at most
_BEYOND = 0.1  # of the range of the training targets, that predictions may go beyond it


class Targets(Protocol):
    """What is to be predicted."""

    @property
    def classes(self) -> int | None:
        """How many classes there are, None for anything else."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done and has to be told."""
        ...

    def encode(self, dataset: Dataset) -> Tensor:
        """Return what the trainer is given."""
        ...

    def decode(self, outputs: Any) -> Any:
        """Return predictions as the user gave targets: arrays of labels or numbers, or texts."""
        ...

    def state(self) -> dict[str, Any]:
        """Return it as plain values."""
        ...


@dataclass(frozen=True, slots=True)
class ClassTargets:
    """Labels: strings, whole numbers, bools or floats.

    Parameters
    ----------
    labels
        The distinct ones, sorted.
    dtype
        NumPy's name of the type they were given in.
    """

    labels: tuple[Any, ...]
    dtype: str
    notes: tuple[str, ...] = ()

    @classmethod
    def learn(cls, dataset: Dataset) -> Self:
        """Take the classes of a data set over."""
        assert dataset.classes is not None
        given = np.asarray(dataset.targets).dtype
        dtype = "object" if given.kind in "OU" else given.str
        return cls(tuple(_plain(label) for label in dataset.classes), dtype)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Make it again from its state."""
        return cls(tuple(state["labels"]), state["dtype"])

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.labels)

    def array(self) -> NDArray[Any]:
        """Return the labels in their own type, (classes,)."""
        if self.dtype == "object":
            return np.array([str(label) for label in self.labels])
        return np.array(self.labels, dtype=np.dtype(self.dtype))

    def encode(self, dataset: Dataset) -> Tensor:
        """Return the numbers of the classes, (n,) int64.

        Raises
        ------
        DataError
            If there is a label that was not there in training, or none.
        """
        places = {label: number for number, label in enumerate(self.labels)}
        if dataset.targets is None:
            raise DataError(f"{dataset.source} has no targets")
        found = [places.get(_plain(label), -1) for label in np.asarray(dataset.targets).tolist()]
        if -1 in found:
            row = found.index(-1)
            raise DataError(
                f"{dataset.source}: {dataset.origins[row]} has the label {_plain(dataset.targets[row])!r}, which the "
                f"model does not know: it knows {', '.join(map(str, self.labels[:10]))}"
            )
        return torch.tensor(found, dtype=torch.long)

    def decode(self, outputs: Any) -> NDArray[Any]:
        """Return the labels of the most probable classes; (n, classes) array in, (n,) out."""
        labels: NDArray[Any] = self.array()[np.asarray(outputs).argmax(1)]
        return labels

    def state(self) -> dict[str, Any]:
        """Return the labels and their type."""
        return {"kind": "classes", "labels": list(self.labels), "dtype": self.dtype}


@dataclass(frozen=True, slots=True)
class NumberTargets:
    """Numbers, brought to middle 0 and width 1, on a logarithmic scale where that makes them much less skewed.

    Parameters
    ----------
    middle, width
        Of the training targets, on the scale.
    logarithm
        Whether the scale is logarithmic.
    low, high
        Where predictions end, in the units of the user.
    """

    middle: float
    width: float
    logarithm: bool
    low: float
    high: float
    notes: tuple[str, ...] = ()

    @classmethod
    def learn(cls, dataset: Dataset) -> Self:
        """Learn the scale."""
        y = np.asarray(dataset.targets, np.float64)
        logarithm = bool(y.min() > 0.0) and skewness(y) > _SKEWED and skewness(np.log(y)) < _MENDED * skewness(y)
        scaled = np.log(y) if logarithm else y
        beyond = _BEYOND * float(np.ptp(scaled))
        ends = [float(scaled.min()) - beyond, float(scaled.max()) + beyond]
        low, high = np.exp(ends).tolist() if logarithm else ends
        notes = ("targets are learned by their logarithm: most are small and a few very large",) if logarithm else ()
        return cls(float(scaled.mean()), float(scaled.std()) or 1.0, logarithm, low, high, notes)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Make it again from its state."""
        return cls(*(state[name] for name in ("middle", "width", "logarithm", "low", "high")))

    @property
    def classes(self) -> None:
        """There are none."""
        return

    def encode(self, dataset: Dataset) -> Tensor:
        """Return the targets on the scale, (n,) float32; on a logarithmic one, those below `low` count as `low`."""
        if dataset.targets is None:
            raise DataError(f"{dataset.source} has no targets")
        y = np.asarray(dataset.targets, np.float64)
        if self.logarithm:
            y = np.log(np.maximum(y, self.low))  # a zero that training has not seen is not infinitely far away
        return torch.from_numpy((y - self.middle) / self.width).float()

    def decode(self, outputs: Any) -> NDArray[np.float64]:
        """Return predictions in the units of the user, (n,); they stay near the range of the training targets."""
        scaled = np.asarray(outputs, np.float64).reshape(len(outputs)) * self.width + self.middle
        if self.logarithm:
            scaled = np.exp(np.minimum(scaled, np.log(self.high)))
        return np.clip(scaled, self.low, self.high)

    def units(self, encoded: Any) -> NDArray[np.float64]:
        """Undo `encode`: targets in the units of the user, (n,)."""
        y = np.asarray(encoded, np.float64).reshape(len(encoded)) * self.width + self.middle
        return np.exp(y) if self.logarithm else y

    def state(self) -> dict[str, Any]:
        """Return the scale."""
        names = ("middle", "width", "logarithm", "low", "high")
        return {"kind": "number", **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, slots=True)
class TextTargets:
    """Texts to be written.

    Parameters
    ----------
    vocabulary
        Of the tokens, with begin and end.
    length
        Most tokens, the end included.
    """

    vocabulary: Vocabulary
    length: int
    notes: tuple[str, ...] = ()

    @classmethod
    def learn(cls, dataset: Dataset) -> Self:
        """Learn the vocabulary and the length."""
        texts = [str(text) for text in dataset.targets or ()]
        characters = mostly_one_word(texts)
        vocabulary = Vocabulary.learn(texts, special=4, characters=characters, exact=not characters)
        longest = max(len(vocabulary.tokens(text)) for text in texts)
        return cls(vocabulary, min(longest, 255) + 1)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Make it again from its state."""
        return cls(Vocabulary.of(state["vocabulary"]), state["length"])

    @property
    def classes(self) -> None:
        """There are none."""
        return

    def encode(self, dataset: Dataset) -> Tensor:
        """Return tokens from begin to end, (n, length + 1) int64, 0 after the end."""
        tokens = torch.zeros(len(dataset), self.length + 1, dtype=torch.long)
        for row, text in enumerate(dataset.targets or ()):
            found = [1, *self.vocabulary.encode(str(text))[: self.length - 1], 2]
            tokens[row, : len(found)] = torch.tensor(found, dtype=torch.long)
        return tokens

    def decode(self, outputs: Any) -> list[str]:
        """Return the texts of tokens, (n, length)."""
        return [self.vocabulary.decode(row) for row in np.asarray(outputs).tolist()]

    def state(self) -> dict[str, Any]:
        """Return the vocabulary and the length."""
        return {"kind": "text", "vocabulary": self.vocabulary.state(), "length": self.length}


def learn_targets(dataset: Dataset) -> Targets:
    """Learn from training rows what kind of targets there are."""
    if dataset.targets is None:
        raise DataError(f"{dataset.source} has no targets: say which column with target=, or give y")
    if dataset.task == "seq2seq":
        return TextTargets.learn(dataset)
    return ClassTargets.learn(dataset) if dataset.classes is not None else NumberTargets.learn(dataset)


def targets_of(state: Mapping[str, Any]) -> Targets:
    """Make targets again from their state."""
    kinds: dict[str, Any] = {"classes": ClassTargets, "number": NumberTargets, "text": TextTargets}
    targets: Targets = kinds[state["kind"]].of(state)
    return targets


def skewness(y: NDArray[np.float64]) -> float:
    """Return the third standardized moment, 0 for a constant."""
    spread = float(y.std())
    return float(np.mean(((y - y.mean()) / spread) ** 3)) if spread > 0.0 else 0.0


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label
