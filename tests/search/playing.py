"""Playing a search on a function without a study: what the tests of searches share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from luthier import Choice, Float, Int, Ordinal, Space, State, Trial
from luthier.contracts import New, Search
from luthier.history import History
from luthier.objective import Metric

LOSS = (Metric("loss"),)
PAIR = (Metric("loss"), Metric("size"))


def told(history: History, config: dict[str, Any], result: float | dict[str, float] | None) -> History:
    """Record an ended trial; None is a failure."""
    metrics = result if isinstance(result, dict) else {} if result is None else {history.metrics[0].name: result}
    state = State.FAILED if result is None else State.DONE
    return history.record(Trial(history.began, config, state=state, metrics=metrics, seconds=1.0))


def ask(search: Search, history: History, n: int = 1) -> list[New]:
    """Propose as a study does: with a generator of the seed and the number."""
    proposals = search.propose(history, n, np.random.default_rng((history.seed, history.began)))
    assert all(isinstance(p, New) for p in proposals)
    for proposal in proposals:
        assert history.space.validate(proposal.config) == proposal.config
        assert proposal.reason
    return proposals


def play(
    search: Search, space: Space, function: Callable[[dict[str, Any]], Any], trials: int, *,
    seed: int = 0, metrics: tuple[Metric, ...] = LOSS, planned: int | None = None,
) -> History:  # fmt: skip
    """Run a search on a function, one trial at a time."""
    history = History(space, metrics, seed=seed, planned=planned or trials)
    for _ in range(trials):
        proposals = ask(search, history)
        if not proposals:
            break
        history = told(history, proposals[0].config, function(proposals[0].config))
    return history


def mixed() -> Space:
    """A tree with every kind of parameter, a forbidden combination and a prior."""
    return Space(
        lr=Float(1e-5, 1e-1, log=True, prior=1e-2),
        opt=Choice("adam", "sgd", "lamb"),
        momentum=Float(0.0, 0.99, when={"opt": "sgd"}),
        width=Int(16, 512, log=True),
        batch=Int(16, 256, pow2=True),
        act=Ordinal("a", "b", "c"),
        epochs=10,
        forbid=["batch == 16 and act == 'c'"],
    )


def bowl(config: dict[str, Any]) -> float:
    """A smooth loss over `mixed`, lowest for sgd with a momentum of 0.9."""
    loss = (math.log10(config["lr"]) + 2.5) ** 2 + 0.3 * abs(math.log2(config["width"]) - 7)
    loss += {"adam": 0.5, "sgd": 0.0, "lamb": 1.0}[config["opt"]]
    return loss + (2.0 * (config["momentum"] - 0.9) ** 2 if "momentum" in config else 0.0)


def best(history: History) -> float:
    """The lowest loss."""
    return float(np.nanmin(history.losses[:, 0]))


def median_gain(
    make: Callable[[], Search], other: Callable[[], Search], space: Space, function: Any, trials: int
) -> float:
    """Median over twelve seeds of how much lower the first search ends."""
    ends = [[best(play(m(), space, function, trials, seed=seed)) for m in (make, other)] for seed in range(12)]
    return float(np.median([theirs - ours for ours, theirs in ends]))
