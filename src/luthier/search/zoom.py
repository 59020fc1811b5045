"""Zoom: any search, first in the whole space, then in the region of the best trials, finer from phase to phase.

A share of the trials stays global to the end, so that no good region is left unwatched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.contracts import New, Proposal, Search
from luthier.errors import SettingError
from luthier.history import History
from luthier.maths.pareto import best_first
from luthier.parameter import Float, Int, Ordinal, Parameter
from luthier.search import search_of
from luthier.search.inner import InnerSearch
from luthier.space import Space

Array = NDArray[np.float64]

_FEWEST = 4  # trials that span a region
_MARGIN = 0.25  # of a region's width, added on both sides
_NARROWEST = 0.02  # of a parameter's range
_FIRST_PHASE = 25  # trials, where the budget does not say how many there will be


class ZoomSearch:
    """Wrap a search: coarse phase, then finer and finer ones around the best.

    Parameters
    ----------
    search
        What proposes within a region: a name, or a search.
    phases
        How many phases in all; the first takes the whole space. Each takes the same share of the planned trials;
        without a plan the first ends at 25 trials and each other at twice the one before.
    quantile
        Share of the trials, the best ones, that span the next region.
    everywhere
        Share of the trials that stays in the whole space.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Notes
    -----
    Regions are boxes over numbers and ordinals. Categories keep all their values, and so do floats with a step, whose
    values would not be the same to the last digit, and parameters that conditions or forbidden combinations name.
    """

    def __init__(
        self, search: str | Search = "tpe", *, phases: int = 3, quantile: float = 0.15, everywhere: float = 0.2
    ) -> None:
        if phases < 1 or not 0.0 < quantile <= 1.0 or not 0.0 <= everywhere <= 1.0:
            raise SettingError(
                "ZoomSearch needs at least 1 phase, a quantile above 0 and up to 1, and a share from 0 to 1, got "
                f"phases={phases}, quantile={quantile}, everywhere={everywhere}"
            )
        self.phases, self.quantile, self.everywhere = phases, quantile, everywhere
        self.search = search_of(search)
        self._inner = InnerSearch(search_of(search) if isinstance(search, str) else search)
        self._region: tuple[object, int, Space] | None = None

    def describe(self, history: History) -> str:
        """Say what it is."""
        return f"zoom in {self.phases} phases: {self.search.describe(history)}"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return `n` proposals of the wrapped search, each in the whole space or in the region of its phase."""
        phase, first = self.phase(history)
        number = history.began
        is_global = int((number + 1) * self.everywhere) > int(number * self.everywhere)
        if phase and not is_global:
            region = self._narrowed(history, phase, first)
            found = self._inner.propose(history, region, n, rng)
            if found:
                chosen = max(_FEWEST, round(self.quantile * first))
                where = f"zoom {phase + 1} of {self.phases}, around the best {chosen} of the first {first} trials"
                return [_explained(p, where) for p in found]
        where = "zoom, in the whole space" if phase else f"zoom 1 of {self.phases}, the whole space"
        return [_explained(p, where) for p in self.search.propose(history, n, rng)]

    def phase(self, history: History) -> tuple[int, int]:
        """Return the phase, from 0, and after how many ended trials it began."""
        ended = len(history.x)
        if history.planned is None:
            marks = [_FIRST_PHASE * 2**k for k in range(self.phases - 1)]
        else:
            marks = [max(_FEWEST, history.planned * (k + 1) // self.phases) for k in range(self.phases - 1)]
        passed = [mark for mark in marks if mark <= ended]
        return len(passed), passed[-1] if passed else 0

    def _narrowed(self, history: History, phase: int, first: int) -> Space:
        if self._region is None or self._region[0] is not history.lineage or self._region[1] != phase:
            space = region(history.space, history.x[:first], history.losses[:first], self.quantile)
            self._region = (history.lineage, phase, space)
        return self._region[2]


def _explained(proposal: Proposal, where: str) -> Proposal:
    return replace(proposal, reason=f"{where}: {proposal.reason}") if isinstance(proposal, New) else proposal


def region(space: Space, x: Array, losses: Array, quantile: float) -> Space:
    """Narrow a space to the box around the best trials.

    Parameters
    ----------
    space : Space
    x : (n, d) float array
        Codes, NaN where inactive.
    losses : (n, m) float array
        NaN where there is none.
    quantile : float
        Share of the trials that span the box; at least four do.

    Returns
    -------
    Space
        With the same names; numbers have narrower bounds, ordinals fewer options.
    """
    known = np.flatnonzero(~np.isnan(losses).any(axis=1))
    if len(known) < 2:
        return space
    count = max(_FEWEST, round(quantile * len(x)))
    best = x[known[best_first(losses[known], enough=count)[:count]]]
    tied = set().union(*(p.when.names for p in space.parameters.values() if p.when), *(f.names for f in space.forbid))
    narrowed: dict[str, Any] = {n: space.parameters.get(n, space.constants.get(n)) for n in space.names}
    for column, name in enumerate(space.columns):
        codes = best[:, column][~np.isnan(best[:, column])]
        if name not in tied and len(codes):
            narrowed[name] = narrow(space.parameters[name], float(codes.min()), float(codes.max()))
    return Space(narrowed, forbid=space.forbid)


def narrow(parameter: Parameter, low: float, high: float) -> Parameter:
    """Narrow a parameter to the codes from `low` to `high` and a margin; categories and stepped floats stay."""
    margin = max(_MARGIN * (high - low), 0.5 * (_NARROWEST - (high - low)), 0.0)
    low, high = max(low - margin, 0.0), min(high + margin, 1.0)
    if isinstance(parameter, Ordinal):
        first, last = (min(int(code * parameter.size), int(parameter.size) - 1) for code in (low, high))
        options = list(parameter.options[first : last + 1])
        prior = parameter.prior if parameter.prior in options else None
        return Ordinal(options, prior=prior, sure=parameter.sure, when=parameter.when)
    if not isinstance(parameter, (Float, Int)) or (isinstance(parameter, Float) and parameter.step is not None):
        return parameter
    bounds = [parameter.from_unit(code) for code in (low, high)]
    if bounds[0] >= bounds[1] or (isinstance(parameter, Int) and parameter.step > bounds[1] - bounds[0]):
        return parameter
    prior = parameter.prior if parameter.prior is not None and bounds[0] <= parameter.prior <= bounds[1] else None
    return replace(parameter, low=bounds[0], high=bounds[1], prior=prior)


SEARCH = ZoomSearch
