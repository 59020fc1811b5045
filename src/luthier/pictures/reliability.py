"""The reliability diagram (DeGroot & Fienberg 1983): whether it is right as often as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luthier.errors import SettingError
from luthier.maths.scores import Array, places_of, probabilities_of, share_interval
from luthier.pictures.canvas import BLUE, GRAY, INK, RED, SMALL, canvas, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability(probabilities: ArrayLike, truth: ArrayLike, *, bins: int = 15, title: str = "Reliability") -> Figure:
    """Draw accuracy against confidence, and how many rows have which confidence.

    Parameters
    ----------
    probabilities : (n, C) array-like, or (n,)
        Rows with a value that is not finite are left out, and the picture says how many.
    truth : (n,) int array-like
        Columns of the true classes.
    bins
        Equal ones of the confidence from 0 to 1. A bar's whisker holds the true share with 95 % (Clopper & Pearson).
    title
        Above the picture.

    Raises
    ------
    SettingError
        If rows do not sum to one, no row is left, or a label is no class.
    """
    table, places, dropped = finite(probabilities, truth)
    confidence, right = table.max(1), table.argmax(1) == places
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    rows = np.bincount(bin_of, minlength=bins)
    hits = np.bincount(bin_of, weights=right, minlength=bins).astype(np.float64)
    said = np.bincount(bin_of, weights=confidence, minlength=bins).astype(np.float64)
    error = float(np.abs(hits - said).sum() / len(table))
    figure = canvas(4.4, 4.9)
    upper, lower = figure.subplots(2, 1, height_ratios=(3.4, 1), sharex=True)
    note = f"\n{dropped} rows without a number left out" if dropped else ""
    plain(upper, title=f"{title}: calibration error {error:.1%}{note}", y="accuracy")
    _bars(upper, rows, hits, said)
    plain(lower, x="confidence", y="share of rows")
    edges = np.arange(bins) / bins
    lower.bar(edges, rows / len(table), width=1 / bins, align="edge", color=GRAY, edgecolor="white", linewidth=0.6)
    for axes in (upper, lower):
        axes.axvline(confidence.mean(), color=INK, linewidth=0.9, linestyle=":")
    lower.annotate(
        f"mean confidence {confidence.mean():.1%}, accuracy {right.mean():.1%}",
        (0.015, 0.86), xycoords="axes fraction",
        fontsize=SMALL - 0.5, color=INK,
    )  # fmt: skip
    lower.margins(y=0.35)
    return figure


def _bars(axes: Any, rows: NDArray[np.int64], hits: Array, said: Array) -> None:
    bins = len(rows)
    held = rows > 0
    edges = (np.arange(bins) / bins)[held]
    accuracy, confidence = hits[held] / rows[held], said[held] / rows[held]
    axes.plot([0, 1], [0, 1], "--", color=GRAY, linewidth=1)
    axes.bar(
        edges, accuracy, width=1 / bins, align="edge", color=BLUE, edgecolor="white", linewidth=0.6, label="accuracy"
    )
    low, high = np.minimum(accuracy, confidence), np.maximum(accuracy, confidence)
    axes.bar(
        edges, high - low, bottom=low, width=1 / bins, align="edge", color="none", edgecolor=RED, hatch="////",
        linewidth=0.8, label="gap to what it says",
    )  # fmt: skip
    below, above = share_interval(hits[held], rows[held])
    middle = edges + 0.5 / bins
    axes.errorbar(
        middle, accuracy, yerr=[accuracy - below, above - accuracy], fmt="none", ecolor=INK, elinewidth=0.9, capsize=2
    )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=SMALL - 0.5, loc="upper left", framealpha=0.9, edgecolor="none")


def finite(probabilities: ArrayLike, truth: ArrayLike) -> tuple[Array, NDArray[np.int64], int]:
    """Return the rows whose probabilities are numbers, their truth, and how many were left out."""
    table = np.asarray(probabilities, dtype=np.float64)
    places = np.asarray(truth)
    kept = np.isfinite(table.reshape(len(table), -1)).all(1) if len(table) else np.zeros(0, bool)
    if len(places) != len(table):
        raise SettingError(f"probabilities and truth need the same rows, got {len(table)} and {len(places)}")
    if not kept.any():
        raise SettingError("there is no row with finite probabilities to draw: has the training diverged?")
    table = probabilities_of(table[kept])
    return table, places_of(places[kept], table.shape[1]), int((~kept).sum())
