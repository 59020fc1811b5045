"""A batch-normalized last layer: features and weights of length that does not count, and one learned scale.

The score of a class is ``scale * cos + bias`` where the cosine is that of the class's weights and of the features after
batch normalization without a scale of its own (Ioffe & Szegedy 2015; normalized weights: Wang et al. 2017, NormFace).
So no class wins by long weights, and how sure the network can be is one number, which training sets.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from luthier.errors import SettingError


class NormalizedHead(nn.Module):  # type: ignore[misc] # torch has no types here
    """The last layer of a classifier, in place of ``nn.Linear(inputs, classes)``.

    Parameters
    ----------
    inputs, classes
        Sizes at both ends.
    momentum
        Share of the newest batch in the accumulated statistics.
    scale
        Of the scores at first; learned, and kept positive by its logarithm.

    Raises
    ------
    SettingError
        If the scale is not positive.

    Examples
    --------
    >>> NormalizedHead(64, 10)(torch.randn(5, 64)).shape
    torch.Size([5, 10])
    """

    def __init__(self, inputs: int, classes: int, *, momentum: float = 0.1, scale: float = 8.0) -> None:
        super().__init__()
        if not scale > 0:
            raise SettingError(f"the scale of scores is positive, got {scale!r}")
        self.norm = nn.BatchNorm1d(inputs, momentum=momentum, affine=False)
        self.weight = nn.Parameter(torch.empty(classes, inputs).normal_())
        self.bias = nn.Parameter(torch.zeros(classes))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    @property
    def scale(self) -> float:
        """The largest distance of a score from its bias."""
        return float(self.log_scale.detach().exp())

    def forward(self, features: Tensor) -> Tensor:  # (B, inputs) -> (B, classes)
        cosine = functional.normalize(self.norm(features)) @ functional.normalize(self.weight).T
        return self.log_scale.exp() * cosine + self.bias
