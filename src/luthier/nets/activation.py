"""Activations by name."""

from __future__ import annotations

from torch import nn

from luthier.errors import SettingError, did_you_mean

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module:
    """Make an activation.

    Parameters
    ----------
    name
        One of `ACTIVATIONS`.

    Raises
    ------
    SettingError
        If there is none of this name.
    """
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise SettingError(f"no activation {name!r}{did_you_mean(name, ACTIVATIONS)}: use {known}")
    return ACTIVATIONS[name]()
