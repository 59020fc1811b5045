"""What may go wrong with the targets, the rows and the inputs of any data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.data.columns import counted
from luthier.data.dataset import Dataset
from luthier.data.duplicates import first_of_its_kind

_NAMED = 5  # labels named in a sentence
_KEPT = 1000  # row numbers kept in a finding
_FEW_ROWS, _TINY_CLASS = 50, 5
_UNEVEN = 10.0  # the largest class, in multiples of the smallest
_LONG_S = 60.0  # seconds of a recording
_BLANK = 2.0 / 255.0  # range of an image's values, as a share of the range of all
_SILENT = 1e-4


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes
    ----------
    severity : str
        ``"error"``: nothing can be trained; ``"warning"``: look at it; ``"note"``: good to know.
    kind : str
        A fixed word for programs, such as ``"constant column"``.
    text : str
        A plain sentence for people.
    columns : tuple of str
        The columns of a table that it is about.
    rows : tuple of int
        The rows that it is about, the first thousand at most.
    """

    severity: str
    kind: str
    text: str
    columns: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()


def find_in_targets(dataset: Dataset) -> Iterator[Finding]:
    """Too few rows, one class only, tiny classes, uneven ones, labels that differ in their spelling only."""
    if len(dataset) < 3:
        yield Finding("error", "few rows", f"{counted(len(dataset), 'row')} only: three at least are needed")
    elif len(dataset) < _FEW_ROWS:
        yield Finding("warning", "few rows", f"{counted(len(dataset), 'row')} only: scores will be a matter of luck")
    if dataset.targets is None:
        yield Finding("note", "no targets", "there are no targets: it can be predicted, but not learned from")
    elif dataset.classes is not None:
        yield from _classes(dataset)
    elif dataset.goal == "number":
        yield from _number(np.asarray(dataset.targets))


def find_in_rows(dataset: Dataset) -> Iterator[Finding]:
    """Copies, copies with other labels, and rows that are on both sides of a split that came along."""
    first = first_of_its_kind(dataset)
    copies = np.flatnonzero(first != np.arange(len(first)))
    if len(copies):
        much = "warning" if len(copies) > 0.05 * len(first) and dataset.task != "tabular" else "note"
        text = f"{len(copies):,} of {counted(len(first), 'row')} have the inputs of another one"
        yield Finding(much, "duplicates", text, rows=_kept(copies))
        yield from _contradictions(dataset, first, copies)
    if dataset.given is not None:
        yield from _leaks(dataset, first)
        yield from _parts(dataset)


def find_in_inputs(dataset: Dataset) -> Iterator[Finding]:
    """Blank images, silent and long recordings."""
    if dataset.task == "image":
        assert isinstance(dataset.inputs, np.ndarray)
        flat = dataset.inputs.reshape(len(dataset), -1)
        low, high = flat.min(1).astype(np.float64), flat.max(1).astype(np.float64)
        whole = 255.0 if flat.dtype == np.uint8 else float(high.max() - low.min())
        blank = np.flatnonzero(high - low <= _BLANK * whole)
        if len(blank):
            text = f"{counted(len(blank), 'image')} of a single color: {dataset.named(blank)}"
            yield Finding("warning", "blank images", text, rows=_kept(blank))
    if dataset.task == "audio":
        silent = np.flatnonzero([float(np.abs(clip).max(initial=0.0)) < _SILENT for clip in dataset.inputs])
        if len(silent):
            text = f"{counted(len(silent), 'silent recording')}: {dataset.named(silent)}"
            yield Finding("warning", "silent recordings", text, rows=_kept(silent))
        long = np.flatnonzero([len(clip) > _LONG_S * (dataset.rate or 1) for clip in dataset.inputs])
        if len(long):
            text = f"{counted(len(long), 'recording')} longer than a minute: {dataset.named(long)}"
            yield Finding("note", "long recordings", text, rows=_kept(long))


