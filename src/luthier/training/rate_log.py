"""What a babysitter did, as a record: printed, drawn, saved as JSON, and replayed without the babysitter."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from luthier.durable import write_whole
from luthier.errors import MissingExtra, SettingError
from luthier.training.hypergradient import set_rate

_VERSION = 1
_COLORS = {
    "rollback": "tab:red", "restart": "tab:red", "raise": "tab:green", "cut": "tab:orange", "told": "tab:purple",
}  # fmt: skip
_STYLES = {"kept": ("tab:blue", "-"), "branch": ("0.5", ".-"), "test": ("tab:brown", "-")}


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that was decided.

    Attributes
    ----------
    spent
        Steps of the budget made before it.
    step
        Place on the path that is kept.
    kind
        ``"start"``, ``"rollback"``, ``"branch"``, ``"raise"``, ``"keep"``, ``"cut"``, ``"anneal"``, ``"told"`` (by a
        person), ``"note"`` or ``"end"``.
    rate
        Rate of the first group from then on.
    why
        In words.
    """

    spent: int
    step: int
    kind: str
    rate: float
    why: str

    def __str__(self) -> str:
        return f"{self.spent:6d}  {self.kind:9}{self.rate:9.3g}  {self.why}"


class Window(NamedTuple):
    """The mean loss over some steps, kept or not."""

    spent: int
    loss: float
    rate: float
    phase: str


@dataclass(slots=True, eq=False)
class RateLog:
    """The schedule that a run ended up with, and how.

    Attributes
    ----------
    steps : int
        Of the budget, those of tests and of branches that were given up included.
    path : list of (int, tuple of float)
        Of each step that was kept: its number, and the rate of each parameter group.
    decisions : list of Decision
    windows : list of Window
        The whole story for pictures, with what was not kept.
    """

    steps: int
    path: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)

    def __str__(self) -> str:
        spent = self.windows[-1].spent if self.windows else 0
        head = f"{spent} of {self.steps} steps made, {len(self.path)} of them on the path that was kept"
        return "\n".join([head, " spent  decision      rate  why", *map(str, self.decisions)])

    @property
    def rates(self) -> list[float]:
        """The first group's rate, step by step of the path."""
        return [rates[0] for _, rates in self.path]

    def replay(self, optimizer: torch.optim.Optimizer) -> Iterator[int]:
        """Go through the path again without a babysitter: sets the rates and yields the number of each step.

        Raises
        ------
        SettingError
            If the optimizer has another number of parameter groups.
        """
        groups = len(self.path[0][1]) if self.path else len(optimizer.param_groups)
        if groups != len(optimizer.param_groups):
            raise SettingError(f"the log is of {groups} parameter groups, the optimizer has {_count(optimizer)}")
        for step, rates in self.path:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                set_rate(group, rate)
            yield step

    # -- files -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return it as lists and numbers; steps in a row with the same rates are one entry of the path."""
        return {
            "version": _VERSION, "steps": self.steps, "path": _shortened(self.path),
            "decisions": [asdict(decision) for decision in self.decisions], "windows": [list(w) for w in self.windows],
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become what a `state_dict` says.

        Raises
        ------
        SettingError
            If it is none.
        """
        if not isinstance(state, dict) or state.get("version") != _VERSION:
            raise SettingError(f"this is no log of version {_VERSION}: save one with RateLog.save")
        self.steps, self.path = state["steps"], _lengthened(state["path"])
        self.decisions = [Decision(**decision) for decision in state["decisions"]]
        self.windows = [Window(*window) for window in state["windows"]]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON; a loss that is not finite becomes null."""
        state = self.state_dict()
        for window in state["windows"]:
            window[1] = window[1] if math.isfinite(window[1]) else None
        write_whole(Path(path), (json.dumps(state, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RateLog:
        """Read what `save` wrote.

        Raises
        ------
        SettingError
            If the file is no such log.
        """
        try:
            state = json.loads(Path(path).read_text())
            for window in state["windows"]:
                window[1] = math.nan if window[1] is None else window[1]
            log = cls(0)
            log.load_state_dict(state)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise SettingError(f"{os.fspath(path)} is no log of a babysitter: {error}") from error
        return log

    # -- pictures ----------------------------------------------------------------------------------------------------

    def draw(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw loss and rate over the steps of the budget, with the decisions marked; return the figure of matplotlib.

        Raises
        ------
        MissingExtra
            If matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise MissingExtra("matplotlib", "plot") from None
        figure = Figure(figsize=(8.4, 4.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True)
        for axes, column in ((upper, "loss"), (lower, "rate")):
            for stretch in _stretches(self.windows):
                color, dots = _STYLES[stretch[0].phase]
                axes.plot([w.spent for w in stretch], [getattr(w, column) for w in stretch], dots, color=color)
            values = sorted(v for v in (getattr(w, column) for w in self.windows) if math.isfinite(v))
            if values and values[0] > 0:
                axes.set_yscale("log")
                axes.set_ylim(values[0] / 2, min(values[-1] * 2, values[len(values) // 2] * 1e3))
        seen: set[str] = set()
        for decision in self.decisions:
            if line := _COLORS.get(decision.kind):
                label = None if decision.kind in seen else decision.kind
                seen.add(decision.kind)
                upper.axvline(decision.spent, color=line, linewidth=0.8, linestyle=":", label=label)
                lower.axvline(decision.spent, color=line, linewidth=0.8, linestyle=":")
        if seen:
            upper.legend(frameon=False, fontsize=8)
        upper.set(ylabel="training loss")
        lower.set(ylabel="learning rate", xlabel="steps made (gray: branches, brown: range test)")
        if path is not None:
            figure.savefig(os.fspath(path), dpi=110)
        return figure


def _count(optimizer: torch.optim.Optimizer) -> int:
    return len(optimizer.param_groups)


def _shortened(path: Sequence[tuple[int, tuple[float, ...]]]) -> list[list[Any]]:
    """Turn the path into [first step, number of steps, rates]."""
    short: list[list[Any]] = []
    for step, rates in path:
        if short and short[-1][2] == list(rates) and short[-1][0] + short[-1][1] == step:
            short[-1][1] += 1
        else:
            short.append([step, 1, list(rates)])
    return short


def _lengthened(short: Sequence[Sequence[Any]]) -> list[tuple[int, tuple[float, ...]]]:
    return [(first + k, tuple(rates)) for first, count, rates in short for k in range(count)]


def _stretches(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Cut the story where the phase changes or another branch begins; a stretch is one line of the picture."""
    stretch: list[Window] = []
    for window in windows:
        if stretch and (stretch[-1].phase != window.phase or (window.phase == "branch" and _leapt(stretch, window))):
            yield stretch
            stretch = []
        stretch.append(window)
    if stretch:
        yield stretch


def _leapt(stretch: Sequence[Window], window: Window) -> bool:
    return not 0.8 < window.rate / max(stretch[-1].rate, 1e-300) < 1.25
