"""Augmentation of whole batches, on tensors: images, spectrograms and tokens; every draw from the generator given.

Each function takes a batch and returns a new one; the generator is the processor's, so that a GPU draws the same.
`images`, `spectrograms` and `tokens` combine them under one strength, which is what is tuned.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_SHIFT, _ANGLE, _ERASED = 0.125, 15.0, 0.3  # at strength 1: share of the side, degrees, side of the patch


def images(x: Tensor, generator: torch.Generator, *, strength: float = 0.5, mirror: bool = False) -> Tensor:
    """Shift, turn, mirror and erase images.

    Parameters
    ----------
    x : (B, C, H, W) float tensor
    generator
        Where the draws come from.
    strength
        From 0, nothing, over 1, shifts up to an eighth of the side, turns up to 15 degrees and an erased patch in half
        of the images, to about 2.
    mirror
        Whether left and right may be exchanged; not for digits.

    Returns
    -------
    (B, C, H, W) float tensor
    """
    if strength > 0.0:
        x = rotate(x, _ANGLE * strength, generator)
        x = crop(x, round(_SHIFT * strength * min(x.shape[-2:])), generator)
        x = erase(x, generator, chance=min(0.5 * strength, 1.0), side=_ERASED)
    return flip(x, generator) if mirror else x


def crop(x: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pad images with zeros and cut each out again at a place of its own.

    Parameters
    ----------
    x : (B, C, H, W) float tensor
    padding
        Most pixels of a shift.
    generator
        Where the draws come from.

    Returns
    -------
    (B, C, H, W) float tensor
    """
    if padding < 1:
        return x
    batch, channels, height, width = x.shape
    corner = _integers(2 * padding + 1, (2, batch, 1), generator, x)
    rows = corner[0] + torch.arange(height, device=x.device)  # (B, H)
    columns = corner[1] + torch.arange(width, device=x.device)  # (B, W)
    padded = functional.pad(x, (padding,) * 4)
    down = padded.gather(2, rows[:, None, :, None].expand(-1, channels, -1, width + 2 * padding))
    return down.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))


def flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images, (B, C, H, W), left to right."""
    return torch.where(_chance(0.5, x, generator), x.flip(-1), x)


def rotate(x: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Turn each image around its middle by an angle between -degrees and degrees; zeros come in from outside.

    Parameters
    ----------
    x : (B, C, H, W) float tensor
    degrees
        Largest angle.
    generator
        Where the draws come from.

    Returns
    -------
    (B, C, H, W) float tensor
    """
    angles = (2.0 * _uniform((len(x),), generator, x) - 1.0) * math.radians(degrees)
    height, width = x.shape[-2:]
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    turn = torch.stack([cos, -sin * height / width, zero, sin * width / height, cos, zero], 1).view(-1, 2, 3)
    grid = functional.affine_grid(turn, list(x.shape), align_corners=False)  # (B, H, W, 2)
    return functional.grid_sample(x, grid, align_corners=False)


def erase(x: Tensor, generator: torch.Generator, *, chance: float = 0.5, side: float = 0.3) -> Tensor:
    """Set a rectangle to zero (random erasing, Zhong et al. 2020).

    Parameters
    ----------
    x : (B, C, H, W) float tensor
    generator
        Where the draws come from.
    chance
        Share of the images that lose one.
    side
        Largest side, as a share of the image's; the smallest is half of it.

    Returns
    -------
    (B, C, H, W) float tensor
    """
    inside = _chance(chance, x, generator)  # (B, 1, 1, 1)
    for axis in (-2, -1):
        length = x.shape[axis]
        size = (0.5 + 0.5 * _uniform((len(x), 1), generator, x)) * side * length
        start = _uniform((len(x), 1), generator, x) * (length - size)
        place = torch.arange(length, device=x.device)
        span = (place >= start.floor()) & (place < (start + size).floor())  # (B, length)
        inside = inside & (span[:, None, :, None] if axis == -2 else span[:, None, None, :])
    return x.masked_fill(inside, 0.0)


def spectrograms(x: Tensor, generator: torch.Generator, *, strength: float = 0.5) -> Tensor:
    """Hide a band of pitches and a stretch of time (SpecAugment, Park et al. 2019).

    Parameters
    ----------
    x : (B, mels, frames) float tensor
    generator
        Where the draws come from.
    strength
        At 1 up to a quarter of the bands and of the frames; what is hidden gets the mean of its example.

    Returns
    -------
    (B, mels, frames) float tensor
    """
    hidden = torch.zeros_like(x, dtype=torch.bool)
    for axis in (1, 2):
        length = x.shape[axis]
        size = _uniform((len(x), 1), generator, x) * 0.25 * strength * length
        start = _uniform((len(x), 1), generator, x) * (length - size)
        place = torch.arange(length, device=x.device)
        span = (place >= start) & (place < start + size)  # (B, length)
        hidden = hidden | span.unsqueeze(2 if axis == 1 else 1)
    return torch.where(hidden, x.mean((1, 2), keepdim=True), x)


def tokens(x: Tensor, generator: torch.Generator, *, chance: float = 0.1, unknown: int = 1) -> Tensor:
    """Replace tokens by the unknown one; padding stays.

    Parameters
    ----------
    x : (B, T) int tensor
        Token 0 is padding.
    generator
        Where the draws come from.
    chance
        Share of the tokens that are replaced.
    unknown
        By what.

    Returns
    -------
    (B, T) int tensor
    """
    drawn = torch.rand(x.shape, generator=generator).to(x.device)
    return x.masked_fill((drawn < chance) & (x != 0), unknown)


def _uniform(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand(shape, generator=generator).to(like)


def _integers(high: int, shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randint(high, shape, generator=generator).to(like.device)


def _chance(chance: float, x: Tensor, generator: torch.Generator) -> Tensor:
    return (_uniform((len(x),), generator, x) < chance)[:, None, None, None]
