"""Images in memory: one array, channels first, uint8 or float32."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.columns import counted
from luthier.data.dataset import Dataset
from luthier.data.targets import finish, keep_rows
from luthier.data.wanted import Wanted
from luthier.errors import DataError

_PIXELS = (1, 3, 4)  # channels that tell on which side they are


def image_dataset(array: NDArray[Any], labels: Any, wanted: Wanted, *, source: str = "arrays") -> Dataset:
    """Take images from an array.

    Parameters
    ----------
    array : (n, H, W), (n, C, H, W), (n, H, W, C) or (n, H * H) array
        Whole numbers from 0 to 255 become uint8, others float32.
    labels : (n,) array, column or None
        The targets.
    wanted
        What was asked for.
    source
        Where they came from.

    Raises
    ------
    DataError
        If the shape or the numbers are none of images.
    """
    if array.ndim and not len(array):
        raise DataError(f"{source} holds no rows")
    flat = array.ndim == 2 and isqrt(array.shape[1]) ** 2 == array.shape[1]
    if (array.ndim not in (3, 4) and not flat) or 0 in array.shape:
        raise DataError(f"{source}: images have shape (n, H, W) or (n, C, H, W), got {array.shape}")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{source}: images hold numbers, got {array.dtype}")
    first, notes = _channels_first(array)
    pixels = _pixels(first, wanted.like.get("dtype"), source)
    needed = wanted.like.get("shape")
    if needed is not None and tuple(needed) != pixels.shape[1:]:
        raise DataError(f"{source}: images of shape {tuple(needed)} (C, H, W) are needed, got {pixels.shape[1:]}")
    form = {**wanted.like, "task": "image", "shape": list(pixels.shape[1:]), "dtype": str(pixels.dtype)}
    dataset = finish(Dataset("image", pixels, notes=notes, form=form, source=source), labels, wanted)
    return _finite(dataset, every=bool(wanted.like))


def _channels_first(array: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    if array.ndim == 3:
        return array[:, None], ()
    if array.ndim == 2:
        side = isqrt(array.shape[1])
        return array.reshape(len(array), 1, side, side), (
            f"rows of {side * side} numbers taken as images of {side} x {side}",
        )
    if array.shape[3] in _PIXELS and array.shape[1] not in _PIXELS:
        return array.transpose(0, 3, 1, 2), ("images of shape (n, H, W, C) taken as (n, C, H, W)",)
    return array, ()


def _pixels(array: NDArray[Any], wanted: str | None, source: str) -> NDArray[Any]:
    """Whole numbers from 0 to 255 as uint8, everything else as float32; or as is wanted, if it can be."""
    if array.dtype == bool:
        array = np.asarray(array, dtype=np.uint8) * np.uint8(255)
    if wanted is None:
        wanted = "uint8" if array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255 else "float32"
    elif wanted == "uint8" and not ((array >= 0) & (array <= 255) & (array == np.round(array))).all():
        raise DataError(f"{source}: pixels from 0 to 255 are needed, got {array.min():g} to {array.max():g}")
    return np.ascontiguousarray(array, dtype=wanted)


def _finite(dataset: Dataset, *, every: bool) -> Dataset:
    """Leave out images that hold NaN or infinity, and tell it; or refuse them, where every row is needed."""
    assert isinstance(dataset.inputs, np.ndarray)
    if dataset.inputs.dtype == np.uint8:
        return dataset
    good = np.asarray(np.isfinite(dataset.inputs).reshape(len(dataset), -1).all(1))
    if good.all():
        return dataset
    bad = np.flatnonzero(~good)
    if every or not good.any():
        raise DataError(f"{dataset.source}: {counted(len(bad), 'image')} with NaN or infinity: {dataset.named(bad)}")
    note = f"{counted(len(bad), 'image')} with NaN or infinity left out: {dataset.named(bad)}"
    return keep_rows(dataset, good, note)
