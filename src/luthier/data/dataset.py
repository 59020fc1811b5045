"""One data set in memory: inputs, targets, and what has to be told about them.

Every reader ends here, and everything after (looking, splitting, training) starts here. The record holds NumPy arrays
and plain Python values only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.errors import DataError, SettingError, did_you_mean

TASKS = ("image", "text", "audio", "tabular", "seq2seq")
GOALS = ("classes", "number")
PARTS = ("train", "valid", "test")

Inputs = NDArray[Any] | list[str] | list[NDArray[np.float32]] | dict[str, NDArray[Any]]
Targets = NDArray[Any] | list[str] | None


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A data set, as every reader gives it.

    Attributes
    ----------
    task : str
        One of `TASKS`.
    inputs
        ``"image"``: (n, C, H, W) uint8 or float32 array; ``"text"`` and ``"seq2seq"``: n strings; ``"audio"``: n arrays
        (samples,) of float32 in [-1, 1]; ``"tabular"``: columns by name, each (n,): float64 (NaN is missing) for
        numbers, objects (str, None is missing) for categories.
    targets
        (n,) array of labels (str, int or bool), (n,) float64 array for a regression, n strings for ``"seq2seq"``, None
        where there are none (data to predict).
    classes : tuple or None
        The distinct labels, sorted; None for a regression, ``"seq2seq"`` and without targets.
    origins : sequence of str
        Where each row came from: ``"cats/12.png"``, ``"row 17"``.
    rate : int or None
        Samples a second of audio.
    given : (n,) array of str or None
        The split that the data brought along: ``"train"``, ``"valid"`` or ``"test"`` for each row; ``""`` leaves a row
        to `split`, and those of ``"train"`` are then for training only.
    notes : tuple of str
        What was done to the data and has to be told, in plain sentences.
    source : str
        Where it came from: a path, or ``"arrays"``.
    form : mapping
        What later data must look like to be read the same way; `read` and `from_arrays` take it as ``like=``. Plain
        values only, so that it can be saved with a model.

    Raises
    ------
    DataError
        If the parts do not fit together.
    """

    task: str
    inputs: Inputs
    targets: Targets = None
    classes: tuple[Any, ...] | None = None
    origins: Sequence[str] = ()
    rate: int | None = None
    given: NDArray[np.str_] | None = None
    notes: tuple[str, ...] = ()
    source: str = "arrays"
    form: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise SettingError(f"no task {self.task!r}{did_you_mean(self.task, TASKS)}: use {', '.join(TASKS)}")
        count = len(self)
        origins = tuple(self.origins) or tuple(f"row {row}" for row in range(count))
        object.__setattr__(self, "origins", origins)
        for name, part in (("targets", self.targets), ("origins", self.origins), ("given", self.given)):
            if part is not None and len(part) != count:
                raise DataError(f"{self.source}: {count} inputs but {len(part)} {name}: there must be one for each row")
        if isinstance(self.inputs, dict):
            self._check_columns(self.inputs, count)

    def __len__(self) -> int:
        if isinstance(self.inputs, dict):
            return len(next(iter(self.inputs.values()), ()))
        return len(self.inputs)

    def __repr__(self) -> str:
        kinds = "" if self.classes is None else f", {len(self.classes)} classes"
        return f"Dataset({self.task}, {len(self)} rows{kinds}, from {self.source})"

    @property
    def goal(self) -> str | None:
        """``"classes"``, ``"number"`` (a regression), or None: no targets, or sequences."""
        if self.classes is not None:
            return "classes"
        return "number" if isinstance(self.targets, np.ndarray) else None

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Dataset:
        """Return the data set of some rows, in their order; the classes stay those of the whole.

        Parameters
        ----------
        rows : (m,) int array or (n,) bool array
            Which rows.
        """
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.intp)
        return replace(
            self,
            inputs=_rows(self.inputs, index),
            targets=None if self.targets is None else _rows(self.targets, index),
            origins=tuple(self.origins[row] for row in index.tolist()),
            given=None if self.given is None else self.given[index],
        )

    def without(self, columns: Sequence[str]) -> Dataset:
        """Return the table without some columns.

        Raises
        ------
        DataError
            If there is no such column, or none would be left.
        """
        if not isinstance(self.inputs, dict):
            raise DataError(f"only a table has columns, and this is a data set of task {self.task!r}")
        for name in columns:
            if name not in self.inputs:
                known = list(self.inputs)
                raise DataError(f"no column {name!r}{did_you_mean(name, known)}: the columns are {', '.join(known)}")
        left = {name: column for name, column in self.inputs.items() if name not in set(columns)}
        if not left:
            raise DataError(f"no column of {self.source} would be left")
        known = self.form.get("columns", {})
        form = {**self.form, "columns": {name: kind for name, kind in known.items() if name not in set(columns)}}
        return replace(self, inputs=left, form=form)

    def labels(self) -> NDArray[np.intp]:
        """Return the targets as numbers of classes, (n,): positions in `classes`.

        Raises
        ------
        DataError
            If the data set has no classes.
        """
        if self.classes is None or not isinstance(self.targets, np.ndarray):
            raise DataError(f"{self.source} has no classes")
        place = {label: number for number, label in enumerate(self.classes)}
        return np.fromiter((place[label] for label in self.targets.tolist()), np.intp, len(self))

    def named(self, rows: Sequence[int] | NDArray[np.intp], *, most: int = 5) -> str:
        """Return where some rows came from, as a message names them; `most` of them, and how many more there are."""
        shown = ", ".join(self.origins[int(row)] for row in rows[:most])
        return shown + (f", and {len(rows) - most:,} more" if len(rows) > most else "")

    def _check_columns(self, columns: Mapping[str, NDArray[Any]], count: int) -> None:
        for name, column in columns.items():
            if len(column) != count:
                raise DataError(f"{self.source}: column {name!r} has {len(column)} rows, the first one has {count}")


def _rows(part: Any, index: NDArray[np.intp]) -> Any:
    """Pick rows of any kind of inputs or targets."""
    if isinstance(part, dict):
        return {name: column[index] for name, column in part.items()}
    return part[index] if isinstance(part, np.ndarray) else [part[row] for row in index]
