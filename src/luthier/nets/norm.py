"""Normalization, and its place before or after the activation.

``"batch"`` (Ioffe & Szegedy 2015) estimates mean and variance from the batch. With few rows that estimate is poor:
``"group"`` (Wu & He 2018) takes them from groups of channels of each example instead, and ``"accumulated"`` (batch
renormalization, Ioffe 2017) corrects the batch's estimate towards the statistics accumulated over many batches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from luthier.errors import SettingError, did_you_mean
from luthier.nets.activation import activation as activation_of

NORMS = ("none", "batch", "group", "layer", "accumulated")
_EPS = 1e-5
_GROUPS = 8  # at most; Wu & He use 32 for networks of hundreds of channels


def norm_layer(name: str, channels: int, *, dims: int = 2, momentum: float = 0.1) -> nn.Module:
    """Make a normalization of inputs (B, channels, ...).

    Parameters
    ----------
    name
        One of `NORMS`.
    channels
        Size of the second axis.
    dims
        Axes after the channels: 0 for features, 1 for sequences, 2 for images.
    momentum
        Share of the newest batch in the accumulated statistics; ``"batch"`` and ``"accumulated"`` have it.

    Raises
    ------
    SettingError
        If there is no such normalization.
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        kind = nn.BatchNorm2d if dims == 2 else nn.BatchNorm1d
        return kind(channels, eps=_EPS, momentum=momentum)
    if name == "accumulated":
        return AccumulatedNorm(channels, momentum=momentum)
    if name in ("group", "layer"):  # one group is layer normalization over channels and places
        groups = 1 if name == "layer" else max(g for g in range(1, _GROUPS + 1) if channels % g == 0)
        return nn.GroupNorm(groups, channels, eps=_EPS)
    raise SettingError(f"no normalization {name!r}{did_you_mean(name, NORMS)}: use {', '.join(NORMS)}")


def normalized(
    channels: int,
    dims: int,
    *,
    activation: str = "relu",
    norm: str = "batch",
    norm_place: str = "before",
    norm_momentum: float = 0.1,
) -> list[nn.Module]:
    """Return what follows a linear or convolutional layer: its normalization and activation, in the order asked for.

    Parameters
    ----------
    channels, dims
        As in `norm_layer`.
    activation
        One of `luthier.nets.activation.ACTIVATIONS`.
    norm, norm_momentum
        As in `norm_layer`.
    norm_place
        ``"before"`` or ``"after"`` the activation.
    """
    if norm_place not in ("before", "after"):
        raise SettingError(f"norm_place is 'before' or 'after' the activation, got {norm_place!r}")
    layers = [norm_layer(norm, channels, dims=dims, momentum=norm_momentum), activation_of(activation)]
    layers = layers if norm_place == "before" else layers[::-1]
    return [layer for layer in layers if not isinstance(layer, nn.Identity)]


def needs_bias(norm: str, norm_place: str) -> bool:
    """Tell whether the layer before needs a bias: a normalization right after it would only subtract it again."""
    return norm == "none" or norm_place == "after"


class AccumulatedNorm(nn.Module):  # type: ignore[misc] # torch has no types here
    """Batch renormalization: batch normalization whose output follows the accumulated statistics, for small batches.

    The batch's own mean and deviation normalize, so gradients flow as in batch normalization; then a constant scale
    ``r`` and shift ``d`` turn the result into what the accumulated statistics would have given (Ioffe 2017, eq. 2).
    How far they may go grows over the first batches, when little has been accumulated.

    Parameters
    ----------
    channels
        Size of the second axis.
    momentum
        Share of the newest batch in the accumulated statistics.
    r_max, d_max
        Limits of scale and shift in the end.
    warm
        Batches until then.
    """

    def __init__(
        self, channels: int, *, momentum: float = 0.1, r_max: float = 3.0, d_max: float = 5.0, warm: int = 200
    ) -> None:
        super().__init__()
        self.momentum, self.r_max, self.d_max, self.warm = momentum, r_max, d_max, warm
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, ...) -> (B, C, ...)
        if not self.training:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=_EPS
            )
        axes = [0, *range(2, x.dim())]
        shape = [1, -1] + [1] * (x.dim() - 2)
        variance, mean = torch.var_mean(x, axes, correction=0)  # (C,), (C,)
        deviation = (variance + _EPS).sqrt()
        with torch.no_grad():
            r, d = self._correction(mean, deviation)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_(variance.to(self.running_var), self.momentum)
            self.batches += 1
        scale = self.weight * r / deviation  # (C,)
        shift = self.bias + self.weight * d - mean * scale
        return x * scale.view(shape) + shift.view(shape)

    def _correction(self, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        trust = (self.batches / self.warm).clamp(max=1.0)
        r_max, d_max = 1.0 + (self.r_max - 1.0) * trust, self.d_max * trust
        kept = (self.running_var + _EPS).sqrt()
        r = torch.minimum(torch.maximum(deviation / kept, 1.0 / r_max), r_max)
        d = torch.minimum(torch.maximum((mean - self.running_mean) / kept, -d_max), d_max)
        return r, d
