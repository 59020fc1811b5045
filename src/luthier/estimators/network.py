"""A trained network with what its recipe does before and after it: encoded inputs to outputs, in one module.

`luthier.training.plan` learns that part on the training data of each trial; here it is made of tensors that can be
saved with the weights, and the two are compared when a network is taken out of a plan.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from luthier.errors import LuthierError
from luthier.estimators.encoders import Encoder
from luthier.estimators.targets import Targets
from luthier.nets import LogMel
from luthier.recipes import Recipe
from luthier.training import Scaler

Config = Mapping[str, Any]
_AT_ONCE = 256


class Network(nn.Module):  # type: ignore[misc] # torch has no types here
    """Encoded inputs to logits (n, C), or to targets on their scale (n,).

    Parameters
    ----------
    front
        What is done to the inputs.
    net
        The network.
    center, width
        Undo the scaling of the targets in training; None where there is none.
    """

    def __init__(self, front: nn.Module, net: nn.Module, center: Tensor | None = None, width: Tensor | None = None):
        super().__init__()
        self.front, self.net = front, net
        self.register_buffer("center", center)
        self.register_buffer("width", width)

    def forward(self, *x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        ready = self.front(*x)
        outputs = self.net(*ready) if isinstance(ready, tuple) else self.net(ready)
        if self.center is None:
            return outputs
        return (outputs * self.width + self.center).squeeze(-1)

    def predict(self, x: Any, *, device: str = "cpu") -> Tensor:
        """Return the outputs of any number of rows, in evaluation mode, on the CPU.

        Tables on the CPU are computed in 64 bits: then a row gives the same alone and among others.
        """
        parts = x if isinstance(x, tuple) else (x,)
        exact = isinstance(self.front, TableFront) and device == "cpu"
        model = copy.deepcopy(self).double() if exact else self.to(device)
        model.eval()
        outputs = []
        with torch.inference_mode():
            for index in torch.arange(len(parts[0])).split(_AT_ONCE):
                rows = [part.index_select(0, index).to(device) for part in parts]
                outputs.append(model(*(r.double() if exact and r.is_floating_point() else r for r in rows)).cpu())
        return torch.cat(outputs) if outputs else torch.zeros(0, 1)


class PixelFront(nn.Module):  # type: ignore[misc]
    """Images with mean 0 and deviation 1 in each channel."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        return (x - self.mean) / self.std.clamp(min=1e-6)


class OwnLight(nn.Module):  # type: ignore[misc]
    """Images with mean 0 and deviation 1 each."""

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        return (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True).clamp(min=1e-6)


