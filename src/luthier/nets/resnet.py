"""A ResNet (He et al. 2016): blocks that add what they compute to what they were given."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from luthier.errors import SettingError
from luthier.nets.init import initialize
from luthier.nets.norm import needs_bias, norm_layer, normalized


class ResNet(nn.Module):  # type: ignore[misc] # torch has no types here
    """Stages of residual blocks, the first of each halving the resolution; average over places, then one linear layer.

    Parameters
    ----------
    shape
        (channels, height, width) of an image.
    classes
        Outputs.
    depth
        Stages.
    blocks
        Blocks of a stage, of two convolutions each.
    width
        Channels of the first stage; every further stage has twice as many, up to eight times.
    kernel
        Side of the convolutions, odd.
    pool
        By how much a stage after the first lowers the resolution.
    residual
        False leaves the additions out, which shows what they are good for.
    activation, norm, norm_place, norm_momentum
        See `luthier.nets.norm.normalized`.
    dropout
        Share of the features dropped before the linear layer.
    init
        See `luthier.nets.init.initialize`. The scale of the last normalization of a block starts at zero, so that the
        network starts as a shallow one (Goyal et al. 2017, section 5.1).

    Raises
    ------
    SettingError
        If the kernel is even.

    Examples
    --------
    >>> import torch
    >>> ResNet((3, 32, 32), 10, depth=2, width=8)(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        depth: int = 3,
        blocks: int = 1,
        width: int = 16,
        kernel: int = 3,
        pool: int = 2,
        residual: bool = True,
        activation: str = "relu",
        norm: str = "batch",
        norm_place: str = "before",
        norm_momentum: float = 0.1,
        dropout: float = 0.0,
        init: str = "he",
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise SettingError(f"a kernel is odd, such as 3, got {kernel!r}")
        after = {
            "activation": activation, "norm": norm, "norm_place": norm_place, "norm_momentum": norm_momentum,
        }  # fmt: skip
        bias = needs_bias(norm, norm_place)
        layers = [nn.Conv2d(shape[0], width, kernel, padding=kernel // 2, bias=bias), *normalized(width, 2, **after)]  # type: ignore[arg-type] # the values' types differ
        channels, side = width, min(shape[1:])
        for stage in range(depth):
            wide = width * min(2**stage, 8)
            for block in range(blocks):
                stride = pool if stage and not block and side >= pool else 1
                layers.append(Block(channels, wide, kernel=kernel, stride=stride, residual=residual, after=after))
                channels, side = wide, -(-side // stride)
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, classes)]
        self.layers = nn.Sequential(*layers, *head)
        initialize(self, init)
        for module in self.modules():
            if isinstance(module, Block):
                module.start_as_identity()

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.layers(x)


class Block(nn.Module):  # type: ignore[misc] # torch has no types here
    """Two convolutions around which the input is carried.

    Parameters
    ----------
    channels, wide
        Channels at its input and output.
    kernel, stride
        Of its convolutions; only the first has the stride.
    residual
        Whether the input is added.
    after
        The arguments of `luthier.nets.norm.normalized`.
    """

    def __init__(
        self, channels: int, wide: int, *, kernel: int, stride: int, residual: bool, after: dict[str, Any]
    ) -> None:
        super().__init__()
        self.residual = residual
        norm, place = after["norm"], after["norm_place"]
        options = {"padding": kernel // 2, "bias": needs_bias(norm, place)}
        self.first = nn.Sequential(
            nn.Conv2d(channels, wide, kernel, stride=stride, **options), *normalized(wide, 2, **after)
        )
        *rest, last = normalized(wide, 2, **after)  # "before": norm, activation; "after": activation, norm
        self.second = nn.Sequential(nn.Conv2d(wide, wide, kernel, **options), *rest)
        self.last = last  # follows the addition
        self.shortcut = nn.Identity()
        if residual and (stride > 1 or channels != wide):
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, wide, 1, stride=stride, bias=norm == "none"),
                norm_layer(norm, wide, momentum=after["norm_momentum"]),
            )

    def forward(self, x: Tensor) -> Tensor:  # (B, channels, h, w) -> (B, wide, h / stride, w / stride)
        y = self.second(self.first(x))
        return self.last(y + self.shortcut(x) if self.residual else y)

    def start_as_identity(self) -> None:
        """Zero the scale of the normalization that ends the branch, where there is one."""
        if not self.residual:
            return
        ends = [module for module in self.second if getattr(module, "weight", None) is not None]
        if len(ends) > 1:  # the convolution and a normalization
            nn.init.zeros_(ends[-1].weight)
