"""The confusion matrix: what each class was taken for; right answers in blue, mistakes in orange on their own scale.

With one scale, the few mistakes of a good classifier cannot be seen. With many classes, those with the most mistakes
are drawn, and the rest is summed up in one row and column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luthier.errors import SettingError
from luthier.maths.scores import names_of, places_of
from luthier.pictures.canvas import GRAY, INK, SMALL, canvas, plain, safe, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUMBERED = 20  # up to so many classes cells carry numbers


def confusion_matrix(
    truth: ArrayLike,
    predicted: ArrayLike,
    *,
    classes: Sequence[Any] | None = None,
    most: int = 40,
    title: str = "Confusion matrix",
) -> Figure:
    """Draw which true class (row) was taken for which (column).

    Parameters
    ----------
    truth, predicted : (n,) array-like
        Places in `classes`, or names that are looked up there.
    classes
        Their names; by default every label that occurs, sorted.
    most
        How many classes are drawn; of more, those with the most mistakes, and "others".
    title
        Above the picture.

    Raises
    ------
    SettingError
        If there are no rows, or a label is no class.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if not truth.size:
        raise SettingError("there is no row to draw a confusion matrix of")
    if classes is None:
        both = np.concatenate([truth, predicted])
        numbers = np.issubdtype(both.dtype, np.integer)
        classes = list(range(int(both.max()) + 1)) if numbers else sorted(set(both.tolist()))
    rows = places_of(truth, classes)
    columns = places_of(predicted, classes, rows=len(rows))
    count = len(classes)
    table = np.bincount(rows * count + columns, minlength=count * count).reshape(count, count)
    names = [short(name) for name in names_of(classes, count)]
    wrong, said = int((rows != columns).sum()), ""
    if count > most:
        table, names = _shortened(table, names, most)
        said = f"\nthe {most - 1} classes of {count} with the most mistakes"
    return _drawn(table, names, title=f"{title}: {wrong} of {len(rows)} wrong ({wrong / len(rows):.1%}){said}")


def _shortened(table: NDArray[np.int64], names: list[str], most: int) -> tuple[NDArray[np.int64], list[str]]:
    mistakes = table.sum(0) + table.sum(1) - 2 * table.diagonal()
    kept = np.sort(np.argsort(-mistakes, kind="stable")[: most - 1])
    group = np.full(len(table), most - 1)
    group[kept] = np.arange(most - 1)
    small = np.zeros((most, most), np.int64)
    np.add.at(small, (group[:, None], group[None, :]), table)
    rest = np.ix_(*[np.setdiff1d(np.arange(len(table)), kept)] * 2)
    small[-1, -1] = table[rest].diagonal().sum()  # mistakes among the others are not right answers
    return small, [names[place] for place in kept] + ["others"]


def _drawn(table: NDArray[np.int64], names: list[str], *, title: str) -> Figure:
    count = len(names)
    room = min(max(len(name) for name in names), 18) * 0.075  # inches of the longest name
    side = min(max(0.46 * count, 2.6), 8.6)
    figure = canvas(side + room + 1.5, side + room + 0.9)
    axes = figure.add_subplot()
    plain(axes, title=title, x="taken for", y="true class")
    _cells(axes, table)
    size = SMALL - 0.5 if count <= 26 else max(5.0, 300.0 / count / 1.2)
    ticks = [safe(name) for name in names]
    axes.set_xticks(range(count), ticks, rotation=90 if room > 0.25 else 0, fontsize=size)
    axes.set_yticks(range(count), ticks, fontsize=size)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if count <= _NUMBERED:
        _numbers(axes, table, size=min(SMALL, 130.0 / count + 1.5))
    _scales(figure, axes)
    return figure


def _maps() -> tuple[Any, Any]:
    from matplotlib.colors import LinearSegmentedColormap

    right = LinearSegmentedColormap.from_list("right", ["#F3F7FA", "#9CC3DE", "#0072B2", "#003A5C"])
    wrong = LinearSegmentedColormap.from_list("wrong", ["#FFFFFF", "#FBD9A0", "#E08A00", "#8F3B00"])
    return right, wrong


def _shares(table: NDArray[np.int64]) -> NDArray[np.float64]:
    total = table.sum(1, keepdims=True)
    return np.where(total > 0, table / np.maximum(total, 1), np.nan)


def _cells(axes: Any, table: NDArray[np.int64]) -> None:
    shares, count = _shares(table), len(table)
    diagonal = np.eye(count, dtype=bool)
    right, wrong = _maps()
    axes.set_facecolor("#EDEDED")  # rows of classes that do not occur
    axes.imshow(np.where(diagonal, np.nan, np.sqrt(shares)), cmap=wrong, vmin=0, vmax=1, aspect="equal")
    axes.imshow(np.where(diagonal, shares, np.nan), cmap=right, vmin=0, vmax=1, aspect="equal")
    edges = np.arange(count - 1) + 0.5
    axes.hlines(edges, -0.5, count - 0.5, color="#E2E2E2", linewidth=0.5)
    axes.vlines(edges, -0.5, count - 0.5, color="#E2E2E2", linewidth=0.5)
    for row in np.flatnonzero(table.sum(1) == 0):
        axes.text(
            (count - 1) / 2, row, "no row of this class", ha="center", va="center", fontsize=SMALL - 2, color=GRAY
        )


def _numbers(axes: Any, table: NDArray[np.int64], *, size: float) -> None:
    shares = _shares(table)
    for (row, column), number in np.ndenumerate(table):
        if number:
            dark = shares[row, column] > (0.5 if row == column else 0.4)
            axes.text(
                column, row, f"{number}" if number < 1e5 else f"{number:.0e}", ha="center", va="center", fontsize=size,
                color="white" if dark else INK,
            )  # fmt: skip


def _scales(figure: Figure, axes: Any) -> None:
    """Two narrow scales: share of the row, right and taken for another."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, PowerNorm

    right, wrong = _maps()
    for norm, shades, label in (
        (Normalize(0, 1), right, "right"), (PowerNorm(0.5, 0, 1), wrong, "taken for another"),
    ):  # fmt: skip
        bar = figure.colorbar(ScalarMappable(norm, shades), ax=axes, shrink=0.6, pad=0.015, aspect=28)
        bar.set_label(f"share of the row, {label}", fontsize=SMALL - 1)
        ticks = [0, 0.25, 0.5, 0.75, 1] if label == "right" else [0, 0.01, 0.05, 0.2, 0.5, 1]
        bar.set_ticks(ticks, labels=[f"{tick:.0%}" for tick in ticks])
        bar.ax.tick_params(labelsize=SMALL - 1.5, length=2)
        bar.outline.set_visible(False)
