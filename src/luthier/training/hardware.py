"""What the machine is good at: 16-bit arithmetic and the order of images in memory."""

from __future__ import annotations

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def suits_bfloat16(model: nn.Module, device: str = "cpu") -> str:
    """Say why a network should run in bfloat16 on a device; an empty string if it should not.

    Networks of linear layers as small as those here lose more by conversion than they gain, so only convolutions count.

    Parameters
    ----------
    model
        The network.
    device
        Where it is trained.

    Returns
    -------
    str
        What multiplies in 16 bits there.
    """
    if not any(isinstance(module, _CONVOLUTIONS) for module in model.modules()):
        return ""
    if device.startswith("cuda"):
        return "the GPU's tensor cores" if torch.cuda.is_bf16_supported() else ""
    if device != "cpu":
        return ""
    told = {
        "_is_amx_tile_supported": "the processor's AMX",
        "_is_avx512_bf16_supported": "the processor's AVX-512 BF16",
    }
    for name, what in told.items():
        supported = getattr(torch.cpu, name, None)  # private, and missing in old versions of torch
        if supported is not None and supported():
            return what
    return ""


def suits_channels_last(model: nn.Module) -> bool:
    """Tell whether images should be (B, H, W, C) in memory: where there are convolutions over two dimensions."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())
