"""Staged search: some parameters at a time, each stage with its own search and share of the budget.

The parameters of other stages are held at the best values so far. Without stages given, the order in which people tune
networks is guessed from the parameters' names: architecture, optimizer, regularization, batch size and epochs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from luthier.condition import Condition
from luthier.contracts import New, Proposal, Search
from luthier.errors import SettingError, SpaceError, did_you_mean
from luthier.history import History
from luthier.search import search_of
from luthier.search.inner import InnerSearch, inside
from luthier.space import Config, Space

_WITHOUT_PLAN = 100  # trials that shares are taken of, where the budget does not say how many there will be


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a staged search.

    Parameters
    ----------
    parameters
        What it tunes. Parameters that exist only for some values of these are tuned with them.
    share
        Its part of the planned trials.
    search
        What proposes: a name, or a search.
    name
        For people.
    """

    parameters: tuple[str, ...]
    share: float
    search: str | Search = "tpe"
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        if not self.parameters or not 0.0 < self.share <= 1.0:
            raise SettingError(
                f"a stage needs parameters and a share above 0 and up to 1, got {self.parameters}, {self.share!r}"
            )


# The first pattern that a name matches counts; shares are those of the trials when all four stages are there.
_ORDER = ("architecture", "optimizer", "regularization", "batch size and epochs")
_SHARES = {"architecture": 0.35, "optimizer": 0.3, "regularization": 0.15, "batch size and epochs": 0.1}
_PATTERNS = (
    ("architecture", r"norm\b|_norm|norm_"),
    ("regularization", r"dropout|drop_|weight_?decay|\bwd\b|\bl[12]\b|smooth|augment|mixup|cutmix|cutout|noise|regul"),
    ("batch size and epochs", r"batch|epoch|\bsteps\b|_steps\b|iterations|accumul|patience"),
    (
        "optimizer",
        r"\blr\b|_lr\b|\blr_|learning|\brate\b|momentum|beta|\beps|optim|\bopt\b|sched|warm|gamma|clip|decay",
    ),
)


class StagedSearch:
    """Tune some parameters at a time.

    Parameters
    ----------
    stages
        In order. What is left of the budget after them goes to all parameters together. By default `recipe`.
    search
        What proposes in stages that do not say, and for all parameters together.

    Raises
    ------
    SettingError
        If the shares add up to more than the whole.

    Examples
    --------
    >>> import luthier as lt
    >>> space = lt.Space(width=lt.Int(16, 512, log=True), lr=lt.Float(1e-5, 1e-1, log=True), dropout=lt.Float(0, 0.5))
    >>> [(stage.name, stage.parameters) for stage in recipe(space)]
    [('architecture', ('width',)), ('optimizer', ('lr',)), ('regularization', ('dropout',))]
    """

    def __init__(self, stages: Sequence[Stage] = (), *, search: str | Search = "tpe") -> None:
        if sum(stage.share for stage in stages) > 1.0 + 1e-9:
            raise SettingError(f"the shares of stages add up to at most 1, got {[s.share for s in stages]}")
        self.stages = tuple(stages)
        self.search = search
        self._whole = search_of(search)
        self._inner: dict[int, InnerSearch] = {}
        self._held: tuple[Space, tuple[str, ...], Config] | None = None
        self._free: Space | None = None

    def describe(self, history: History) -> str:
        """Say the stages and where they end."""
        marks = self._marks(history)
        told = [f"{_title(stage)} up to trial {mark}" for stage, mark in marks]
        return f"staged search: {'; '.join(told)}; then all together"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return `n` proposals of the present stage; of all parameters together after the last one."""
        for place, (stage, mark) in enumerate(self._marks(history)):
            if history.began < mark:
                found = self._staged(history, place, stage, n, rng)
                if found:
                    return found
        return [_explained(p, "all together") for p in self._whole.propose(history, n, rng)]

    def _marks(self, history: History) -> list[tuple[Stage, int]]:
        stages = self.stages or recipe(history.space, self.search)
        for stage in stages:
            for name in stage.parameters:
                if name not in history.space.parameters:
                    raise SettingError(
                        f"the stage {_title(stage)} names {name!r}, which is not in the space"
                        f"{did_you_mean(name, history.space.columns)}"
                    )
        ends = np.cumsum([stage.share for stage in stages]) * (history.planned or _WITHOUT_PLAN)
        return [(stage, round(end)) for stage, end in zip(stages, ends.tolist(), strict=True)]

    def _staged(self, history: History, place: int, stage: Stage, n: int, rng: np.random.Generator) -> list[Proposal]:
        best = history.best
        held = history.space.decode(_middle(history.space)) if best is None else best.config
        part = self._part(history.space, stage.parameters, held)
        if part is None:
            return []
        if place not in self._inner:
            self._inner[place] = InnerSearch(search_of(stage.search))
        found = self._inner[place].propose(history, part, n, rng)
        source = "the middle or their prior" if best is None else f"their values in trial {best.number}"
        where = f"stage {_title(stage)}, the others at {source}"
        allowed = [p for p in found if not isinstance(p, New) or inside(history.space, p.config) is not None]
        return [_explained(p, where) for p in allowed]

    def _part(self, space: Space, free: tuple[str, ...], held: Config) -> Space | None:
        """Make the space of a stage, or take that of the last proposal if nothing has changed: a tree takes long."""
        outside = {name: value for name, value in held.items() if name not in free}
        if self._held is None or self._held[0] is not space or self._held[1:] != (free, outside):
            self._held, self._free = (space, free, outside), stage_space(space, free, held)
        return self._free


def _title(stage: Stage) -> str:
    return stage.name or ", ".join(stage.parameters)


def _explained(proposal: Proposal, where: str) -> Proposal:
    return replace(proposal, reason=f"{where}: {proposal.reason}") if isinstance(proposal, New) else proposal


def _middle(space: Space) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Code of the prior of each parameter, or of its middle; (d,)."""
    middle = [0.5 if p.prior is None else p.to_unit(p.prior) for p in space.parameters.values()]
    return np.array(middle)


