"""A VGG-style network (Simonyan & Zisserman 2015): stages of convolutions and pooling, then one linear layer."""

from __future__ import annotations

import math

from torch import Tensor, nn

from luthier.errors import SettingError
from luthier.nets.init import initialize
from luthier.nets.norm import needs_bias, normalized

POOLS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


class VGG(nn.Module):  # type: ignore[misc] # torch has no types here
    """Convolutions at falling resolution and growing width.

    Parameters
    ----------
    shape
        (channels, height, width) of an image.
    classes
        Outputs.
    depth
        Stages. A stage whose images are smaller than the pool does not pool.
    convs
        Convolutions of a stage.
    width
        Channels of the first stage; every further stage has twice as many, up to eight times.
    kernel
        Side of the convolutions, odd.
    pool
        Side of the pooling; 1 for none.
    pooling
        ``"max"`` or ``"average"``.
    activation, norm, norm_place, norm_momentum
        See `luthier.nets.norm.normalized`.
    dropout
        Share of the features dropped before the linear layer.
    init
        See `luthier.nets.init.initialize`.

    Raises
    ------
    SettingError
        If the kernel is even, or the pooling unknown.

    Examples
    --------
    >>> import torch
    >>> VGG((1, 28, 28), 10, depth=2, width=8)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        depth: int = 2,
        convs: int = 1,
        width: int = 32,
        kernel: int = 3,
        pool: int = 2,
        pooling: str = "max",
        activation: str = "relu",
        norm: str = "batch",
        norm_place: str = "before",
        norm_momentum: float = 0.1,
        dropout: float = 0.0,
        init: str = "he",
    ) -> None:
        super().__init__()
        if kernel % 2 == 0 or pooling not in POOLS:
            raise SettingError(
                f"a kernel is odd and a pooling 'max' or 'average', got kernel={kernel!r}, pooling={pooling!r}"
            )
        after = {
            "activation": activation, "norm": norm, "norm_place": norm_place, "norm_momentum": norm_momentum,
        }  # fmt: skip
        channels, *sides = shape
        layers: list[nn.Module] = []
        for stage in range(depth):
            wide = width * min(2**stage, 8)
            for _ in range(convs):
                bias = needs_bias(norm, norm_place)
                layers.append(nn.Conv2d(channels, wide, kernel, padding=kernel // 2, bias=bias))  # (B, wide, h, w)
                layers += normalized(wide, 2, **after)  # type: ignore[arg-type] # the values' types differ
                channels = wide
            if 1 < pool <= min(sides):
                layers.append(POOLS[pooling](pool))  # (B, wide, h // pool, w // pool)
                sides = [side // pool for side in sides]
        features = channels * math.prod(sides)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(features, classes))
        initialize(self, init)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.layers(x)
