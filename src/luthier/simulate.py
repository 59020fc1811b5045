"""Rehearse a study: any search and schedule against recorded curves, with simulated workers and a simulated clock.

A discrete-event simulation: the clock jumps from the end of one step to that of the next, so a week on a thousand
workers takes as long as the decisions do. Two runs with the same arguments are equal; with one worker, it is the loop
of `luthier.tune` in this process.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from luthier.budget import Spent
from luthier.contracts import Decision, Schedule, Search, Verdict
from luthier.errors import MetricError, SettingError
from luthier.objective import failure_of
from luthier.space import Config, Space
from luthier.study import Study
from luthier.trial import Failure, Trial

Kind = Literal["report", "done", "failed", "paused", "stopped"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of one trial in the log of a simulation.

    Attributes
    ----------
    seconds : float
        On the simulated clock.
    steps : int
        Steps done so far, all trials together.
    trial, step : int
        Which trial did which of its steps.
    kind
        What became of the trial after it: it goes on (``report``), or it is done, failed, paused or stopped.
    best : int or None
        The incumbent: the trial with the best value of the first metric at any step so far, running ones included.
    value : float
        That value; NaN if there is none.
    """

    seconds: float
    steps: int
    trial: int
    step: int
    kind: Kind
    best: int | None
    value: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulation leaves behind.

    Attributes
    ----------
    study : Study
        In memory, as after a real run, but that `started` and `ended` of its trials are of the real clock.
    log : list of Moment
        In order of the simulated clock.
    workers : int
        How many there were.
    busy_s : float
        Seconds that workers trained, all together.
    waited : int
        How often a worker was free and nothing was proposed, before the budget was used up.
    """

    study: Study
    log: list[Moment]
    workers: int
    busy_s: float
    waited: int

    @property
    def seconds(self) -> float:
        """How long it took, on the simulated clock."""
        return self.log[-1].seconds if self.log else 0.0

    @property
    def idle_share(self) -> float:
        """Share of the workers' time in which they did nothing."""
        whole = self.workers * self.seconds
        return max(0.0, 1.0 - self.busy_s / whole) if whole else 0.0

    def at_steps(self, steps: float) -> Moment | None:
        """Return the last moment at which no more than so many steps were done."""
        row = bisect_right(self.log, steps, key=lambda m: m.steps)
        return self.log[row - 1] if row else None

    def at(self, seconds: float) -> Moment | None:
        """Return the last moment up to a time on the simulated clock."""
        row = bisect_right(self.log, seconds, key=lambda m: m.seconds)
        return self.log[row - 1] if row else None


def simulate(
    curve: Callable[[Config], Iterable[Any]],
    space: Space,
    *,
    minimize: str | Iterable[str] | bool | None = None,
    maximize: str | Iterable[str] | bool | None = None,
    budget: Any,
    search: str | Search = "auto",
    schedule: str | Schedule | Iterable[Any] = "auto",
    workers: int = 1,
    seconds: float | Callable[[Config], float] = 1.0,
    start_s: float = 0.0,
    resume_s: float = 0.0,
    seed: int = 0,
    retries: int = 0,
    start: Iterable[Mapping[str, Any]] = (),
) -> Simulation:
    """Run a study without training anything.

    Parameters
    ----------
    curve
        What a full training of a configuration reports: one number, or one dict of metrics, for each of its steps. A
        NaN fails the trial at that step; an exception fails it at once. A fork goes on at its parent's step, on the
        curve of its own configuration.
    space, minimize, maximize, search, schedule, retries, start
        As in `luthier.tune`.
    budget
        As in `luthier.tune`; seconds are those of the simulated clock.
    workers
        How many train at once.
    seconds
        How long a step takes: a number, or a function of the configuration.
    start_s
        Seconds that it takes to start a new trial: to load the data, to build the model.
    resume_s
        Seconds that it takes to load the checkpoint of a paused trial; at 0 all paused trials stay in memory.
    seed
        Of the study.

    Returns
    -------
    Simulation

    Raises
    ------
    SettingError
        If there is no worker, no budget, or a step takes no time.

    Examples
    --------
    Does a pruner pay here?

    >>> import luthier as lt
    >>> from luthier.simulate import simulate
    >>> space = lt.Space(lr=lt.Float(1e-4, 1.0, log=True))
    >>> def curve(config):
    ...     return [abs(config["lr"] - 0.01) + 1.0 / step for step in range(1, 21)]
    >>> for schedule in ("full", "median"):
    ...     common = dict(budget="200 steps", search="random", workers=4)
    ...     run = simulate(curve, space, minimize=True, schedule=schedule, **common)
    ...     print(schedule, len(run.study.trials), "trials in", run.seconds, "seconds")
    full 12 trials in 51.0 seconds
    median 38 trials in 51.0 seconds
    """
    study = _Rehearsal(
        space, minimize=minimize, maximize=maximize, search=search, schedule=schedule, budget=budget, seed=seed,
        retries=retries, start=start,
    )  # fmt: skip
    if workers < 1 or not min(study.budget.trials, study.budget.steps, study.budget.seconds) < math.inf:
        raise SettingError(f"a simulation needs at least one worker and a budget, got workers={workers}, {budget=}")
    return _Loop(study, curve, workers, seconds=seconds, start_s=start_s, resume_s=resume_s).run()


