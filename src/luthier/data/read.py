"""Reading a data set from disk: what is this path, which task, and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from luthier.data.arrayfiles import array_dataset
from luthier.data.audio import AUDIO_FILES, audio_folder
from luthier.data.columns import counted
from luthier.data.dataset import Dataset
from luthier.data.folders import Found, Label, find, is_junk, label_folder, walk
from luthier.data.idx import IdxPair, find_idx, idx_dataset
from luthier.data.images import IMAGE_FILES, image_folder
from luthier.data.listed import find_listing
from luthier.data.tables import TABLE_FILES, table_dataset, table_folder
from luthier.data.text import TEXT_FILES, find_sides, sides_dataset, text_folder
from luthier.data.wanted import Wanted
from luthier.errors import DataError, did_you_mean

_ARRAY_FILES = (".npz", ".npy")
_READ = "images, recordings, texts, CSV, JSON lines, Parquet, NPZ, NPY and IDX files can be"
_NOT_READ = {
    (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar"): "unpack it first, and give its folder",
    (".xls", ".xlsx", ".ods"): "save it as CSV",
    (
        ".pkl",
        ".pickle",
        ".pt",
        ".pth",
        ".joblib",
    ): "loading it could run any program: save arrays as NPZ, tables as CSV",
    (".h5", ".hdf5", ".mat", ".rda", ".rds", ".arff", ".sav", ".dta"): "save arrays as NPZ, tables as CSV or Parquet",
}


@dataclass(frozen=True, slots=True)
class _Media:
    """A kind of files of which a folder holds many."""

    task: str
    name: str
    endings: tuple[str, ...]
    read: Callable[[Path, Sequence[Found], Wanted, Label], Dataset]


_MEDIA = (
    _Media("image", "image", IMAGE_FILES, image_folder),
    _Media("audio", "recording", AUDIO_FILES, audio_folder),
    _Media("text", "text", TEXT_FILES, text_folder),
)


def read(
    path: str | os.PathLike[str],
    *,
    task: str = "auto",
    target: str | None = None,
    goal: str = "auto",
    columns: Sequence[str] | None = None,
    like: Mapping[str, Any] | None = None,
) -> Dataset:
    """Read a data set.

    A folder with a folder of images, recordings or text files for each class (below train, valid and test folders, or
    not), or with files that a table in it or beside it lists with their labels; IDX files (the folder, one of the
    files, or what their names begin with); NPZ and NPY; tables in CSV, TSV, JSON lines and Parquet, which may hold
    texts; a folder with such files named train, valid and test; two files of which line by line the one becomes the
    other. What was decided and done stands in the notes of the data set.

    Parameters
    ----------
    path
        A folder or a file.
    task
        One of `luthier.data.TASKS`, or ``"auto"``: what the data looks like.
    target
        The column to predict, in a table or in one that lists the files; found by name or place, if not given.
    goal
        ``"classes"``, ``"number"`` (a regression), or ``"auto"``: by the values of the targets.
    columns
        The columns of a table to use as inputs: all but the target, if not given. For texts: the column of the text.
    like
        The `form` of another data set, as a model learned it: columns, sizes and rates become the same, and the targets
        may be absent.

    Raises
    ------
    DataError
        If there is nothing at that path, or it cannot be used; the message names the file, row or column.
    MissingExtra
        If a package that reads such files is not installed.
    """
    if columns is not None and isinstance(columns, str):
        columns = (columns,)
    wanted = Wanted(task, goal, target, None if columns is None else tuple(columns), like or {})
    place = Path(path).expanduser()
    try:
        if not place.exists():
            return _by_prefix(place, wanted)
        return _folder(place, wanted) if place.is_dir() else _file(place, wanted)
    except DataError as error:
        if str(place) in str(error):
            raise
        raise DataError(f"{place}: {error}") from error


def _by_prefix(path: Path, wanted: Wanted) -> Dataset:
    """What IDX files begin with; otherwise there is nothing."""
    beside = [each for each in path.parent.iterdir() if not is_junk(each.name)] if path.parent.is_dir() else []
    pairs = find_idx([each for each in sorted(beside) if path.name and each.name.startswith(path.name)])
    if pairs:
        return idx_dataset(path, pairs, wanted)
    if not path.parent.is_dir():
        raise DataError(f"there is no {path}, nor the folder {path.parent}")
    raise DataError(f"there is no {path}{did_you_mean(path.name, [each.name for each in beside])}")


def _file(path: Path, wanted: Wanted) -> Dataset:
    name = path.name.lower()
    if not path.stat().st_size:
        raise DataError(f"{path} is empty")
    pairs = find_idx(sorted(path.parent.iterdir()))
    mine = [pair for pair in pairs if path in (pair.images, pair.labels)]
    if mine or _is_idx(path):
        return idx_dataset(path, mine or [IdxPair(path.stem, path, None, None)], wanted)
    if name.endswith(_ARRAY_FILES):
        return array_dataset(path, _with_labels(path), wanted)
    if name.endswith(TABLE_FILES) or (name.endswith(".txt") and wanted.task == "tabular"):
        return table_dataset(path, wanted)
    for media in _MEDIA:
        if name.endswith(media.endings):
            return _single(path, media, wanted)
    for endings, way_out in _NOT_READ.items():
        if name.endswith(endings):
            raise DataError(f"{path} cannot be read: {way_out}")
    raise DataError(f"{path} is of a kind that cannot be read: {_READ}")


def _single(path: Path, media: _Media, wanted: Wanted) -> Dataset:
    if not wanted.like:
        raise DataError(f"{path} is one {media.name} only: give the folder that holds a folder for each class")
    return media.read(path, [Found(path, path.name, None, None)], wanted, label_folder)


def _folder(root: Path, wanted: Wanted) -> Dataset:
    files = [path for path in sorted(root.iterdir()) if path.is_file() and not is_junk(path.name)]
    pairs = find_idx(files)
    if pairs and wanted.task in ("auto", "image"):
        return idx_dataset(root, pairs, wanted)
    arrays = [path for path in files if path.name.lower().endswith(_ARRAY_FILES)]
    if arrays:
        return array_dataset(root, arrays, wanted)
    sides = find_sides(root) if wanted.task in ("auto", "seq2seq") else []
    if sides:
        return sides_dataset(root, sides)
    tree = walk(root)
    counts = {media: find(tree, media.endings) for media in _MEDIA if wanted.task in ("auto", media.task)}
    most = max(counts, key=lambda media: _worth(counts[media][0]), default=None)
    found, notes = counts[most] if most else ([], ())
    tables = [path for path in files if path.name.lower().endswith(TABLE_FILES)]
    label, listing = label_folder, None
    if found and not wanted.like and (wanted.target is not None or len({file.label for file in found}) == 1):
        listing = find_listing(root, tree.root, found, wanted)
    if listing is not None:
        found, label = list(listing.files), listing.label
    elif tables and not any(file.label for file in found) and not (found and wanted.like):
        return table_folder(root, tables, wanted)
    elif wanted.target is not None and found and not wanted.like:
        raise DataError(
            f"{root} has no table with a target column {wanted.target!r} that lists its files: put one into it or "
            "beside it, or leave target= out where each class has a folder"
        )
    if most is None or not found:
        raise DataError(_nothing(root, wanted))
    note = f"task {most.task}: {counted(len(found), most.name)} in {counted(len({f.label for f in found}), 'folder')}"
    others = [f"{counted(len(c[0]), m.name)} beside them left out" for m, c in counts.items() if m != most and c[0]]
    dataset = most.read(root, found, wanted, label)
    return replace(dataset, notes=(note, *notes, *others, *dataset.notes))


def _worth(found: Sequence[Found]) -> tuple[int, int]:
    """Files that lie in folders count first: a README beside images is no text to learn."""
    return sum(file.label is not None for file in found), len(found)


def _with_labels(path: Path) -> list[Path]:
    """An NPY file of inputs, with the one of the targets beside it."""
    if path.suffix != ".npy" or path.stem.lower() not in ("x", "data", "images", "inputs", "features"):
        return [path]
    beside = [path.with_name(name) for name in ("y.npy", "Y.npy", "labels.npy", "targets.npy", "target.npy")]
    return [path, *[each for each in beside if each.exists()][:1]]


def _is_idx(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4)
    return path.suffix.lower() not in _endings() and head[:2] == b"\0\0" and len(head) == 4 and head[2] in range(8, 15)


def _nothing(root: Path, wanted: Wanted) -> str:
    inside = [entry.name for entry in sorted(root.iterdir()) if not is_junk(entry.name)]
    if not inside:
        return f"{root} is an empty folder"
    kind = "" if wanted.task == "auto" else f" of task {wanted.task!r}"
    shown = ", ".join(inside[:5]) + (", ..." if len(inside) > 5 else "")
    return f"{root} holds no data{kind} that can be read (it holds {shown}): {_READ}"


def _endings() -> tuple[str, ...]:
    return (*_ARRAY_FILES, *TABLE_FILES, *(ending for media in _MEDIA for ending in media.endings))
