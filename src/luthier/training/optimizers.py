"""Optimizers by name, with weight decay where it belongs and one kernel for all weights where torch has one.

Full-batch, stochastic and mini-batch gradient descent are one update, w <- w - lr g; they differ in how many rows the
gradient g is taken from (`rows_of_a_step`).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from luthier.errors import SettingError, did_you_mean

OPTIMIZERS = (
    "full_batch", "stochastic", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw",
)  # fmt: skip
_DESCENT = ("full_batch", "stochastic", "sgd", "momentum", "nesterov")
_RULES = {"linear": 1.0, "sqrt": 0.5, "none": 0.0}


def make_optimizer(
    model: nn.Module,
    name: str = "adam",
    *,
    lr: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    beta2: float = 0.999,
) -> torch.optim.Optimizer:
    """Make an optimizer of a model's weights.

    Parameters
    ----------
    model
        On the device it will be trained on.
    name
        One of `OPTIMIZERS`. ``"full_batch"``, ``"stochastic"`` and ``"sgd"`` are plain gradient descent.
    lr
        Learning rate.
    momentum
        How much of the last update goes on: of ``"momentum"`` and ``"nesterov"``; of RMSProp; beta1 of Adam.
    weight_decay
        L2: ``weight_decay * w`` is added to the gradient; ``"adamw"`` takes ``lr * weight_decay * w`` off the weight
        instead (decoupled, Loshchilov & Hutter 2019). Biases and normalization do not decay.
    beta2
        Memory of the squared gradients, of Adam and RMSProp.

    Raises
    ------
    SettingError
        If there is no such optimizer.
    """
    if name not in OPTIMIZERS:
        raise SettingError(f"no optimizer {name!r}{did_you_mean(name, OPTIMIZERS)}: use {', '.join(OPTIMIZERS)}")
    groups = decay_groups(model, weight_decay)
    fused: dict[str, Any] = {"fused": _can_fuse(model)}  # Any: the optimizers' options differ
    if name in _DESCENT:
        mass = momentum if name in ("momentum", "nesterov") else 0.0
        return torch.optim.SGD(groups, lr, momentum=mass, nesterov=name == "nesterov" and mass > 0.0, **fused)
    if name == "adagrad":
        return torch.optim.Adagrad(groups, lr, foreach=not _on_cpu(model))  # its fused kernel is for the CPU only
    if name == "rmsprop":
        return torch.optim.RMSprop(groups, lr, alpha=beta2, momentum=momentum, foreach=True)
    make = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return make(groups, lr, betas=(momentum, beta2), **fused)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters into those that decay, matrices and kernels, and those that do not.

    Parameters
    ----------
    model
        Whose parameters.
    weight_decay
        Of the first group.

    Returns
    -------
    list of dict
        Parameter groups of torch; empty ones are left out.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    if not weight_decay:
        return [{"params": trained, "weight_decay": 0.0}]  # one group: each costs a call a step
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def rows_of_a_step(name: str, batch_size: int, rows: int) -> int:
    """Say how many rows a gradient is taken from.

    Parameters
    ----------
    name
        Of the optimizer.
    batch_size
        Of a mini-batch.
    rows
        Of the training data.

    Examples
    --------
    >>> [rows_of_a_step(name, 64, 1000) for name in ("full_batch", "stochastic", "sgd", "adam")]
    [1000, 1, 64, 64]
    """
    return {"full_batch": rows, "stochastic": 1}.get(name, min(batch_size, rows))


def scaled_rate(
    lr: float, batch_size: int, *, base: int = 64, rule: Literal["linear", "sqrt", "none"] = "linear"
) -> float:
    """Carry a learning rate over from one batch size to another.

    With k times the rows, a step's gradient has a k-th of the variance. Descent with momentum then allows k times the
    rate (Goyal et al. 2017, section 2.1), Adam and its kind its square root (Malladi et al. 2022).

    Parameters
    ----------
    lr
        Rate that is right at batch size `base`.
    batch_size
        Where it is to be used.
    base
        Where it comes from.
    rule
        ``"linear"``, ``"sqrt"`` or ``"none"``.

    Raises
    ------
    SettingError
        If the rule is unknown.

    Examples
    --------
    >>> scaled_rate(0.1, 256), scaled_rate(0.1, 256, rule="sqrt")
    (0.4, 0.2)
    """
    if rule not in _RULES:
        raise SettingError(f"no rule {rule!r}{did_you_mean(rule, _RULES)}: use {', '.join(_RULES)}")
    return float(lr * (batch_size / base) ** _RULES[rule])


def _can_fuse(model: nn.Module) -> bool:
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in model.parameters())


def _on_cpu(model: nn.Module) -> bool:
    return all(p.device.type == "cpu" for p in model.parameters())
