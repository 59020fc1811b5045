"""Sizes that suit the data and the budget: epochs, batches, and the time that is kept for the end of the job."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from luthier.budget import clock
from luthier.estimators.objective import Training, some_rows
from luthier.parameter import Choice, Int

_EPOCHS = {  # at 10,000 rows; and least and most
    "image": (12, 5, 60),
    "audio": (12, 5, 60),
    "text": (8, 4, 40),
    "tabular": (30, 10, 150),
    "seq2seq": (30, 8, 100),
}
_LONGER = {"image": 2.0}  # times the usual epochs, where there is time: see docs/fidelity_research.md
_TRAININGS = 6  # full trainings that should fit into the time of all workers
_FEWER = {"image": 3}  # where their length brings more than their number
_TRIED_ROWS = 1024  # that the measured epoch is extrapolated from, at most
_TRIED_STEPS = 2  # and at least
KEPT = 0.4  # of the budget, at most, for retraining; more only where the very end needs it
_MOST_KEPT = 0.5
_AGAIN = 1.25  # times what a full training on all rows, with all processors, should take: kept for it
_LEAST_ROWS = 200
Timed = tuple[float, float, int, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What was decided before the search, so that running the same again continues it.

    Attributes
    ----------
    epochs
        Of a full training.
    rows
        Training rows that are used; fewer than there are where not even two epochs of all would fit.
    tuning_s, kept_s
        Seconds for the search, and those kept for retraining, test and summary; infinite and 0 where the budget has no
        seconds.
    notes
        What has to be told.
    """

    epochs: int
    rows: int
    tuning_s: float = math.inf
    kept_s: float = 0.0
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Read them as JSON has kept them: it has no infinity."""
        tuning = math.inf if state["tuning_s"] is None else float(state["tuning_s"])
        return cls(state["epochs"], state["rows"], tuning, float(state["kept_s"]), tuple(state["notes"]))


def usual_epochs(task: str, rows: int) -> int:
    """Return the epochs of a full training: fewer where there are many rows.

    Examples
    --------
    >>> [usual_epochs("image", rows) for rows in (500, 10_000, 60_000)]
    [54, 12, 5]
    """
    usual, least, most = _EPOCHS[task]
    return int(min(max(round(usual * math.sqrt(10_000 / max(rows, 1))), least), most))


def batches(rows: int) -> Int:
    """Return the batch sizes to try: small ones for few rows, large ones for many."""
    prior = 16 if rows < 300 else 32 if rows < 1000 else 64 if rows < 20_000 else 128 if rows < 50_000 else 256
    return Int(max(8, prior // 4), prior * 4, pow2=True, prior=prior)


def suited(task: str, rows: int, *, goal: str | None) -> dict[str, Any]:
    """Return the parameters of the recipe that depend on the data, and fix those that mean nothing for it."""
    found: dict[str, Any] = {"batch_size": batches(rows)}
    if task == "image":
        found["mirror"] = Choice(False, True, prior=False)
    if goal == "number":
        found |= {"label_smoothing": 0.0, "class_weights": "none"}
    return found


def fit_sizes(
    task: str, rows: int, *, epochs: int | None, timed: Timed | None, left_s: float, end_s: float = 0.0
) -> Sizes:
    """Choose the sizes.

    Parameters
    ----------
    task
        Of the data.
    rows
        Training rows.
    epochs
        If the user has said them.
    timed
        Seconds of one epoch of the training rows, those that a training takes before, how many workers there are, and
        seconds of one epoch of the last training, validation rows included; None where the budget has no seconds.
    left_s
        Of the budget, after starting, reading and timing.
    end_s
        What the test, the summary and its pictures will take.
    """
    wanted = epochs or usual_epochs(task, rows)
    if timed is None:
        return Sizes(wanted, rows)
    epoch_s, before_s, workers, again_s = timed
    longest = epochs or round(wanted * _LONGER.get(task, 1.0))
    most = max(KEPT * left_s, min(1.25 * end_s, _MOST_KEPT * left_s))
    kept = min(most, _AGAIN * (longest * again_s + before_s) + end_s)
    tuning = left_s - kept
    notes: list[str] = []
    used, chosen = rows, wanted
    if epochs is None:
        fitting = (tuning * workers / _FEWER.get(task, _TRAININGS) - before_s) / max(epoch_s, 1e-6)
        if task in _FEWER:  # the last one has to be as long
            fitting = min(fitting, (most - end_s) / _AGAIN / max(again_s, 1e-6))
        least = min(wanted, _EPOCHS[task][1])
        chosen = max(1, min(longest, max(least, int(fitting)), int(tuning / (1.5 * max(epoch_s, 1e-6)))))
        if 1.5 * 2 * epoch_s > tuning and rows > _LEAST_ROWS:
            used, chosen = max(_LEAST_ROWS, int(rows * tuning / (4.5 * epoch_s))), 3
            notes.append(f"the search uses {used:,} of {rows:,} training rows: an epoch of all takes {clock(epoch_s)}")
        if chosen < wanted:
            count = f"{chosen} epoch{'s' if chosen > 1 else ''}"
            notes.append(f"{count} a training instead of the usual {wanted}, to fit the budget")
        elif chosen > wanted:
            notes.append(f"{chosen} epochs a training instead of the usual {wanted}: the budget has room for them")
    kept = min(kept, _AGAIN * (chosen * again_s + before_s) + end_s)
    notes.append(f"{clock(left_s - kept)} for the search, {clock(kept)} kept for retraining, test and summary")
    return Sizes(chosen, min(used, rows), left_s - kept, kept, tuple(notes))


def epoch_seconds(
    training: Training, train: Any, *, threads: int, seed: int = 0, most_s: float = math.inf
) -> tuple[float, float]:
    """Measure how long an epoch of the recipe's default takes, and what comes before the first, by a part of the rows.

    Parameters
    ----------
    training
        With the recipe.
    train
        Inputs and targets.
    threads
        That a trial will have.
    seed
        Of the rows.
    most_s
        After which no further step is begun, two excepted.
    """
    count = len(train[1])
    rows = np.random.default_rng(seed).permutation(count)[:_TRIED_ROWS]
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(threads, before)))
    try:
        config = dict(training.recipe.default)
        warm = training.plan(config, some_rows(train, rows[:64]), seed=seed)
        warm.trainer.epoch(warm.trainer.moved(warm.train), 0)
        begun = time.perf_counter()
        plan = training.plan(config, some_rows(train, rows), seed=seed)
        made = time.perf_counter()
        done = _some_steps(plan, until=made + most_s)
        return (time.perf_counter() - made) * count / done, (made - begun) * count / len(rows)
    finally:
        torch.set_num_threads(before)


def _some_steps(plan: Any, *, until: float) -> int:
    """Train on batches until the time is up or all rows were seen; how many rows that were."""
    trainer, done, generator = plan.trainer, 0, torch.Generator().manual_seed(0)
    data, size = trainer.moved(plan.train), trainer.settings.batch_size
    with torch.random.fork_rng([]):
        for place, index in enumerate(torch.arange(len(data[1]), device=trainer.settings.device).split(size)):
            alone = len(index) == 1 and place > 0  # an epoch leaves it out, too: it has no batch statistics
            if alone or (place >= _TRIED_STEPS and (time.perf_counter() > until or len(index) < size)):
                break
            float(trainer.update(data, index, generator))  # waits for a GPU
            done += len(index)
    return done
