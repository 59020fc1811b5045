"""Tables as tensors: numbers in float32, codes of categories, and columns that say where something is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luthier.data import Dataset
from luthier.errors import DataError, did_you_mean

Floats = NDArray[np.float64]
_WIDEST = 1e6  # in widths of a column: float32 and a network bear no more
_MOST_CATEGORIES = 1000
_IDENTIFIER = 0.5  # distinct values per row, from which on a category names the row
_SIGNIFICANT = 3.0  # standard errors of a correlation


@dataclass(frozen=True, slots=True)
class TableEncoder:
    """Turn the columns of a table into numbers (n, d) and, where there are categories, codes (n, m).

    Parameters
    ----------
    numbers
        For each numeric column its name, middle and width; numbers are counted in widths from the middle, so that
        float32 loses nothing.
    missing
        Numeric columns for which a further column says whether the value is missing.
    categories
        For each other column its name and the categories known; code 0 is missing or unknown.
    notes
        What was done and has to be told.
    """

    numbers: tuple[tuple[str, float, float], ...]
    missing: tuple[str, ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def learn(cls, dataset: Dataset) -> Self:
        """Learn the columns.

        Raises
        ------
        DataError
            If no column says anything: all are constant, or name the rows.
        """
        numbers: list[tuple[str, float, float]] = []
        categories: list[tuple[str, tuple[str, ...]]] = []
        constant, naming = [], []
        for name, column in _columns(dataset).items():
            if column.dtype == object:
                known = _categories(column)
                if len(known) > max(_IDENTIFIER * len(column), 20):
                    naming.append(name)
                elif _varies(column):
                    categories.append((name, known))
                else:
                    constant.append(name)
            elif (place := _place(column)) is not None:
                numbers.append((name, *place))
            else:
                constant.append(name)
        missing = tuple(n for n, *_ in numbers if _tells(_columns(dataset)[n], dataset))
        if not numbers and not categories:
            raise DataError(f"{dataset.source}: no column is left to learn from: {_left_out(constant, naming)}")
        return cls(tuple(numbers), missing, tuple(categories), tuple(_notes(constant, naming, missing)))

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Make it again from its state."""
        return cls(
            tuple((str(n), float(m), float(w)) for n, m, w in state["numbers"]),
            tuple(state["missing"]),
            tuple((str(n), tuple(known)) for n, known in state["categories"]),
        )

    @property
    def constants(self) -> dict[str, Any]:
        """Nothing that the recipe has to know."""
        return {}

    def encode(self, dataset: Dataset) -> Tensor | tuple[Tensor, Tensor]:
        """Return numbers (n, d) float32, missing ones NaN; with categories also codes (n, m) int64.

        Raises
        ------
        DataError
            If a column is missing.
        """
        columns = _columns(dataset)
        wanted = [n for n, *_ in self.numbers] + [n for n, _ in self.categories]
        for name in wanted:
            if name not in columns:
                raise DataError(f"{dataset.source} has no column {name!r}{did_you_mean(name, columns)}")
        parts = [_scaled(_floats(columns[n], n), middle, width) for n, middle, width in self.numbers]
        parts += [np.isnan(_floats(columns[n], n)).astype(np.float64) for n in self.missing]
        parts = parts or [np.zeros(len(dataset))]  # a table without numbers: networks want at least one
        numbers = torch.from_numpy(np.stack(parts, 1)).float()
        if not self.categories:
            return numbers
        codes = [_codes(columns[n], known) for n, known in self.categories]
        return numbers, torch.from_numpy(np.stack(codes, 1))

    def state(self) -> dict[str, Any]:
        """Return what was learned."""
        return {
            "numbers": [list(entry) for entry in self.numbers], "missing": list(self.missing),
            "categories": [[name, list(known)] for name, known in self.categories],
        }  # fmt: skip

    def example(self, rows: int) -> Tensor | tuple[Tensor, Tensor]:
        """Return a batch of the right shape, in which every category occurs."""
        width = max(len(self.numbers) + len(self.missing), 1)
        numbers = torch.linspace(-1.0, 1.0, rows)[:, None].expand(rows, width).clone()
        if not self.categories:
            return numbers
        return numbers, torch.tensor([[len(known) for _, known in self.categories]] * rows)


