"""From a configuration of a recipe to a trainer: preprocessing, network, optimizer, loss and schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from luthier.errors import SettingError
from luthier.nets import VGG, AudioNet, ResNet, Seq2Seq, TabularNet, TextNet
from luthier.nets.seq2seq import BEGIN, UNKNOWN, shifted
from luthier.training import augment, metrics, mixing
from luthier.training.losses import CrossEntropy, Regression, class_weights
from luthier.training.optimizers import make_optimizer, rows_of_a_step, scaled_rate
from luthier.training.preparation import Prepare, preparation
from luthier.training.scaling import Scaler
from luthier.training.settings import Precision, Settings
from luthier.training.trainer import Augment, Data, Inputs, Mix, Trainer

Config = Mapping[str, Any]
_LARGE = 1024  # rows of a step from which on a rate in proportion to them is too high
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
        Of the targets of a regression; of kind ``"none"`` for classes and sequences.
    written : int
        Most tokens of a target sequence; 0 where targets are no sequences.
    """

    trainer: Trainer
    prepare: Prepare
    train: Data
    target: Scaler
    written: int = 0

    def fit(self, valid: Data | None = None, *, run: Any = None) -> list[dict[str, float]]:
        """Train and return the curve; arguments as in `Trainer.fit`, with raw inputs.

        Scores of a regression are in units of the scaled targets while it trains.
        """
        return self.trainer.fit(self.train, None if valid is None else self.data(valid), run=run)

    def data(self, raw: Data) -> Data:
        """Return inputs and targets as the trainer takes them."""
        x, y = self.prepare(raw[0]), raw[1]
        if self.written:
            return _sequences(x, y)
        return x, y if self.target.kind == "none" else self.target.transform(_column(y)).view_as(y)

    def predict(self, x: Inputs) -> Tensor:
        """Return logits, (n, classes), or predicted targets, (n,) or (n, k), of raw inputs.

        Of sequences it returns what the network writes, (n, written) int tokens without the one that begins.
        """
        if self.written:
            return self.trainer.write(self.prepare(x), self.written).cpu()
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
    precision: Precision = "auto",
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
    if classes is None and task not in ("tabular", "seq2seq"):
        raise SettingError(f"the {task} recipe is for classification: say classes=")
    prepare = preparation(task, config, train[0])
    x, y, target = prepare(train[0]), train[1], Scaler("none")
    if task == "seq2seq":
        x, y = _sequences(x, y)
    elif not classes:
        target.kind = "standard"
        y = target.fit(_column(y)).transform(_column(y)).view_as(y)
    rows = rows_of_a_step(config["optimizer"], config["batch_size"], len(y))
    settings = Settings(
        **_taken(Settings, {**config, "batch_size": rows}), seed=seed, device=device, precision=precision,
        accumulate=min(accumulate, rows),
    )  # fmt: skip
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = _NETWORKS[task](config, x, classes or _column(y).shape[1]).to(device)
    trainer = Trainer(
        model,
        _optimizer(model, config, rows),
        _loss(task, config, y, classes),
        settings=settings,
        augment=_augmentation(task, config),
        mix=_mixing(config, classes),
        score=_SCORES.get(task, metrics.classification if classes else metrics.regression),
    )
    return Plan(trainer, prepare, (x, y), target, y.shape[1] if task == "seq2seq" else 0)


def _sequences(source: Inputs, target: Tensor) -> Data:
    """What the network reads, the source and the target so far; and what it is to write."""
    if target.dim() != 2 or isinstance(source, tuple):
        raise SettingError(f"sequences are (n, T) tokens, got targets of shape {tuple(target.shape)}")
    if bool((target[:, 0] == BEGIN).all()):
        target = target[:, 1:]
    return (source, shifted(target)), target


def _optimizer(model: nn.Module, config: Config, batch_size: int) -> torch.optim.Optimizer:
    name = config["optimizer"]
    rate = config["lr"] if "lr" in config else config["sgd_lr"]
    return make_optimizer(
        model,
        name,
        lr=scaled_rate(rate, batch_size, rule="sqrt" if name in _SQRT or batch_size > _LARGE else "linear"),
        momentum=config.get("momentum", 0.0 if name == "rmsprop" else 0.9),
        weight_decay=config.get("weight_decay", config.get("l2_decay", 0.0)),
    )


def _loss(task: str, config: Config, y: Tensor, classes: int | None) -> Callable[[Tensor, Tensor], Tensor]:
    smoothing, focus = config.get("label_smoothing", 0.0), config.get("focus", 0.0)
    if task == "seq2seq":
        return CrossEntropy(smoothing=smoothing, ignore=0)
    if classes is None:
        return Regression(config.get("error", "squared"))
    rule = config.get("class_weights", "none")
    weights = None if rule == "none" else class_weights(y.cpu(), classes, rule=rule)
    return CrossEntropy(smoothing=smoothing, weights=weights, focus=focus)


def _augmentation(task: str, config: Config) -> Augment | None:
    if task == "image":
        return partial(augment.images, strength=config["augment"], mirror=config["mirror"])
    if task == "audio":
        return partial(augment.spectrograms, strength=config["augment"])
    if task == "text":
        return partial(augment.tokens, chance=config["token_dropout"])
    if task == "seq2seq" and config["token_dropout"]:
        return partial(_forgetful, chance=config["token_dropout"])
    return None


def _forgetful(x: tuple[Tensor, Tensor], generator: torch.Generator, *, chance: float) -> tuple[Tensor, Tensor]:
    """Hide some of what was written so far, so that the decoder relies on it less (Bowman et al. 2016)."""
    return x[0], augment.tokens(x[1], generator, chance=chance, unknown=UNKNOWN)


def _mixing(config: Config, classes: int | None) -> Mix | None:
    kind = config.get("mixup", "none")
    if kind == "none" or classes is None:
        return None
    mix = mixing.mixup if kind == "mixup" else mixing.cutmix

    def mixed(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return mix(x, y, classes=classes, alpha=config["mixup_alpha"], generator=generator)

    return mixed


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


def _seq2seq_net(config: Config, x: tuple[Tensor, Tensor], _: int) -> nn.Module:
    length = max(x[0].shape[1], x[1].shape[1], 256)
    return Seq2Seq(config["vocabulary"], config["target_vocabulary"], length=length, **_taken(Seq2Seq, config))


_NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "image": _image_net,
    "text": _text_net,
    "audio": _audio_net,
    "tabular": _tabular_net,
    "seq2seq": _seq2seq_net,
}
_SCORES: dict[str, Callable[[Tensor, Tensor], dict[str, float]]] = {"seq2seq": metrics.sequences}


def _taken(made: Callable[..., Any], config: Config, *, but: str = "") -> dict[str, Any]:
    """Pick what a network or the settings take from a configuration, by name."""
    known = inspect.signature(made).parameters
    return {name: value for name, value in config.items() if name in known and name != but}
