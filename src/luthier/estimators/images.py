"""Images as tensors: float in [0, 1], made smaller where they are larger than the budget bears."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from luthier.data import Dataset
from luthier.errors import DataError

_SIDES = ((180.0, 32), (1200.0, 64), (7200.0, 96), (math.inf, 128))  # budget in seconds up to which, longest side
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class ImageEncoder:
    """Turn images into (n, C, H, W) float tensors.

    Parameters
    ----------
    channels, height, width
        What the network sees.
    low, high
        What becomes 0 and 1.
    notes
        What was done and has to be told.
    """

    channels: int
    height: int
    width: int
    low: float = 0.0
    high: float = 255.0
    notes: tuple[str, ...] = ()

    @classmethod
    def learn(cls, dataset: Dataset, *, seconds: float = math.inf) -> Self:
        """Learn the range of the values and choose the size."""
        images = np.asarray(dataset.inputs)
        channels, height, width = images.shape[1:]
        side = next(size for limit, size in _SIDES if seconds <= limit)
        notes: tuple[str, ...] = ()
        if max(height, width) > 1.25 * side:
            share = side / max(height, width)
            small = (max(1, round(height * share)), max(1, round(width * share)))
            notes = (
                f"images of {height} x {width} pixels were made smaller, {small[0]} x {small[1]}, to fit the budget; "
                "a longer budget takes larger ones",
            )
            height, width = small
        low, high = (0.0, 255.0) if images.dtype == np.uint8 else _range(images)
        return cls(channels, height, width, low, high, notes)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Make it again from its state."""
        return cls(*(state[name] for name in ("channels", "height", "width", "low", "high")))

    @property
    def constants(self) -> dict[str, Any]:
        """Nothing that the recipe has to know."""
        return {}

    def encode(self, dataset: Dataset) -> Tensor:
        """Return (n, C, H, W) float32 in [0, 1].

        Raises
        ------
        DataError
            If the images have another number of channels.
        """
        images = np.asarray(dataset.inputs)
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise DataError(f"the images need the shape (n, {self.channels}, height, width), got {images.shape}")
        parts = [self._part(torch.from_numpy(np.ascontiguousarray(part))) for part in _chunks(images)]
        return torch.cat(parts) if parts else torch.zeros(0, self.channels, self.height, self.width)

    def state(self) -> dict[str, Any]:
        """Return the sizes and the range."""
        return {n: getattr(self, n) for n in ("channels", "height", "width", "low", "high")}

    def example(self, rows: int) -> Tensor:
        """Return a batch of the right shape."""
        return (
            torch.linspace(0.0, 1.0, rows)[:, None, None, None]
            .expand(rows, self.channels, self.height, self.width)
            .clone()
        )

    def _part(self, images: Tensor) -> Tensor:
        x = images.float().sub_(self.low).div_(max(self.high - self.low, 1e-12))
        if tuple(x.shape[2:]) != (self.height, self.width):
            x = functional.interpolate(x, (self.height, self.width), mode="bilinear", antialias=True)
        return x


def _range(images: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Float images are in [0, 1] or [0, 255] by custom; anything else is taken by its own range."""
    low, high = float(images.min()), float(images.max())
    if low >= 0.0 and high <= 1.0:
        return 0.0, 1.0
    return (0.0, 255.0) if low >= 0.0 and 1.0 < high <= 255.0 and high > 16.0 else (low, high)


def _chunks(images: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    return [images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE)]
