"""Periodic embeddings of numbers (Gorishniy et al. 2022, section 3.3): a perceptron sees steps it could not learn.

A number x becomes sines and cosines of several learned frequencies, and these a short vector:
relu(W [sin(2 pi c x), cos(2 pi c x)] + b), with c of its own for each column, W and b shared by all ("lite").
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Periodic(nn.Module):  # type: ignore[misc] # torch has no types here
    """Embed each number of a row.

    Parameters
    ----------
    columns
        Numbers of a row.
    frequencies
        Of each column.
    size
        Numbers that each becomes; the number itself stays beside them.
    spread
        Standard deviation of the frequencies at the start, in periods per unit: how fine the steps are.

    Examples
    --------
    >>> import torch
    >>> Periodic(3, size=4)(torch.zeros(5, 3)).shape
    torch.Size([5, 15])
    """

    def __init__(self, columns: int, *, frequencies: int = 16, size: int = 8, spread: float = 0.1) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(spread * torch.randn(columns, frequencies))
        self.mix = nn.Linear(2 * frequencies, size)
        self.width = columns * (size + 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, columns) -> (B, columns * (size + 1))
        angles = 2.0 * math.pi * self.frequencies * x[..., None]  # (B, columns, frequencies)
        waves = torch.cat([angles.sin(), angles.cos()], -1)
        return torch.cat([x, self.mix(waves).relu().flatten(1)], 1)
