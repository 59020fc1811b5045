"""Looking at a data set before anything is trained on it: what was understood, and what may go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from luthier.data.checks import Finding, find_in_inputs, find_in_rows, find_in_targets
from luthier.data.columns import counted, missing_in
from luthier.data.dataset import Dataset
from luthier.data.suspects import find_in_table
from luthier.errors import DataError

_BARS = 20  # classes or bins shown, at most
_WIDTH = 30  # characters of the longest bar
_ORDER = ("error", "warning", "note")


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was understood and found; `str` says it in plain words.

    Attributes
    ----------
    title : str
        The data set in a line.
    facts : tuple of (str, str)
        What was understood: names and values to show.
    balance : tuple of (str, int)
        How often each class occurs, or each range of a regression's targets.
    findings : tuple of Finding
        Errors first, then warnings, then notes.
    notes : tuple of str
        What was done while reading, from the data set.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    balance: tuple[tuple[str, int], ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that nothing can be trained with."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def useless(self) -> tuple[str, ...]:
        """Columns that nothing can be learned from: constant ones, and those that only number the rows."""
        kinds = ("constant column", "id-like column")
        return tuple(name for finding in self.findings if finding.kind in kinds for name in finding.columns)

    @property
    def suspects(self) -> tuple[str, ...]:
        """Columns that give the target away."""
        kinds = ("target among inputs", "gives target away")
        return tuple(name for finding in self.findings if finding.kind in kinds for name in finding.columns)

    def check(self) -> None:
        """Raise `DataError` with the errors that were found, if any."""
        if self.errors:
            raise DataError("; ".join(finding.text for finding in self.errors))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "title": self.title,
            "facts": dict(self.facts),
            "balance": [list(pair) for pair in self.balance],
            "findings": [asdict(finding) for finding in self.findings],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        width = max((len(name) for name, _ in self.facts), default=0)
        lines = [self.title, *(f"  {name:<{width}}  {value}" for name, value in self.facts)]
        if self.balance:
            lines += ["", *_bars(self.balance)]
        if self.findings:
            lines += ["", *(f"  {finding.severity}: {finding.text}" for finding in self.findings)]
        if self.notes:
            lines += ["", "  done while reading:", *(f"  - {note}" for note in self.notes)]
        return "\n".join(lines)


def look(dataset: Dataset) -> Look:
    """Look at a data set: shapes, classes, balance, missing values, duplicates, leaks, columns that are of no use.

    Parameters
    ----------
    dataset
        As `luthier.data.read` or `luthier.data.from_arrays` gave it.

    Examples
    --------
    >>> from luthier.data import from_arrays, look
    >>> x = {"size": [1.0, 2.0, 3.0, 5.0] * 20, "one": [7] * 80}
    >>> print(look(from_arrays(x, ["small", "small", "big", "big"] * 20)))
    arrays: a table with 2 classes
      rows    80
      inputs  2 columns: 2 of numbers
    <BLANKLINE>
      big    ██████████████████████████████ 40  50.0%
      small  ██████████████████████████████ 40  50.0%
    <BLANKLINE>
      warning: column 'one' holds one value only: nothing can be learned from it
      warning: column 'size' alone tells the target (100.0% right): is it known before the target is?
      note: 76 of 80 rows have the inputs of another one
    <BLANKLINE>
      done while reading:
      - task tabular: columns of numbers and categories
      - target 'y': classes, because it holds text
    """
    findings = [*find_in_targets(dataset), *find_in_rows(dataset), *find_in_inputs(dataset), *find_in_table(dataset)]
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    return Look(_title(dataset), tuple(_facts(dataset)), _balance(dataset), tuple(findings), dataset.notes)


def _title(dataset: Dataset) -> str:
    kind = {
        "image": "images",
        "text": "texts",
        "audio": "recordings",
        "tabular": "a table",
        "seq2seq": "texts into texts",
    }
    what = kind[dataset.task]
    if dataset.classes is not None:
        what += f" with {counted(len(dataset.classes), 'class')}"
    elif dataset.goal == "number":
        what += " with a number to predict"
    elif dataset.targets is None:
        what += " without targets"
    return f"{dataset.source}: {what}"


def _facts(dataset: Dataset) -> list[tuple[str, str]]:
    rows = f"{len(dataset):,}"
    if dataset.given is not None:
        parts, counts = np.unique(dataset.given, return_counts=True)
        shown = dict(zip(parts.tolist(), counts.tolist(), strict=True))
        kinds = ("train", "valid", "test") if "" not in shown else ("valid", "test")
        said = [f"{part} {shown[part]:,}" for part in kinds if part in shown]
        said += [f"{shown['train']:,} to train on only"] if "" in shown and "train" in shown else []
        rows += f" ({', '.join(said)})" if said else ""
    facts = [("rows", rows), ("inputs", _inputs(dataset))]
    if dataset.task == "tabular":
        missing = _missing(dataset)
        facts += [("missing", missing)] if missing else []
    if dataset.goal == "number":
        low, middle, high = np.quantile(np.asarray(dataset.targets), [0.0, 0.5, 1.0])
        facts.append(("target", f"from {_short(low)} to {_short(high)}, median {_short(middle)}"))
    if dataset.task == "seq2seq" and dataset.targets is not None:
        facts.append(("targets", _lengths([len(text.split()) for text in dataset.targets], "word")))
    return facts


def _inputs(dataset: Dataset) -> str:
    """What the inputs are, in a line."""
    if isinstance(dataset.inputs, dict):
        kinds = [column.dtype == object for column in dataset.inputs.values()]
        parts = [f"{len(kinds) - sum(kinds)} of numbers", f"{sum(kinds)} of categories"]
        return f"{counted(len(kinds), 'column')}: " + ", ".join(part for part in parts if not part.startswith("0 "))
    if dataset.task == "image":
        assert isinstance(dataset.inputs, np.ndarray)
        channels, height, width = dataset.inputs.shape[1:]
        color = {1: "gray", 3: "color"}.get(channels, f"{channels} channels")
        size = dataset.inputs.nbytes / 1e6
        return f"{height} x {width} pixels (height x width), {color}, {dataset.inputs.dtype}, {size:,.0f} MB"
    if dataset.task == "audio":
        seconds = [len(clip) / (dataset.rate or 1) for clip in dataset.inputs]
        low, middle, high = np.quantile(seconds, [0.05, 0.5, 0.95])
        return (
            f"{middle:.2f} s (median; 5% below {low:.2f} s, 5% above {high:.2f} s), {dataset.rate:,} samples a second"
        )
    texts = cast("list[str]", dataset.inputs)
    words = [len(text.split()) for text in texts]
    vocabulary = len({word for text in texts for word in text.lower().split()})
    return f"{_lengths(words, 'word')}; {vocabulary:,} different words"


def _lengths(lengths: Sequence[int], thing: str) -> str:
    low, middle, high = np.quantile(lengths, [0.05, 0.5, 0.95])
    return f"{middle:.0f} {thing}s (median; 5% below {low:.0f}, 5% above {high:.0f})"


def _missing(dataset: Dataset) -> str:
    """The share of values that are missing, and in how many columns."""
    assert isinstance(dataset.inputs, dict)
    shares = [float(missing_in(column).mean()) for column in dataset.inputs.values()]
    there = sum(share > 0.0 for share in shares)
    return f"{100 * np.mean(shares):.1f}% of the values, in {counted(there, 'column')}" if there else ""


def _balance(dataset: Dataset) -> tuple[tuple[str, int], ...]:
    if dataset.classes is not None:
        counts = np.bincount(dataset.labels(), minlength=len(dataset.classes))
        return tuple((str(label), int(count)) for label, count in zip(dataset.classes, counts, strict=True))
    if dataset.goal != "number":
        return ()
    counts, edges = np.histogram(np.asarray(dataset.targets), bins=min(10, max(1, len(dataset) // 5)))
    return tuple(
        (f"{_short(low)} to {_short(high)}", int(count))
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    )


def _short(number: float) -> str:
    return f"{number:,.0f}" if 1000.0 <= abs(number) < 1e9 else f"{number:.4g}"


def _bars(balance: Sequence[tuple[str, int]]) -> list[str]:
    """Bars of text, the largest of the width `_WIDTH`."""
    shown = list(balance)
    rest = []
    if len(shown) > _BARS:
        order = sorted(range(len(shown)), key=lambda place: -shown[place][1])
        rest = [shown[place][1] for place in order[_BARS:]]
        shown = [shown[place] for place in sorted(order[:_BARS])]
    total = sum(count for _, count in balance)
    most = max(count for _, count in shown)
    width = min(24, max(len(label) for label, _ in shown))
    digits = max(len(f"{count:,}") for _, count in shown)
    lines = []
    for label, count in shown:
        name = label if len(label) <= width else label[: width - 1] + "…"
        bar = "█" * max(int(count > 0), round(_WIDTH * count / most))
        lines.append(f"  {name:<{width}}  {bar:<{_WIDTH}} {count:>{digits},} {100 * count / total:5.1f}%")
    if rest:
        lines.append(f"  and {counted(len(rest), 'class')} more with {counted(min(rest), 'row')} to {max(rest):,} each")
    return lines
