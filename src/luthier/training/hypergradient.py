"""Hypergradient descent of the learning rate (Baydin et al. 2018, section 3).

The update is w' = w - lr u, so the derivative of the next loss by lr is -g' . u: while the new gradient points the
way of the last update, the rate rises. For descent u is the gradient, for Adam its own direction; here it is read off
the weights, (w - w') / lr, and so is right for every optimizer, decay and momentum included.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from luthier.errors import SettingError


class Hypergradient:
    """Moves an optimizer's learning rates, from inside ``optimizer.step()``.

    Parameters
    ----------
    optimizer
        Any of torch whose update is proportional to the rate.
    beta
        Rate of the rate. ``"additive"`` is the paper's algorithms 4 to 6, lr + beta g . u, where beta depends on the
        scale of the gradients (1e-7 to 1e-3 in its figures); ``"multiplicative"`` its equation 8, lr (1 + beta cos),
        where it does not.
    form
        ``"additive"`` or ``"multiplicative"``.

    Raises
    ------
    SettingError
        If `beta` is not positive, or the form unknown.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.SGD([w], lr=0.1)
    >>> hyper = Hypergradient(optimizer, beta=0.1, form="additive")
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     (w**2).sum().backward()
    ...     optimizer.step()
    >>> optimizer.param_groups[0]["lr"] > 0.1
    True
    >>> hyper.remove()
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        beta: float = 0.02,
        form: Literal["additive", "multiplicative"] = "multiplicative",
    ) -> None:
        if beta <= 0.0 or form not in ("additive", "multiplicative"):
            raise SettingError(
                f"beta is positive and form 'additive' or 'multiplicative', got beta={beta!r}, form={form!r}"
            )
        self.beta, self.form = beta, form
        self._before: list[Tensor] = []
        self._update: list[Tensor] = []  # u of the last step, one tensor for each weight
        self._hooks = [
            optimizer.register_step_pre_hook(self._ahead), optimizer.register_step_post_hook(self._behind),
        ]  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return the last update."""
        return {"update": [u.clone() for u in self._update]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self._update = [u.clone() for u in state["update"]]

    def remove(self) -> None:
        """Leave the optimizer as it was, with its present rates."""
        for hook in self._hooks:
            hook.remove()

    # -- inside ------------------------------------------------------------------------------------------------------

    @torch.no_grad()  # type: ignore[untyped-decorator] # torch has no types here
    def _ahead(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Before a step: the new gradient against the last update, and with it the new rate."""
        weights = _weights(optimizer)
        if len(self._update) == len(weights):
            change = self._change([w.grad for w in weights])
            for group in optimizer.param_groups:
                moved = float(group["lr"]) + change if self.form == "additive" else float(group["lr"]) * change
                set_rate(group, max(moved, 0.0))
        self._before = [w.clone() for w in weights]

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _behind(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """After a step: which way it went."""
        if not self._before:
            return
        rates = [float(group["lr"]) for group in optimizer.param_groups for w in group["params"] if w.grad is not None]
        if min(rates) <= 0.0:
            return
        pairs = zip(self._before, _weights(optimizer), rates, strict=True)
        self._update = [(before - now) / rate for before, now, rate in pairs]
        self._before = []

    def _change(self, gradients: list[Tensor]) -> float:
        dot = float(sum((g * u).sum() for g, u in zip(gradients, self._update, strict=True)))
        if self.form == "additive":
            return self.beta * dot if math.isfinite(dot) else 0.0
        lengths = [float(torch.stack([t.norm() for t in parts]).norm()) for parts in (gradients, self._update)]
        cosine = dot / (lengths[0] * lengths[1]) if lengths[0] * lengths[1] else 0.0
        return 1.0 + self.beta * cosine if math.isfinite(cosine) else 1.0


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Set the learning rate of a parameter group, which may hold it as a tensor."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def _weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [w for group in optimizer.param_groups for w in group["params"] if w.grad is not None]