def _classes(dataset: Dataset) -> Iterator[Finding]:
    assert dataset.classes is not None
    labels = dataset.labels()
    counts = np.bincount(labels, minlength=len(dataset.classes))
    there = np.flatnonzero(counts)
    if len(there) < 2:
        only = dataset.classes[int(there[0])] if len(there) else "none"
        text = f"every row is of the class {only!r}: there is nothing to tell apart"
        yield Finding("error", "one class", text)
        return
    tiny = [i for i in there if counts[i] < _TINY_CLASS]
    if tiny:
        shown = ", ".join(f"{dataset.classes[i]!r} ({counts[i]})" for i in tiny[:_NAMED]) + ", ..." * (
            len(tiny) > _NAMED
        )
        text = f"{counted(len(tiny), 'class')} with fewer than {_TINY_CLASS} rows: {shown}"
        yield Finding("warning", "tiny classes", text, rows=_kept(np.flatnonzero(np.isin(labels, tiny))))
    most, least = int(np.argmax(counts)), int(there[np.argmin(counts[there])])
    if counts[most] > _UNEVEN * counts[least]:
        text = (
            f"uneven classes: {dataset.classes[most]!r} has {counts[most]:,} rows, {dataset.classes[least]!r} has"
            f" {counts[least]:,}: look at balanced accuracy, not accuracy alone"
        )
        yield Finding("warning", "uneven classes", text)
    yield from _spellings(dataset.classes)


def _spellings(classes: Sequence[object]) -> Iterator[Finding]:
    alike = defaultdict(list)
    for label in classes:
        alike["".join(str(label).lower().split())].append(str(label))
    for labels in alike.values():
        if len(labels) > 1:
            text = f"classes that differ in their spelling only: {', '.join(map(repr, labels))}"
            yield Finding("warning", "spellings", text)


def _number(targets: NDArray[np.float64]) -> Iterator[Finding]:
    low, middle, high = np.quantile(targets, [0.25, 0.5, 0.75])
    if targets.min() == targets.max():
        yield Finding("error", "one value", f"every target is {targets[0]:g}: there is nothing to predict")
        return
    far = np.flatnonzero(np.abs(targets - middle) > 20.0 * max(high - low, 1e-300))
    if len(far) and high > low:
        farthest = targets[far][np.abs(targets[far]).argmax()]
        text = f"{counted(len(far), 'target')} far from all others, up to {farthest:,.4g}"
        yield Finding("warning", "far targets", text, rows=_kept(far))


def _contradictions(dataset: Dataset, first: NDArray[np.intp], copies: NDArray[np.intp]) -> Iterator[Finding]:
    if dataset.targets is None:
        return
    targets = dataset.targets if isinstance(dataset.targets, list) else dataset.targets.tolist()
    other = np.array([row for row in copies if targets[row] != targets[first[row]]], dtype=np.intp)
    if len(other) and dataset.task != "seq2seq":
        much = "warning" if len(other) > 0.01 * len(dataset) else "note"
        example = f"{dataset.origins[first[other[0]]]} and {dataset.origins[other[0]]}"
        text = f"{counted(len(other), 'row')} with the inputs of another one, but another target (such as {example})"
        yield Finding(much, "contradictions", text, rows=_kept(other))


def _leaks(dataset: Dataset, first: NDArray[np.intp]) -> Iterator[Finding]:
    assert dataset.given is not None
    learned = np.zeros(len(first), dtype=bool)
    learned[first[(dataset.given == "train") | (dataset.given == "")]] = True
    for part in ("valid", "test"):
        there = dataset.given == part
        leaked = np.flatnonzero(there & learned[first])
        if len(leaked):
            share = 100.0 * len(leaked) / there.sum()
            text = (
                f"{counted(len(leaked), 'row')} of the {part} set ({share:.1f}%) occur in training too:"
                f" {dataset.named(leaked)}; scores on them are too good"
            )
            yield Finding("warning", "leak", text, rows=_kept(leaked))


def _parts(dataset: Dataset) -> Iterator[Finding]:
    """Classes of a part that training does not have."""
    if dataset.classes is None or dataset.given is None:
        return
    labels = dataset.labels()
    learned = set(labels[(dataset.given == "train") | (dataset.given == "")].tolist())
    unknown = np.flatnonzero(~np.isin(labels, list(learned)))
    if len(unknown):
        names = sorted({str(dataset.classes[labels[row]]) for row in unknown})
        text = f"{counted(len(names), 'class')} that no training row has: {', '.join(names[:_NAMED])}"
        yield Finding("warning", "class not in training", text, rows=_kept(unknown))


def _kept(rows: NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(int(row) for row in rows[:_KEPT])
