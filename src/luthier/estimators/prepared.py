"""Data ready to train on: looked at, split, encoded; and whether there is enough of it to say anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data import Dataset, Look, look, split
from luthier.errors import DataError
from luthier.estimators.encoders import Encoder, learn_encoder
from luthier.estimators.metric_names import metric_of
from luthier.estimators.objective import Parts
from luthier.estimators.targets import Targets, learn_targets
from luthier.objective import Metric

_LEAST = 10  # rows to hold some out
_LEAST_TRAINED = 4  # rows to learn from and to choose by


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A data set, ready.

    Attributes
    ----------
    dataset
        As it was read.
    look
        What was found in it; None if nobody has looked.
    rows : dict of (m,) int arrays
        ``"train"``, ``"valid"`` and ``"test"``.
    encoder, targets
        Learned on the training rows.
    parts
        Encoded rows to train on and to choose by.
    metric
        To tune.
    notes : tuple of str
        What was done and has to be told.
    """

    dataset: Dataset
    look: Look | None
    rows: dict[str, NDArray[np.intp]]
    encoder: Encoder
    targets: Targets
    parts: Parts
    metric: Metric
    notes: tuple[str, ...]

    def part(self, name: str) -> Dataset:
        """Return the raw rows of a part."""
        return self.dataset.take(self.rows[name])


def prepare(
    dataset: Dataset,
    *,
    metric: str | None = None,
    seed: int = 0,
    test: bool = True,
    looking: bool = True,
    seconds: float = float("inf"),
    say: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Look at a data set, split it and encode it.

    Parameters
    ----------
    dataset
        With targets.
    metric
        To tune, by its name; None takes the usual one.
    seed
        Of the split.
    test
        Whether to hold rows out for one test at the end.
    looking
        Whether to look for what is wrong with the data.
    seconds
        Of the whole budget.
    say
        Called with what was understood.

    Raises
    ------
    DataError
        If there is too little to learn from: few rows, or one class only; or to measure by.
    """
    enough(dataset, test=test)
    wanted = metric_of(metric, dataset.goal)
    found, left_out = None, ""
    if looking:
        found = look(dataset)
        say(str(found))
        found.check()
        dataset, left_out = without_useless(dataset, found)
    valid = 0.15 if _sampled(dataset) >= 200 else 0.2
    parts = split(dataset, shares={"valid": valid, "test": 0.15 if test else 0.0}, seed=seed)
    rows = {"train": parts.train, "valid": parts.valid, "test": parts.test}
    for name, what in (("train", "train on"), ("valid", "choose by")):
        if not len(rows[name]):
            raise DataError(f"{dataset.source}: no rows are left to {what}, of {len(dataset)}: give more data")
    if wanted.name == "auc":
        _several_classes(dataset, rows)
    encoder = learn_encoder(dataset, rows["train"], seconds=seconds)
    targets = learn_targets(dataset.take(rows["train"]))
    train, valid_ = (dataset.take(rows[name]) for name in ("train", "valid"))
    encoded = Parts(
        (encoder.encode(train), targets.encode(train)), (encoder.encode(valid_), targets.encode(valid_))
    )  # fmt: skip
    notes = (*([left_out] if left_out else []), *parts.notes, *encoder.notes, *targets.notes)
    counts = ", ".join(f"{len(rows[name]):,} {name}" for name in rows if len(rows[name]))
    say(f"rows: {counts}")
    for note in notes:
        say(note)
    return Prepared(dataset, found, rows, encoder, targets, encoded, wanted, notes)


def _several_classes(dataset: Dataset, rows: dict[str, NDArray[np.intp]]) -> None:
    """Check that the AUC can be measured wherever it will be."""
    for name in ("valid", "test"):
        if len(rows[name]) and len(np.unique(dataset.labels()[rows[name]])) < 2:
            raise DataError(
                f"{dataset.source}: all {len(rows[name]):,} {name} rows are of one class, so they have no AUC: use "
                "another metric, or give more examples of the other classes"
            )


def _sampled(dataset: Dataset) -> int:
    """How many rows are no additions to train on only, see `luthier.data.join`: the others do not move the split."""
    given = np.full(len(dataset), "") if dataset.given is None else dataset.given
    return len(dataset) - (int((given == "train").sum()) if (given == "").any() else 0)


def without_useless(dataset: Dataset, found: Look) -> tuple[Dataset, str]:
    """Leave out columns that only number the rows, and copies of the target; say which."""
    kinds = ("id-like column", "target among inputs")
    names = [name for finding in found.findings if finding.kind in kinds for name in finding.columns]
    if not names or not isinstance(dataset.inputs, dict):
        return dataset, ""
    if set(names) == set(dataset.inputs):
        raise DataError(
            f"{dataset.source}: no column is left to learn from: {', '.join(names)} only number the rows or are the "
            "target under another name"
        )
    columns = {name: kind for name, kind in dataset.form.get("columns", {}).items() if name not in names}
    left = replace(dataset.without(names), form={**dataset.form, "columns": columns})
    return left, f"left out, as they number the rows or are the target under another name: {', '.join(names)}"


def enough(dataset: Dataset, *, test: bool) -> None:
    """Check that there is something to learn from.

    Raises
    ------
    DataError
        If there is not.
    """
    least = _LEAST if test else _LEAST_TRAINED
    if dataset.targets is None:
        raise DataError(f"{dataset.source} has no targets: say which column is to be predicted with target=, or give y")
    if len(dataset) < least:
        count = f"{len(dataset)} sample{'s' if len(dataset) != 1 else ''}"
        raise DataError(f"{dataset.source}: {count} are too few, at least {least} are needed to train and to check")
    if dataset.classes is not None:
        if len(dataset.classes) < 2:
            raise DataError(
                f"{dataset.source}: there is one class only, {dataset.classes[0]!r}: nothing can be told apart; "
                "give examples of another class"
            )
        if max(Counter(dataset.labels().tolist()).values()) < 2:
            raise DataError(
                f"{dataset.source}: every class has one example only ({len(dataset.classes)} classes, "
                f"{len(dataset)} rows): is it a regression? then give numbers as targets"
            )


def fingerprint(dataset: Dataset) -> str:
    """Return a digest of inputs, targets and the split that came along, by which a job knows its data again."""
    digest = blake2b(digest_size=12)
    digest.update(f"{dataset.task} {len(dataset)} {dataset.classes} {dataset.rate}".encode())
    parts = list(dataset.inputs.items()) if isinstance(dataset.inputs, dict) else [("", dataset.inputs)]
    for name, part in [*parts, ("", dataset.targets), *([] if dataset.given is None else [("given", dataset.given)])]:
        digest.update(name.encode())
        _digest(part, digest)
    return digest.hexdigest()


def _digest(part: Any, digest: Any) -> None:
    if isinstance(part, np.ndarray) and part.dtype != object:
        digest.update(np.ascontiguousarray(part).tobytes())
    else:
        for value in () if part is None else part:
            digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
