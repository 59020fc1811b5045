"""The automatic choice of a search: from the space, the budget, the noise seen and the parallelism."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from luthier.contracts import New, Proposal, Search
from luthier.errors import SettingError
from luthier.history import History
from luthier.search import search_of

_MODEL_TRIALS = 10_000  # beyond so many, a Gaussian process costs more than it gains
_MODEL_PARAMETERS = 100
_MODEL_PENDING = 100  # running trials that a model has to imagine the results of
_WITHOUT_PLAN = 30  # a space as small as this is tried completely, whatever the budget


@dataclass(frozen=True, slots=True)
class Choice:
    """A search by name, and why it."""

    search: str
    why: str


class AutoSearch:
    """Choose a search and let it propose.

    Notes
    -----
    The rules, the first that holds:

    1. a space with no more configurations than the budget has trials is tried completely (`grid`), unless repeats of
       one configuration differ;
    2. more than 10,000 trials, 100 parameters or 100 trials at once: `tpe`, whose cost hardly grows;
    3. otherwise the Gaussian process (`bayes`).

    The choice is made anew for each proposal and hangs on nothing but the history.

    Examples
    --------
    >>> import luthier as lt
    >>> space = lt.Space(layers=lt.Int(1, 4), norm=lt.Choice("batch", "layer", None))
    >>> study = lt.Study(space, minimize="loss", budget=50, schedule="full")
    >>> print(study.policy.search.describe(study.history))
    auto chose grid: all 12 configurations fit into 50 trials
    """

    def __init__(self) -> None:
        self._searches: dict[str, Search] = {}

    def describe(self, history: History) -> str:
        """Say which search it chose, and why."""
        choice, _ = self._chosen(history)
        return f"auto chose {choice.search}: {choice.why}"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return what the chosen search proposes; the reason begins with its name."""
        choice, search = self._chosen(history)
        proposals = search.propose(history, n, rng)
        return [replace(p, reason=f"{choice.search}: {p.reason}") if isinstance(p, New) else p for p in proposals]

    def _chosen(self, history: History) -> tuple[Choice, Search]:
        choice = choose(history)
        try:
            search = self._searches.get(choice.search) or search_of(choice.search)
        except SettingError:  # an installation without the Gaussian process
            choice = Choice("tpe", f"there is no search {choice.search!r} here")
            search = self._searches.get("tpe") or search_of("tpe")
        self._searches[choice.search] = search
        return choice, search


def choose(history: History) -> Choice:
    """Choose a search by name.

    Parameters
    ----------
    history
        Its space, plan, trials and metrics.

    Returns
    -------
    Choice
    """
    space, planned = history.space, history.planned
    size, parameters = space.size(), len(space.columns)
    trials = max(planned or 0, len(history))
    about = "" if size.exact else "about "
    if size.total <= (_WITHOUT_PLAN if planned is None else planned) and size.exact:
        noise = noise_seen(history.x, history.losses[:, 0])
        if noise == 0.0:
            fit = "be tried completely" if planned is None else f"fit into {planned:,} trials"
            return Choice("grid", f"all {size.total:,.0f} configurations {'can ' * (planned is None)}{fit}")
    if trials > _MODEL_TRIALS:
        return Choice("tpe", f"{trials:,} trials are more than a Gaussian process repays")
    if parameters > _MODEL_PARAMETERS:
        return Choice("tpe", f"{parameters} parameters are more than a Gaussian process can tell apart")
    if len(history.live) > _MODEL_PENDING:
        return Choice("tpe", f"{len(history.live)} trials at once are more than a Gaussian process can imagine")
    kind = "several metrics" if len(history.metrics) > 1 else "one metric"
    count = "any number of trials" if planned is None else f"{planned:,} trials"
    extent = "" if np.isinf(size.total) else f" with {about}{size.total:,.0f} configurations"
    word = "parameter" if parameters == 1 else "parameters"
    return Choice("bayes", f"{parameters} {word}{extent}, {kind}, {count}: a model repays its cost")


def noise_seen(x: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """Estimate the noise from configurations that were tried more than once.

    Parameters
    ----------
    x : (n, d) float array
        Codes; NaN where inactive.
    losses : (n,) float array
        NaN where there is none.

    Returns
    -------
    float
        Spread within repeats as a share of the spread of all losses; 0 without repeats.
    """
    known = ~np.isnan(losses)
    if known.sum() < 2:
        return 0.0
    scaled = losses[known] / max(np.abs(losses[known]).max(), 1e-300)  # huge ones have no finite squares
    _, group, count = np.unique(np.nan_to_num(x[known], nan=-1.0), axis=0, return_inverse=True, return_counts=True)
    means = np.bincount(group, scaled) / count
    freedom = len(scaled) - len(count)
    spread = float(np.std(scaled))
    if not freedom or spread == 0.0:
        return 0.0
    return float(np.sqrt(np.sum((scaled - means[group]) ** 2) / freedom) / spread)


SEARCH = AutoSearch
