"""Folders of images: one array, one size, one kind of channels."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.columns import counted
from luthier.data.dataset import Dataset
from luthier.data.folders import Found, Label, given_of, label_folder, left_out
from luthier.data.memory import check_fits
from luthier.data.wanted import Wanted
from luthier.errors import DataError, MissingExtra

IMAGE_FILES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
_CHUNK = 64  # images that a thread takes at once
LARGEST = 256  # pixels: larger sides are scaled down
_GRAY = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L"})
_DEEP = frozenset({"I", "F", "I;16", "I;16B", "I;16L"})
_ORIENTATION = 0x0112  # of EXIF
_TRANSPOSED = frozenset({5, 6, 7, 8})  # its values that swap height and width


@dataclass(frozen=True, slots=True)
class Header:
    """What an image file says about itself: size (H, W) as it is to be seen, and its mode."""

    size: tuple[int, int]
    mode: str
    transparent: bool


def image_folder(root: Path, files: Sequence[Found], wanted: Wanted, label: Label = label_folder) -> Dataset:
    """Read a folder with a folder of images for each class.

    Images of other sizes are resized to the most common one, or the median one where there is no such; larger ones are
    scaled down to 256 pixels. Gray images stay gray if all are; transparent parts become white; turned photographs are
    turned back. Images of more than 8 bits make the whole data set float32, in [0, 1].

    Parameters
    ----------
    root
        The folder.
    files
        What `luthier.data.folders.find` found in it.
    wanted
        What was asked for; ``like["shape"]`` and ``like["dtype"]`` are followed.
    label
        Gives the targets.

    Raises
    ------
    DataError
        If no image can be read, or they would not fit into memory.
    """
    bad: dict[str, str] = {}
    found = _each(_header, files, bad)
    left_out(bad, len(files), str(root))
    headers = [header for header in found if header is not None]
    shape, deep, notes = _plan(headers, wanted)
    good = [file for file, header in zip(files, found, strict=True) if header is not None]
    dtype = np.dtype(np.float32 if deep else np.uint8)
    check_fits(
        len(good) * float(np.prod(shape)) * dtype.itemsize,
        f"{root}: {len(good):,} images of {shape[1]} x {shape[2]} pixels",
        "use smaller or fewer images",
    )
    pixels = np.empty((len(good), *shape), dtype=dtype)

    def decode(place: int) -> bool:
        pixels[place] = _decoded(good[place].path, shape, deep)
        return True

    done = _each(decode, range(len(good)), bad, [file.origin for file in good])
    kept = [place for place, ok in enumerate(done) if ok]
    notes = (*left_out(bad, len(files), str(root)), *notes)
    if len(kept) < len(good):
        pixels, good = pixels[kept], [good[place] for place in kept]
    base = Dataset(
        "image", pixels, origins=tuple(file.origin for file in good), given=given_of(good), notes=notes,
        source=str(root), form={"task": "image", "shape": list(shape), "dtype": str(dtype)},
    )  # fmt: skip
    return label(base, good, wanted)


def _each(
    read: Callable[[Any], Any], items: Sequence[Any], bad: dict[str, str], names: Sequence[str] = ()
) -> list[Any]:
    """Apply to all in threads; what cannot be read is None, and its name and fault are put down."""

    def some(chunk: Sequence[Any]) -> list[Any]:
        return [_tried(read, item) for item in chunk]

    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # Pillow's, about damaged and very large files
        chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
        results = [result for chunk in pool.map(some, chunks) for result in chunk]
    for place, result in enumerate(results):
        if isinstance(result, DataError):
            bad[names[place] if names else items[place].origin] = str(result)
            results[place] = None
    return results


def _tried(read: Callable[[Any], Any], item: Any) -> Any:
    image = _pillow()
    damaged = (OSError, ValueError, SyntaxError, EOFError, OverflowError, struct.error, zlib.error)
    try:
        return read(item)
    except (*damaged, image.DecompressionBombError) as error:  # what Pillow raises for damaged files
        return DataError(_short(error))


def _header(file: Found) -> Header:
    with _pillow().open(file.path) as image:
        width, height = image.size
        size = (width, height) if image.getexif().get(_ORIENTATION) in _TRANSPOSED else (height, width)
        return Header(
            size, image.mode, "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa")
        )


def _plan(headers: Sequence[Header], wanted: Wanted) -> tuple[tuple[int, int, int], bool, tuple[str, ...]]:
    """The shape (C, H, W) of all, whether they are deeper than 8 bits, and what has to be told."""
    deep = str(wanted.like.get("dtype", "")) == "float32" or any(header.mode in _DEEP for header in headers)
    notes = _mode_notes(headers, deep)
    if wanted.like.get("shape"):
        channels, height, width = wanted.like["shape"]
    else:
        channels = 1 if all(header.mode in _GRAY for header in headers) else 3
        height, width = _common_size([header.size for header in headers])
    if wanted.like.get("dtype") == "uint8":
        deep = False
    other = sum(header.size != (height, width) for header in headers)
    if other:
        notes.append(f"{counted(other, 'image')} of {len(headers):,} resized to {height} x {width} (height x width)")
    return (channels, height, width), deep, tuple(notes)


def _mode_notes(headers: Sequence[Header], deep: bool) -> list[str]:
    notes = []
    gray = sum(header.mode in _GRAY for header in headers)
    if 0 < gray < len(headers):
        notes.append(f"{counted(gray, 'gray image')} among {len(headers):,} taken as colored ones")
    transparent = sum(header.transparent for header in headers)
    if transparent:
        notes.append(f"{counted(transparent, 'image')} with transparent parts put on white")
    if deep:
        notes.append("images of more than 8 bits: all pixels are float32 in [0, 1]")
    return notes


def _common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size of at least half of the images, or the median; at most `LARGEST`."""
    size, count = Counter(sizes).most_common(1)[0]
    if 2 * count < len(sizes):
        size = (round(float(np.median([h for h, _ in sizes]))), round(float(np.median([w for _, w in sizes]))))
    scale = min(1.0, LARGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _decoded(path: Path, shape: tuple[int, int, int], deep: bool) -> NDArray[Any]:
    """The pixels of one image, (C, H, W)."""
    from PIL import Image, ImageOps

    with _pillow().open(path) as image:
        image.draft("RGB" if shape[0] == 3 else "L", (shape[2], shape[1]))  # JPEG: decode no more than needed
        upright = image if image.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
        if upright.mode in _DEEP:
            return _deep_pixels(upright, shape, deep)
        if "transparency" in upright.info or upright.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
            upright = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
        plain = upright.convert("RGB" if shape[0] == 3 else "L")
        if plain.size != (shape[2], shape[1]):
            plain = plain.resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
        pixels = np.asarray(plain)
    first = pixels.transpose(2, 0, 1) if shape[0] == 3 else pixels[None]
    return first.astype(np.float32) / 255.0 if deep else first


def _deep_pixels(image: Any, shape: tuple[int, int, int], deep: bool) -> NDArray[Any]:
    """Pixels of 16 or 32 bits: 16-bit ones scaled by their range, floats as they are."""
    from PIL import Image

    values = np.asarray(image).astype(np.float32)
    top = 65535.0 if image.mode != "F" else max(1.0, float(values.max(initial=0.0)))
    plain = Image.fromarray(values / top)
    if plain.size != (shape[2], shape[1]):
        plain = plain.resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
    pixels = np.broadcast_to(np.asarray(plain)[None], shape)
    return pixels if deep else np.clip(pixels * 255.0, 0.0, 255.0).round()


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("pillow", "data") from error
    return Image


def _short(error: Exception) -> str:
    """A fault in a few words, without the path that stands beside it."""
    text = str(error).split("\n")[0]
    return "no image" if "cannot identify" in text else text[:80] or type(error).__name__
