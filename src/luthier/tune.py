"""The loop: ask, run, report, tell, until the budget is used up."""

from __future__ import annotations

import math
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from luthier.budget import Budget, clock, duration_s, priced, size_bytes
from luthier.contracts import Decision, Schedule, Search, Verdict
from luthier.errors import AllTrialsFailed, MetricError, SettingError, StoreFull
from luthier.execute.base import Executor, Limits, Outcome, Ticket
from luthier.objective import RunEnded, objective_of
from luthier.outlook import Least
from luthier.record import command_line
from luthier.space import Space
from luthier.study import Observer, Study
from luthier.trial import Failure, State
from luthier.view.base import Snapshot, View, view_of
from luthier.view.text import program_text, resumes_text

_GRACE_S = 10.0  # how long running trials get to reach a checkpoint when the study is to end
_POLL_S = 0.25
_HOPELESS = 5  # so many failures and nothing else: stop and show why


def tune(
    objective: Callable[..., Any],
    space: Space,
    *,
    minimize: str | Iterable[str] | bool | None = None,
    maximize: str | Iterable[str] | bool | None = None,
    budget: Any = None,
    search: str | Search = "auto",
    schedule: str | Schedule | Iterable[Any] = "auto",
    workers: int | Literal["auto"] = "auto",
    dir: str | os.PathLike[str] | None = None,
    name: str | None = None,
    seed: int | None = None,
    start: Iterable[Mapping[str, Any]] = (),
    retries: int = 0,
    timeout: float | str | None = None,
    memory: int | str | None = None,
    checkpoints: Literal["best", "latest", "all"] = "best",
    ordered: bool = False,
    stop_below: float | str | None = None,
    price_per_hour: float | None = None,
    observers: Iterable[Observer] = (),
    view: Literal["auto", "live", "plain", "none"] | View = "auto",
) -> Study:
    """Find the configuration of `space` for which `objective` is best.

    Parameters
    ----------
    objective
        A function of the space's parameters by name, or of one dict; it may take ``run`` (`luthier.Run`). It returns a
        number or a dict of metrics, or reports them by step, or is a generator that yields them.
    space
        What may be tried.
    minimize, maximize
        The metrics to tune, by name; ``True`` stands for the one number that the objective returns.
    budget
        The total to spend, such as ``"20m"``, ``50`` (trials), ``"500 steps"`` or a mapping of several; see
        `luthier.Budget.of`. What the study in `dir` has spent before counts. None runs until the search has nothing
        left, as a grid.
    search, schedule
        What to try next, and how far to train.
    workers
        How many worker processes; 0 runs in this process; ``"auto"`` takes one per GPU, or per two processors.
    dir
        Where to keep the study; an existing one is continued. None keeps it in memory.
    name, seed, start, retries, observers
        See `luthier.Study`.
    timeout
        The most that one trial may take, in seconds or as ``"10m"``.
    memory
        The most that one trial may use, in bytes or as ``"4GB"``.
    checkpoints
        Which checkpoints of each trial stay: the latest and the best, only the latest, or all.
    ordered
        Same seed and same number of workers: the same configurations and results, whatever the timing. Costs waiting
        where trials differ in speed.
    stop_below
        End before the budget is used up, once what is left of it is expected to improve the first metric by less than
        this: a number in its units, or a share of its best value as ``"0.1 %"``; see `luthier.Study.outlook`.
    price_per_hour
        What an hour costs, all workers together: then the budget may be money, such as ``"5 USD"``.
    view
        What to show: ``"live"``, ``"plain"`` lines, ``"none"``, or a choice by the terminal.

    Returns
    -------
    Study
        Closed: to read. To go on, call `tune` again with the same `dir` and a larger budget.

    Raises
    ------
    SettingError, ObjectiveError, StoreError
        If an argument does not fit, before anything runs.
    AllTrialsFailed
        If the first trials all fail; the message has the last traceback.

    Examples
    --------
    >>> import luthier as lt
    >>> space = lt.Space(x=lt.Float(-5, 5), y=lt.Float(-5, 5))
    >>> study = lt.tune(lambda x, y: (x - 1) ** 2 + y**2, space, minimize=True, budget=30, workers=0, view="none")
    >>> len(study.trials)
    30
    """
    budget = priced(budget, price_per_hour)
    call = objective_of(objective, space.names if isinstance(space, Space) else ())
    slots = slots_of(workers)
    limits = Limits(
        None if timeout is None else duration_s(timeout), None if memory is None else size_bytes(memory), checkpoints
    )
    if checkpoints not in ("best", "latest", "all"):
        raise SettingError(f"checkpoints= is 'best', 'latest' or 'all', got {checkpoints!r}")
    grid = getattr(search, "points", None)  # a grid over a continuous space is finite
    if Budget.of(budget) == Budget() and isinstance(space, Space) and not space.finite and grid is None:
        raise SettingError("say how much to spend, such as budget='20m' or budget=50 (trials): the space is infinite")
    if stop_below is not None and Budget.of(budget) == Budget():
        raise SettingError("stop_below= looks at what is left of the budget: give one, such as budget='2h'")
    least = None if stop_below is None else Least.of(stop_below)
    shown = view_of(view)
    study = Study(
        space, minimize=minimize, maximize=maximize, search=search, schedule=schedule, budget=budget, dir=dir,
        name=name, seed=seed, start=start, retries=retries, observers=(*observers, *([shown.changed] if shown else [])),
    )  # fmt: skip
    study.ordered = ordered
    with study:
        grid = getattr(study.policy.search, "points", None)  # a grid over a continuous space is finite
        if study.budget == Budget() and not space.finite and grid is None:
            raise SettingError(
                "say how much to spend, such as budget='20m' or budget=50 (trials): the space is infinite"
            )
        executor: Executor
        if slots == 0:
            from luthier.execute.inline import InlineExecutor

            executor = InlineExecutor(call, study.metrics, limits)
        else:
            from luthier.execute.local import LocalExecutor

            directory = study.path(0).parent
            executor = LocalExecutor(call, study.metrics, limits, directory=directory, slots=slots, ordered=ordered)
        loop = _Loop(study, executor, shown, least, keep=checkpoints == "all")
        with loop.signals():
            try:
                loop.run()
            finally:
                executor.close()
                study.close()  # before a signal may break anything off again
    return study