class _Rehearsal(Study):
    """A study whose seconds are those of the simulated clock."""

    simulated_s = 0.0

    @property
    def spent(self) -> Spent:
        """What it has spent so far."""
        return Spent(self.begun, self.steps, self.simulated_s)


class _Loop:
    """The loop of `luthier.tune` on a simulated clock."""

    def __init__(
        self,
        study: _Rehearsal,
        curve: Callable[[Config], Iterable[Any]],
        workers: int,
        *,
        seconds: float | Callable[[Config], float],
        start_s: float,
        resume_s: float,
    ) -> None:
        self.study, self.curve, self.workers = study, curve, workers
        self.pace, self.start_s, self.resume_s = seconds, start_s, resume_s
        self.clock = self.busy_s = 0.0
        self.over = False
        self.waited = self.order = 0
        self.events: list[tuple[float, int, int]] = []  # when a step ends, order of starting, trial
        self.known: dict[int, tuple[list[Any] | Failure, float]] = {}  # trial -> curve or failure, seconds per step
        self.due: dict[int, float] = {}  # trial -> its seconds when the step under way is done
        self.forked: dict[int, int] = {}
        self.log: list[Moment] = []
        self.best: int | None = None
        self.value = math.nan

    def run(self) -> Simulation:
        """Run until the budget is used up or nothing is left to try."""
        while self.fill():
            self.clock, _, number = heapq.heappop(self.events)
            self.study.simulated_s = self.clock
            self.step(number)
        return Simulation(self.study, self.log, self.workers, self.busy_s, self.waited)

    def fill(self) -> bool:
        """Give work to free workers; False when nothing runs and nothing will."""
        study = self.study
        self.over = self.over or study.steps >= study.budget.steps or self.clock >= study.budget.seconds
        while len(self.events) < self.workers and not self.over:
            trial = study.ask(new=study.begun < study.budget.trials)
            if trial is None:
                self.waited += bool(self.events)
                break
            study.resumed(trial, trial.steps if self.resume_s else None, seconds=self.resume_s)
            self.begin(trial, self.resume_s if self.begun_at(trial) else self.start_s)
        return bool(self.events)

    def begin(self, trial: Trial, delay_s: float) -> None:
        """Let a worker do the next step of a trial."""
        if trial.number not in self.known:
            self.known[trial.number] = self.train(trial.config)
        spent = delay_s + self.known[trial.number][1]
        self.due[trial.number] = trial.seconds + spent
        self.busy_s += spent
        self.order += 1
        heapq.heappush(self.events, (self.clock + spent, self.order, trial.number))

    def train(self, config: Config) -> tuple[list[Any] | Failure, float]:
        """Look up what a full training reports, and how long a step of it takes."""
        pace = self.pace(dict(config)) if callable(self.pace) else self.pace
        if not 0.0 < pace < math.inf:
            raise SettingError(f"a step takes a number of seconds above zero, got {pace!r} for {config}")
        try:
            return list(self.curve(dict(config))), pace
        except Exception as error:  # noqa: BLE001 - a failing trial is data
            return failure_of(error), pace

    def step(self, number: int) -> None:
        """Let a trial report the step that it has done, and do what is decided."""
        study = self.study
        before = study.history.trial(number)
        curve, _ = self.known[number]
        at = self.begun_at(before) + 1
        seconds = self.due[number]
        if isinstance(curve, Failure) or not curve:
            study.tell(number, curve or None, seconds=seconds)
            self.note(number, 0, "failed")
            return
        try:
            decision = study.report(number, curve[at - 1], step=at, seconds=seconds, total_steps=len(curve))
        except MetricError as error:
            study.tell(number, error.failure, seconds=seconds)
            self.note(number, at, "failed")
            return
        self.over = self.over or study.steps >= study.budget.steps or self.clock >= study.budget.seconds
        self.note(number, at, self.decide(number, decision, seconds, last=at == len(curve)))

    def begun_at(self, trial: Trial) -> int:
        """Where a trial stands; a fork that has not reported stands where its parent stood when it was forked."""
        if trial.steps or trial.parent is None:
            return trial.steps
        return self.forked.setdefault(trial.number, self.study.history.trial(trial.parent).steps)

    def decide(self, number: int, decision: Decision, seconds: float, *, last: bool) -> Kind:
        """Go on with a trial that has reported, or end or pause it."""
        study, verdict = self.study, decision.verdict
        if verdict in (Verdict.STOP, Verdict.FINISH):
            study.stop(number, decision.reason, finished=verdict is Verdict.FINISH, seconds=seconds)
            return "stopped" if verdict is Verdict.STOP else "done"
        if last:
            study.tell(number, seconds=seconds)
            return "done"
        if verdict is Verdict.PAUSE or self.over:
            study.pause(number, hold=verdict is Verdict.PAUSE, seconds=seconds)
            return "paused"
        self.begin(study.history.trial(number), 0.0)
        return "report"

    def note(self, number: int, step: int, kind: Kind) -> None:
        """Write the log."""
        study, metric = self.study, self.study.metrics[0]
        value = study.history.trial(number).metrics.get(metric.name, math.nan)
        if kind != "failed" and not metric.sign * value >= metric.sign * self.value and not math.isnan(value):
            self.best, self.value = number, value
        self.log.append(Moment(self.clock, study.steps, number, step, kind, self.best, self.value))
