"""IDX files, the format of MNIST and its family: a magic number, the sizes, then the values, big-endian; gzip or not.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "The IDX file format".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.choose import PART_NAMES
from luthier.data.dataset import Dataset
from luthier.data.encoding import read_bytes
from luthier.data.pixels import image_dataset
from luthier.data.wanted import Wanted
from luthier.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NAME = re.compile(r"(?P<stem>.*?)[-_.]?(?P<what>images|labels)[-_.]idx\d[-_.]?(ubyte)?(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IdxPair:
    """Images and their labels."""

    stem: str
    images: Path
    labels: Path | None
    part: str | None


def read_idx(path: Path) -> NDArray[Any]:
    """Read one IDX file, packed by gzip or not.

    Raises
    ------
    DataError
        If it is none, or too short.
    """
    raw = read_bytes(path)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES or not 1 <= raw[3] <= 8:
        raise DataError(f"{path} is no IDX file: it does not begin with its magic number")
    start = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    dtype = np.dtype(_TYPES[raw[2]])
    needed = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(raw) != needed:
        raise DataError(f"{path} is damaged: shape {shape} takes {needed:,} bytes, it has {len(raw):,}")
    return np.frombuffer(raw, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def write_idx(path: Path, values: NDArray[Any]) -> None:
    """Write an array as an IDX file, not packed.

    Parameters
    ----------
    path
        Where to.
    values
        Of one of the types of the format: u1, i1, i2, i4, f4, f8.

    Raises
    ------
    DataError
        If it is of another type.
    """
    code = next((code for code, name in _TYPES.items() if np.dtype(name).newbyteorder("=") == values.dtype), None)
    if code is None:
        raise DataError(f"IDX files hold uint8, int8, int16, int32, float32 and float64, got {values.dtype}")
    head = bytes([0, 0, code, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(head + values.astype(_TYPES[code]).tobytes())


def find_idx(files: Sequence[Path]) -> list[IdxPair]:
    """Find the pairs of images and labels among files, by their names."""
    named: dict[tuple[Path, str, str], Path] = {}
    for path in files:
        match = _NAME.match(path.name)
        if match:
            named[path.parent, match["stem"], match["what"].lower()] = path
    return [
        IdxPair(stem, path, named.get((folder, stem, "labels")), _part(stem))
        for (folder, stem, what), path in named.items()
        if what == "images"
    ]


def idx_dataset(source: Path, pairs: Sequence[IdxPair], wanted: Wanted) -> Dataset:
    """Read pairs of IDX files; train and t10k become the given split.

    Parameters
    ----------
    source
        What was asked for, for messages.
    pairs
        What `find_idx` found.
    wanted
        What was asked for.

    Raises
    ------
    DataError
        If pairs do not belong together, or images and labels are not equally many.
    """
    pairs = _one_set(source, pairs)
    images = [read_idx(pair.images) for pair in pairs]
    labels = [None if pair.labels is None else read_idx(pair.labels) for pair in pairs]
    for pair, pixels, classes in zip(pairs, images, labels, strict=True):
        if classes is not None and classes.shape != pixels.shape[:1]:
            raise DataError(f"{pair.images} holds {len(pixels):,} images, {pair.labels} {len(classes):,} labels")
        if pixels.shape[1:] != images[0].shape[1:]:
            raise DataError(
                f"{pair.images} holds images of {pixels.shape[1:]}, {pairs[0].images} of {images[0].shape[1:]}"
            )
    known = [each for each in labels if each is not None]
    if known and len(known) < len(labels):
        raise DataError(f"{next(p.images for p in pairs if p.labels is None)} has no file of labels beside it")
    y = np.concatenate(known) if known else None
    dataset = image_dataset(np.concatenate(images), y, wanted, source=str(source))
    parts = np.concatenate([np.full(len(x), pair.part or "train") for x, pair in zip(images, pairs, strict=True)])
    origins = tuple(f"{pair.stem} {row}" for pair, x in zip(pairs, images, strict=True) for row in range(len(x)))
    if len(dataset) != len(origins):
        raise DataError(f"{source}: images with NaN in IDX files cannot be used")
    notes = (f"task image: IDX files ({', '.join(pair.images.name for pair in pairs)})", *dataset.notes)
    given = parts if len(set(parts.tolist())) > 1 else None
    return replace(dataset, origins=origins, given=given, notes=notes)


def _one_set(source: Path, pairs: Sequence[IdxPair]) -> list[IdxPair]:
    """The pairs in the order train, valid, test; of one data set only."""
    sets = sorted({_without_part(pair.stem) for pair in pairs})
    if len(sets) > 1:
        raise DataError(f"{source} holds several sets ({', '.join(sets)}): name one, such as {source / sets[0]}")
    order = ("train", "valid", "test", None)
    return sorted(pairs, key=lambda pair: order.index(pair.part))


def _part(stem: str) -> str | None:
    return next((PART_NAMES[word] for word in re.split(r"[-_.]", stem.lower()) if word in PART_NAMES), None)


def _without_part(stem: str) -> str:
    return "-".join(word for word in re.split(r"[-_.]", stem) if word.lower() not in PART_NAMES)
