"""Initial weights: normal, Xavier (Glorot & Bengio 2010), He (He et al. 2015), orthogonal (Saxe et al. 2014).

What the schemes are after: a layer of n inputs that sums n terms of variance v w has output variance n v w. Xavier
keeps it at 1 for both directions (v = 2 / (n_in + n_out)); He doubles it because ReLU drops half (v = 2 / n_in).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from luthier.errors import SettingError, did_you_mean

SCHEMES = ("default", "normal", "xavier", "he", "orthogonal")
_NORMAL_STD = 0.05


def initialize(model: nn.Module, scheme: str = "he", *, generator: torch.Generator | None = None) -> nn.Module:
    """Draw the weights of all linear, convolutional, recurrent and embedding layers anew; zero their biases.

    Parameters
    ----------
    model
        Changed in place; its normalization layers stay as they are.
    scheme
        ``"normal"`` (standard deviation 0.05), ``"xavier"``, ``"he"``, ``"orthogonal"``, or ``"default"`` to leave
        everything as PyTorch made it. Embeddings get a standard deviation of ``dim ** -0.5`` in every scheme.
    generator
        Where the draws come from; by default torch's own.

    Returns
    -------
    The same model.

    Raises
    ------
    SettingError
        If there is no such scheme.
    """
    if scheme not in SCHEMES:
        raise SettingError(f"no scheme {scheme!r}{did_you_mean(scheme, SCHEMES)}: use {', '.join(SCHEMES)}")
    if scheme == "default":
        return model
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
                draw(module.weight, scheme, generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.RNNBase):
                _recurrent(module, scheme, generator)
            elif isinstance(module, nn.Embedding):
                module.weight.normal_(0.0, module.embedding_dim**-0.5, generator=generator)
                if module.padding_idx is not None:
                    module.weight[module.padding_idx].zero_()
    return model


def draw(weight: Tensor, scheme: str, generator: torch.Generator | None = None) -> Tensor:
    """Fill one weight, (out, in) or (out, in, *kernel), in place, and return it."""
    if scheme == "normal":
        return weight.normal_(0.0, _NORMAL_STD, generator=generator)
    if scheme == "orthogonal":
        return nn.init.orthogonal_(weight, gain=math.sqrt(2.0), generator=generator)
    field = weight[0][0].numel()  # a unit of a convolution sees `field` pixels of each input channel
    fan_in, fan_out = weight.shape[1] * field, weight.shape[0] * field
    variance = 2.0 / fan_in if scheme == "he" else 2.0 / (fan_in + fan_out)
    return weight.normal_(0.0, math.sqrt(variance), generator=generator)


def _recurrent(module: nn.Module, scheme: str, generator: torch.Generator | None) -> None:
    for name, value in module.named_parameters():
        if "bias" in name:
            value.zero_()
            continue
        for gate in value.split(module.hidden_size):  # the gates are stacked: (gates * hidden, in)
            if "weight_hh" in name:
                nn.init.orthogonal_(gate, generator=generator)  # a state that goes round must neither grow nor fade
            else:
                draw(gate, scheme, generator)