class _Loop:
    """Drives one study with one executor; hears what its runs report."""

    def __init__(self, study: Study, executor: Executor, view: View | None, least: Least | None, *, keep: bool) -> None:
        self._study = study
        self._executor = executor
        self._view = view
        self._least = least
        self._keep = keep  # all checkpoints, those of trials that are given up included
        self._looked = 0  # results when the outlook was last worked out
        self._ending = ""  # why nothing new is started
        self._ended_at = math.inf
        self._before: dict[int, float] = {}  # running trial -> seconds of its earlier runs
        self._cut: set[int] = set()  # interrupted by us, not paused by the schedule
        self._broken: dict[int, Failure] = {}
        self._told = 0  # notices
        self._results = 0
        self._failures = 0
        self._busy = False  # a signal must not break off what is being written
        self._pending: BaseException | None = None
        self._over = False  # the loop has ended: a signal has nothing to break off any more
        self._unsaid = ""  # what a signal handler has to say; it may have come in the middle of another line
        self._deadline = time.monotonic() + study.budget.seconds - study.spent.seconds
        self._root = study.path(0).parent
        self._grace_s = min(_GRACE_S, max(0.5, 0.05 * study.budget.seconds))

    # -- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until the budget is used up, nothing is left to try, or somebody interrupts."""
        study = self._study
        if self._view is not None:
            self._view.begin(self._snapshot)
        try:
            try:
                self._greet()
                while self._fill():
                    outcomes = self._executor.poll(self, _POLL_S)
                    self._speak()
                    with self._undisturbed():
                        for outcome in outcomes:
                            self._settle(outcome)
                    if not outcomes:
                        self._idle()
            finally:
                self._over = True
                self._speak()
        except KeyboardInterrupt:
            self._ending, study.ended_by = "interrupted", study.ended_by or "SIGINT"
            self._say("stopped at once; trials that ran start again from their last checkpoint")
            if threading.current_thread() is not threading.main_thread():
                raise
        finally:
            try:
                for number in self._before:
                    if study.history.trial(number).state is State.RUNNING:
                        study.release(number)
                study.flush()
            finally:  # the disk may be full
                if self._view is not None:
                    self._view.close()
        self._goodbye()

    def _fill(self) -> bool:
        """Start what may be started; False when nothing runs and nothing will."""
        study, executor = self._study, self._executor
        if time.monotonic() >= self._deadline or study.steps >= study.budget.steps:
            self._used_up()
        if self._least is not None and not self._ending:
            self._look_ahead(self._least)
        while executor.free and not self._ending:
            trial = study.ask(new=study.begun < study.budget.trials)
            if trial is None:
                break
            parent = None if trial.parent is None else str(study.path(trial.parent))
            self._before[trial.number] = trial.seconds
            path = f"{self._root}/{trial.number:05d}"
            step = trial.steps if trial.metrics else 0
            if executor.submit(Ticket(trial.number, trial.config, trial.seed, path, step, parent)):
                study.resumed(trial.number)
        return bool(self._before)

    def _idle(self) -> None:
        """While nothing ends: write what waits, and kill what has not reached a checkpoint in time."""
        self._study.flush()
        if self._ending and time.monotonic() > self._ended_at + self._grace_s:
            for number in list(self._before):
                self._executor.kill(number)

    def _settle(self, outcome: Outcome) -> None:
        """Write down how a run ended."""
        study, number = self._study, outcome.number
        seconds = self._before.pop(number) + outcome.seconds
        broken = self._broken.pop(number, None) or outcome.failure
        if broken is not None:
            trial = study.tell(number, broken, seconds=seconds)
        elif outcome.kind == "paused":
            trial = study.pause(number, hold=number not in self._cut, seconds=seconds)
        elif outcome.kind == "interrupted":
            trial = study.release(number, seconds=seconds)
            if outcome.reason and (self._keep or not self._give_up()):  # nothing is freed where all are kept
                raise StoreFull(
                    f"{outcome.reason}; nothing acknowledged is lost. Free some space and run the same again"
                )
        elif outcome.kind == "crowded":
            trial = study.release(number, seconds=seconds)
            self._say(f"trial {number} ran out of memory beside paused ones; it goes on alone ({outcome.reason})")
        elif outcome.kind in ("stopped", "finished"):
            trial = study.stop(number, outcome.reason, finished=outcome.kind == "finished", seconds=seconds)
        else:
            trial = study.tell(number, outcome.result, seconds=seconds)
        self._cut.discard(number)
        self._results += trial.state in (State.DONE, State.STOPPED, State.PAUSED)
        self._failures += trial.state is State.FAILED
        hopeless = not self._results and self._failures >= max(_HOPELESS, self._executor.slots + 1)
        if hopeless and trial.failure and study.best is None:  # earlier sessions may have results
            raise AllTrialsFailed(
                f"the first {self._failures} trials all failed; the last with "
                f"{trial.failure.kind}: {trial.failure.message}\n{trial.failure.traceback}".rstrip()
            )

    # -- what runs report (a luthier.execute.base.Listener) ----------------------------------------------------------

    def restarted(self, number: int, step: int, reports: list[tuple[int, dict[str, float]]], *, seconds: float) -> None:
        """Bring the curve to where the checkpoint stands: cut it, or add what the checkpoint knows more."""
        with self._undisturbed():
            trial = self._study.resumed(number, step, seconds=seconds)
            for at, metrics in reports:
                if trial.steps < at <= step:
                    self._study.report(number, metrics, step=at, seconds=trial.seconds)

    def reported(
        self, number: int, step: int, metrics: Mapping[str, float], *, seconds: float, total_steps: int | None
    ) -> Decision:
        """Record a report and decide."""
        study = self._study
        with self._undisturbed():
            try:
                seconds += self._before[number]
                decision = study.report(number, metrics, step=step, seconds=seconds, total_steps=total_steps)
            except MetricError as error:
                self._broken[number] = error.failure
                return Decision(Verdict.STOP, error.failure.message)
            if study.steps >= study.budget.steps or time.monotonic() >= self._deadline:
                self._used_up()
        if self._ending and decision.verdict is Verdict.CONTINUE:
            self._speak()
            self._cut.add(number)
            return Decision(Verdict.PAUSE, self._ending)
        return decision

    def dispensable(self, numbers: Sequence[int]) -> int:
        """Choose the paused trial that will most likely not be gone on with."""
        return self._study.policy.dispensable(self._study.history, numbers)

    # -- when to end -------------------------------------------------------------------------------------------------

    def _used_up(self) -> None:
        if not self._ending:
            self._ending, self._ended_at = f"the budget of {self._study.budget} is used up", time.monotonic()

    def _look_ahead(self, least: Least) -> None:
        """End the study if what is left is not worth it; asked each time the results have grown by a twentieth."""
        study = self._study
        if self._results < max(least.results, 1.05 * self._looked):
            return
        self._looked = self._results
        ahead = study.outlook(study.budget.left(study.spent))
        if ahead is not None and least.reached(ahead):
            self._ending, self._ended_at = f"the rest is not worth it: {ahead}", time.monotonic()
            study.ended_by = "outlook"

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Let a signal wait until what is being written is written."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self._pending is not None:
            pending, self._pending = self._pending, None
            raise pending

    def _break_off(self, error: BaseException) -> None:
        if self._busy:
            self._pending = error
        else:
            raise error

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C or SIGTERM once: end cleanly; twice: at once. In this process, the deadline breaks a trial off.

        Once the loop has ended, a signal is only written down, so that what is left gets done.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_stop(number: int, _: FrameType | None) -> None:
            if self._ending == "interrupted":
                if not self._over:
                    self._break_off(KeyboardInterrupt())
                return
            self._study.ended_by = signal.Signals(number).name
            if self._over:
                return
            self._ending, self._ended_at = "interrupted", time.monotonic()
            self._unsaid = "stopping at the next report of each running trial; Ctrl-C again stops at once"
            if self._executor.inside and not self._busy:  # it may be long until the loop is back
                with suppress(RuntimeError):  # the objective itself is printing to the same stream
                    self._speak()

        def on_alarm(_: int, __: FrameType | None) -> None:
            if self._over:
                return
            self._used_up()
            if self._executor.inside:
                self._break_off(RunEnded())
            else:  # nothing but a trial may be broken off; the next one may be about to begin
                signal.setitimer(signal.ITIMER_REAL, _POLL_S)

        before = {s: signal.signal(s, on_stop) for s in (signal.SIGINT, signal.SIGTERM)}
        if self._executor.in_process and math.isfinite(self._deadline):
            before[signal.SIGALRM] = signal.signal(signal.SIGALRM, on_alarm)
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, self._deadline - time.monotonic() + self._grace_s))
        try:
            yield
        finally:
            if signal.SIGALRM in before:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _give_up(self) -> int:
        """End the paused trials that are hopeless, with their checkpoints; return how many there were."""
        ended = self._study.give_up(keep_checkpoints=self._keep)
        self._executor.drop([trial.number for trial in ended])
        given_up = len(ended)
        if given_up:
            what = "paused trial is" if given_up == 1 else "paused trials are"
            self._say(f"{given_up} {what} given up, too far behind to catch up; the others are kept")
        return given_up

    # -- words -------------------------------------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        study = self._study
        return Snapshot(study.name, study.history, study.budget, study.spent, self._executor.slots)

    def _say(self, text: str) -> None:
        if self._view is not None:
            self._view.say(text)

    def _speak(self) -> None:
        """Say what a signal handler left to be said."""
        if self._unsaid:
            self._say(self._unsaid)
            self._unsaid = ""

    def _greet(self) -> None:
        study, said = self._study, self._study.policy.search.describe(self._study.history)
        where = "" if study.dir is None else f" in {study.dir}"
        spent = study.spent
        went = f", going on after {_trials(spent.trials)} and {clock(spent.seconds)}" if spent.trials else ""
        count = self._executor.slots
        workers = "this process" if self._executor.in_process else f"{count} worker{'s' if count > 1 else ''}"
        self._say(f"{said}; budget {study.budget}, {workers}{where}{went}")
        self._tell_notices()

    def _tell_notices(self) -> None:
        for notice in self._study.notices[self._told :]:
            self._say(notice)
        self._told = len(self._study.notices)

    def _goodbye(self) -> None:
        study = self._study
        self._tell_notices()
        if not self._ending and study.budget.left(study.spent).used_up:
            self._used_up()
        study.ended_by = study.ended_by or ("budget" if self._ending else "exhausted")
        if study.ended_by in ("budget", "outlook"):
            self._give_up()
        resumes = resumes_text(study.history.resumes)
        if resumes:
            self._say(resumes)
        why = self._ending or "nothing is left to try"
        again = f"; to go on: {continue_line(study)}" if why == "interrupted" and study.dir is not None else ""
        self._say(f"{why} after {_trials(study.spent.trials)} and {clock(study.spent.seconds)}{again}")


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"


def continue_line(study: Study) -> str:
    """Return what to type to go on with a study: the command that is running."""
    words = command_line()
    if not words or not words[0]:
        return "run the same again"
    if Path(words[0]).name == "luthier":
        return f"{program_text('luthier')} resume {shlex.quote(str(study.dir))}"
    return shlex.join([program_text(Path(sys.executable).name), *words])


def slots_of(workers: Any) -> int:
    """Return how many trials run at once, 0 for those of this process; ``"auto"`` goes by GPUs and processors.

    Raises
    ------
    SettingError
        If it is neither a number nor ``"auto"``.
    """
    if workers == "auto":
        from luthier.execute.machine import cores, gpus

        return len(gpus()) or max(1, cores() // 2 if cores() > 4 else cores())
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise SettingError(f"workers= is a number from 0 up or 'auto', got {workers!r}")
    return workers
