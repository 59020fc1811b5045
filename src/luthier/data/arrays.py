"""Data sets from what is in memory already: arrays, lists, DataFrames, tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.choose import Roles
from luthier.data.columns import Column, counted, is_text, understand
from luthier.data.dataset import Dataset
from luthier.data.frames import Table, columns_of, frame_dataset, is_frame
from luthier.data.pixels import image_dataset
from luthier.data.sound import Clip, sound_dataset, without_broken
from luthier.data.targets import finish
from luthier.data.wanted import Wanted
from luthier.errors import DataError


def from_arrays(
    x: Any,
    y: Any = None,
    *,
    task: str = "auto",
    goal: str = "auto",
    rate: int | None = None,
    like: Mapping[str, Any] | None = None,
) -> Dataset:
    """Take a data set from memory.

    Parameters
    ----------
    x
        (n, d) numbers, a dict of columns, or a DataFrame of pandas or polars: a table. (n, H, W), (n, C, H, W) or
        (n, H, W, C) numbers: images. n strings: texts. n one-dimensional arrays, or (n, samples) together with `rate`:
        audio. Arrays may be NumPy's, lists, or torch tensors.
    y
        The targets: one for each row; labels, numbers, one-hot rows, or n strings for sequence to sequence; or the name
        of their column in `x`. None for data to predict.
    task, goal, like
        As in `luthier.data.read`.
    rate
        Samples a second, of audio.

    Raises
    ------
    DataError
        If the parts do not fit together, or cannot be used.

    Examples
    --------
    >>> from luthier.data import from_arrays
    >>> from_arrays([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], ["cat", "dog", "cat"])
    Dataset(tabular, 3 rows, 2 classes, from arrays)
    """
    if x is None or isinstance(x, str | PathLike):
        raise DataError(f"x is {x!r}: give arrays, or read a path with luthier.data.read")
    wanted = Wanted(task, goal, like=like or {}, search=False)
    if isinstance(y, str):
        if not is_frame(x):
            raise DataError(f"y={y!r} names a column, but x has no named columns: give the targets themselves")
        return frame_dataset(Table(columns_of(x)), None, replace(wanted, target=y))
    labels = _targets(y)
    if is_frame(x):
        return frame_dataset(Table(columns_of(x)), labels, wanted)
    if _is_strings(x) and wanted.task not in ("image", "audio"):
        return _of_strings(x, labels, wanted)
    if rate is not None or wanted.task == "audio" or _is_ragged(x):
        return _audio(x, labels, wanted, rate)
    array = as_array(x, "x")
    if wanted.task == "image" or (wanted.task == "auto" and array.ndim in (3, 4)):
        return image_dataset(array, labels, wanted)
    if array.ndim and not len(array):
        raise DataError("x holds no rows")
    if array.ndim != 2:
        raise DataError(_shape_message(array))
    found = frame_dataset(Table(_named(array, wanted)), labels, wanted)
    return found if wanted.like else replace(found, form={**found.form, "width": array.shape[1]})


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Return anything array-like as a NumPy array.

    Raises
    ------
    DataError
        If the rows have different lengths, or it is sparse.
    """
    if type(values).__module__.startswith("torch"):
        values = values.detach().cpu().numpy()
    if type(values).__module__.startswith("scipy.sparse"):
        raise DataError(f"{name} is a sparse matrix: use {name}.toarray()")
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} is no array, its rows have different lengths: {error}") from error


def _targets(y: Any) -> NDArray[Any] | None:
    if y is None:
        return None
    if not is_frame(y):
        found = as_array(y, "y")
        if not found.ndim:
            raise DataError(f"y is {y!r}: there must be one target for each row")
        return found
    columns = columns_of(y)
    if len(columns) != 1:
        raise DataError(f"y has {len(columns)} columns ({', '.join(columns)}): one target can be learned")
    (only,) = columns.values()
    return only.values if isinstance(only, Column) else only


def _is_strings(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return bool(x) and all(isinstance(value, str) or value is None for value in x)
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    return getattr(x, "ndim", 0) == 1 and (
        kind in "UT" or (kind == "O" and all(isinstance(v, str) or v is None for v in x))
    )


def _is_ragged(x: Any) -> bool:
    """Whether it is a sequence of one-dimensional arrays of different lengths."""
    if not isinstance(x, list | tuple) and getattr(getattr(x, "dtype", None), "kind", "") != "O":
        return False
    lengths = {len(row) if getattr(row, "ndim", 0) == 1 else -1 for row in x}
    return len(lengths) > 1 and -1 not in lengths


def _of_strings(x: Any, labels: NDArray[Any] | None, wanted: Wanted) -> Dataset:
    """Texts with labels, or with other texts: where these are sentences and hardly one occurs twice."""
    column = np.empty(len(x), dtype=object)
    column[:] = list(x)
    strings = labels is not None and labels.dtype.kind in "OUT" and labels.ndim == 1
    sentences = strings and labels is not None and is_text(understand("y", labels))
    task = ("seq2seq" if sentences else "text") if wanted.task == "auto" else wanted.task
    if task == "tabular":
        raise DataError("x holds strings, which are no table: a column of them is x={'name': strings}")
    return frame_dataset(Table({"text": column}), labels, wanted, roles=Roles(task, text="text"))


def _audio(x: Any, labels: NDArray[Any] | None, wanted: Wanted, rate: int | None) -> Dataset:
    rate = rate or wanted.like.get("rate")
    if rate is None:
        what = "x holds rows of different lengths, which are no table: for" if wanted.task == "auto" else "for"
        raise DataError(f"{what} audio say how many samples a second there are (rate=16000)")
    clips = [as_array(clip, "a clip of x") for clip in x]
    wrong = next((i for i, clip in enumerate(clips) if clip.ndim != 1 or clip.dtype.kind not in "iuf"), None)
    if wrong is not None:
        raise DataError(f"row {wrong} of x: a clip is numbers of shape (samples,), got {clips[wrong].shape}")
    base = sound_dataset([Clip(clip, rate) for clip in clips], wanted)
    return without_broken(finish(base, labels, wanted), every=bool(wanted.like))


def _named(array: NDArray[Any], wanted: Wanted) -> dict[str, NDArray[Any]]:
    """The columns of a table: x0, x1, ..., or as they were named before.

    Of an array, all columns that there were are wanted again, also those that nobody learns from.
    """
    width = wanted.like.get("width")
    names = [] if width else list(wanted.like.get("columns", ()))
    names = names or [f"x{i}" for i in range(width or array.shape[1])]
    if len(names) != array.shape[1]:
        raise DataError(f"x has {counted(array.shape[1], 'column')}, {len(names)} are needed")
    return {name: array[:, i] for i, name in enumerate(names)}


def _shape_message(array: NDArray[Any]) -> str:
    way_out = "; x.reshape(-1, 1) makes a table of one column" if array.ndim == 1 else ""
    return f"x has shape {array.shape}: tables have 2 axes (n, columns), images 3 or 4 (n, C, H, W){way_out}"
