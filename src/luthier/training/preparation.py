"""What is done to inputs before a network sees them: learned on the training data, applied to everything.

Every preparation is a plain function with what it has learned bound to it, so it can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from luthier.errors import SettingError, did_you_mean
from luthier.nets import LogMel
from luthier.training.scaling import Scaler
from luthier.training.trainer import Inputs

Prepare = Callable[[Inputs], Inputs]
IMAGE_SCALINGS = {
    "channel": (0, 2, 3),  # one mean and deviation for each channel of the training images
    "pixel": (0,),  # for each place
    "image": None,  # for each image its own, which takes brightness and contrast away
    "none": None,
}


def preparation(task: str, config: Mapping[str, Any], x: Inputs) -> Prepare:
    """Learn the preprocessing on the training inputs.

    Parameters
    ----------
    task
        Of a recipe.
    config
        Of its space.
    x
        Raw inputs, by task as `luthier.recipes.Recipe.plan` says.

    Raises
    ------
    SettingError
        If there are several inputs where there should be one, or a scaling is unknown.
    """
    if task == "tabular":
        numbers, *codes = x if isinstance(x, tuple) else (x,)
        return partial(_table, scaler=Scaler(config["scaling"]).fit(numbers), highest=[code.amax(0) for code in codes])
    if isinstance(x, tuple):
        raise SettingError(f"the {task} recipe takes one tensor of inputs, got a tuple of {len(x)}")
    if task == "image":
        return _images(config.get("scaling", "channel"), x)
    if task == "audio":
        mel = LogMel(
            config["rate"], mels=config["mels"], window_ms=config["window_ms"], hop_ms=config["hop_ms"]
        )  # fmt: skip
        features = _loudness(x, mel)
        return partial(_sounds, mel=mel, mean=features.mean(), std=features.std())
    return _same


def _same(x: Inputs) -> Inputs:
    return x


def _images(kind: str, x: Tensor) -> Prepare:
    if kind not in IMAGE_SCALINGS:
        known = ", ".join(IMAGE_SCALINGS)
        raise SettingError(f"no scaling {kind!r} of images{did_you_mean(kind, IMAGE_SCALINGS)}: use {known}")
    if kind == "none":
        return _same
    if kind == "image":
        return _own_light
    axes = IMAGE_SCALINGS[kind]
    return partial(_centered, mean=x.mean(axes, keepdim=True), std=x.std(axes, keepdim=True))


def _own_light(x: Tensor) -> Tensor:
    return _centered(x, x.mean((1, 2, 3), keepdim=True), x.std((1, 2, 3), keepdim=True))


def _centered(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (x - mean) / std.clamp(min=1e-6)


def _sounds(x: Tensor, *, mel: LogMel, mean: Tensor, std: Tensor) -> Tensor:
    return _centered(_loudness(x, mel), mean, std)


def _loudness(x: Tensor, mel: LogMel) -> Tensor:
    return torch.cat([mel(part) for part in x.split(64)])  # (n, mels, frames)


def _table(x: Inputs, *, scaler: Scaler, highest: list[Tensor]) -> Inputs:
    """Scale the numbers; codes that the training data did not have are unknown, 0."""
    if not isinstance(x, tuple):
        return scaler.transform(x)
    numbers, codes = x
    return scaler.transform(numbers), torch.where(codes <= highest[0], codes, 0)
