"""More examples for training only: rows added to a data set whose validation and test rows stay what they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from luthier.data.columns import counted
from luthier.data.dataset import Dataset
from luthier.data.split import together
from luthier.errors import DataError


def join(dataset: Dataset, more: Dataset) -> Dataset:
    """Add rows to train on.

    Rows that were chosen because they are difficult are no sample of what is to come, so nothing is measured by them:
    `split` puts them all among the training rows, and the others where it would put them without.

    Parameters
    ----------
    dataset
        With classes.
    more
        Rows of the same kind, read with ``like=dataset.form``, with targets among the classes. Those with the inputs of
        a row of `dataset` are left out, and told: one of the two may be held out for the test.

    Returns
    -------
    Dataset
        The rows of `dataset`, then those of `more`.

    Raises
    ------
    DataError
        If inputs or targets are not of the same kind, or no row of `more` is new.
    """
    _check(dataset, more)
    whole = _appended(dataset, more)
    units, _ = together(whole)
    new = units[len(dataset) :] >= len(dataset)
    if new.all():
        return whole
    known = np.flatnonzero(~new)
    named = ", ".join(f"{more.origins[row]} is {whole.origins[units[len(dataset) + row]]}" for row in known[:3])
    text = f"{counted(len(known), 'row')} to be added {'has' if len(known) == 1 else 'have'} the inputs of one in"
    text += f" {dataset.source} ({named}{', ...' if len(known) > 3 else ''})"
    if not new.any():
        raise DataError(f"{text}: there is nothing to add. If labels are to be corrected, correct them there")
    added = _appended(dataset, more.take(np.flatnonzero(new)))
    return replace(added, notes=(*added.notes, f"{text}: left out; if labels are to be corrected, correct them there"))


def _check(dataset: Dataset, more: Dataset) -> None:
    if dataset.classes is None or not isinstance(dataset.targets, np.ndarray) or more.targets is None:
        raise DataError("rows can be added to a data set with classes only, and need targets")
    if dataset.task != more.task or dataset.rate != more.rate:
        raise DataError(f"rows of {more!r} cannot be added to {dataset!r}: read them with like=dataset.form")
    mine, others = _kind(dataset.inputs), _kind(more.inputs)
    if mine != others:
        raise DataError(f"rows of {more.source} are {others}, but {dataset.source} holds {mine}: read them with like=")
    unknown = sorted({str(label) for label in np.asarray(more.targets).tolist()} - set(map(str, dataset.classes)))
    if unknown:
        raise DataError(f"{more.source}: {unknown[0]!r} is none of the {len(dataset.classes)} classes")


def _kind(inputs: Any) -> str:
    """What rows look like, in words."""
    if isinstance(inputs, dict):
        return "columns " + ", ".join(sorted(inputs))
    if isinstance(inputs, np.ndarray):
        return f"arrays of shape {inputs.shape[1:]} and {inputs.dtype}"
    return "lists"


def _appended(dataset: Dataset, more: Dataset) -> Dataset:
    inputs: Any = dataset.inputs
    if isinstance(inputs, dict):
        inputs = {name: np.concatenate([column, more.inputs[name]]) for name, column in inputs.items()}
    else:
        inputs = np.concatenate([inputs, more.inputs]) if isinstance(inputs, np.ndarray) else [*inputs, *more.inputs]
    given = np.full(len(dataset), "", dtype="<U5") if dataset.given is None else dataset.given.astype("<U5")
    there = set(given.tolist())
    if "" not in there and {"valid", "test"} - there:  # what is lacking is taken from the training rows that came along
        given[given == "train"] = ""
    return replace(
        dataset, inputs=inputs, targets=np.concatenate([dataset.targets, np.asarray(more.targets)]),
        origins=(*dataset.origins, *more.origins), given=np.concatenate([given, np.full(len(more), "train")]),
    )  # fmt: skip
