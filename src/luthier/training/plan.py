"""From a configuration of a recipe to a trainer: preprocessing, network, optimizer, loss and schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from luthier.errors import SettingError
from luthier.nets import VGG, AudioNet, LogMel, ResNet, TabularNet, TextNet
from luthier.training import augment, metrics, mixing
from luthier.training.losses import CrossEntropy, Regression, class_weights
from luthier.training.optimizers import make_optimizer, scaled_rate
from luthier.training.scaling import Scaler
from luthier.training.trainer import Augment, Data, Inputs, Mix, Settings, Trainer

Config = Mapping[str, Any]
_SQRT = ("adam", "adamw", "rmsprop", "adagrad")  # the optimizers whose rate goes with the root of the batch size


@dataclass(frozen=True, slots=True)
class Plan:
    """A trainer, and what has to be done to data before and after it.

    Attributes
    ----------
    trainer : Trainer
    prepare : callable
        Turns raw inputs into the network's.
    train : tuple
        Prepared inputs and targets.
    target : Scaler
        Of the targets of a regression; of kind ``"none"`` for classes.
    """

    trainer: Trainer
    prepare: Callable[[Inputs], Inputs]
    train: Data
    target: Scaler

    def fit(self, valid: Data | None = None, *, run: Any = None) -> list[dict[str, float]]:
        """Train and return the curve; arguments as in `Trainer.fit`, with raw inputs.

        Scores of a regression are in units of the scaled targets while it trains.
        """
        if valid is not None:
            y = valid[1] if self.target.kind == "none" else self.target.transform(_column(valid[1])).view_as(valid[1])
            valid = (self.prepare(valid[0]), y)
        return self.trainer.fit(self.train, valid, run=run)

    def predict(self, x: Inputs) -> Tensor:
        """Return logits, (n, classes), or predicted targets, (n,) or (n, k), of raw inputs."""
        outputs = self.trainer.predict(self.prepare(x)).cpu()
        return outputs if self.target.kind == "none" else self.target.inverse(outputs).squeeze(-1)


def make_plan(
    task: str,
    config: Config,
    train: Data,
    *,
    classes: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    precision: Literal["float32", "bfloat16"] = "float32",
    accumulate: int = 1,
) -> Plan:
    """Make a plan; `luthier.recipes.Recipe.plan` describes the arguments.

    Raises
    ------
    SettingError
        If there is no such task, or it needs classes and there are none.
    """
    if task not in _NETWORKS:
        raise SettingError(f"no task {task!r}: use {', '.join(_NETWORKS)}")
    if classes is None and task != "tabular":
        raise SettingError(f"the {task} recipe is for classification: say classes=")
    prepare = _preparation(task, config, train[0])
    x, y = prepare(train[0]), train[1]
    target = Scaler("none") if classes else Scaler("standard").fit(_column(y))
    if not classes:
        y = target.transform(_column(y.float())).view_as(y)
    settings = Settings(
        **_taken(Settings, {**config, "batch_size": min(config["batch_size"], len(y))}), seed=seed, device=device,
        precision=precision, accumulate=min(accumulate, len(y)), channels_last=task == "image",
    )  # fmt: skip
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = _NETWORKS[task](config, x, classes or _column(y).shape[1]).to(device)
    trainer = Trainer(
        model,
        _optimizer(model, config, settings.batch_size),
        Regression() if classes is None else _loss(config, y, classes),
        settings=settings,
        augment=_augmentation(task, config),
        mix=_mixing(config, classes),
        score=metrics.classification if classes else metrics.regression,
    )
    return Plan(trainer, prepare, (x, y), target)


def _optimizer(model: nn.Module, config: Config, batch_size: int) -> torch.optim.Optimizer:
    name = config["optimizer"]
    rate = config["lr"] if "lr" in config else config["sgd_lr"]
    return make_optimizer(
        model,
        name,
        lr=scaled_rate(rate, batch_size, rule="sqrt" if name in _SQRT else "linear"),
        momentum=config.get("momentum", 0.0 if name == "rmsprop" else 0.9),
        weight_decay=config.get("weight_decay", config.get("l2_decay", 0.0)),
    )


def _loss(config: Config, y: Tensor, classes: int) -> CrossEntropy:
    rule = config.get("class_weights", "none")
    weights = None if rule == "none" else class_weights(y.cpu(), classes, rule=rule)
    return CrossEntropy(smoothing=config.get("label_smoothing", 0.0), weights=weights)


def _augmentation(task: str, config: Config) -> Augment | None:
    if task == "image":
        return partial(augment.images, strength=config["augment"], mirror=config["mirror"])
    if task == "audio":
        return partial(augment.spectrograms, strength=config["augment"])
    return partial(augment.tokens, chance=config["token_dropout"]) if task == "text" else None


def _mixing(config: Config, classes: int | None) -> Mix | None:
    kind = config.get("mixup", "none")
    if kind == "none" or classes is None:
        return None
    mix = mixing.mixup if kind == "mixup" else mixing.cutmix

    def mixed(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return mix(x, y, classes=classes, alpha=config["mixup_alpha"], generator=generator)

    return mixed


# -- preprocessing -----------------------------------------------------------------------------------------------------


def _preparation(task: str, config: Config, x: Inputs) -> Callable[[Inputs], Inputs]:
    """Learn the preprocessing on the training data."""
    if task == "tabular":
        numbers, *codes = x if isinstance(x, tuple) else (x,)
        return partial(_table, scaler=Scaler(config["scaling"]).fit(numbers), highest=[code.amax(0) for code in codes])
    if isinstance(x, tuple):
        raise SettingError(f"the {task} recipe takes one tensor of inputs, got a tuple of {len(x)}")
    if task == "image":
        return partial(_centered, mean=x.mean((0, 2, 3), keepdim=True), std=x.std((0, 2, 3), keepdim=True))
    if task == "audio":
        mel = LogMel(**_taken(LogMel, config))
        features = _loudness(x, mel)
        return lambda x: _centered(_loudness(x, mel), features.mean(), features.std())
    return lambda x: x


def _centered(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (x - mean) / std.clamp(min=1e-6)


def _loudness(x: Tensor, mel: LogMel) -> Tensor:
    return torch.cat([mel(part) for part in x.split(64)])  # (n, mels, frames)


def _table(x: Inputs, *, scaler: Scaler, highest: list[Tensor]) -> Inputs:
    """Scale the numbers; codes that the training data did not have are unknown, 0."""
    if not isinstance(x, tuple):
        return scaler.transform(x)
    numbers, codes = x
    return scaler.transform(numbers), torch.where(codes <= highest[0], codes, 0)


def _column(y: Tensor) -> Tensor:
    return y.float().view(len(y), -1)


# -- networks ----------------------------------------------------------------------------------------------------------


def _image_net(config: Config, x: Tensor, classes: int) -> nn.Module:
    net = ResNet if config["family"] == "resnet" else VGG
    return net(tuple(x.shape[1:]), classes, **_taken(net, {**config, "convs": config["blocks"]}))


def _text_net(config: Config, x: Tensor, classes: int) -> nn.Module:
    length = max(x.shape[1], 512)
    return TextNet(config["vocabulary"], classes, length=length, **_taken(TextNet, config, but="vocabulary"))


def _audio_net(config: Config, x: Tensor, classes: int) -> nn.Module:
    return AudioNet(x.shape[1], classes, **_taken(AudioNet, config, but="mels"))


def _tabular_net(config: Config, x: Inputs, outputs: int) -> nn.Module:
    numbers, *codes = x if isinstance(x, tuple) else (x,)
    categories = (codes[0].amax(0) + 1).tolist() if codes else []
    return TabularNet(numbers.shape[1], categories, outputs, **_taken(TabularNet, config))


_NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "image": _image_net,
    "text": _text_net,
    "audio": _audio_net,
    "tabular": _tabular_net,
}


def _taken(made: Callable[..., Any], config: Config, *, but: str = "") -> dict[str, Any]:
    """Pick what a network or the settings take from a configuration, by name."""
    known = inspect.signature(made).parameters
    return {name: value for name, value in config.items() if name in known and name != but}
