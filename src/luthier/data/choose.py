"""Which column of a table is the target, which one brings a split, which ones are texts; and so: which task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from luthier.data.columns import Column, counted, is_text
from luthier.data.duplicates import codes_of
from luthier.data.numbering import numbers_rows
from luthier.data.wanted import Wanted
from luthier.errors import DataError, did_you_mean

TARGET_NAMES = ("target", "label", "labels", "class", "classes", "y", "outcome", "response")
SPLIT_NAMES = ("split", "subset", "partition", "part", "fold_type", "set")
PAIRS = (("source", "target"), ("src", "tgt"), ("src", "trg"), ("input", "output"), ("question", "answer"))
PART_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test", "t10k": "test", "eval": "test",
}  # fmt: skip
_LEVELS = 50  # different values, at most, that make a first column of words a label


def known(name: str, names: Sequence[str], what: str, source: str) -> str:
    """Return a column's name if there is one of that name.

    Raises
    ------
    DataError
        If there is not.
    """
    if name in names:
        return name
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    raise DataError(f"{source} has no {what} {name!r}, but {shown}{did_you_mean(name, names)}")


def split_column(columns: Mapping[str, Column], taken: Sequence[str]) -> tuple[str | None, NDArray[np.str_] | None]:
    """Find the column that says which rows are for training and which for testing.

    Parameters
    ----------
    columns
        By name.
    taken
        Names that were asked for as something else.

    Returns
    -------
    name, given
        The column and its (n,) parts, or two times None.
    """
    for name, column in columns.items():
        if name.lower() in SPLIT_NAMES and name not in taken and column.kind == "category" and not column.missing.any():
            words = [str(value).lower() for value in column.values.tolist()]
            if words and set(words) <= set(PART_NAMES) and len({PART_NAMES[word] for word in words}) > 1:
                return name, np.array([PART_NAMES[word] for word in words])
    return None, None


def guess_target(columns: Mapping[str, Column], source: str) -> tuple[str, str]:
    """Find the column to predict: by its name, or else the last or the first one; never one that numbers the rows.

    Returns
    -------
    name, note
        The column, and the sentence that tells why.

    Raises
    ------
    DataError
        If there is only one column, or none can be it.
    """
    names = list(columns)
    if len(names) < 2:
        raise DataError(f"{source} has one column only ({', '.join(names)}): a column to predict is needed as well")
    for wanted in TARGET_NAMES:
        for name in names:
            if name.lower() == wanted:
                return name, f"target {name!r}, by its name"
    unfit = {name: why for name, column in columns.items() if (why := _unfit(name, column))}
    words = [name for name in names if columns[name].kind in ("category", "boolean") and not is_text(columns[name])]
    if names[0] not in unfit and words == names[:1] and len(set(columns[names[0]].values.tolist())) <= _LEVELS:
        return names[0], f"target {names[0]!r}: the first column and the only one of words; another one by target="
    usable = [name for name in names if name not in unfit]
    if not usable:
        said = ", ".join(f"{name!r} {why}" for name, why in list(unfit.items())[:20])
        raise DataError(f"{source}: no column looks like one to predict ({said}): say which it is with target=")
    last = usable[-1]
    after = [f"{name!r} {unfit[name]}" for name in names[names.index(last) + 1 :]]
    which = f"the last column that can be one ({', '.join(after)})" if after else "the last column"
    return last, f"target {last!r}: {which}; another one by target="


def _unfit(name: str, column: Column) -> str:
    """Why a column is not taken for the target unless it is asked for; empty if it may be."""
    if column.kind in ("date", "time"):
        return "holds dates"
    if is_text(column):
        return "holds sentences"
    words = column.kind == "category"
    if column.kind != "boolean" and numbers_rows(name, codes_of(column.values), words=words):
        return "names each row" if words else "numbers the rows"
    return ""


@dataclass(frozen=True, slots=True)
class Roles:
    """What the columns are for.

    Attributes
    ----------
    task : str
        ``"tabular"``, ``"text"``, ``"seq2seq"``, or ``"image"`` if it was asked for: each pixel is a column.
    target : str or None
        The column to predict.
    text : str or None
        The column of the texts.
    inputs : tuple of str
        The columns of a table to learn from.
    notes : tuple of str
        What was decided, and why.
    """

    task: str
    target: str | None = None
    text: str | None = None
    inputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def choose_roles(columns: Mapping[str, Column], wanted: Wanted, source: str, *, apart: bool) -> Roles:
    """Decide what each column is for, and so on the task.

    Two columns of sentences, or with names such as *source* and *target*, are ``"seq2seq"``; one column of sentences
    with at most three others besides the target is ``"text"``; everything else is ``"tabular"``.

    Parameters
    ----------
    columns
        By name.
    wanted
        What was asked for, which is followed.
    source
        For messages.
    apart
        Whether the targets are given apart, and so are no column.
    """
    if wanted.task == "audio":
        raise DataError(f"{source} is a table, which holds no recordings: give the folder of their files")
    if wanted.like:
        return _like(columns, wanted, source)
    for name in wanted.columns or ():
        known(name, list(columns), "column", source)
    target = None if apart or wanted.target is None else known(wanted.target, list(columns), "target column", source)
    searched = target is None and not apart and wanted.search
    pair = _pair(columns, wanted, target) if wanted.task in ("auto", "seq2seq") and (searched or target) else None
    if pair or wanted.task == "seq2seq":
        return _sequences(columns, wanted, pair, source, apart=apart)
    notes: tuple[str, ...] = ()
    if searched:
        target, note = guess_target(columns, source)
        notes = (note,)
    inputs = [name for name in wanted.columns or columns if name != target]
    if not inputs:
        raise DataError(f"{source} has no column besides the target {target!r}")
    roles = _text_or_table(columns, inputs, wanted, source)
    return replace(roles, target=target, notes=notes + roles.notes)


def _like(columns: Mapping[str, Column], wanted: Wanted, source: str) -> Roles:
    """The same columns as in other data."""
    names, form = list(columns), wanted.like
    target = wanted.target if wanted.target in columns else None
    if wanted.task == "tabular":
        lacking = [name for name in form["columns"] if name not in names]
        if len(lacking) > 1:
            raise DataError(
                f"{source} has no columns {', '.join(map(repr, lacking[:20]))}, but {', '.join(names[:20])}"
            )
        inputs = tuple(known(name, names, "column", source) for name in form["columns"])
        return Roles("tabular", target, inputs=inputs)
    if wanted.task == "image":
        return Roles("image", target, inputs=tuple(name for name in names if name != target))
    text = form.get("text")
    if text is None:  # learned from files: the one column there is
        left = [name for name in names if name != target]
        if len(left) != 1:
            raise DataError(f"{source} has the columns {', '.join(names)}: name the one of the texts by columns=")
        return Roles(wanted.task, target, text=left[0])
    return Roles(wanted.task, target, text=known(text, names, "column", source))


def _text_or_table(columns: Mapping[str, Column], inputs: list[str], wanted: Wanted, source: str) -> Roles:
    """One column of sentences, or a table without them."""
    sentences = [name for name in inputs if is_text(columns[name])]
    few = len(sentences) == 1 and len(inputs) <= 4
    if wanted.task == "text" or (wanted.task == "auto" and few):
        words = sentences or [name for name in inputs if columns[name].kind == "category"] or inputs
        longest = max(words, key=lambda name: _length(columns[name]))
        others = [name for name in inputs if name != longest]
        why = "as asked for" if wanted.task == "text" else f"column {longest!r} holds sentences"
        notes = (f"task text: {why}", *([_left_out(others, "besides the text")] if others else []))
        return Roles("text", text=longest, notes=notes)
    kept = tuple(name for name in inputs if name not in sentences)
    if not kept:
        raise DataError(f"{source} has no column of numbers or categories: use task='text'")
    task = "image" if wanted.task == "image" else "tabular"
    why = "columns of numbers and categories" if wanted.task == "auto" else "as asked for"
    notes = (f"task {task}: {why}", *([_left_out(sentences, "of sentences")] if sentences else []))
    return Roles(task, inputs=kept, notes=notes)


def _sequences(
    columns: Mapping[str, Column], wanted: Wanted, pair: tuple[str, str] | None, source: str, *, apart: bool
) -> Roles:
    names = list(columns)
    if apart:
        return Roles("seq2seq", text=(wanted.columns or names)[0], notes=("task seq2seq: texts into texts",))
    if pair is None:
        raise DataError(f"{source} has the column {names[0]!r} only: sequences to sequences need two columns of text")
    others = [name for name in names if name not in pair]
    notes = (f"task seq2seq: column {pair[0]!r} into column {pair[1]!r}",)
    return Roles("seq2seq", pair[1], text=pair[0], notes=(*notes, *([_left_out(others, "besides")] if others else [])))


def _pair(columns: Mapping[str, Column], wanted: Wanted, target: str | None) -> tuple[str, str] | None:
    """Two columns of a task from sequence to sequence: with the usual names, or of sentences and nothing else."""
    lower = {name.lower(): name for name in columns}
    if wanted.task == "seq2seq":
        left = [name for name in wanted.columns or columns if name != target]
        usual = [(lower[a], lower[b]) for a, b in PAIRS if a in lower and b in lower]
        if target is not None:
            return (left[0], target) if left else None
        if usual and not wanted.columns:
            return usual[0]
        return (left[0], left[1]) if len(left) > 1 else None
    for first, second in PAIRS:
        if first in lower and second in lower and target in (None, lower[second]):
            pair = lower[first], lower[second]
            if all(_mostly_different(columns[name]) for name in pair):
                return pair
    sentences = [name for name, column in columns.items() if is_text(column)]
    if len(sentences) == 2 and len(columns) <= 3 and not set(TARGET_NAMES) & set(lower):
        return (sentences[0], sentences[1]) if target in (None, sentences[1]) else None
    return None


def _mostly_different(column: Column) -> bool:
    present = column.values[~column.missing]
    return column.kind == "category" and len(set(present.tolist())) > 0.5 * len(present)


def _length(column: Column) -> float:
    return sum(len(str(value)) for value in column.values[:1000].tolist())


def _left_out(names: Sequence[str], which: str) -> str:
    shown = ", ".join(repr(name) for name in names[:8]) + (", ..." if len(names) > 8 else "")
    return f"{counted(len(names), 'column')} {which} left out: {shown}"
