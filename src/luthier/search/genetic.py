"""A genetic search, steady-state (Syswerda 1991); with several metrics it is NSGA-II (Deb et al. 2002).

The population is the best of all trials so far, so nothing good is lost, and any number of trials may run at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from luthier.contracts import New, Proposal
from luthier.errors import SettingError
from luthier.history import History
from luthier.maths.breeding import crossover, fill, mutate, tournament
from luthier.maths.pareto import best_first
from luthier.search.fresh import Results, begun, configs, drawn, first_fresh, nearest
from luthier.space import Config, Space

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

_LITTER = 16  # children from which the first that was not tried is taken
_ROUNDS = 4


class GeneticSearch:
    """Breed from the best trials.

    Parameters
    ----------
    population
        How many trials may be parents; as many random ones come first. By default a fifteenth of the planned trials,
        between 12 and 50.
    contest
        How many meet in a tournament; more exploit more.
    mutation
        How many parameters mutate in a child, on average.

    Raises
    ------
    SettingError
        If a setting is out of range.
    """

    def __init__(self, *, population: int | None = None, contest: int = 3, mutation: float = 1.0) -> None:
        if (population is not None and population < 2) or contest < 1 or mutation <= 0:
            raise SettingError(
                "GeneticSearch needs a population of at least 2, a contest of at least 1 and a positive mutation, got "
                f"population={population}, contest={contest}, mutation={mutation}"
            )
        self.population, self.contest, self.mutation = population, contest, mutation

    def describe(self, history: History) -> str:
        """Say what it is."""
        kind = "NSGA-II" if len(history.metrics) > 1 else "genetic search"
        return f"{kind} with a population of {self._size(history)}"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return `n` children; fewer when a finite space is exhausted."""
        found: list[Proposal] = []
        size = self._size(history)
        seen = Results(history)
        known = np.flatnonzero(~np.isnan(seen.losses).any(axis=1))
        parents = known[best_first(seen.losses[known], enough=size)[:size]]
        while len(found) < n:
            if history.began + len(found) < size or len(parents) < 2:
                new = begun(history, configs(found), rng, start=size)
            else:
                new = self._bred(history, seen, parents, configs(found), rng)
            if not new:
                break
            found += new
        return found

    def _size(self, history: History) -> int:
        return self.population or int(np.clip((history.planned or 100) // 15, 12, 50))

    def _bred(
        self, history: History, seen: Results, parents: Rows, taken: list[Config], rng: np.random.Generator
    ) -> list[Proposal]:
        space = history.space
        for attempt in range(_ROUNDS):
            pairs = tournament(len(parents), (2 * _LITTER, self.contest), rng).reshape(2, _LITTER)
            first, second = (seen.x[parents[row]] for row in pairs)
            rate = min(self.mutation * 2.0**attempt / len(space.columns), 1.0)
            children, mutated = offspring(space, first, second, rate=rate, rng=rng)
            hit = first_fresh(history, children, taken)
            if hit is not None:
                row, config = hit
                numbers = [seen.number(int(parents[side[row]])) for side in pairs]
                changed = [c for c, m in zip(space.columns, mutated[row], strict=True) if m and c in config]
                return [New(config, reason=_reason(history, children[row], numbers, changed))]
        return drawn(history, taken, rng, "a random draw: all children of the best trials were tried")


def _reason(history: History, x: Array, parents: list[int], changed: list[str]) -> str:
    first, second = parents
    kin = f"a copy of trial {first}" if first == second else f"a child of trials {first} and {second}"
    return f"{kin}{', mutated in ' + ', '.join(changed) if changed else ''}; {nearest(history, x)}"


def offspring(
    space: Space, first: Array, second: Array, *, rate: float, rng: np.random.Generator
) -> tuple[Array, NDArray[np.bool_]]:
    """Cross pairs of parents and mutate the children.

    Parameters
    ----------
    space
        Whose columns the points have.
    first, second : (n, d) float array
        Parents, NaN where inactive.
    rate
        Probability that a parameter mutates.
    rng
        Where the draws come from.

    Returns
    -------
    (n, d) float array, (n, d) bool array
        Snapped children, and which columns mutated.
    """
    categories = np.array([p.size if p.kind == "choice" else 0.0 for p in space.parameters.values()])
    second = fill(second, first, rng)
    crossed = crossover(fill(first, second, rng), second, categories > 0, spread=2.0, rng=rng)
    mutants, mutated = mutate(crossed, categories, rate=rate, spread=5.0, rng=rng)
    return space.snap(mutants), mutated


SEARCH = GeneticSearch
