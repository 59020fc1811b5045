"""Mixed examples: mixup (Zhang et al. 2018) blends two with their targets, cutmix (Yun et al. 2019) pastes a patch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def mixup(x: Tensor, y: Tensor, *, classes: int, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blend every example with another one of the batch.

    Parameters
    ----------
    x : (B, ...) float tensor
        Examples.
    y : (B,) int tensor
        Their classes.
    classes
        How many there are.
    alpha
        Both parameters of the beta distribution of the share; small ones leave most examples nearly alone.
    generator
        Where the draws come from.

    Returns
    -------
    (B, ...) float tensor, (B, classes) float tensor
        Blends, and the shares of their classes.
    """
    other = torch.randperm(len(x), generator=generator).to(x.device)
    share = _share(alpha, generator)
    hot = functional.one_hot(y, classes).to(x.dtype)
    return x.lerp(x[other], 1.0 - share), hot.lerp(hot[other], 1.0 - share)


def cutmix(x: Tensor, y: Tensor, *, classes: int, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another image of the batch into each; classes count by area.

    Parameters
    ----------
    x : (B, C, H, W) float tensor
        Images.
    y, classes, alpha, generator
        As in `mixup`; the share is that of the area that stays.

    Returns
    -------
    (B, C, H, W) float tensor, (B, classes) float tensor
    """
    other = torch.randperm(len(x), generator=generator).to(x.device)
    height, width = x.shape[-2:]
    side = (1.0 - _share(alpha, generator)) ** 0.5
    middle = torch.rand(2, generator=generator).tolist()
    top, bottom = _span(middle[0], side, height)
    left, right = _span(middle[1], side, width)
    mixed = x.clone()
    mixed[..., top:bottom, left:right] = x[other][..., top:bottom, left:right]
    pasted = (bottom - top) * (right - left) / (height * width)
    hot = functional.one_hot(y, classes).to(x.dtype)
    return mixed, hot.lerp(hot[other], pasted)


def _span(middle: float, side: float, length: int) -> tuple[int, int]:
    """Rows or columns of the rectangle, cut off at the border."""
    half = side * length / 2
    return max(round(middle * length - half), 0), min(round(middle * length + half), length)


def _share(alpha: float, generator: torch.Generator) -> float:
    """Draw from Beta(alpha, alpha) as X / (X + Y) of two gamma variables."""
    gammas = torch._standard_gamma(torch.full((2,), alpha), generator=generator)
    total = float(gammas.sum())
    return float(gammas[0]) / total if total > 0.0 else 1.0
