"""What people have answered, among the rows to train on: queues read back, and joined to the data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.classifiers import Answers, read_answers
from luthier.data import Dataset, from_arrays, join, look, read
from luthier.errors import DataError, SettingError
from luthier.estimators.prepared import without_useless

_FAULTS = 5  # that an error names
Queues = Mapping["str | os.PathLike[str]", Any]  # file to the data that it was written for


def with_answers(dataset: Dataset, queues: Queues) -> Dataset:
    """Add the rows that people have answered to a data set, to train on only; see `luthier.data.join`.

    Parameters
    ----------
    dataset
        With classes.
    queues
        The filled queue (see `luthier.classifiers.read_answers`) to the data that it was written for: a path, inputs in
        memory, or a `Dataset`.

    Returns
    -------
    Dataset
        Its notes say what was taken, and each line that could not be.

    Raises
    ------
    DataError
        If a queue or its data cannot be read, or has no answer that can be taken.
    SettingError
        If the data set has no classes.
    """
    if queues and dataset.classes is None:
        raise SettingError(f"answers are classes, and {dataset.source} has none: leave answers out")
    if queues:  # judged by the rows that are a sample, and as the model did that wrote the queue
        dataset, left_out = without_useless(dataset, look(dataset))
        dataset = replace(dataset, notes=(*dataset.notes, *([left_out] if left_out else [])))
    base = dataset
    for path, new in queues.items():
        pool = _pool(base, new)
        answers = read_answers(path, classes=list(map(str, base.classes or ())), origins=pool.origins)
        if not len(answers.rows):
            raise DataError(_nothing(path, answers, pool, base))
        told = _told(Path(path).name, answers)
        try:
            dataset = join(dataset, _labelled(pool, answers, base))
        except DataError as error:
            if dataset is base:
                raise
            told = [f"{Path(path).name}: {error}"]  # an earlier queue has brought all of this one
        dataset = replace(dataset, notes=(*dataset.notes, *told))
    return dataset


def _pool(base: Dataset, new: Any) -> Dataset:
    """The data that a queue was written for, in the form of the training data."""
    if isinstance(new, Dataset):
        return new
    if isinstance(new, (str, os.PathLike)):
        return read(new, task=base.task, like=base.form)
    return from_arrays(new, task=base.task, rate=base.rate, like=base.form)


def _labelled(pool: Dataset, answers: Answers, base: Dataset) -> Dataset:
    assert base.classes is not None
    given = np.asarray(base.targets).dtype
    dtype = None if given.kind == "U" else given  # of strings, the longest of these
    labels = np.array([base.classes[place] for place in answers.places.tolist()], dtype)
    return replace(pool.take(answers.rows), targets=labels, classes=base.classes, given=None)


def _nothing(path: Any, answers: Answers, pool: Dataset, base: Dataset) -> str:
    """Why a queue brings nothing, and the way out."""
    faults = answers.problems[:_FAULTS]
    more = f"\n  and {len(answers.problems) - len(faults):,} more" if len(answers.problems) > len(faults) else ""
    names = list(map(str, base.classes or ()))
    return (
        f"{path} has no answer that can be taken: {answers.unanswered:,} rows without one, "
        f"{len(answers.problems):,} problems" + "".join(f"\n  {fault}" for fault in faults) + more
        + f"\nfill its column 'answer' with classes ({', '.join(names[:8])}{', ...' if len(names) > 8 else ''}), and "
        f"give the data that it was written for: is that {pool.source}?"
    )  # fmt: skip


def _told(name: str, answers: Answers) -> list[str]:
    count, empty = len(answers.rows), answers.unanswered
    said = f"{name}: {count:,} answer{'s' if count != 1 else ''} of a person to train on"
    said += f", {empty:,} row{'s' if empty != 1 else ''} without one" if empty else ""
    return [said, *(f"{name}, {problem}" for problem in answers.problems)]
