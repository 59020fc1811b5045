"""Sound classifiers on log-mel features: convolutions over time (1-D), or over time and pitch (2-D)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from luthier.errors import SettingError
from luthier.nets.init import initialize
from luthier.nets.norm import needs_bias, normalized


class AudioNet(nn.Module):  # type: ignore[misc] # torch has no types here
    """Stages of a convolution and pooling; average and maximum over time, then one linear layer.

    Any length will do: the time axis is pooled away.

    Parameters
    ----------
    mels
        Bands of the features (`luthier.nets.LogMel`).
    classes
        Outputs.
    dims
        1: the bands are channels, the network slides over time only. 2: the features are an image, so that a voice may
        also be higher or lower.
    depth
        Stages.
    width
        Channels of the first stage; every further stage has twice as many, up to four times.
    kernel
        Side of the convolutions, odd.
    pool
        Side of the pooling; 1 for none.
    activation, norm, norm_place, norm_momentum
        See `luthier.nets.norm.normalized`.
    dropout
        Share of the features dropped before the linear layer.
    init
        See `luthier.nets.init.initialize`.

    Raises
    ------
    SettingError
        If `dims` is not 1 or 2, or the kernel even.

    Examples
    --------
    >>> import torch
    >>> AudioNet(40, 10, dims=1, width=8)(torch.zeros(3, 40, 101)).shape
    torch.Size([3, 10])
    """

    def __init__(
        self,
        mels: int,
        classes: int,
        *,
        dims: int = 2,
        depth: int = 3,
        width: int = 24,
        kernel: int = 3,
        pool: int = 2,
        activation: str = "relu",
        norm: str = "batch",
        norm_place: str = "before",
        norm_momentum: float = 0.1,
        dropout: float = 0.0,
        init: str = "he",
    ) -> None:
        super().__init__()
        if dims not in (1, 2) or kernel % 2 == 0:
            raise SettingError(f"dims is 1 or 2 and a kernel odd, got dims={dims!r}, kernel={kernel!r}")
        self.dims = dims
        conv = nn.Conv1d if dims == 1 else nn.Conv2d
        pooling = nn.MaxPool1d if dims == 1 else nn.MaxPool2d
        channels, bands = (mels, 1) if dims == 1 else (1, mels)
        layers: list[nn.Module] = []
        for stage in range(depth):
            wide = width * min(2**stage, 4)
            layers.append(conv(channels, wide, kernel, padding=kernel // 2, bias=needs_bias(norm, norm_place)))
            layers += normalized(
                wide, dims, activation=activation, norm=norm, norm_place=norm_place, norm_momentum=norm_momentum
            )
            layers.append(pooling(pool, ceil_mode=True))  # (B, wide, bands / pool, frames / pool)
            channels, bands = wide, -(-bands // pool)
        self.layers = nn.Sequential(*layers)
        features = 2 * channels * bands
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, classes))
        initialize(self, init)

    def forward(self, x: Tensor) -> Tensor:  # (B, mels, frames) -> (B, classes)
        x = self.layers(x if self.dims == 1 else x[:, None])  # (B, channels, [bands,] frames)
        pooled = torch.cat([x.mean(-1), x.amax(-1)], 1)  # (B, 2 channels, [bands])
        return self.head(pooled.flatten(1))