def recipe(space: Space, search: str | Search = "tpe") -> tuple[Stage, ...]:
    """Guess stages in the order people tune networks in, from the usual names of parameters.

    Parameters
    ----------
    space
        Whose parameters to sort. Names that tell nothing go with the architecture.
    search
        What proposes in each stage.

    Returns
    -------
    tuple of Stage
        Those that have parameters; nine tenths of the budget in all, the rest stays for all parameters together.
    """
    kinds: dict[str, list[str]] = {kind: [] for kind in _ORDER}
    for name in space.columns:
        kinds[guess(name)].append(name)
    total = sum(_SHARES[kind] for kind, names in kinds.items() if names)
    return tuple(
        Stage(tuple(names), 0.9 * _SHARES[kind] / total, search, kind) for kind, names in kinds.items() if names
    )


def guess(name: str) -> str:
    """Guess what a parameter is for: ``guess("weight_decay")`` is ``"regularization"``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    words = f"{spaced} {spaced.replace('_', ' ')}"
    return next((kind for kind, pattern in _PATTERNS if re.search(pattern, words)), "architecture")


def stage_space(space: Space, free: Sequence[str], held: Config) -> Space | None:
    """Hold the parameters outside of `free` at the values of a configuration.

    Parameters
    ----------
    space
        The whole space.
    free
        What stays free, with all that exists only for some values of these.
    held
        A configuration of the space.

    Returns
    -------
    Space or None
        None if nothing is left free: all of `free` is inactive, or only forbidden combinations are left.
    """
    loose = _with_children(space, set(free))
    x = np.random.default_rng(0).random((2000, len(space.columns)))
    for column, name in enumerate(space.columns):
        if name not in loose:
            x[:, column] = space.parameters[name].to_unit(held[name]) if name in held else 0.5
    active = space.active(x)[space.allowed(x)]
    kept = {name for column, name in enumerate(space.columns) if active[:, column].any()}
    fixed = {**space.constants, **{n: v for n, v in held.items() if n not in loose}}
    given: dict[str, Any] = {}
    for name in space.names:
        if name in loose & kept:
            given[name] = space.parameters[name]
        elif name in fixed:
            given[name] = fixed[name]
    if not loose & kept:
        return None
    return _possible(given, space.forbid)


def _with_children(space: Space, free: set[str]) -> set[str]:
    """Add the parameters whose conditions hang on free ones."""
    children = {n for n, p in space.parameters.items() if p.when is not None and p.when.names & free}
    return free if children <= free else _with_children(space, free | children)


def _possible(given: dict[str, Any], forbid: Sequence[Condition]) -> Space | None:
    """Make a space of what can still be forbidden in it; one that cannot occur is an error there."""
    relevant = []
    for condition in forbid:
        if condition.names <= given.keys():
            try:
                Space(given, forbid=[condition])
            except SpaceError:
                continue
            relevant.append(condition)
    try:
        return Space(given, forbid=relevant)
    except SpaceError:
        return None


SEARCH = StagedSearch
