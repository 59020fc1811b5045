"""Folders of files: a class for each folder, and train, valid and test folders above them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luthier.data.choose import PART_NAMES
from luthier.data.columns import counted
from luthier.data.dataset import Dataset
from luthier.data.targets import finish
from luthier.data.wanted import Wanted
from luthier.errors import DataError

Label = Callable[[Dataset, Sequence["Found"], Wanted], Dataset]
_JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "__pycache__"})
_NAMED = 5  # so many bad files are named


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a data set.

    Attributes
    ----------
    path : Path
        The file.
    origin : str
        Its path from the data set's folder on, with ``/``.
    label : str or None
        The folder that is its class; None if it lies in no folder.
    part : str or None
        The part of a given split that it belongs to.
    """

    path: Path
    origin: str
    label: str | None
    part: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A folder and the files below it, each as the names on the way to it."""

    root: Path
    files: tuple[tuple[str, ...], ...]


def walk(root: Path) -> Tree:
    """List the files below a folder in the order of their names, links followed, each real folder once.

    Hidden files and those that systems leave behind are passed over. A folder that holds nothing but one folder of
    folders is stepped into.
    """
    root = _stepped_into(root)
    return Tree(root, tuple(_below(str(root), (), {os.path.realpath(root)})))


def find(tree: Tree, endings: Sequence[str]) -> tuple[list[Found], tuple[str, ...]]:
    """Find the files of a data set.

    Parameters
    ----------
    tree
        A folder, walked.
    endings
        Of the files, in lower case with their dots.

    Returns
    -------
    files, notes
        The files, and what has to be told about others.
    """
    inside = [parts for parts in tree.files if os.path.splitext(parts[-1])[1].lower() in endings]
    split = _is_split(inside)
    files = [_found(tree.root, parts, split) for parts in inside]
    beside = [file.origin for file in files if split and file.part is None]
    if not beside:
        return files, ()
    shown = ", ".join(beside[:_NAMED]) + (", ..." if len(beside) > _NAMED else "")
    notes = (f"{counted(len(beside), 'file')} beside the train and test folders left out: {shown}",)
    return [file for file in files if file.part is not None], notes


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by a system."""
    return name.startswith((".", "~$")) or name.lower() in _JUNK


def given_of(files: Sequence[Found]) -> NDArray[np.str_] | None:
    """Return the given split of files, (n,), or None if there is none."""
    parts = [file.part or "train" for file in files]
    return np.array(parts) if any(file.part for file in files) and len(set(parts)) > 1 else None


def label_folder(dataset: Dataset, files: Sequence[Found], wanted: Wanted) -> Dataset:
    """Give a data set of files their folders as labels; data to predict needs none.

    Raises
    ------
    DataError
        If the files lie in no folders.
    """
    labels = [file.label for file in files]
    named = [label for label in labels if label is not None]
    if len(named) < len(labels):
        if wanted.like:
            return dataset
        loose = [file.origin for file in files if file.label is None]
        raise DataError(
            f"{dataset.source} must hold a folder for each class, with its files inside, or a table that lists them "
            "with their labels; "
            f"{counted(len(loose), 'file')} lie in none ({', '.join(loose[:_NAMED])})"
        )
    if wanted.goal == "number":
        return finish(dataset, np.array(named, dtype=object), wanted, name="folder")
    classes = tuple(sorted(set(named)))  # names of folders are labels as they are, "01" and "NA" too
    notes = (*dataset.notes, f"{counted(len(classes), 'class')}, by the names of the folders")
    form = {**dataset.form, "goal": "classes"}
    return replace(dataset, targets=np.array(named), classes=classes, notes=notes, form=form)


def left_out(bad: Mapping[str, str], count: int, source: str) -> tuple[str, ...]:
    """Tell which files could not be read.

    Parameters
    ----------
    bad
        What is wrong, by file.
    count
        How many files there are.

    Raises
    ------
    DataError
        If none could be read.
    """
    if not bad:
        return ()
    shown = "; ".join(f"{name} ({why})" for name, why in list(bad.items())[:_NAMED])
    more = f"; and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
    if len(bad) == count:
        raise DataError(f"{source}: none of {counted(count, 'file')} can be read: {shown}{more}")
    return (f"{counted(len(bad), 'file')} of {count:,} left out, not readable: {shown}{more}",)


def _below(folder: str, names: tuple[str, ...], seen: set[str]) -> Iterator[tuple[str, ...]]:
    with os.scandir(folder) as entries:
        inside = sorted((entry for entry in entries if not is_junk(entry.name)), key=lambda entry: entry.name)
    for entry in inside:
        if entry.is_file():
            yield (*names, entry.name)
        elif entry.is_dir():
            real = os.path.realpath(entry.path)
            if real not in seen:
                seen.add(real)
                yield from _below(entry.path, (*names, entry.name), seen)


def _found(root: Path, parts: tuple[str, ...], split: bool) -> Found:
    part = PART_NAMES.get(parts[0].lower()) if split and len(parts) > 1 else None
    inner = parts[1:] if part else parts
    return Found(Path(root, *parts), "/".join(parts), inner[0] if len(inner) > 1 else None, part)


def _is_split(inside: Sequence[tuple[str, ...]]) -> bool:
    """Whether there are folders named train, test and so on: two of them, or one with folders inside only."""
    named = {PART_NAMES[parts[0].lower()] for parts in inside if len(parts) > 1 and parts[0].lower() in PART_NAMES}
    depths = [len(parts) for parts in inside if len(parts) > 1 and parts[0].lower() in PART_NAMES]
    return len(named) > 1 or (len(named) == 1 and min(depths) > 2)


def _stepped_into(root: Path) -> Path:
    for _ in range(5):
        inside = [entry for entry in root.iterdir() if not is_junk(entry.name)]
        if len(inside) != 1 or not inside[0].is_dir() or inside[0].name.lower() in PART_NAMES:
            break
        deeper = [entry for entry in inside[0].iterdir() if entry.is_dir() and not is_junk(entry.name)]
        if not deeper:
            break
        root = inside[0]
    return root
