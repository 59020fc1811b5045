"""What the machine is good at: 16-bit arithmetic and the order of images in memory."""

from __future__ import annotations

import contextlib
import functools
import time

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_GAIN = 1.2  # times faster, from which on 16 bits are worth it
_TRIES = 6


def suits_bfloat16(model: nn.Module, device: str = "cpu") -> str:
    """Say why a network should run in bfloat16 on a device; an empty string if it should not.

    Networks of linear layers as small as those here lose more by conversion than they gain, so only convolutions count.
    Not every processor that has instructions for it gains by them, so a convolution is timed both ways, once in a
    process.

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
            return what if bfloat16_gain() >= _GAIN else ""
    return ""


@functools.cache
def bfloat16_gain() -> float:
    """Return how many times faster this processor trains a small convolution in bfloat16, the best of several tries.

    A virtual machine may offer AVX-512 BF16 and be slower with it: 0.7 was measured where others have 1.9.
    """
    x = torch.linspace(-1.0, 1.0, 32 * 32 * 28 * 28).reshape(32, 32, 28, 28).to(memory_format=torch.channels_last)
    weight = torch.linspace(-0.1, 0.1, 32 * 32 * 9).reshape(32, 32, 3, 3).to(memory_format=torch.channels_last)
    x.requires_grad_()
    weight.requires_grad_()
    taken = {}
    for short in (False, True):
        tries = []
        for _ in range(_TRIES):
            begun = time.perf_counter()
            with torch.autocast("cpu", dtype=torch.bfloat16) if short else contextlib.nullcontext():
                y = nn.functional.relu(nn.functional.conv2d(x, weight, padding=1))
            torch.autograd.grad(y.float().sum(), (x, weight))
            tries.append(time.perf_counter() - begun)
        taken[short] = min(tries)
    return taken[False] / taken[True]


def suits_channels_last(model: nn.Module) -> bool:
    """Tell whether images should be (B, H, W, C) in memory: where there are convolutions over two dimensions."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())
