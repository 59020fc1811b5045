"""Texts: with labels, or into other texts; from folders of files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.choose import PART_NAMES
from luthier.data.columns import counted
from luthier.data.dataset import Dataset
from luthier.data.encoding import decode, read_bytes, told
from luthier.data.folders import Found, Label, given_of, label_folder, left_out
from luthier.data.targets import keep_rows
from luthier.data.wanted import Wanted
from luthier.errors import DataError

TEXT_FILES = (".txt", ".text", ".md")
_SIDES = (("source", "target"), ("src", "tgt"), ("src", "trg"), ("input", "output"))


def without_empty(dataset: Dataset) -> Dataset:
    """Leave out the rows without a text, which nothing can be learned from, and tell it.

    Raises
    ------
    DataError
        If no row is left.
    """
    empty = _blank(dataset.inputs)
    if dataset.task == "seq2seq" and dataset.targets is not None:
        empty |= _blank(dataset.targets)
    if not empty.any():
        return dataset
    if empty.all():
        raise DataError(f"{dataset.source}: every text is empty")
    note = f"{counted(empty.sum(), 'row')} without a text left out"
    return keep_rows(dataset, ~empty, note)


def text_folder(root: Path, files: Sequence[Found], wanted: Wanted, label: Label = label_folder) -> Dataset:
    """Read a folder with a folder of text files for each class.

    Parameters
    ----------
    root
        The folder.
    files
        What `luthier.data.folders.find` found in it.
    wanted
        What was asked for.
    label
        Gives the targets.
    """
    texts: list[str] = []
    good: list[Found] = []
    encodings: dict[str, list[str]] = defaultdict(list)
    bad: dict[str, str] = {}
    for file in files:
        try:
            text, encoding = decode(read_bytes(file.path), file.origin)
        except DataError as error:
            bad[file.origin] = str(error)
            continue
        encodings[encoding].append(file.origin)
        texts.append(text.strip())
        good.append(file)
    notes = (*left_out(bad, len(files), str(root)), *told(encodings))
    origins = tuple(file.origin for file in good)
    base = Dataset("text", texts, origins=origins, given=given_of(good), notes=notes, source=str(root))
    base = replace(base, form={"task": "text", "text": None, "target": None})
    done = label(base, good, wanted)
    return done if wanted.like else without_empty(done)


@dataclass(frozen=True, slots=True)
class Sides:
    """A pair of files: line i of the one becomes line i of the other."""

    part: str | None
    source: Path
    target: Path


def find_sides(root: Path) -> list[Sides]:
    """Find pairs of files of a task from sequence to sequence in a folder.

    ``source.txt`` and ``target.txt``, ``train.src`` and ``train.tgt``, or two files of the same stem with different
    endings (``train.en`` and ``train.fr``) where every other file of the folder comes in such a pair too.
    """
    files = [path for path in sorted(root.iterdir()) if path.is_file() and not path.name.startswith(".")]
    by_name = {path.name.lower(): path for path in files}
    found = []
    for name, path in by_name.items():
        for first, second in _SIDES:
            other = by_name.get(re.sub(rf"(?<![a-z]){first}(?![a-z])", second, name))
            if other is not None and other != path:
                found.append(Sides(_part_of(path.name), path, other))
    return found or _by_ending(files)


def sides_dataset(root: Path, sides: list[Sides]) -> Dataset:
    """Read pairs of files, one text a line.

    Raises
    ------
    DataError
        If two files of a pair have different numbers of lines.
    """
    texts: list[str] = []
    into: list[str] = []
    given: list[str] = []
    origins: list[str] = []
    encodings: dict[str, list[str]] = defaultdict(list)
    for pair in sides:
        first, second = (_lines(path, encodings) for path in (pair.source, pair.target))
        if len(first) != len(second):
            raise DataError(
                f"{pair.source} has {len(first):,} lines and {pair.target.name} has {len(second):,}:"
                " line by line, the one becomes the other"
            )
        texts += first
        into += second
        given += [pair.part or ""] * len(first)
        origins += [f"{pair.source.name}, line {number}" for number in range(1, len(first) + 1)]
    names = ", ".join(f"{pair.source.name} into {pair.target.name}" for pair in sides)
    notes = (f"task seq2seq: {names}", *told(encodings))
    parts = np.array([part or "train" for part in given]) if len(set(given)) > 1 else None
    form = {"task": "seq2seq", "text": None, "target": None}
    whole = Dataset(
        "seq2seq", texts, into, origins=tuple(origins), given=parts, notes=notes, source=str(root), form=form
    )  # fmt: skip
    return without_empty(whole)


def _blank(texts: Any) -> NDArray[np.bool_]:
    """Where there is no text, (n,)."""
    return np.fromiter((not text.strip() for text in texts), np.bool_, len(texts))


def _lines(path: Path, encodings: dict[str, list[str]]) -> list[str]:
    text, encoding = decode(read_bytes(path), str(path))
    encodings[encoding].append(path.name)
    return [line.strip() for line in text.removesuffix("\n").split("\n")] if text else []


def _by_ending(files: list[Path]) -> list[Sides]:
    """Pairs of the same stem with the same two endings; none if anything else is there."""
    stems: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        stems[path.stem].append(path)
    endings = {tuple(path.suffix for path in pair) for pair in stems.values()}
    if (
        len(endings) != 1
        or len(next(iter(endings))) != 2
        or not all(re.fullmatch(r"\.[a-z]{2,3}", e) for e in next(iter(endings)))
    ):
        return []
    known = {".csv", ".tsv", ".txt", ".wav", ".png", ".jpg", ".npy", ".npz", ".gz", ".md"}
    if known & set(next(iter(endings))):
        return []
    return [Sides(_part_of(stem), pair[0], pair[1]) for stem, pair in sorted(stems.items())]


def _part_of(name: str) -> str | None:
    words = re.split(r"[^a-z0-9]+", name.lower())
    return next((PART_NAMES[word] for word in words if word in PART_NAMES), None)
