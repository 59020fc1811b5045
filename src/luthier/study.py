"""A study: the only stateful shell. Ask for a trial, report its steps, tell its result; all of it is durable."""

from __future__ import annotations

import math
import operator
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.budget import Budget
from luthier.contracts import Decision, Fork, New, Proposal, Resume, Schedule, Search, Verdict
from luthier.errors import ConfigError, LuthierError, MetricError, SettingError, StoreError, TrialStateError
from luthier.execute.checkpoint import prune
from luthier.objective import metrics_of, missing, read_metrics, result_of, results_of
from luthier.policy import policy_of
from luthier.reader import StudyReader
from luthier.record import open_store, settle, told_settings
from luthier.space import Config, Space
from luthier.spacefile import space_from_dict
from luthier.store.base import Store
from luthier.trial import Failure, Resumes, State, Trial, move

Observer = Callable[[Trial], None]


class Study(StudyReader):
    """A search for the best configuration of a space.

    Parameters
    ----------
    space
        What may be tried. None continues with the space that the study has.
    minimize, maximize
        The metrics to tune, by name; several may be given. None continues with those that the study has.
    search, schedule
        What to try next and how far to train: names, or objects.
    budget
        The total it may spend, see `luthier.Budget.of`; `ask` does not enforce it, `luthier.tune` does.
    dir
        Where the study is kept. An existing study is continued. None keeps it in memory.
    name
        For people; by default the directory's name.
    seed
        What all randomness derives from; drawn if not given.
    start
        Configurations, complete or not, to try first.
    retries
        How often a failed trial is tried again.
    observers
        Called with each trial at every change of it; one that raises is left out from then on, and `notices` says so.

    Attributes
    ----------
    notices : list of str
        What the user should know.
    ordered : bool
        Whether proposals must not depend on measured times; `luthier.tune` sets it.
    ended_by : str
        How `luthier.tune` ended: ``"budget"``, ``"exhausted"`` (nothing is left to try), ``"outlook"`` (`stop_below=`),
        ``"SIGINT"`` or ``"SIGTERM"``; empty before.

    Raises
    ------
    SettingError
        If an argument is not allowed.
    StudyBusy, StudyMismatch, StoreError
        If the study in `dir` is driven by another process, was made for other metrics, or cannot be opened.

    Examples
    --------
    >>> import luthier as lt
    >>> study = lt.Study(lt.Space(x=lt.Float(-1, 1)), minimize="loss", search="random", seed=1)
    >>> for _ in range(20):
    ...     trial = study.ask()
    ...     _ = study.tell(trial, {"loss": trial.config["x"] ** 2})
    >>> study.best.metrics["loss"] < 0.05
    True
    """

    def __init__(
        self,
        space: Space | None,
        *,
        minimize: str | Iterable[str] | bool | None = None,
        maximize: str | Iterable[str] | bool | None = None,
        search: str | Search = "auto",
        schedule: str | Schedule | Iterable[Any] = "auto",
        budget: Any = None,
        dir: str | os.PathLike[str] | None = None,
        name: str | None = None,
        seed: int | None = None,
        start: Iterable[Mapping[str, Any]] = (),
        retries: int = 0,
        observers: Iterable[Observer] = (),
    ) -> None:
        if space is not None and not isinstance(space, Space):
            raise SettingError(f"space= is a luthier.Space, got {type(space).__name__}: write Space({{...}})")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0):
            raise SettingError(f"seed= is a whole number from 0 up, got {seed!r}")
        policy, total = policy_of(search, schedule), Budget.of(budget)
        place = None if dir is None else Path(dir)
        there = place is not None and (place / "study.db").exists()
        if space is None and not there:
            raise StoreError(f"there is no study in {place} to continue: give it a space and a metric")
        wanted = metrics_of(minimize, maximize) if minimize or maximize or not there else ()
        store: Store = open_store(place)
        try:
            told = told_settings(search, schedule, budget)
            record, self.notices = settle(store, place, space, wanted, seed=seed, name=name, told=told)
            super().__init__(store, record, space or space_from_dict(record.space), total, place)
            self.policy = policy
            self._paced = bool(getattr(policy.search, "paced", False))
            self.retries = retries
            self.ordered = False
            self.ended_by = ""
            self._since: dict[int, tuple[float, float]] = {}  # running trial -> when it was started, seconds before
            self._observers = tuple(observers)
            self._closed = False
            self._recover()
            self._enqueue_start(start)
            store.drive()
        except BaseException:
            store.close()
            raise

    # -- ask, report, tell -------------------------------------------------------------------------------------------

    def ask(self, *, new: bool = True) -> Trial | None:
        """Return the next trial to run: interrupted ones first, then queued ones, then what the policy wants.

        Parameters
        ----------
        new
            False only goes on with trials that were started before.

        Returns
        -------
        Trial or None
            A running trial; ``steps`` above zero means that it goes on from there. None if there is nothing to run
            now: the space is exhausted, or the search waits for results.
        """
        if self._ready and (new or self.history.trial(self._ready[0]).started is not None):
            return self._run(self.history.trial(self._ready.popleft()))
        if not new:
            promoted = self.policy.promote(self.history)
            return self._accept(promoted, 0, 0) if promoted else None
        number = self.history.began
        key: tuple[int, ...] = (self._record.seed, number)
        if self._paced:  # several decisions fall between two new trials: each has its own draws
            key = (*key, self.steps - self.repeated)
            timed = math.isfinite(self.budget.seconds) and not self.ordered
            self.history = self.history.spent(self.budget.share(self.spent), timed=timed)
        rng = np.random.default_rng(key)
        seed = int(rng.integers(2**31))
        proposals = self.policy.propose(self.history, 1, rng)
        return self._accept(proposals[0], number, seed) if proposals else None

    def report(
        self,
        trial: Trial | int,
        metrics: Any,
        *,
        step: int | None = None,
        seconds: float | None = None,
        total_steps: int | None = None,
    ) -> Decision:
        """Report the metrics of one step of a running trial, and learn whether to go on.

        Parameters
        ----------
        trial
            The trial or its number.
        metrics
            A number or a mapping of name to number.
        step
            Steps done so far, from 1; by default one more than before.
        seconds
            How long the trial has run; by default since it was started.
        total_steps
            The steps of a full training, for schedules and searches that plan with it.

        Returns
        -------
        Decision
            ``verdict`` is CONTINUE, PAUSE, STOP or FINISH.

        Raises
        ------
        MetricError
            If a metric is no number, or a wanted one is not finite.
        TrialStateError
            If the trial is not running.
        """
        before = self._running(trial)
        new = read_metrics(metrics, self.history.metrics)
        if step is None:
            step = before.steps + 1
        elif isinstance(step, int) or hasattr(step, "__index__"):
            step = int(step)
        else:
            raise MetricError(Failure("type", f"a step is a whole number, got {step!r}"))
        if step < max(before.steps, 1):
            when = f"step {step} was reported after step {before.steps}" if before.steps else f"got step {step}"
            raise MetricError(Failure("type", f"steps count from 1 and rise: {when}"))
        after = replace(
            before,
            curve=before.curve.append(step, new),
            metrics=result_of(before.metrics, new, self.metrics),
            seconds=self._elapsed(before) if seconds is None else seconds,
            total_steps=before.total_steps if total_steps is None else operator.index(total_steps),
        )
        whole = new if step > before.steps else after.curve.at(step)  # a second report of a step adds to it
        self._store.report(after.number, step, whole, after.seconds)
        self.steps += after.charged - before.charged
        self._note(after)
        decision = self.policy.judge(self.history, after)
        if decision.estimate is not None:
            self._note(replace(after, metrics={**after.metrics, self.metrics[0].name: decision.estimate}))
        if decision.verdict is Verdict.CONTINUE and after.grant is not None and step >= after.grant:
            return Decision(Verdict.PAUSE, f"reached step {step}, as far as it was granted")
        return decision

    def tell(self, trial: Trial | int, metrics: Any = None, *, seconds: float | None = None) -> Trial:
        """End a running trial with its result.

        Parameters
        ----------
        trial
            The trial or its number.
        metrics
            A number, a mapping, None (what was reported counts), a `Failure` or an exception. Metrics that cannot be
            used make it a failed trial.
        seconds
            How long it ran; by default since it was started.

        Returns
        -------
        Trial
            As recorded: done, failed, or waiting for another attempt.
        """
        before = self._running(trial)
        if isinstance(metrics, BaseException):
            metrics = Failure("exception", f"{type(metrics).__name__}: {metrics}")
        if isinstance(metrics, Failure):
            return self._fail(before, metrics, seconds)
        try:
            result = (
                before.metrics if metrics is None else {**before.metrics, **read_metrics(metrics, self.history.metrics)}
            )
        except MetricError as error:
            return self._fail(before, error.failure, seconds)
        for metric in self.history.metrics:
            if metric.name not in result:
                return self._fail(before, missing(metric.name, result), seconds)
        return self._end(before, State.DONE, seconds, metrics=result)

    def stop(
        self, trial: Trial | int, reason: str = "", *, finished: bool = False, seconds: float | None = None
    ) -> Trial:
        """End a running trial early; its result so far counts. `finished` makes it done instead of stopped."""
        before = self._running(trial)
        for metric in self.metrics:
            if metric.name not in before.metrics:
                return self._fail(before, missing(metric.name, before.metrics), seconds)
        return self._end(before, State.DONE if finished else State.STOPPED, seconds, reason=reason or before.reason)

    def pause(self, trial: Trial | int, *, hold: bool = True, seconds: float | None = None) -> Trial:
        """Pause a running trial at its last checkpoint.

        `hold` leaves it to the schedule to resume it; otherwise it counts as interrupted and the study goes on with it
        first.
        """
        before = self._running(trial)
        grant = before.steps if hold else before.grant
        after = move(before, State.PAUSED, grant=grant, seconds=self._elapsed(before) if seconds is None else seconds)
        return self._interrupted(after)

    def release(self, trial: Trial | int, *, seconds: float | None = None) -> Trial:
        """Give a running trial back: it waits, and starts again from its last checkpoint, or from the beginning."""
        before = self._running(trial)
        ran = self._elapsed(before) if seconds is None else seconds
        return self._interrupted(move(before, State.WAITING, seconds=ran))

    def give_up(self, *, keep_checkpoints: bool = False) -> list[Trial]:
        """End the paused trials that will hardly be worth another step, if the search can tell; their reason says why.

        `luthier.tune` does so at the end of a budget, and when the disk is full. Their checkpoints are deleted, unless
        `keep_checkpoints` is given; a trial whose checkpoint may still be needed, since one that lives was forked from
        it, stays paused. So do all others, for a larger budget.
        """
        ended = []
        for number, reason in sorted(self.policy.hopeless(self.history).items(), reverse=True):  # forks come first
            if not keep_checkpoints and any(t.parent == number for t in self.history.live):
                continue
            before = self.history.trial(number)
            trial = move(before, State.STOPPED, reason=reason, ended=time.time())
            self._store.end(trial)
            self.steps += trial.charged - before.charged
            ended.append(self._note(trial))
            if not keep_checkpoints and self._root is not None:
                prune(self.path(number) / "checkpoints", set())
            if number in self._ready:
                self._ready.remove(number)
        return ended

    def resumed(self, trial: Trial | int, step: int | None = None, *, seconds: float = 0.0) -> Trial:
        """Tell how a running trial goes on; ``trial.resumes`` counts it, if it had reported before.

        Parameters
        ----------
        trial
            The trial or its number.
        step
            The step it goes on from: later steps of its curve are dropped, and stay spent. None is in memory.
        seconds
            How long it took to load, which is part of how long the trial has run.
        """
        before = self._running(trial)
        if not before.steps:
            return before
        after, cost = before, Resumes(memory=1)
        if step is not None:
            if step < before.steps:
                curve = before.curve.upto(step)
                after = replace(before, curve=curve, metrics=results_of(curve, self.metrics))
            cost = Resumes(checkpoint=1, seconds=seconds, repeated=max(0, before.steps - step))
        self.repeated += cost.repeated
        self.steps += cost.repeated - (before.charged - after.charged)  # the next report tells all since the last left
        after = replace(after, resumes=before.resumes + cost, seconds=before.seconds + cost.seconds)
        self._store.update(after)
        return self._note(after)

    def enqueue(self, config: Mapping[str, Any], *, tags: Iterable[str] = (), note: str = "") -> Trial:
        """Queue a configuration, complete or not, to be tried next; what is missing takes its prior or is drawn.

        Raises
        ------
        ConfigError
            If the space does not hold it.
        """
        return self._queue(config, origin="queue", tags=tuple(tags), note=note)

    def annotate(self, trial: Trial | int, *, tags: Iterable[str] | None = None, note: str | None = None) -> Trial:
        """Replace the tags or the note of a trial."""
        before = self.history.trial(trial if isinstance(trial, int) else trial.number)
        after = replace(
            before, tags=before.tags if tags is None else tuple(tags), note=before.note if note is None else note
        )
        self._store.update(after)
        self._rebuild(self.space, [after if t.number == after.number else t for t in self.history.recorded])
        return after

    def flush(self) -> None:
        """Write reports that are still waiting for their group."""
        self._store.flush()

    def close(self) -> None:
        """Interrupt what runs, write everything and let other processes drive the study."""
        try:
            for trial in self.history.live:
                if trial.state is State.RUNNING and not self._closed:
                    self.release(trial)
        finally:  # the disk may be full
            self._closed = True
            super().close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """After opening: what a dead driver left running waits; what is unfinished goes on first."""
        if self.history.outside:
            self.notices.append(
                f"{len(self.history.outside)} earlier trials are outside of the space as it is now; they are kept for "
                "the record, and the search does not see them"
            )
        self._ready: deque[int] = deque()
        if any(t.state is State.RUNNING for t in self.history.outside):
            self._rebuild(self.space, [self._waiting_outside(t) for t in self.history.recorded])
        for trial in reversed(self.history.live):
            if trial.state is State.RUNNING:
                self._interrupted(move(trial, State.WAITING))
            elif trial.unfinished:
                self._ready.appendleft(trial.number)

    def _waiting_outside(self, trial: Trial) -> Trial:
        """A trial that ran when its driver died, and that the space no longer holds, waits for the space to hold it."""
        if trial.state is not State.RUNNING or trial not in self.history.outside:
            return trial
        waiting = move(trial, State.WAITING)
        self._store.update(waiting)
        return waiting

    def _enqueue_start(self, start: Iterable[Mapping[str, Any]]) -> None:
        there = [t.config for t in self.history.trials if t.origin == "start"]
        for partial in start:
            if not any(self._completes(partial, config) for config in there):
                self._queue(partial, origin="start")

    def _completes(self, partial: Mapping[str, Any], config: Config) -> bool:
        """Tell whether a configuration is what a starting point was completed to."""
        if not isinstance(partial, Mapping):
            return False
        for name, value in partial.items():
            if value is None and name not in config:
                continue
            parameter = self.space.parameters.get(name)
            try:
                canonical = value if parameter is None else parameter.check(value)
            except ConfigError:
                return False
            if name not in config or config[name] != canonical:
                return False
        return True

    def _queue(self, config: Mapping[str, Any], *, origin: str, tags: tuple[str, ...] = (), note: str = "") -> Trial:
        if not isinstance(config, Mapping):
            raise ConfigError(f"a configuration is a mapping of name to value, got {config!r}")
        number = self.history.began
        rng = np.random.default_rng((self._record.seed, number))
        seed, whole = int(rng.integers(2**31)), self.space.complete(config, rng)
        reason = "a starting point" if origin == "start" else "put in the queue by hand"
        trial = Trial(number, whole, seed=seed, origin=origin, reason=reason, tags=tags, note=note)
        self._store.begin(trial)
        self._ready.append(number)
        return self._note(trial)

    def _accept(self, proposal: Proposal, number: int, seed: int) -> Trial:
        """Start what the policy proposed."""
        if isinstance(proposal, Resume):
            trial = self.history.trial(proposal.number)
            return self._run(replace(trial, grant=proposal.grant, reason=proposal.reason or trial.reason))
        parent = proposal.number if isinstance(proposal, Fork) else None
        origin = proposal.origin if isinstance(proposal, New) else "search"
        config: Config = proposal.config
        now = time.time()
        trial = Trial(
            number, config, State.RUNNING, seed, grant=proposal.grant, parent=parent, origin=origin,
            reason=proposal.reason, started=now,
        )  # fmt: skip
        self._store.begin(trial)
        self._since[number] = (now, 0.0)
        self.begun += 1
        return self._note(trial)

    def _run(self, trial: Trial) -> Trial:
        if trial.started is None:
            self.begun += 1
        now = time.time()
        self._since[trial.number] = (now, trial.seconds)
        running = move(trial, State.RUNNING, started=now if trial.started is None else trial.started)
        self._store.update(running)
        return self._note(running)

    def _fail(self, trial: Trial, failure: Failure, seconds: float | None) -> Trial:
        if trial.attempt < self.retries:
            ran = self._elapsed(trial) if seconds is None else seconds
            again = move(trial, State.WAITING, attempt=trial.attempt + 1, failure=failure, seconds=ran)
            return self._interrupted(again)
        return self._end(trial, State.FAILED, seconds, failure=failure)

    def _end(self, trial: Trial, state: State, seconds: float | None, **changes: Any) -> Trial:
        ran = self._elapsed(trial) if seconds is None else seconds
        self._since.pop(trial.number, None)
        ended = replace(trial, state=state, seconds=ran, ended=time.time(), **changes)  # any end follows running
        self._store.end(ended)
        self.steps += not trial.curve.count  # one that reported nothing is charged a step at its end
        return self._note(ended)

    def _interrupted(self, trial: Trial) -> Trial:
        self._store.update(trial)
        if trial.unfinished:
            self._ready.appendleft(trial.number)
        return self._note(trial)

    def _note(self, trial: Trial) -> Trial:
        self.history = self.history.record(trial)
        for observe in self._observers:
            try:
                observe(trial)
            except Exception as error:  # noqa: BLE001 - whatever watches must not cost what it watches
                self._observers = tuple(o for o in self._observers if o is not observe)
                self.notices.append(f"the observer {observe!r} failed and is left out: {type(error).__name__}: {error}")
        return trial

    def _running(self, trial: Trial | int) -> Trial:
        number = trial if isinstance(trial, int) else trial.number
        try:
            known = self.history.trial(number)
        except KeyError:
            raise LuthierError(f"the study has no trial {number}") from None
        if known.state is not State.RUNNING:
            raise TrialStateError(f"trial {number} is {known.state}, not running: ask() gives trials to run")
        return known

    def _elapsed(self, trial: Trial) -> float:
        """Seconds a trial has run: before it was started this time, and since; never less than was told."""
        since, before = self._since.get(trial.number, (time.time(), trial.seconds))
        return max(trial.seconds, before + time.time() - since)
