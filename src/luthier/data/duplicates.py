"""Exact duplicates among the inputs of a data set."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.dataset import Dataset


def first_of_its_kind(dataset: Dataset) -> NDArray[np.intp]:
    """Return for each row the first row that has the very same inputs, itself if there is none before, (n,).

    Images and recordings are compared by 128-bit hashes of their values, so two different ones count as the same by a
    chance of about n^2 / 10^38.
    """
    place: dict[Hashable, int] = {}
    keys = enumerate(_keys(dataset))
    return np.fromiter((place.setdefault(key, row) for row, key in keys), np.intp, len(dataset))


def codes_of(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return a column as numbers that are equal where its values are, (n,); missing values are NaN."""
    if values.dtype != object:
        return values.astype(np.float64) + 0.0  # no negative zero
    place: dict[Any, int] = {}
    codes = np.array([place.setdefault(value, len(place)) for value in values.tolist()], dtype=np.float64)
    if None in place:
        codes[codes == place[None]] = np.nan
    return codes


def _keys(dataset: Dataset) -> Iterable[Hashable]:
    if isinstance(dataset.inputs, dict):
        table = np.column_stack([codes_of(column) for column in dataset.inputs.values()])  # (n, d)
        table[np.isnan(table)] = np.nan  # one kind of NaN
        return (row.tobytes() for row in np.ascontiguousarray(table))
    if dataset.task in ("text", "seq2seq"):
        return iter(dataset.inputs)
    return (blake2b(np.ascontiguousarray(row).data, digest_size=16).digest() for row in dataset.inputs)
