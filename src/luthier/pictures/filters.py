"""Filters of a convolution as small pictures: what the first layer looks for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from luthier.errors import SettingError
from luthier.maths.scores import Array
from luthier.pictures.canvas import INK, RED, SMALL, canvas, safe

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def filters(weight: ArrayLike, *, most: int = 64, title: str = "Filters") -> Figure:
    """Draw the filters of one layer.

    Parameters
    ----------
    weight : (O, C, kh, kw) or (O, C, k) array-like
        Such as ``model.layers[0].weight.detach()``. Three channels are drawn as color, with gray as zero; otherwise a
        filter is a row of its channels, brown below zero and blue-green above. All have one scale: faint filters look
        faint.
    most
        Pictures at most; of more, the filters with the largest weights.
    title
        Above the picture.

    Raises
    ------
    SettingError
        If it is no weight of a convolution.
    """
    kernels = np.asarray(weight, dtype=np.float64)
    kernels = kernels[:, :, None, :] if kernels.ndim == 3 else kernels
    if kernels.ndim != 4 or not kernels.size:
        raise SettingError(f"the weight of a convolution is (O, C, kh, kw) or (O, C, k), got {np.shape(weight)}")
    count, channels = kernels.shape[:2]
    colored = channels == 3
    parts = 1 if colored else min(channels, most)
    shown = np.arange(count)
    if count * parts > most:
        size = np.nan_to_num(np.abs(kernels)).sum((1, 2, 3))
        shown = np.sort(np.argsort(-size, kind="stable")[: max(1, most // parts)])
    columns = parts if parts > 1 else math.ceil(math.sqrt(len(shown) * 1.6))
    lines = math.ceil(len(shown) * parts / columns)
    figure = canvas(max(0.62 * columns + 0.3, 3.4), 0.68 * lines + 0.7)
    left_out = f"; the {len(shown)} largest of {count}" if len(shown) < count else ""
    cut = f", {parts} of {channels} channels" if not colored and parts < channels else ""
    figure.suptitle(safe(f"{title}{left_out}{cut}"), fontsize=SMALL + 1.5, color=INK)
    limit = float(np.nanmax(np.abs(np.where(np.isfinite(kernels), kernels, np.nan)), initial=0.0)) or 1.0
    for place in range(len(shown) * parts):
        axes = figure.add_subplot(lines, columns, place + 1)
        kernel = kernels[shown[place // parts]]
        _one(axes, kernel if colored else kernel[place % parts], limit)
        if parts == 1 or place % parts == 0:
            axes.set_title(str(shown[place // parts]), fontsize=SMALL - 2, color=INK, pad=2)
    return figure


def _one(axes: Any, kernel: Array, limit: float) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    aspect = "equal" if kernel.shape[-2] > 1 else "auto"
    if not np.isfinite(kernel).all():
        axes.text(0.5, 0.5, "NaN", ha="center", va="center", transform=axes.transAxes, color=RED, fontsize=SMALL)
        axes.patch.set_facecolor("#EDEDED")
    elif kernel.ndim == 3:
        axes.imshow(np.clip(0.5 + 0.5 * kernel / limit, 0, 1).transpose(1, 2, 0), aspect=aspect)
    else:
        axes.imshow(kernel, cmap="BrBG", vmin=-limit, vmax=limit, aspect=aspect)
