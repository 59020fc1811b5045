"""Data sets from named columns, wherever they came from: a table, or texts in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.choose import Roles, choose_roles, split_column
from luthier.data.columns import KINDS, Column, date_parts, understand
from luthier.data.dataset import Dataset
from luthier.data.pixels import image_dataset
from luthier.data.targets import finish
from luthier.data.text import without_empty
from luthier.data.wanted import Wanted
from luthier.errors import DataError, did_you_mean

Raw = NDArray[Any] | Column


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Named columns, before anything is known about them.

    Attributes
    ----------
    columns : mapping
        Arrays (n,) of any dtype by name, or columns that are understood already.
    source, origins, notes
        As in `Dataset`.
    given : (n,) array of str or None
        As in `Dataset`.
    written : callable or None
        Gives the text of a column as it was written, n strings or None each, where `columns` has lost it.
    """

    columns: Mapping[str, Raw]
    source: str = "arrays"
    origins: Sequence[str] = ()
    notes: tuple[str, ...] = ()
    given: NDArray[np.str_] | None = None
    written: Callable[[str], list[str | None]] | None = None

    def texts(self, name: str) -> list[str | None]:
        """Return a column as text."""
        if self.written is not None:
            return self.written(name)
        column = understand(name, self.columns[name], kind="category")
        return list(column.values.tolist())


def is_frame(x: Any) -> bool:
    """Whether something has named columns: a dict, a DataFrame of pandas or polars, an Arrow table, a record array."""
    named = getattr(getattr(x, "dtype", None), "names", None) is not None
    return isinstance(x, Mapping) or named or (hasattr(x, "columns") and hasattr(x, "shape"))


def columns_of(x: Any) -> dict[str, Raw]:
    """Return the columns of anything that `is_frame`, by name.

    Raises
    ------
    DataError
        If two have the same name, or a column has more than one axis.
    """
    columns: dict[str, Raw] = {}
    for name, values in _named(x):
        if name in columns:
            raise DataError(f"two columns are named {name!r}: give each a name of its own")
        if not isinstance(values, Column) and values.ndim != 1:
            raise DataError(f"column {name!r} has shape {values.shape}: a column has one axis")
        columns[name] = values
    return columns


def frame_dataset(table: Table, y: NDArray[Any] | None, wanted: Wanted, *, roles: Roles | None = None) -> Dataset:
    """Make a data set of named columns.

    Parameters
    ----------
    table
        The columns, n rows.
    y : (n,) array or None
        The targets, if they are no column.
    wanted
        What was asked for.
    roles
        What the columns are for, if it is known.

    Raises
    ------
    DataError
        If a column is missing, or cannot be used.
    """
    _check_lengths(table)
    typed = {name: _typed(name, raw, wanted) for name, raw in table.columns.items()}
    asked = [*(wanted.columns or ()), *([wanted.target] if wanted.target else [])]
    name, given = split_column(typed, asked)
    if name is not None:
        del typed[name]
        table = replace(table, given=given, notes=(*table.notes, f"column {name!r} taken as the split that came along"))
    roles = roles or choose_roles(typed, wanted, table.source, apart=y is not None)
    table = replace(table, notes=(*table.notes, *roles.notes))
    if roles.task == "seq2seq":
        return _sequences(table, roles, y, wanted)
    values: Any = y if y is not None else typed.get(roles.target or "")
    if roles.task == "image":
        return _pictures(table, typed, roles, wanted, values)
    dataset = _texts(table, roles) if roles.task == "text" else _tabular(table, typed, roles, wanted)
    done = finish(dataset, values, wanted, name=roles.target or "y")
    return done if done.task != "text" or wanted.like else without_empty(done)


def _sequences(table: Table, roles: Roles, y: NDArray[Any] | None, wanted: Wanted) -> Dataset:
    into = None if y is None else Table({"y": y}).texts("y")
    if y is None and roles.target is not None:
        into = table.texts(roles.target)
    base = _texts(table, roles)
    if into is not None and len(into) != len(base):
        raise DataError(f"{table.source}: {len(base)} texts but {len(into)} targets: there must be one for each")
    done = replace(base, task="seq2seq", targets=None if into is None else [text or "" for text in into])
    return done if wanted.like else without_empty(done)


