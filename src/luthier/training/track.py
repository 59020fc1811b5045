"""The way a training has come: its rates step by step, and marks on it to go back to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from luthier.errors import SettingError
from luthier.training import snapshot
from luthier.training.hypergradient import Hypergradient, set_rate
from luthier.training.rate_log import RateLog


class Track:
    """Weights, rates and log of a run.

    Parameters
    ----------
    objects
        What belongs to the state of the training, by name; ``"optimizer"`` is one of them.
    steps
        Of the budget.
    hold
        Device of the copies.
    beta
        Of the hypergradient, 0 for none.

    Attributes
    ----------
    step : int
        Number of the step to come.
    scale : float
        Factor on the rates that the optimizer had at first.
    """

    def __init__(self, objects: Mapping[str, Any], steps: int, *, hold: str | None, beta: float) -> None:
        self.objects = dict(objects)
        for name, thing in objects.items():
            self.add(name, thing)
        self.optimizer: torch.optim.Optimizer = objects["optimizer"]
        self.base = [float(group["lr"]) for group in self.optimizer.param_groups]
        if steps < 1 or max(self.base) <= 0.0 or not all(map(math.isfinite, self.base)):
            raise SettingError(
                f"steps is at least 1 and one of the optimizer's rates positive, got steps={steps}, rates {self.base}"
            )
        self.step, self.scale, self.hold = 0, 1.0, hold
        self.log = RateLog(steps)
        self._marks: dict[str, dict[str, Any]] = {}
        self._set: tuple[float, ...] = ()
        self.hyper = Hypergradient(self.optimizer, beta=beta) if beta else None
        if self.hyper is not None:
            self.objects["hypergradient"] = self.hyper

    @property
    def top(self) -> float:
        """The largest of the first rates."""
        return max(self.base)

    def add(self, name: str, thing: Any) -> None:
        """Make a thing part of the state.

        Raises
        ------
        SettingError
            If it has no state.
        """
        if not snapshot.has_state(thing):
            raise SettingError(
                f"{name}={type(thing).__name__} cannot be kept: it needs state_dict() and load_state_dict(), or to be "
                "a torch.Generator"
            )
        self.objects[name] = thing

    # -- steps -------------------------------------------------------------------------------------------------------

    def set_rates(self, taper: float) -> None:
        """Before a step."""
        factor = self.scale * taper
        self._set = tuple([rate * factor for rate in self.base])
        for group, rate in zip(self.optimizer.param_groups, self._set, strict=True):
            set_rate(group, rate)

    def made(self) -> bool:
        """After a step: write its rates down; False if somebody else has changed them."""
        found = tuple([float(group["lr"]) for group in self.optimizer.param_groups])
        if self.hyper is not None:
            self.scale, self._set = self.scale * _ratio(found, self._set), found
        self.log.path.append((self.step, self._set))
        self.step += 1
        return found == self._set or all(map(_alike, found, self._set))

    # -- marks -------------------------------------------------------------------------------------------------------

    def mark(self, name: str, *, since: str | None = None, note: Any = None) -> None:
        """Copy the state under a name, with a note; `since` is the mark that a branch began at."""
        length = len(self.log.path) if since is None else self._marks[since]["length"]
        self._marks[name] = {
            "state": snapshot.take(self.objects, device=self.hold), "step": self.step, "scale": self.scale,
            "length": length, "tail": self.log.path[length:],
            "note": note,
        }  # fmt: skip

    def same(self, name: str, as_: str) -> None:
        """Give a mark a second name."""
        self._marks[name] = self._marks[as_]

    def back(self, name: str, *, order: bool = True) -> Any:
        """Go back to a mark, and return its note; without `order` the data go on where they are."""
        mark = self._marks[name]
        snapshot.put_back(mark["state"], self.objects, order=order)
        self.scale = mark["scale"]
        self.log.path[mark["length"] :] = mark["tail"]
        if order:
            self.step = mark["step"]
        return mark["note"]

    def drop(self, *names: str) -> None:
        """Forget marks, if there are any."""
        for name in names:
            self._marks.pop(name, None)

    def __contains__(self, name: str) -> bool:
        return name in self._marks

    # -- going on ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all but the present state of model and optimizer."""
        return {
            "step": self.step, "scale": self.scale, "base": list(self.base), "set": self._set,
            "marks": dict(self._marks), "log": self.log.state_dict(), "others": snapshot.take(self._others()),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`.

        Raises
        ------
        SettingError
            If it is of another run or another architecture.
        """
        steps, groups = state["log"]["steps"], len(state["base"])
        if (steps, groups) != (self.log.steps, len(self.base)):
            raise SettingError(
                f"the checkpoint is of {steps} steps and {groups} parameter groups, here are {self.log.steps} and "
                f"{len(self.base)}: call babysit() as before, or start anew"
            )
        for mark in state["marks"].values():
            snapshot.same_architecture(mark["state"]["objects"]["model"], self.objects["model"])
        snapshot.put_back(state["others"], self._others())
        self.step, self.scale = state["step"], state["scale"]
        self.base, self._set, self._marks = list(state["base"]), tuple(state["set"]), dict(state["marks"])
        self.log.load_state_dict(state["log"])

    def _others(self) -> dict[str, Any]:
        return {name: thing for name, thing in self.objects.items() if name not in ("model", "optimizer")}


def _alike(found: float, given: float) -> bool:
    return math.isclose(found, given, rel_tol=1e-6)  # a rate may be held as a tensor of 32 bits


def _ratio(found: Sequence[float], before: Sequence[float]) -> float:
    place = before.index(max(before))
    return found[place] / before[place] if before[place] else 1.0
