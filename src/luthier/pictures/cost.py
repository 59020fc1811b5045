"""The price of asking people: cost and error against the share of predictions that go to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from luthier.errors import SettingError
from luthier.pictures.canvas import BLUE, GRAY, INK, ORANGE, RED, SMALL, canvas, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def review_curve(
    confidence: ArrayLike,
    right: ArrayLike,
    *,
    error: float | None = None,
    look: float | None = None,
    threshold: float | None = None,
) -> Figure:
    """Draw what reviewing the least confident predictions costs and gains.

    Parameters
    ----------
    confidence : (n,) array-like
        Of each prediction.
    right : (n,) bool array-like
        Whether it was right.
    error, look
        Price of a wrong prediction that is kept, and of a person's look; without them no cost is drawn.
    threshold
        Below which confidence a person looks; marked in the picture.

    Raises
    ------
    SettingError
        If there are no rows, their numbers differ, or one price is given without the other.
    """
    if (error is None) != (look is None):
        raise SettingError(f"give both prices or none, got error={error!r} and look={look!r}")
    sure, hit = np.asarray(confidence, np.float64), np.asarray(right, bool)
    if not len(sure) or sure.shape != hit.shape:
        raise SettingError(f"confidence and right are (n,) each, at least one row, got {sure.shape} and {hit.shape}")
    rows = len(sure)
    order = np.argsort(sure, kind="stable")
    left = np.concatenate([[(~hit).sum()], (~hit).sum() - np.cumsum(~hit[order])])  # mistakes kept after k looks
    looks = np.arange(rows + 1)
    priced = error is not None and look is not None
    figure = canvas(7.6 if priced else 4.2, 3.1)
    first, *others = np.atleast_1d(figure.subplots(1, 1 + priced))
    plain(first, title="error on what is kept", x="share that a person looks at", y="error")
    first.plot(looks[:-1] / rows, left[:-1] / (rows - looks[:-1]), color=BLUE, linewidth=1.8)
    first.set(xlim=(0, 1), ylim=(0, None))
    if threshold is not None:
        share = float((sure < threshold).mean())
        for axes in (first, *others):
            axes.axvline(share, color=RED, linestyle="--", linewidth=1.2, label=f"threshold {threshold:.3f}")
    if error is not None and look is not None:
        _draw_cost(others[0], looks, left, error=error, look=look)
    elif threshold is not None:
        first.legend(frameon=False, fontsize=SMALL - 0.5)
    return figure


def _draw_cost(axes: Any, looks: Any, left: Any, *, error: float, look: float) -> None:
    """Cost a row (Any: matplotlib has no types here)."""
    rows = len(looks) - 1
    cost = (error * left + look * looks) / rows
    plain(axes, title=f"cost a row: error {error:g}, look {look:g}", x="share that a person looks at", y="cost")
    axes.plot(looks / rows, cost, color=ORANGE, linewidth=1.8)
    best = int(cost.argmin())
    axes.plot(
        best / rows, cost[best], "o", markerfacecolor="none", markeredgecolor=INK, markersize=9, label="cheapest here"
    )
    axes.set(xlim=(0, 1), ylim=(0, None))
    axes.axhline(look, color=GRAY, linestyle=":", linewidth=1, label="a person looks at all")
    axes.legend(frameon=False, fontsize=SMALL - 0.5)
