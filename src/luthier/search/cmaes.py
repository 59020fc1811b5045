"""CMA-ES with margin for mixed spaces and restarts (Hansen 2016; Hamano et al. 2025, CatCMAwM; Auger and Hansen 2005).

The optimizer of the `cmaes` package is not kept: it follows from the seed and the ended trials, which are told to it
generation by generation, in their order of ending. A cache only saves the replay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.contracts import New, Proposal
from luthier.errors import MissingExtra, SettingError
from luthier.history import History
from luthier.maths.pareto import best_first
from luthier.search.first import believed
from luthier.search.fresh import configs, drawn, first_fresh, nearest
from luthier.space import Space

Array = NDArray[np.float64]
Columns = NDArray[np.int64]

_SPARE = 3  # solutions drawn for each place of a generation: those that are running, forbidden or tried leave gaps
_DOUBLINGS = 4  # of the population, at most
_FINE = 32  # from so many values on, a number counts as continuous
_KNOWN = 5  # generations in a row that need no trial, before it restarts


class CmaesSearch:
    """Adapt a Gaussian, and the shares of categories, to the best of each generation.

    Parameters
    ----------
    population
        Trials in a generation; by default ``4 + 3 log(d)``. It doubles at each restart (IPOP).
    spread
        Standard deviation of the first generation, as a share of each parameter's range.

    Raises
    ------
    SettingError
        If a setting is out of range.
    MissingExtra
        If the package `cmaes` is not installed.

    Notes
    -----
    More trials than a generation may run at once; a generation is told when the first `population` of its trials have
    ended. With several metrics, trials are ranked by nondomination.
    """

    def __init__(self, *, population: int | None = None, spread: float = 0.25) -> None:
        if (population is not None and population < 3) or not spread > 0:
            raise SettingError(
                "CmaesSearch needs a population of at least 3 and a positive spread, got "
                f"population={population}, spread={spread}"
            )
        try:
            import cmaes
        except ImportError:
            raise MissingExtra("cmaes", "cma") from None
        self._package: Any = cmaes
        self.population, self.spread = population, spread
        self._state: Replay | None = None

    def describe(self, history: History) -> str:
        """Say what it is."""
        return f"CMA-ES with restarts, {self._size(history.space)} trials in a generation"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return `n` solutions of the present generation; fewer when a finite space is exhausted."""
        if all(p.size == 1 for p in history.space.parameters.values()):
            return drawn(history, [], rng, "the only configuration")
        state = self._replayed(history)
        found: list[Proposal] = [*believed(history, rng)]
        while len(found) < n:
            hit = first_fresh(history, state.points, configs(found))
            if hit is None:
                new = drawn(history, configs(found), rng, "a random draw while a generation of CMA-ES runs")
                if not new:
                    break
                found += new
            else:
                row, config = hit
                where = f"generation {state.generation + 1} of CMA-ES, restart {state.restarts}, step {state.step:.2g}"
                found.append(New(config, reason=f"{where}; {nearest(history, state.points[row])}"))
        return found

    def _size(self, space: Space) -> int:
        return self.population or 4 + math.floor(3 * math.log(max(len(space.columns), 1)))

    def _replayed(self, history: History) -> Replay:
        state = self._state
        if state is None or state.lineage is not history.lineage or state.read > len(history.x):
            state = self._state = Replay(self._package, history, size=self._size(history.space), spread=self.spread)
        state.catch_up(history)
        return state


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns are continuous, discrete and categorical to CMA-ES; the others have one value."""

    smooth: Columns
    stepped: Columns
    named: Columns

    @classmethod
    def of(cls, space: Space) -> Layout:
        """Sort the columns of a space; two values are a category to CMA-ES, as its authors advise."""
        parts: tuple[list[int], list[int], list[int]] = ([], [], [])
        for j, p in enumerate(space.parameters.values()):
            if p.size > 1:
                parts[2 if p.kind == "choice" or p.size == 2 else 0 if p.size >= _FINE else 1].append(j)
        return cls(*(np.array(part, dtype=np.int64) for part in parts))

    def optimizer(self, package: Any, space: Space, *, size: int, spread: float, seed: int) -> Any:
        """Make the optimizer of the package, its mean at the priors or in the middle."""
        kinds = list(space.parameters.values())
        numbers = [kinds[j] for j in (*self.smooth, *self.stepped)]
        mean = np.array([0.5 if p.prior is None else p.to_unit(p.prior) for p in numbers])
        steps = [[kinds[j].to_unit(value) for value in kinds[j].values()] for j in self.stepped]
        return package.CatCMAwM(
            x_space=[[0.0, 1.0]] * len(self.smooth) or None,
            z_space=steps or None,
            c_space=[int(kinds[j].size) for j in self.named] or None,
            population_size=size,
            mean=mean if len(mean) else None,
            sigma=1.0 if len(mean) else None,
            cov=np.eye(len(mean)) * spread**2 if len(mean) else None,
            seed=seed,
        )

    def codes(self, space: Space, solutions: list[Any]) -> Array:
        """Codes of solutions, (n, d)."""
        x = np.full((len(solutions), len(space.columns)), 0.5)
        sizes = np.array([p.size for p in space.parameters.values()])[self.named]
        for row, solution in zip(x, solutions, strict=True):
            for columns, values in ((self.smooth, solution.x), (self.stepped, solution.z)):
                if len(columns):
                    row[columns] = values
            if len(self.named):
                row[self.named] = (solution.c.argmax(axis=1) + 0.5) / sizes
        return space.snap(x)


class Replay:
    """An optimizer that was told the ended trials up to some row, and the solutions of its present generation."""

    def __init__(self, package: Any, history: History, *, size: int, spread: float) -> None:
        self.package, self.space, self.seed, self.size, self.spread = package, history.space, history.seed, size, spread
        self.lineage, self.layout = history.lineage, Layout.of(history.space)
        self.read = self.generation = self.restarts = 0
        self.known: dict[bytes, Array] = {}  # losses by code
        self._begin()
        self._ask()

    @property
    def step(self) -> float:
        """Step size, as a share of a range; 0 for categories alone."""
        return float(getattr(self.optimizer, "_sigma", 0.0)) * self.spread

    def catch_up(self, history: History) -> None:
        """Tell what ended since the last time."""
        for row in range(self.read, len(history.x)):
            self.known[history.x[row].tobytes()] = history.losses[row]
            self.told += self.places.get(history.x[row].tobytes(), [])
            if len(self.told) >= self.optimizer.population_size:
                self._tell()
                self._advance()
        self.read = len(history.x)

    def _begin(self) -> None:
        seed = int(np.random.SeedSequence((self.seed, self.restarts)).generate_state(1)[0])
        size = self.size * 2 ** min(self.restarts, _DOUBLINGS)
        self.optimizer = self.layout.optimizer(self.package, self.space, size=size, spread=self.spread, seed=seed)

    def _ask(self) -> None:
        """Draw the solutions of a generation; those that were tried before are told at once."""
        with np.errstate(all="ignore"):
            self.solutions = [self.optimizer.ask() for _ in range(_SPARE * self.optimizer.population_size)]
        self.points = self.layout.codes(self.space, self.solutions)
        self.codes = [self.space.encode(self.space.decode(x)).tobytes() for x in self.points]
        self.places: dict[bytes, list[int]] = {}
        for place, code in enumerate(self.codes):
            self.places.setdefault(code, []).append(place)
        self.told = [place for place, code in enumerate(self.codes) if code in self.known]

    def _advance(self) -> None:
        """Ask for generations until one needs trials; where none does, start again."""
        for _ in range(_KNOWN):
            self._ask()
            if len(self.told) < self.optimizer.population_size:
                return
            self._tell()
        self._restart()
        self._ask()

    def _tell(self) -> None:
        """Tell the first of a generation that ended, by their ranks: huge and missing losses are no matter then."""
        told = self.told[: self.optimizer.population_size]
        losses = np.array([self.known[self.codes[place]] for place in told])
        ranked = [(self.solutions[told[i]], float(rank)) for rank, i in enumerate(best_first(losses))]
        with np.errstate(all="ignore"):
            self.optimizer.tell(ranked)
            over = self.optimizer.should_stop() if len(self.layout.smooth) + len(self.layout.stepped) else False
        self.generation += 1
        if over or (losses == losses[0]).all() or len({self.codes[place] for place in told}) == 1:
            self._restart()

    def _restart(self) -> None:
        self.restarts += 1
        self._begin()


SEARCH = CmaesSearch