class SoundFront(nn.Module):  # type: ignore[misc]
    """Waves as log-mel features with mean 0 and deviation 1."""

    def __init__(self, mel: LogMel, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mel = mel
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:  # (B, samples) -> (B, mels, frames)
        return (self.mel(x) - self.mean) / self.std.clamp(min=1e-6)


class TableFront(nn.Module):  # type: ignore[misc]
    """Scaled numbers; codes of categories that the training data did not have become 0, unknown."""

    def __init__(self, kind: str, learned: Mapping[str, Tensor], highest: Tensor | None = None) -> None:
        super().__init__()
        self.kind = kind
        self.names = tuple(learned)
        for name, value in learned.items():
            self.register_buffer(name, value)
        self.register_buffer("highest", highest)

    def forward(self, numbers: Tensor, codes: Tensor | None = None) -> Any:  # (B, d), (B, m)
        scaled = self.scaled(numbers)
        return scaled if codes is None else (scaled, torch.where(codes <= self.highest, codes, 0))

    def scaled(self, numbers: Tensor) -> Tensor:
        """Return the numbers scaled."""
        scaler = Scaler(self.kind)
        scaler.load_state_dict({"kind": self.kind, **{name: getattr(self, name).double() for name in self.names}})
        return scaler.transform(numbers)


class Same(nn.Module):  # type: ignore[misc]
    """Tokens as they are."""

    def forward(self, *x: Tensor) -> Any:
        """Return what came in."""
        return x if len(x) > 1 else x[0]


# -- out of a plan -----------------------------------------------------------------------------------------------------


def network_from(plan: Any, task: str, config: Config, x: Any) -> Network:
    """Take a trained network out of a plan (Any: `luthier.training.plan.Plan`).

    Parameters
    ----------
    plan
        Trained.
    task, config
        What it was made for.
    x
        The encoded inputs that it was trained on.

    Raises
    ------
    LuthierError
        If it would not do the same as the plan: then the two have come apart.
    """
    learned = plan.target.state_dict()
    center, width = learned.get("center"), learned.get("width")
    network = Network(_learned_front(task, config, plan.prepare), plan.trainer.model.cpu(), center, width)
    few = tuple(part[:4] for part in x) if isinstance(x, tuple) else x[:4]
    ours, theirs = network.front(*few) if isinstance(few, tuple) else network.front(few), plan.prepare(few)
    for mine, other in zip(_listed(ours), _listed(theirs), strict=True):
        if not torch.allclose(mine.float(), other.float(), rtol=1e-3, atol=1e-4):
            raise LuthierError(f"the preparation of {task} inputs differs from that of the plan: report this as a bug")
    return network


def _learned_front(task: str, config: Config, prepare: Any) -> nn.Module:
    """Take over what the plan has learned: it is bound to its function (`luthier.training.preparation`)."""
    learned = dict(getattr(prepare, "keywords", {}))
    if task == "tabular":
        state = learned["scaler"].state_dict()
        highest = learned["highest"]
        return TableFront(state.pop("kind"), state, highest[0] if highest else None)
    if task == "audio":
        return SoundFront(_mel(config), learned["mean"], learned["std"])
    if task == "image" and learned:
        return PixelFront(learned["mean"], learned["std"])
    return OwnLight() if task == "image" and config.get("scaling") == "image" else Same()


def _mel(config: Config) -> LogMel:
    return LogMel(config["rate"], mels=config["mels"], window_ms=config["window_ms"], hop_ms=config["hop_ms"])


# -- out of a file -----------------------------------------------------------------------------------------------------


def network_of(
    recipe: Recipe, config: Config, tensors: Mapping[str, Tensor], *, encoder: Encoder, targets: Targets
) -> Network:
    """Build a network again and give it its weights.

    Parameters
    ----------
    recipe
        Of the task.
    config
        Of the network.
    tensors
        Its ``state_dict``.
    encoder, targets
        Of the model.
    """
    front = _saved_front(recipe.task, config, tensors)
    x = encoder.example(2)
    if isinstance(x, tuple):
        x = (x[0], tensors["front.highest"].expand(2, -1).clone())
    y = torch.arange(2) if targets.classes else targets_example(targets)
    plain = {**config, "class_weights": "none"} if "class_weights" in config else dict(config)
    plan = recipe.plan(plain, (x, y), classes=targets.classes)
    scaled = "center" in tensors
    blank = torch.zeros_like(tensors["center"]) if scaled else None
    network = Network(front, plan.trainer.model, blank, blank)
    network.load_state_dict(dict(tensors))
    network.eval()
    return network


def targets_example(targets: Targets) -> Tensor:
    """Return two targets of a kind that has no classes."""
    length = getattr(targets, "length", None)
    if length is None:
        return torch.tensor([0.0, 1.0])
    return torch.ones(2, length + 1, dtype=torch.long)


def _saved_front(task: str, config: Config, tensors: Mapping[str, Tensor]) -> nn.Module:
    saved = {name.removeprefix("front."): value for name, value in tensors.items() if name.startswith("front.")}
    if task == "image" and saved:
        return PixelFront(saved["mean"], saved["std"])
    if task == "image":
        return OwnLight() if config.get("scaling") == "image" else Same()
    if task == "audio":
        return SoundFront(_mel(config), saved["mean"], saved["std"])
    if task == "tabular":
        highest = saved.pop("highest", None)
        return TableFront(config["scaling"], saved, highest)
    return Same()


def _listed(x: Any) -> list[Tensor]:
    return list(x) if isinstance(x, tuple) else [x]
