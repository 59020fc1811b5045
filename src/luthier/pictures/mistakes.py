"""The worst mistakes: rows that the classifier was surest of and got wrong, each with what it said and what is true.

They are the first thing to look at: many of them are wrong labels, or show what the data lack.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luthier.errors import SettingError
from luthier.maths.scores import Array, names_of
from luthier.pictures.canvas import BLUE, GRAY, INK, SMALL, canvas, safe, short
from luthier.pictures.reliability import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def worst_mistakes(
    inputs: Any,
    truth: ArrayLike,
    probabilities: ArrayLike,
    *,
    classes: Sequence[Any] | None = None,
    origins: Sequence[str] | None = None,
    most: int = 12,
) -> Figure:
    """Draw the wrong predictions with the least probability for what is true.

    Parameters
    ----------
    inputs
        Images (n, C, H, W) or (n, H, W); texts, a list of str; waves, a list of arrays; a table, (n, d) or a dict of
        columns. (Any: what a data set may hold.)
    truth : (n,) int array-like
        Columns of the true classes.
    probabilities : (n, C) array-like
        Rows with a value that is not finite are left out.
    classes
        Names of the columns.
    origins : n strings, optional
        Where each row came from.
    most
        How many.

    Raises
    ------
    SettingError
        If the numbers of rows differ, or a label is no class.
    """
    count = len(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)
    if count != len(np.asarray(truth)):
        raise SettingError(f"inputs and truth need the same rows, got {count} and {len(np.asarray(truth))}")
    table, places, _ = finite(probabilities, truth)
    rows = np.flatnonzero(np.isfinite(np.asarray(probabilities, np.float64).reshape(count, -1)).all(1))
    names = names_of(classes, table.shape[1])
    wrong = np.flatnonzero(table.argmax(1) != places)
    worst = wrong[np.argsort(table[wrong, places[wrong]], kind="stable")][:most]
    pictures = _images(inputs)
    if not len(worst):
        figure = canvas(4.0, 1.4)
        figure.text(
            0.5, 0.5, f"No mistake in {len(table)} rows", ha="center", va="center", color=INK, fontsize=SMALL + 2
        )
        return figure
    columns = min(len(worst), 6 if pictures is not None else 2)
    lines = math.ceil(len(worst) / columns)
    figure = canvas(
        max((1.45 if pictures is not None else 3.9) * columns, 3.0),
        (1.95 if pictures is not None else 1.12) * lines + 0.4,
    )
    figure.suptitle(f"Worst mistakes: {len(worst)} of {len(wrong)}", fontsize=SMALL + 2, color=INK)
    for place, row in enumerate(worst):
        axes = figure.add_subplot(lines, columns, place + 1)
        _content(axes, inputs if pictures is None else pictures, int(rows[row]))
        said = _caption(table[row], int(places[row]), names, wide=pictures is None)
        origin = "" if origins is None else f"\n{short(origins[int(rows[row])], 22)}"
        axes.set_title(
            safe(said + origin), fontsize=SMALL - 1.5, color=INK, pad=3, loc="left" if pictures is None else "center"
        )
    return figure


def _caption(row: Array, true: int, names: Sequence[str], *, wide: bool) -> str:
    said = int(row.argmax())
    parts = f"said {short(names[said], 14)} {row[said]:.0%}", f"is {short(names[true], 14)} {row[true]:.1%}"
    return ("; " if wide else "\n").join(parts)


def _images(inputs: Any) -> NDArray[Any] | None:
    """The inputs as (n, H, W) or (n, H, W, 3) if they are images."""
    if isinstance(inputs, (list, tuple, Mapping)):
        return None
    array = np.asarray(inputs)
    if array.ndim == 3:
        return array
    if array.ndim != 4:
        return None
    return array[:, 0] if array.shape[1] != 3 else array.transpose(0, 2, 3, 1)


def _content(axes: Any, inputs: Any, row: int) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#DDDDDD")
    one = {name: column[row] for name, column in inputs.items()} if isinstance(inputs, Mapping) else inputs[row]
    if isinstance(one, (str, Mapping)) or np.ndim(one) == 0:
        _text(
            axes, str(one) if not isinstance(one, Mapping) else ", ".join(f"{k}: {_value(v)}" for k, v in one.items())
        )
        return
    one = np.asarray(one, dtype=np.float64)
    if one.ndim > 1:
        low, high = np.nanmin(one, initial=np.inf), np.nanmax(one, initial=-np.inf)
        shown = np.clip((one - low) / (high - low), 0, 1) if high > low else np.zeros_like(one)
        axes.imshow(np.nan_to_num(shown), cmap="gray", interpolation="nearest")
    elif len(one) > 64:
        axes.plot(one, linewidth=0.5, color=BLUE)
        axes.axhline(0.0, color=GRAY, linewidth=0.4)
    else:
        _text(axes, ", ".join(f"{place}: {_value(value)}" for place, value in enumerate(one)))


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else short(str(value), 24)


def _text(axes: Any, text: str) -> None:
    lines = textwrap.wrap(" ".join(text.split()), 64)
    if len(lines) > 5:
        lines = [*lines[:4], lines[4][:62] + "…"]
    axes.text(
        0.02,
        0.93,
        safe("\n".join(lines)),
        va="top",
        transform=axes.transAxes,
        fontsize=SMALL - 2,
        color=INK,
        in_layout=False,
    )
