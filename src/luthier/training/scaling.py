"""Feature scaling: learned on the training data, applied to everything, undone where wanted.

``"standard"``: mean 0 and deviation 1; ``"robust"``: median 0 and interquartile range 1, which outliers do not move;
``"quantile"``: whatever the distribution was, it becomes normal; ``"none"``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from luthier.errors import SettingError, did_you_mean

SCALINGS = ("standard", "robust", "quantile", "none")
_QUANTILES = 1000  # at most, of the "quantile" scaling


class Scaler:
    """Scale the columns of a table.

    Missing values (NaN) are left out of what is learned, and become 0, the middle, when scaled. A column that does not
    vary becomes 0.

    Parameters
    ----------
    kind
        One of `SCALINGS`.

    Raises
    ------
    SettingError
        If the kind is unknown.

    Examples
    --------
    >>> import torch
    >>> scaler = Scaler("robust").fit(torch.tensor([[1.0], [2.0], [3.0], [4.0], [1000.0]]))
    >>> scaler.transform(torch.tensor([[3.0], [5.0], [float("nan")]])).flatten()
    tensor([0., 1., 0.])
    """

    def __init__(self, kind: str = "standard") -> None:
        if kind not in SCALINGS:
            raise SettingError(f"no scaling {kind!r}{did_you_mean(kind, SCALINGS)}: use {', '.join(SCALINGS)}")
        self.kind = kind
        self._learned: dict[str, Tensor] = {}

    def fit(self, x: Tensor) -> Scaler:
        """Learn the columns' places and widths.

        Parameters
        ----------
        x : (n, d) float tensor
            The training data; any axes after the first are flattened.
        """
        x = x.flatten(1).double()
        if self.kind == "standard":
            mean = x.nanmean(0)
            self._center(mean, (x - mean).square().nanmean(0).sqrt())
        elif self.kind == "robust":
            low, middle, high = quantiles(x, torch.tensor([0.25, 0.5, 0.75], dtype=x.dtype, device=x.device))
            self._center(middle, high - low)
        elif self.kind == "quantile":
            count = min(_QUANTILES, len(x))
            shares = torch.linspace(0.0, 1.0, count, dtype=x.dtype, device=x.device)
            self._learned = {"table": quantiles(x, shares).nan_to_num(0.0), "shares": shares}
        return self

    def transform(self, x: Tensor) -> Tensor:
        """Scale; (n, d) float tensor in, the same shape and type out."""
        if self.kind == "none":
            return x.nan_to_num(0.0)
        flat = x.flatten(1).double()
        learned = self._on(x)
        if self.kind == "quantile":
            scaled = torch.where(flat.isnan(), 0.0, _to_normal(flat, learned["table"], learned["shares"]))
        else:
            scaled = ((flat - learned["center"]) / learned["width"]).nan_to_num(0.0)
        return scaled.to(x.dtype).view(x.shape)

    def inverse(self, z: Tensor) -> Tensor:
        """Undo the scaling; (n, d) float tensor in, the same shape and type out."""
        if self.kind == "none":
            return z
        flat, learned = z.flatten(1).double(), self._on(z)
        if self.kind == "quantile":
            below, edge = torch.special.ndtr(flat), 0.501 / len(learned["shares"])
            below = torch.where(below < edge, 0.0, torch.where(below > 1.0 - edge, 1.0, below))
            columns = [_interpolate(below[:, i], learned["shares"], t) for i, t in enumerate(learned["table"].T)]
            back = torch.stack(columns, 1)
        else:
            back = flat * learned["width"] + learned["center"]
        return back.to(z.dtype).view(z.shape)

    def state_dict(self) -> dict[str, Any]:
        """Return what was learned."""
        return {"kind": self.kind, **self._learned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what another one learned, its kind included."""
        self.kind = state["kind"]
        self._learned = {name: value for name, value in state.items() if name != "kind"}

    def _center(self, center: Tensor, width: Tensor) -> None:
        flat = ~(width > 1e-12 * center.abs().clamp(min=1e-300))
        self._learned = {"center": center.nan_to_num(0.0), "width": torch.where(flat, 1.0, width)}

    def _on(self, x: Tensor) -> dict[str, Tensor]:
        if not self._learned:
            raise SettingError("this scaler has learned nothing yet: call fit(x) with the training data first")
        return {name: value.to(x.device) for name, value in self._learned.items()}


def quantiles(x: Tensor, shares: Tensor) -> Tensor:
    """Return linearly interpolated quantiles of each column, missing values left out.

    Parameters
    ----------
    x : (n, d) float tensor
        Of any length, which `torch.quantile` does not allow.
    shares : (q,) float tensor
        In [0, 1].

    Returns
    -------
    (q, d) float tensor
        NaN for a column that is all missing.
    """
    ordered = x.sort(0).values  # NaN comes last
    count = (~x.isnan()).sum(0)  # (d,)
    place = shares[:, None] * (count - 1).clamp(min=0)  # (q, d)
    place = torch.where((place - place.round()).abs() < 1e-6, place.round(), place)  # so that ties stay ties
    lower = place.floor().long()
    upper = torch.minimum(lower + 1, (count - 1).clamp(min=0))
    return ordered.gather(0, lower).lerp(ordered.gather(0, upper), place - lower)


def _to_normal(x: Tensor, table: Tensor, shares: Tensor) -> Tensor:
    """Normal scores, (n, d); ties get the middle of their shares, as interpolation from both sides gives.

    The lowest and highest values get the shares 1 / 2q and 1 - 1 / 2q of q quantiles: infinity would not do.
    """
    columns = []
    for column, known in zip(x.unbind(1), table.unbind(1), strict=True):
        ahead = _interpolate(column, known, shares)
        back = -_interpolate(-column, -known.flip(0), -shares.flip(0))
        columns.append(0.5 * (ahead + back))
    edge = 0.5 / len(shares)
    below = torch.stack(columns, 1).clamp(edge, 1.0 - edge)
    scores = torch.special.ndtri(below)
    varies = table[-1] > table[0]
    return torch.where(varies, scores, 0.0)


def _interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Piecewise linear interpolation, (n,), constant outside; where `xs` repeats, the last of its `ys`."""
    right = torch.searchsorted(xs.contiguous(), x.contiguous(), right=True).clamp(1, len(xs) - 1)
    left = right - 1
    width = xs[right] - xs[left]
    t = torch.where(width > 0.0, (x - xs[left]) / width.clamp(min=math.ulp(0.0)), 1.0).clamp(0.0, 1.0)
    return ys[left] + t * (ys[right] - ys[left])