def _columns(dataset: Dataset) -> dict[str, NDArray[Any]]:
    assert isinstance(dataset.inputs, dict)
    return dataset.inputs


def _floats(column: NDArray[Any], name: str) -> Floats:
    try:
        values = column.astype(np.float64)
    except (TypeError, ValueError):
        bad = next(str(v) for v in column if not _is_number(v))
        raise DataError(f"column {name!r} has numbers in training, but now {bad!r}") from None
    return np.where(np.isfinite(values), values, np.nan)


def _is_number(value: Any) -> bool:
    try:
        float(np.nan if value is None else value)
    except (TypeError, ValueError):
        return False
    return True


def _place(column: NDArray[Any]) -> tuple[float, float] | None:
    """Median and width of a column, None if it does not vary."""
    known = column[np.isfinite(column)].astype(np.float64)
    if not len(known) or known.min() == known.max():
        return None
    quarter, middle, three = np.quantile(known, [0.25, 0.5, 0.75])
    width = float(three - quarter) or float(known.std()) or float(np.ptp(known))
    return float(middle), width


def _scaled(values: Floats, middle: float, width: float) -> Floats:
    return np.clip((values - middle) / width, -_WIDEST, _WIDEST)


def _categories(column: NDArray[Any]) -> tuple[str, ...]:
    """The categories of a column, those that occur once only where there are few."""
    found, counts = np.unique([str(v) for v in column if v is not None], return_counts=True)
    if len(found) > _MOST_CATEGORIES or (len(found) > 20 and (counts > 1).sum() >= 10):
        kept = np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]
        found = np.sort(found[kept[counts[kept] > 1]] if (counts > 1).any() else found[kept])
    return tuple(found.tolist())


def _varies(column: NDArray[Any]) -> bool:
    return len({None if v is None else str(v) for v in column}) > 1


def _codes(column: NDArray[Any], known: Sequence[str]) -> NDArray[np.int64]:
    places = {category: number for number, category in enumerate(known, 1)}
    return np.array([0 if v is None else places.get(str(v), 0) for v in column.tolist()], np.int64)


def _tells(column: NDArray[Any], dataset: Dataset) -> bool:
    """Whether the places where a column has no value go with the targets more than chance would."""
    gone = ~np.isfinite(column)
    if not 3 <= gone.sum() <= len(column) - 3 or dataset.targets is None:
        return False
    targets = [dataset.labels() == number for number in range(len(dataset.classes))] if dataset.classes else None
    if targets is None:
        targets = [np.asarray(dataset.targets, np.float64)]
    spread = float(gone.std())
    for y in targets:
        width = float(np.std(y))
        if width > 0.0:
            together = float(np.mean((gone - gone.mean()) * (y - np.mean(y)))) / (spread * width)
            if abs(together) * np.sqrt(len(y)) > _SIGNIFICANT:
                return True
    return False


def _left_out(constant: Sequence[str], naming: Sequence[str]) -> str:
    parts = [f"{', '.join(constant)} {'are' if len(constant) > 1 else 'is'} constant"] if constant else []
    parts += [f"{', '.join(naming)} {'have' if len(naming) > 1 else 'has'} a new value in every row"] if naming else []
    return " and ".join(parts)


def _notes(constant: Sequence[str], naming: Sequence[str], missing: Sequence[str]) -> list[str]:
    notes = []
    if constant or naming:
        notes.append(f"columns that say nothing are left out: {_left_out(_some(constant), _some(naming))}")
    if missing:
        names = ", ".join(_some(missing))
        notes.append(f"that a value is missing says something about the target, so the network is told it: {names}")
    return notes


def _some(names: Sequence[str]) -> list[str]:
    return [*names[:5], f"{len(names) - 5} more"] if len(names) > 5 else list(names)
