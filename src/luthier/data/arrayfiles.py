"""NPZ and NPY files; nothing in them is ever unpickled."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.arrays import from_arrays
from luthier.data.choose import PART_NAMES
from luthier.data.columns import counted
from luthier.data.dataset import Dataset
from luthier.data.memory import check_fits
from luthier.data.wanted import Wanted
from luthier.errors import DataError

_X = ("x", "data", "images", "image", "imgs", "inputs", "input", "features", "arr", "arr_0", "audio", "clips", "texts")
_Y = ("y", "target", "targets", "label", "labels", "classes", "arr_1")
_DAMAGED = (OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error, TokenError)
_RATES = ("rate", "sample_rate", "sampling_rate", "sr")


def array_dataset(source: Path, files: Sequence[Path], wanted: Wanted) -> Dataset:
    """Read arrays by their names: x and y, images and labels, data and target, each with train, valid or test.

    Parameters
    ----------
    source
        What was asked for, for messages.
    files
        One NPZ file, or NPY files, whose names are those of their arrays.
    wanted
        What was asked for.

    Raises
    ------
    DataError
        If a file is damaged or holds objects, or the arrays have names that do not say what they are.
    """
    loaded = {name: array for path in files for name, array in _load(path).items()}
    rate = next((int(loaded[name]) for name in _RATES if name in loaded and loaded[name].size == 1), None)
    arrays = {name: array for name, array in loaded.items() if array.ndim}
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    unknown = []
    for name, array in arrays.items():
        role, part = _role(name)
        if role is None or role in parts.get(part, {}):
            unknown.append(name)
        else:
            parts.setdefault(part, {})[role] = array
    unknown += [name for name in loaded if name not in arrays and name not in _RATES]
    notes = (f"{counted(len(unknown), 'array')} left out: {', '.join(unknown)}",) if unknown else ()
    if not arrays:
        raise DataError(f"{source} holds no arrays with rows" + (f", but {', '.join(loaded)}" if loaded else ""))
    if len(arrays) == 1 and not parts:
        parts, notes = {"": {"x": next(iter(arrays.values()))}}, ()
    parts = {part: found for part, found in parts.items() if "x" in found}
    if not parts:
        raise DataError(f"{source} holds {', '.join(loaded)}: name the arrays x and y, or x_train and y_train")
    x, y = _joined(source, parts, wanted)
    _check_counts(source, x, y)
    dataset = from_arrays(x, y, task=wanted.task, goal=wanted.goal, rate=rate, like=wanted.like or None)
    return _described(dataset, source, parts, notes)


def _described(
    dataset: Dataset, source: Path, parts: dict[str, dict[str, NDArray[Any]]], notes: tuple[str, ...]
) -> Dataset:
    """Say where the rows came from; rows that were left out are known by their origins."""
    rows = np.array([int(origin.split()[-1]) for origin in dataset.origins], dtype=np.intp)
    given = np.concatenate([np.full(len(found["x"]), part or "train") for part, found in parts.items()])
    origins = [f"{part} row {row}".strip() for part, found in parts.items() for row in range(len(found["x"]))]
    return replace(
        dataset,
        given=given[rows] if len(parts) > 1 else None,
        origins=tuple(origins[row] for row in rows),
        source=str(source),
        notes=(*notes, *dataset.notes),
    )


def _joined(source: Path, parts: dict[str, dict[str, NDArray[Any]]], wanted: Wanted) -> tuple[Any, Any]:
    """All parts one after the other; a table alone has its target in the last column."""
    shapes = {found["x"].shape[1:] for found in parts.values()}
    if len(shapes) > 1:
        raise DataError(f"{source}: the parts have rows of different shapes {sorted(shapes)}")
    x = np.concatenate([found["x"] for found in parts.values()])
    with_y = [found["y"] for found in parts.values() if "y" in found]
    if len(with_y) == len(parts):
        return x, np.concatenate(with_y)
    if with_y:
        raise DataError(
            f"{source}: {', '.join(part for part, found in parts.items() if 'y' not in found)} has no targets"
        )
    if x.ndim == 2 and x.shape[1] > 1 and not wanted.like and x.dtype.kind in "biuf":
        return x[:, :-1], x[:, -1]
    return x, None


def _check_counts(source: Path, x: Any, y: Any) -> None:
    if y is not None and len(x) != len(y):
        raise DataError(f"{source}: {len(x):,} inputs but {len(y):,} targets: there must be one for each row")


def _role(name: str) -> tuple[str | None, str]:
    """``"x"`` or ``"y"``, and the part of a split."""
    lower = name.lower()
    if lower in _X or lower in _Y:
        return ("x" if lower in _X else "y"), ""
    words = re.split(r"[-_. ]", lower)
    part = next((PART_NAMES[word] for word in words if word in PART_NAMES), "")
    left = {word for word in words if word not in PART_NAMES}
    if left & set(_Y):
        return "y", part
    return ("x" if left & set(_X) or (part and not left) else None), part


def _load(path: Path) -> dict[str, NDArray[Any]]:
    check_fits(float(path.stat().st_size), str(path), "use fewer rows")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return (
                {path.stem: loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
            )
    except ValueError as error:
        if "allow_pickle" in str(error) or "pickled" in str(error):
            raise DataError(
                f"{path} holds Python objects, which could run any program when they are loaded: Luthier does not load"
                " them; save plain arrays of numbers or strings"
            ) from error
        raise DataError(f"{path} is damaged: {error}") from error
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged: {error}") from error