def _texts(table: Table, roles: Roles) -> Dataset:
    found = [text or "" for text in table.texts(roles.text or "")]
    form = {"task": roles.task, "text": roles.text, "target": roles.target}
    return Dataset(
        "text", found, origins=table.origins, given=table.given, notes=table.notes, source=table.source, form=form
    )


def _pictures(table: Table, typed: Mapping[str, Column], roles: Roles, wanted: Wanted, values: Any) -> Dataset:
    """Images of which each pixel is a column, row by row."""
    odd = next((name for name in roles.inputs if typed[name].values.dtype != np.float64), None)
    if odd is not None:
        raise DataError(f"{table.source}: column {odd!r} holds no numbers, and so no pixels: use task='tabular'")
    pixels = np.column_stack([typed[name].values for name in roles.inputs])
    whole = not np.isnan(pixels).any() and (pixels == np.round(pixels)).all()
    found = image_dataset(pixels.astype(np.int64) if whole else pixels, values, wanted, source=table.source)
    rows = np.array([int(origin.split()[-1]) for origin in found.origins], dtype=np.intp)  # some may be left out
    return replace(
        found,
        origins=tuple(table.origins[row] for row in rows) if table.origins else found.origins,
        given=None if table.given is None else table.given[rows],
        notes=(*table.notes, *found.notes),
        form={**found.form, "target": roles.target},
    )


def _tabular(table: Table, typed: Mapping[str, Column], roles: Roles, wanted: Wanted) -> Dataset:
    inputs: dict[str, NDArray[Any]] = {}
    kinds: dict[str, str] = {}
    notes = list(table.notes)
    for name in roles.inputs:
        column = typed[name]
        notes += column.notes
        if column.missing.all() and not wanted.like:
            notes.append(f"column {name!r} left out: it holds nothing")
            continue
        kinds[name] = column.kind
        if column.kind in ("date", "time"):
            parts = date_parts(name, column)
            inputs.update(parts)
            if not wanted.like:
                notes.append(f"column {name!r}: dates taken apart into {', '.join(parts)}")
        else:
            inputs[name] = column.values
    if not inputs:
        raise DataError(f"{table.source} has no column that can be used as an input")
    styles = {name: typed[name].style for name in kinds if typed[name].style}
    form = {"task": "tabular", "columns": kinds, "target": roles.target, "written": styles}
    return Dataset(
        "tabular", inputs, origins=table.origins, given=table.given, notes=tuple(notes), source=table.source, form=form
    )


def _typed(name: str, raw: Raw, wanted: Wanted) -> Column:
    kind = wanted.like.get("columns", {}).get(name)
    if kind is not None and kind not in KINDS:
        raise DataError(
            f"column {name!r} cannot be of kind {kind!r}{did_you_mean(kind, KINDS)}: use {', '.join(KINDS)}"
        )
    return understand(name, raw, kind=kind, style=wanted.like.get("written", {}).get(name, ""))


def _check_lengths(table: Table) -> None:
    lengths = {name: len(raw.values if isinstance(raw, Column) else raw) for name, raw in table.columns.items()}
    if not lengths:
        raise DataError(f"{table.source} has no columns")
    first = next(iter(lengths))
    for name, length in lengths.items():
        if length != lengths[first]:
            raise DataError(f"{table.source}: column {name!r} has {length} rows, column {first!r} has {lengths[first]}")
    if not lengths[first]:
        raise DataError(f"{table.source} holds no rows")


def _named(x: Any) -> list[tuple[str, Any]]:
    if isinstance(x, Mapping):
        return [(str(name), _array(values)) for name, values in x.items()]
    if hasattr(x, "iloc"):  # pandas, whose names may repeat
        return [(str(name), _of_pandas(str(name), x.iloc[:, place])) for place, name in enumerate(x.columns)]
    if hasattr(x, "column_names"):  # Arrow
        return [(name, _array(x.column(place).to_numpy())) for place, name in enumerate(x.column_names)]
    names = x.dtype.names if hasattr(x, "dtype") else x.columns  # record arrays, polars
    return [(str(name), _array(x[name])) for name in names]


def _array(values: Any) -> NDArray[Any]:
    if isinstance(values, list | tuple):
        found = np.empty(len(values), dtype=object)
        found[:] = values
        return found
    return np.asarray(values)


def _of_pandas(name: str, series: Any) -> Raw:
    """A column of pandas; what it calls a category stays one, numbers or not."""
    values = np.asarray(series)
    return understand(name, values, kind="category") if str(series.dtype) == "category" else values
