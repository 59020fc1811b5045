"""The decision boundary of a classifier: on two features, or on a plane through data of many.

Off the plane nothing is said: a point that is drawn on it may lie far above it, which the title's share of the variance
tells. A point has the color of its true class; a cross is on those that are classified wrongly where they really are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luthier.errors import SettingError
from luthier.maths.scores import Array, names_of, places_of, probabilities_of
from luthier.pictures.canvas import INK, MARKERS, SMALL, canvas, color, plain, safe, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 1500  # more cover the regions
_LISTED = 12  # classes in the legend; more are named in the picture
_AT_ONCE = 4096


def decision_boundary(
    predict_proba: Callable[[Array], ArrayLike],
    points: ArrayLike,
    truth: ArrayLike,
    *,
    directions: str | ArrayLike = "principal",
    classes: Sequence[Any] | None = None,
    resolution: int = 200,
) -> Figure:
    """Draw what is predicted where, and the data over it.

    Parameters
    ----------
    predict_proba
        Takes (m, d) floats and returns probabilities (m, C).
    points : (n, d) array-like
        Data with two features or more, in the units that `predict_proba` wants; images are flattened.
    truth : (n,) array-like
        Columns of the true classes, or names that are looked up in `classes`.
    directions
        For more than two features the plane through the mean: ``"principal"``, along which the data vary most; two
        columns, such as ``(0, 3)``; or two vectors (2, d).
    classes
        Names of the columns.
    resolution
        Places to predict along each side.

    Raises
    ------
    SettingError
        If the data have fewer than two features or are not finite, or the directions are parallel.
    """
    data = np.asarray(points, dtype=np.float64)
    data = data.reshape(len(data), -1) if len(data) else np.zeros((0, 0))
    if data.shape[1] < 2 or not np.isfinite(data).all():
        raise SettingError(f"a boundary needs finite data (n, d) of two features or more, got shape {np.shape(points)}")
    middle, plane, axes_names, note = _plane(data, directions)
    flat = (data - middle) @ np.linalg.pinv(plane)  # (n, 2)
    columns, rows = _grid(flat, resolution)
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    regions = _predicted(predict_proba, middle + grid @ plane)  # (m, C)
    names = names_of(classes, regions.shape[1])
    places = places_of(truth, classes if classes is not None else regions.shape[1], rows=len(data))
    shown = np.sort(np.random.default_rng(0).permutation(len(data))[:_POINTS])
    wrong = _predicted(predict_proba, data[shown]).argmax(1) != places[shown]
    figure = canvas(6.4 if len(names) <= _LISTED else 5.2, 4.6)
    axes = figure.add_subplot()
    plain(axes, title=f"Decision boundary{note}", x=axes_names[0], y=axes_names[1])
    _regions(axes, columns, rows, regions.reshape(len(rows), len(columns), -1))
    _points(axes, flat[shown], places[shown], wrong=wrong, names=names)
    axes.set(xlim=columns[[0, -1]], ylim=rows[[0, -1]])
    return figure


def _plane(data: Array, directions: str | ArrayLike) -> tuple[Array, Array, tuple[str, str], str]:
    """Middle (d,), two vectors (2, d) that span the plane, their names, and what the title says of it."""
    width = data.shape[1]
    middle = data.mean(0)
    if width == 2 and isinstance(directions, str):
        return np.zeros(2), np.eye(2), ("feature 0", "feature 1"), ""
    if isinstance(directions, str):
        if directions != "principal":
            raise SettingError(f"directions are 'principal', two columns or two vectors, got {directions!r}")
        vectors = np.linalg.svd(data - middle, full_matrices=False)[2][:2]
        names = ("first principal direction", "second principal direction")
    else:
        given = np.asarray(directions)
        vectors, names = _chosen(given, width)
        if given.shape == (2,):
            middle[given] = 0.0  # the axes show the features' own values
    if len(vectors) < 2 or np.linalg.matrix_rank(vectors) < 2:
        raise SettingError("the two directions are parallel, or the data vary along one only: give two others")
    around = data - data.mean(0)
    within = around @ np.linalg.pinv(vectors) @ vectors
    share = float((within**2).sum() / max(float((around**2).sum()), 1e-300))
    return middle, vectors, names, f" on a plane that holds {share:.0%} of the variance"


def _chosen(given: NDArray[Any], width: int) -> tuple[Array, tuple[str, str]]:
    if given.shape == (2,) and np.issubdtype(given.dtype, np.integer):
        if not ((given >= 0) & (given < width)).all():
            raise SettingError(f"columns are from 0 to {width - 1}, got {given.tolist()}")
        return np.eye(width)[given], (f"feature {given[0]}", f"feature {given[1]}")
    if given.shape != (2, width):
        raise SettingError(
            f"directions are 'principal', two columns or two vectors (2, {width}), got shape {given.shape}"
        )
    return given.astype(np.float64), ("first direction", "second direction")


def _grid(flat: Array, resolution: int) -> tuple[Array, Array]:
    low, high = flat.min(0), flat.max(0)
    margin = np.where(high > low, 0.06 * (high - low), 1.0)
    low, high = low - margin, high + margin
    return np.linspace(low[0], high[0], resolution), np.linspace(low[1], high[1], resolution)


def _predicted(predict_proba: Callable[[Array], ArrayLike], inputs: Array) -> Array:
    parts = [predict_proba(inputs[start : start + _AT_ONCE]) for start in range(0, len(inputs), _AT_ONCE)]
    return probabilities_of(np.concatenate([np.asarray(part, dtype=np.float64) for part in parts]))


def _regions(axes: Any, columns: Array, rows: Array, regions: Array) -> None:
    """Shade each place in the color of its likeliest class, the paler the less sure."""
    from matplotlib.colors import to_rgb

    count = regions.shape[-1]
    hues = np.array([to_rgb(color(place)) for place in range(count)])
    said, sure = regions.argmax(-1), regions.max(-1)
    strength = 0.08 + 0.42 * np.clip((sure - 1 / count) / (1 - 1 / count), 0, 1)[..., None]
    axes.imshow(
        1.0 - strength * (1.0 - hues[said]), origin="lower", aspect="auto", interpolation="nearest",
        extent=(columns[0], columns[-1], rows[0], rows[-1]),
    )  # fmt: skip
    for place in np.unique(said):
        inside = (said == place).astype(float)
        if 0.0 < inside.mean() < 1.0:
            axes.contour(columns, rows, inside, levels=[0.5], colors=[INK], linewidths=0.7)


def _points(axes: Any, flat: Array, places: NDArray[np.int64], *, wrong: Any, names: Sequence[str]) -> None:
    size = float(np.clip(9000 / max(len(flat), 1), 16, 34))
    for place in np.unique(places):
        rows = places == place
        axes.scatter(
            *flat[rows].T, s=size, marker=MARKERS[place % len(MARKERS)], color=color(place), edgecolors="white",
            linewidths=0.4, label=safe(short(names[place], 16)), zorder=2,
        )  # fmt: skip
        if len(names) > _LISTED:
            x, y = np.median(flat[rows], 0)
            axes.text(x, y, safe(short(names[place], 10)), fontsize=SMALL - 1, ha="center", color=INK, zorder=4)
    if wrong.any():
        axes.scatter(
            *flat[wrong].T,
            s=size * 1.3,
            marker="x",
            color=INK,
            linewidths=1.0,
            zorder=3,
            label=f"wrong ({wrong.mean():.1%})",
        )
    if len(names) <= _LISTED:
        axes.legend(frameon=False, fontsize=SMALL - 0.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
