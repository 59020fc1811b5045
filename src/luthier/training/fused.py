"""An optimizer's step without its preparations: the same kernel on the same tensors, found once instead of each time.

`Optimizer.step` collects the tensors, groups them by device and wraps itself in hooks for profilers, each time; for a
small network on a processor that takes longer than the update. What is not one of torch's own fused optimizers in its
plain form goes through `step` as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_Kernel = Callable[[list[Tensor], dict[str, Any]], None]


class Step:
    """Do what ``optimizer.step()`` does.

    Parameters
    ----------
    optimizer
        Its present state, rates and hyperparameters count at every call.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self._state: object = None  # that the kernels were made for: loading a checkpoint replaces it
        self._groups: list[tuple[dict[str, Any], _Kernel]] = []
        self._weights: list[Tensor] = []

    def __call__(self) -> None:
        """Update the weights from their gradients."""
        optimizer = self.optimizer
        if self._state is not optimizer.state:
            optimizer.step()
            self._prepare()
        elif not self._groups or hooked(optimizer) or any(p.grad is None for p in self._weights):
            optimizer.step()
        else:
            with torch.no_grad():
                for group, kernel in self._groups:
                    kernel([p.grad for p in group["params"]], group)

    def _prepare(self) -> None:
        """Find the tensors, once the optimizer has made them; no groups if one of them is not plain."""
        found = [(group, _kernel(self.optimizer, group)) for group in self.optimizer.param_groups]
        self._groups = [(group, kernel) for group, kernel in found if kernel is not None]
        if len(self._groups) < len(found):
            self._groups = []
        self._weights = [p for group, _ in self._groups for p in group["params"]]
        self._state = self.optimizer.state


def hooked(optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether somebody wants to be called at each step of an optimizer."""
    return bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


def _kernel(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> _Kernel | None:
    """Return the update of a group, None where it is not as plain as here."""
    make = _KERNELS.get(type(optimizer))
    make = _adamw if make is _adam and group.get("decoupled_weight_decay") else make
    params = group["params"]
    states = [optimizer.state.get(p, {}) for p in params]
    plain = group.get("fused") and not group.get("amsgrad") and not group["maximize"]
    alike = len({(p.device, p.dtype) for p in params}) == 1
    if make is None or not plain or not alike or isinstance(group["lr"], Tensor):
        return None
    return make(params, states, group)


def _adam(params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> _Kernel | None:
    return _moments(params, states, torch._fused_adam_)


def _adamw(params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> _Kernel | None:
    return _moments(params, states, torch._fused_adamw_)


def _moments(params: list[Tensor], states: list[dict[str, Any]], kernel: Callable[..., None]) -> _Kernel | None:
    if not all({"exp_avg", "exp_avg_sq", "step"} <= state.keys() for state in states):
        return None
    means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))

    def update(grads: list[Tensor], group: dict[str, Any]) -> None:
        torch._foreach_add_(steps, 1)
        beta1, beta2 = group["betas"]
        kernel(
            params, grads, means, squares, [], steps, lr=group["lr"], beta1=beta1, beta2=beta2,
            weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False, maximize=False,
        )  # fmt: skip

    return update


def _descent(params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> _Kernel | None:
    buffers = [state.get("momentum_buffer") for state in states] if group["momentum"] else []
    if any(buffer is None for buffer in buffers):
        return None

    def update(grads: list[Tensor], group: dict[str, Any]) -> None:
        torch._fused_sgd_(
            params, grads, buffers, weight_decay=group["weight_decay"], momentum=group["momentum"], lr=group["lr"],
            dampening=group["dampening"], nesterov=group["nesterov"], maximize=False, is_first_step=False,
        )  # fmt: skip

    return update


_KERNELS: dict[type[torch.optim.Optimizer], Callable[..., _Kernel | None]] = {
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adamw,
    torch.optim.SGD: _descent,
}
