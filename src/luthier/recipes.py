"""Recipes: for each task a space with priors from practice, and the order in which to tune it.

The priors alone, the first trial of a study, are a respectable model. Learning rates are meant at batch size 64 and are
carried over to others, so that the two can be tuned one after the other. Only `Recipe.plan` needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from luthier.condition import Condition
from luthier.errors import SettingError, did_you_mean
from luthier.parameter import Choice, Float, Int, Ordinal
from luthier.search import staged
from luthier.space import Space

if TYPE_CHECKING:
    from luthier.training.plan import Plan

_USUAL = ("adam", "adamw", "rmsprop", "momentum", "nesterov")
_ALL = (*_USUAL, "adagrad", "sgd", "full_batch", "stochastic")  # the last two are slow
_DESCENDS = Condition({"optimizer": ["momentum", "nesterov", "sgd", "full_batch", "stochastic"]})
_ADAPTS = Condition({"optimizer": ["adam", "adamw", "rmsprop", "adagrad"]})
_HEAVY = Condition({"optimizer": ["momentum", "nesterov"]})
_REGULARIZATION = (
    "class_weights",
    "focus",
    "ema",
)  # names that the guess of `luthier.search.staged` takes for architecture


@dataclass(frozen=True, slots=True)
class Recipe:
    """A task and what to tune for it.

    Attributes
    ----------
    task : str
        ``"image"``, ``"text"``, ``"audio"``, ``"tabular"`` or ``"seq2seq"``.
    space : Space
        With priors; constants such as ``epochs`` travel in every configuration.
    """

    task: str
    space: Space

    @property
    def default(self) -> dict[str, Any]:
        """The configuration of all priors."""
        space = self.space
        believed = {**space.constants, **{n: p.prior for n, p in space.parameters.items()}}
        for name, parameter in space.parameters.items():
            if parameter.when is not None and not parameter.when.holds(believed):
                del believed[name]
        return space.validate(believed)

    def stages(self, search: str = "tpe") -> tuple[staged.Stage, ...]:
        """Return the staged order, for `luthier.search.staged.StagedSearch`.

        Parameters
        ----------
        search
            What proposes in each stage.
        """
        stages = staged.recipe(self.space, search)
        moved = tuple(name for name in _REGULARIZATION if name in self.space.columns)
        return tuple(
            replace(
                stage,
                parameters=tuple(name for name in stage.parameters if name not in moved)
                + (moved if stage.name == "regularization" else ()),
            )
            for stage in stages
        )

    def plan(self, config: Mapping[str, Any], train: Any, *, classes: int | None = None, **settings: Any) -> Plan:
        """Turn a configuration into a network, an optimizer, a schedule and a trainer for some training data.

        Parameters
        ----------
        config
            Of the space.
        train
            Inputs and targets as tensors (Any: no torch up here). Inputs by task: images (n, C, H, W); tokens (n, T);
            waves (n, samples); numbers (n, d) or a tuple of numbers and category codes (n, m), where 0 means missing
            or unknown. Sequences: source and target tokens, (n, S) and (n, T), where 0 is padding, 1 begins, 2 ends
            and 3 is unknown; targets end with 2, and may begin with 1.
        classes
            How many there are; None for a regression and for sequences.
        **settings
            ``seed``, ``device``, ``precision`` and ``accumulate`` of `luthier.training.Settings`.

        Raises
        ------
        MissingExtra
            If PyTorch is not installed.
        """
        from luthier.training.plan import make_plan

        return make_plan(self.task, config, train, classes=classes, **settings)


def recipe(
    task: str,
    *,
    epochs: int | Int = 12,
    optimizers: Literal["usual", "all"] = "usual",
    extras: bool = False,
    **constants: Any,
) -> Recipe:
    """Return the recipe of a task.

    Parameters
    ----------
    task
        ``"image"``, ``"text"``, ``"audio"``, ``"tabular"`` or ``"seq2seq"``.
    epochs
        Of a full training; a parameter, such as ``Int(5, 40, prior=15)``, has its length tuned too.
    optimizers
        ``"all"`` offers Adagrad, plain mini-batch descent, and the slow full-batch and stochastic descent as well.
    extras
        Tune also what rarely matters: the clipping of gradients, L1, an average of the weights, the focus of the loss,
        the scaling of images.
    **constants
        What the network has to know: ``vocabulary`` of texts, ``rate`` of waves (samples a second). Naming a parameter
        of the space fixes it, or replaces it by another parameter; ``patience=5`` ends trainings that do not improve.

    Raises
    ------
    SettingError
        If there is no such recipe, or a constant is missing.

    Examples
    --------
    >>> images = recipe("image")
    >>> images.default["optimizer"], images.default["lr"], images.default["batch_size"]
    ('adamw', 0.002, 64)
    >>> [stage.name for stage in images.stages()]
    ['architecture', 'optimizer', 'regularization', 'batch size and epochs']
    """
    if task not in _RECIPES:
        raise SettingError(f"no recipe for {task!r}{did_you_mean(task, _RECIPES)}: use {', '.join(_RECIPES)}")
    if optimizers not in ("usual", "all"):
        raise SettingError(
            f"optimizers= is 'usual' or 'all', got {optimizers!r}; for others, give optimizer=Choice(...)"
        )
    make, needed = _RECIPES[task]
    for name in needed:
        if name not in constants:
            raise SettingError(f"the {task} recipe needs {name}=, such as recipe({task!r}, {name}={needed[name]})")
    parameters = make()
    if optimizers == "all":
        parameters["optimizer"] = Choice(*_ALL, prior=parameters["optimizer"].prior)
    parameters |= _extras(task) if extras else {}
    parameters |= {**constants, "epochs": epochs}
    kept = {n: p for n, p in parameters.items() if _possible(p, constants)}
    return Recipe(task, Space(kept, forbid=_forbidden(kept)))


def _forbidden(parameters: Mapping[str, Any]) -> list[str]:
    """Statistics over a batch need one: not with a single row of numbers."""
    options = {n: getattr(parameters.get(n), "options", [parameters.get(n)]) for n in ("optimizer", "norm")}
    norms = [norm for norm in ("batch", "accumulated") if norm in options["norm"]]
    return [f"optimizer == 'stochastic' and norm == '{n}'" for n in norms if "stochastic" in options["optimizer"]]


def _possible(parameter: Any, constants: Mapping[str, Any]) -> bool:
    """Tell whether a parameter can still be active when some are fixed."""
    when = getattr(parameter, "when", None)
    return when is None or not when.names <= constants.keys() or when.holds(constants)


# -- what the spaces are made of ---------------------------------------------------------------------------------------


def _training(*, optimizer: str = "adamw", lr: float = 2e-3, batch: tuple[int, int] = (16, 256)) -> dict[str, Any]:
    """Optimizer, schedule, batch size."""
    return {
        "optimizer": Choice(*_USUAL, prior=optimizer),
        "lr": Float(1e-4, 3e-2, log=True, prior=lr, when=_ADAPTS),
        "sgd_lr": Float(3e-3, 1.0, log=True, prior=0.05, when=_DESCENDS),
        "momentum": Float(0.8, 0.99, prior=0.9, when=_HEAVY),
        "schedule": Choice("constant", "step", "exponential", "cosine", "one_cycle", "plateau", prior="cosine"),
        "warmup": Float(0.0, 0.2, prior=0.05, when=Condition("schedule != 'one_cycle'")),
        "weight_decay": Float(1e-5, 0.3, log=True, prior=1e-2, when=Condition({"optimizer": "adamw"})),
        "l2_decay": Float(1e-7, 1e-2, log=True, prior=1e-4, when=Condition("optimizer != 'adamw'")),
        "batch_size": Int(*batch, pow2=True, prior=64),
    }


def _normalization() -> dict[str, Any]:
    """Normalization, activation, initial weights."""
    return {
        "activation": Choice("relu", "leaky_relu", "gelu", "silu", "tanh", prior="relu"),
        "norm": Choice("batch", "accumulated", "group", "none", prior="batch"),
        "norm_place": Choice("before", "after", prior="before", when=Condition("norm != 'none'")),
        "norm_momentum": Float(0.01, 0.5, log=True, prior=0.1, when=Condition({"norm": ["batch", "accumulated"]})),
        "init": Choice("he", "xavier", "orthogonal", "normal", prior="he"),
    }


def _classes() -> dict[str, Any]:
    """What only classifiers have."""
    return {
        "label_smoothing": Float(0.0, 0.2, prior=0.05),
        "class_weights": Choice("none", "sqrt", "balanced", prior="none"),
    }


def _extras(task: str) -> dict[str, Any]:
    """What rarely matters."""
    found: dict[str, Any] = {
        "clip": Float(0.1, 10.0, log=True, prior=1.0),
        "l1": Float(1e-8, 1e-3, log=True, prior=1e-7),
        "ema": Ordinal(0.0, 0.9, 0.98, 0.995, prior=0.98),
    }
    if task != "seq2seq":
        found["focus"] = Float(0.0, 3.0, prior=0.0)
    if task == "image":
        found["scaling"] = Choice("channel", "pixel", "image", "none", prior="channel")
    return found


def _image() -> dict[str, Any]:
    return {
        "family": Choice("vgg", "resnet", prior="vgg"),
        "depth": Int(1, 4, prior=3),
        "blocks": Int(1, 2, prior=2),
        "width": Int(8, 64, log=True, prior=24),
        "kernel": Ordinal(3, 5, 7, prior=3),
        "pool": Ordinal(2, 3, prior=2),
        **_normalization(), **_training(), **_classes(),
        "dropout": Float(0.0, 0.6, prior=0.2),
        "augment": Float(0.0, 1.5, prior=0.15),
        "mixup": Choice("none", "mixup", "cutmix", prior="none"),
        "mixup_alpha": Float(0.1, 1.0, log=True, prior=0.3, when=Condition("mixup != 'none'")),
        "mirror": False,
        "scaling": "channel",
    }  # fmt: skip


def _text() -> dict[str, Any]:
    return {
        "kind": Choice("pool", "gru", "transformer", prior="pool"),
        "embedding": Int(16, 256, pow2=True, prior=64),
        "width": Int(16, 256, pow2=True, prior=64),
        "depth": Int(1, 3, prior=1),
        "heads": Int(1, 8, pow2=True, prior=4, when=Condition({"kind": "transformer"})),
        "init": Choice("xavier", "he", "orthogonal", "normal", prior="xavier"),
        **_training(lr=3e-3), **_classes(),
        "dropout": Float(0.0, 0.7, prior=0.5),
        "token_dropout": Float(0.0, 0.4, prior=0.2),
        "clip": 1.0,
    }  # fmt: skip


def _audio() -> dict[str, Any]:
    return {
        "mels": Int(16, 80, step=8, prior=40),
        "window_ms": Ordinal(16.0, 25.0, 32.0, 50.0, prior=25.0),
        "hop_ms": Ordinal(5.0, 10.0, 16.0, 20.0, prior=10.0),
        "dims": Ordinal(1, 2, prior=2),
        "depth": Int(1, 4, prior=3),
        "width": Int(8, 64, log=True, prior=16),
        "kernel": Ordinal(3, 5, 7, prior=3),
        **_normalization(), **_training(batch=(8, 128)), **_classes(),
        "dropout": Float(0.0, 0.6, prior=0.2),
        "augment": Float(0.0, 1.5, prior=0.5),
    }  # fmt: skip


def _tabular() -> dict[str, Any]:
    return {
        "scaling": Choice("standard", "robust", "quantile", "none", prior="quantile"),
        "depth": Int(1, 5, prior=3),
        "width": Int(32, 512, log=True, prior=160),
        "residual": Choice(False, True, prior=False),
        "embedding": Float(0.25, 2.0, log=True, prior=1.0),
        "periodic": Ordinal(0, 4, 8, 16, prior=8),
        "spread": Float(0.02, 1.0, log=True, prior=0.1, when=Condition("periodic != 0")),
        **_normalization(), **_training(batch=(16, 512)), **_classes(),
        "dropout": Float(0.0, 0.6, prior=0.1),
    }  # fmt: skip


def _seq2seq() -> dict[str, Any]:
    return {
        "embedding": Int(16, 256, pow2=True, prior=64),
        "width": Int(32, 256, pow2=True, prior=64),
        "depth": Int(1, 4, prior=2),
        "heads": Int(1, 8, pow2=True, prior=4),
        "init": Choice("xavier", "he", "orthogonal", "normal", prior="xavier"),
        **_training(lr=3e-3),
        "label_smoothing": Float(0.0, 0.2, prior=0.05),
        "dropout": Float(0.0, 0.5, prior=0.05),
        "token_dropout": Float(0.0, 0.3, prior=0.0),
        "clip": 1.0,
    }  # fmt: skip


_RECIPES: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, Any]]] = {
    "image": (_image, {}),
    "text": (_text, {"vocabulary": 5000}),
    "audio": (_audio, {"rate": 16000}),
    "tabular": (_tabular, {}),
    "seq2seq": (_seq2seq, {"vocabulary": 5000, "target_vocabulary": 5000}),
}
