"""Learning curves: each metric by epoch, training beside validation, the best epoch marked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from luthier.errors import SettingError
from luthier.pictures.canvas import BLUE, GRAY, INK, ORANGE, SMALL, canvas, color, plain, safe, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Sequence[Mapping[str, float]]
_FALLING = ("loss", "error", "mae", "mse", "rmse", "perplexity", "seconds")
_LISTED = 8  # curves with a name each; more are drawn alike


def learning_curves(
    curves: Curve | Mapping[str, Curve], *, metrics: Sequence[str] | None = None, title: str = "Learning curves"
) -> Figure:
    """Draw metrics by epoch.

    Parameters
    ----------
    curves : list of dict, or dict of them
        One dict of metrics an epoch, as `luthier.training.Trainer.fit` returns it; several trainings by name. A metric
        ``valid_x`` is drawn beside ``x``. What is missing or not finite is left out, and the end of a training that
        diverged is marked.
    metrics
        Which, in this order; by default all.
    title
        Above the picture.

    Raises
    ------
    SettingError
        If there is nothing to draw, or no such metric.
    """
    several = dict(curves) if isinstance(curves, Mapping) else {"": curves}
    several = {name: curve for name, curve in several.items() if len(curve)}
    panels = _panels(several, metrics)
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = canvas(max(3.3 * columns, 4.2), 2.6 * lines + 0.4)
    figure.suptitle(safe(title), fontsize=SMALL + 3, color=INK)
    for place, metric in enumerate(panels):
        axes = figure.add_subplot(lines, columns, place + 1)
        plain(axes, title=metric.replace("_", " "), x="epoch" if place >= len(panels) - columns else "")
        (_one if len(several) == 1 else _many)(axes, several, metric)
        _scale(axes)
    return figure


def _panels(several: Mapping[str, Curve], metrics: Sequence[str] | None) -> list[str]:
    """Metrics that have a panel, in the order they are first met; ``valid_x`` shares that of ``x``."""
    known = list(dict.fromkeys(name for curve in several.values() for epoch in curve for name in epoch))
    if not known:
        raise SettingError("there is no epoch to draw: give the list of dicts that Trainer.fit returned")
    wrong = [name for name in metrics or () if name not in known]
    if wrong:
        raise SettingError(f"no metric {wrong[0]!r} in these curves: they have {', '.join(known)}")
    return [name for name in metrics or known if name.removeprefix("valid_") not in known or "valid_" not in name]


def _values(curve: Curve, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([float(epoch.get(metric, math.nan)) for epoch in curve])


def _one(axes: Any, several: Mapping[str, Curve], metric: str) -> None:
    """One training: training orange, validation blue, the best epoch of the validation ringed."""
    (curve,) = several.values()
    both = [(metric, "training", ORANGE), (f"valid_{metric}", "validation", BLUE)]
    lines = [(name, label, hue) for name, label, hue in both if any(name in epoch for epoch in curve)]
    if len(lines) == 1:
        lines = [(lines[0][0], "", BLUE)]
    for name, label, hue in lines:
        values = _values(curve, name)
        _line(axes, values, color=hue, label=label)
    _best(axes, values, metric)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=SMALL - 1)


def _many(axes: Any, several: Mapping[str, Curve], metric: str) -> None:
    """Several trainings: validation where there is one, each in its color, or gray when they are too many."""
    for place, (name, curve) in enumerate(several.items()):
        shown = f"valid_{metric}" if any(f"valid_{metric}" in epoch for epoch in curve) else metric
        few = len(several) <= _LISTED
        hue, dash = (color(place), ("-", "--")[place % 2]) if few else (GRAY, "-")
        _line(
            axes,
            _values(curve, shown),
            color=hue,
            label=short(name) if few else "",
            linestyle=dash,
            alpha=1 if few else 0.5,
        )
    if len(several) <= _LISTED:
        axes.legend(frameon=False, fontsize=SMALL - 1.5)


def _line(axes: Any, values: Any, **style: Any) -> None:
    epochs = np.arange(1, len(values) + 1)
    finite = np.isfinite(values)
    style["label"] = safe(style.get("label", ""))
    axes.plot(
        epochs, np.where(finite, values, np.nan), marker="." if len(values) <= 30 else None, linewidth=1.6, **style
    )
    if finite.any() and not finite[-1]:
        last = int(np.flatnonzero(finite)[-1])
        axes.plot(epochs[last], values[last], "x", color=style["color"], markersize=8, markeredgewidth=2)
        axes.annotate(" not finite", (epochs[last], values[last]), fontsize=SMALL - 1, color=INK)


def _best(axes: Any, values: Any, metric: str) -> None:
    from matplotlib.patheffects import withStroke

    if len(values) < 2 or not np.isfinite(values).any():
        return
    falling = any(word in metric for word in _FALLING)
    place = int(np.nanargmin(values) if falling else np.nanargmax(np.where(np.isfinite(values), values, np.nan)))
    axes.plot(place + 1, values[place], "o", markersize=9, markerfacecolor="none", markeredgecolor=INK)
    axes.annotate(
        f"{values[place]:.4g}", (place + 1, values[place]),
        textcoords="offset points", xytext=(0, -14 if falling else 8), ha="center", fontsize=SMALL - 1, color=INK,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip
    axes.margins(y=0.12)  # the number stands beyond the curve


def _scale(axes: Any) -> None:
    """Logarithmic where positive values span more than two powers of ten; epochs are whole numbers."""
    from matplotlib.ticker import MaxNLocator

    values = np.concatenate([line.get_ydata() for line in axes.get_lines()] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 100 * values.min():
        axes.set_yscale("log")
    else:
        axes.margins(y=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if not len(values):
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=GRAY, fontsize=SMALL)
