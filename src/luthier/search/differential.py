"""Differential evolution, current-to-p-best with composite settings (Storn and Price 1997; Zhang and Sanderson 2009).

Trial number t competes for slot t modulo the population's size and holds it while nothing better ends there: so the
population follows from the ended trials alone, however many run at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from luthier.contracts import New, Proposal
from luthier.errors import SettingError
from luthier.history import History
from luthier.maths.breeding import differential, fill
from luthier.maths.pareto import best_first
from luthier.search.fresh import Results, begun, configs, drawn, first_fresh, nearest
from luthier.space import Config

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

_SETTINGS = ((0.5, 0.9), (0.8, 0.5), (0.9, 0.2))  # step and share of columns; one is drawn for each (CoDE, Wang 2011)
_LITTER = 8  # draws from which the first that was not tried is taken
_ROUNDS = 4


class DifferentialSearch:
    """Move trials along the differences between others.

    Parameters
    ----------
    population
        How many slots; as many random trials come first. By default a fifteenth of the planned trials, between 12
        and 40.
    best
        Share of the population that counts as best; each move leads towards one of these.

    Raises
    ------
    SettingError
        If a setting is out of range.
    """

    def __init__(self, *, population: int | None = None, best: float = 0.2) -> None:
        if (population is not None and population < 4) or not 0.0 < best <= 1.0:
            raise SettingError(
                "DifferentialSearch needs a population of at least 4 and a share of best above 0 and up to 1, got "
                f"population={population}, best={best}"
            )
        self.population, self.best = population, best

    def describe(self, history: History) -> str:
        """Say what it is."""
        return f"differential evolution with a population of {self._size(history)}"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return `n` moves, each for the slot of its number; fewer when a finite space is exhausted."""
        found: list[Proposal] = []
        size = self._size(history)
        seen = Results(history)
        slots = _slots(seen, size)
        while len(found) < n:
            number, taken = history.began + len(found), configs(found)
            if number < size or len(slots) < 4:
                new = begun(history, taken, rng, start=size)
            else:
                new = self._moved(history, seen, slots, number % size, taken, rng)
            if not new:
                break
            found += new
        return found

    def _size(self, history: History) -> int:
        return self.population or int(np.clip((history.planned or 100) // 15, 12, 40))

    def _moved(
        self,
        history: History,
        seen: Results,
        slots: dict[int, int],
        slot: int,
        taken: list[Config],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        rows = np.array(list(slots.values()))
        ordered = rows[best_first(seen.losses[rows])]
        target = slots.get(slot, int(ordered[-1]))
        elite = ordered[: max(2, round(self.best * len(ordered)))]
        named = np.array([p.kind == "choice" for p in history.space.parameters.values()])
        for _ in range(_ROUNDS):
            leads, others, away = rng.choice(elite, _LITTER), rng.choice(rows, _LITTER), rng.choice(rows, _LITTER)
            step, share = np.array(_SETTINGS)[rng.integers(len(_SETTINGS), size=_LITTER)].T[:, :, None]
            base = np.repeat(seen.x[target][None], _LITTER, axis=0)
            lead, one, two = (fill(seen.x[r], base, rng) for r in (leads, others, away))
            x = differential(fill(base, lead, rng), lead, one, two, named, step=step, share=share, rng=rng)
            x = history.space.snap(x)
            hit = first_fresh(history, x, taken)
            if hit is not None:
                row, config = hit
                a, b, c, d = (seen.number(int(r)) for r in (target, leads[row], others[row], away[row]))
                kin = f"trial {a} moved towards trial {b} and by the difference of trials {c} and {d}"
                return [New(config, reason=f"{kin}; {nearest(history, x[row])}")]
        return drawn(history, taken, rng, "a random draw: all moves were tried")


def _slots(seen: Results, size: int) -> dict[int, int]:
    """Row of the best trial for each slot."""
    known = np.flatnonzero(~np.isnan(seen.losses).any(axis=1))
    ordered = known[best_first(seen.losses[known])]
    slots, first = np.unique(seen.numbers[ordered] % size, return_index=True)
    return dict(zip(slots.tolist(), ordered[first].tolist(), strict=True))


SEARCH = DifferentialSearch
