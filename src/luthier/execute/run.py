"""The `run` that an objective may take: steps, reports, kept objects; and the calling of an objective."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

from luthier.contracts import Decision, Verdict
from luthier.errors import LuthierError, MetricError
from luthier.execute import checkpoint
from luthier.execute.base import FULL, Outcome, OutcomeKind, Stopwatch, Ticket
from luthier.execute.rng import random_state, restore_random_state
from luthier.objective import Metric, Objective, RunEnded, failure_of, read_metrics
from luthier.trial import Failure

_EVERY_S = 1.0  # at most one unforced checkpoint in so many seconds
_SHARE = 0.1  # and at most this share of the time spent on them
_ENDINGS: dict[Verdict, OutcomeKind] = {
    Verdict.PAUSE: "paused",
    Verdict.STOP: "stopped",
    Verdict.FINISH: "finished",
}


class Host(Protocol):
    """What a run needs from the process it is in."""

    def restarted(self, run: Run, step: int, reports: list[tuple[int, dict[str, float]]]) -> None:
        """Tell that the run goes on from a checkpoint."""
        ...

    def reported(self, run: Run, step: int, metrics: Mapping[str, float]) -> Decision:
        """Pass a report on and return the decision."""
        ...

    def hold(self, run: Run) -> bool:
        """Keep a paused run in memory; True when it goes on, False if it has to end."""
        ...


class Run:
    """What an objective knows about its own run, and how it reports and keeps things.

    Attributes
    ----------
    number : int
        The trial's number.
    config : dict
        Its configuration.
    seed : int
        Its seed; the global generators of Python, NumPy and torch were seeded with it.
    metrics : tuple of Metric
        The metrics that the study tunes.
    total_steps : int or None
        The steps of a full training, told to the study only if the run keeps something: otherwise it cannot be paused.
    """

    def __init__(
        self,
        ticket: Ticket,
        metrics: tuple[Metric, ...],
        host: Host,
        *,
        checkpoints: Literal["best", "latest", "all"] = "best",
    ) -> None:
        self.number = ticket.number
        self.config = ticket.config
        self.seed = ticket.seed
        self._ticket = ticket
        self.metrics = metrics
        self._host = host
        self._policy = checkpoints
        self._directory = Path(ticket.path) / "checkpoints"
        self._step = 0
        self._announced = False
        self._loaded: dict[str, Any] | None = None
        self._looked = False
        self._kept: dict[str, Any] = {}
        self._reports: list[tuple[int, dict[str, float]]] = []
        self._best: tuple[float, int] = (math.inf, 0)
        self._best_data: bytes | None = None
        self._written: list[int] = []
        self._last_write = 0.0
        self._write_s = 0.0
        self._decision: Decision | None = None
        self._in_steps = False
        self._forked = False
        self.watch = Stopwatch(time.monotonic())
        self.ended: Decision | None = None
        self.halted = ""  # why the study has to stop
        self.total_steps: int | None = None

    # -- what there is -----------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Steps done so far."""
        return self._step

    @property
    def path(self) -> Path:
        """The trial's own directory, for artifacts."""
        path = Path(self._ticket.path)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def device(self) -> str:
        """``"cuda"`` where torch sees a GPU for this worker, ``"mps"`` on Apple's, otherwise ``"cpu"``."""
        try:
            import torch
        except ImportError:
            return "cpu"
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    @property
    def elapsed_s(self) -> float:
        """Seconds this run has taken, pauses left out."""
        return self.watch.read(time.monotonic())

    @property
    def stretch_s(self) -> float:
        """Seconds since this run was begun, or last went on in memory: the study adds them to those before."""
        return self.watch.stretch(time.monotonic())

    # -- what to do --------------------------------------------------------------------------------------------------

    def keep(self, **objects: Any) -> Any:
        """Name objects that belong in checkpoints; after an interruption, get them back as they were.

        Objects with ``state_dict`` and ``load_state_dict`` (models, optimizers, schedulers) are restored in place; of
        others, the value that was kept is returned, so write ``history = run.keep(history=[])``.

        Parameters
        ----------
        **objects
            By name.

        Returns
        -------
        The object, or a tuple of them in the order given.

        Raises
        ------
        LuthierError
            If a name is used twice, or the checkpoint was made by another version of the objective.
        """
        if not objects:
            raise LuthierError("keep() needs at least one object by name, such as run.keep(model=model)")
        if not self._looked:
            self._look()
        for name, given in objects.items():
            if name in self._kept:
                raise LuthierError(f"{name!r} is kept already: give each object its own name")
            self._kept[name] = self._restored(name, given)
        values = tuple(self._kept[name] for name in objects)
        return values[0] if len(values) == 1 else values

    def steps(self, n: int) -> Iterator[int]:
        """Count from where the trial stands up to `n` (exclusive), such as epochs.

        Between steps, checkpoints are taken and pauses happen: a paused run waits here, or ends and later starts again
        from its checkpoint. When the trial is stopped, the loop ends early and what follows it still runs.

        Parameters
        ----------
        n
            The number of steps of a full training.

        Yields
        ------
        int
            0, 1, ..., n - 1.
        """
        n = operator.index(n)
        self._announce()
        self.total_steps = n if self._kept else None  # a run that keeps nothing cannot be paused
        while self._step < n:
            self._in_steps = True
            yield self._step
            if self._in_steps:  # otherwise should_stop has told of the end
                self._leave_step()
            if self._boundary(last=self._step >= n):
                return

    def report(self, metrics: Any = None, /, *, step: int | None = None, **named: Any) -> None:
        """Report metrics of the step that has just been done.

        Parameters
        ----------
        metrics
            A number (the only metric) or a mapping; or name them: ``run.report(acc=0.9, loss=0.3)``.
        step
            Steps done so far, from 1; by default the present one of `steps`, otherwise one more than before.

        Raises
        ------
        LuthierError
            If `step` is given inside `steps`, which counts itself, and differs.
        """
        self._announce()
        now = self._step + 1 if step is None else step
        if self._in_steps and now != self._step + 1:
            raise LuthierError(f"inside run.steps() the step is {self._step + 1}, not {step}: leave step= out")
        if self.ended is not None or (self._decision is not None and not self._in_steps):
            self.ended = self.ended or self._decision
            raise RunEnded  # the objective did not look at should_stop; inside steps, more may be said of the same step
        given = {**({} if metrics is None else metrics), **named} if named or metrics is None else metrics
        try:
            values = read_metrics(given, self.metrics)
        except MetricError as error:
            raise RunEnded(replace(error.failure, message=f"{error.failure.message} at step {now}")) from None
        self._reported(now, values)

    @property
    def should_stop(self) -> bool:
        """Whether to end now; for loops of your own, look once after each report. Checkpoints are taken here.

        Inside `steps`, which ends and pauses by itself, it need not be asked: it tells of a stop there, whose loop may
        be left by ``break``, and never of a pause.
        """
        if self._in_steps:
            if self._decision is None or self._decision.verdict is Verdict.PAUSE:
                return False
            self._leave_step()
        self._announce()
        return self._boundary(last=False)

    def drain(self, steps: Generator[Any, None, Any]) -> Any:
        """Report what a generator yields, one step each, until it ends or is to end; return what it returned."""
        while True:
            try:
                given = next(steps)
            except StopIteration as stop:
                return stop.value
            self.report(given)
            if not self._in_steps and self.should_stop:  # run.steps of the generator looks for itself
                steps.close()
                return None

    # -- inside ------------------------------------------------------------------------------------------------------

    def _leave_step(self) -> None:
        self._in_steps = False
        self._step += 1

    def _reported(self, step: int, values: dict[str, float]) -> None:
        self._reports.append((step, values))
        first = self.metrics[0]
        if first.name in values and first.sign * values[first.name] < self._best[0]:
            self._best = (first.sign * values[first.name], step)
        decision = self._host.reported(self, step, values)
        if not self._in_steps:
            self._step = step
        if decision.verdict is not Verdict.CONTINUE and (
            self._decision is None or self._decision.verdict is Verdict.PAUSE
        ):
            self._decision = decision

    def _announce(self) -> None:
        """Before the first step: say where the run stands, and put the random states where they were."""
        if self._announced:
            return
        self._announced = True
        if self._loaded is not None and self._kept:
            restore_random_state(self._loaded["random"])
            self._step, self._reports = self._loaded["step"], list(self._loaded["reports"])
            self._best = tuple(self._loaded["best"])
            if self._forked:
                self._reports = []  # the parent's curve stays the parent's
        if self._step or self._ticket.step:
            self._host.restarted(self, self._step, list(self._reports))
        self._loaded = None

    def _look(self) -> None:
        self._looked = True
        self._loaded = checkpoint.latest(self._directory)
        if self._loaded is None and self._ticket.parent is not None:
            self._loaded = checkpoint.latest(Path(self._ticket.parent) / "checkpoints")
            self._forked = True
        self._written = checkpoint.discard_torn(self._directory)

    def _restored(self, name: str, given: Any) -> Any:
        if self._loaded is None:
            return given
        if self._announced:
            raise LuthierError(f"keep({name}=...) comes too late: keep everything before the first step")
        if name not in self._loaded["objects"]:
            known = ", ".join(self._loaded["objects"])
            raise LuthierError(f"the checkpoint has no {name!r}, only {known}: the objective has changed since")
        state = self._loaded["objects"][name]
        if hasattr(given, "load_state_dict"):
            given.load_state_dict(state)
            return given
        return state

    def _boundary(self, *, last: bool) -> bool:
        """Between two steps: checkpoint, and do what was decided. True: the run is to end."""
        if self.ended is not None:
            return True
        decision, self._decision = self._decision, None
        if last and decision is not None and decision.verdict is Verdict.PAUSE:
            decision = None  # nothing is left to pause
        self._checkpoint(force=last or decision is not None)
        if decision is None:
            return False
        if decision.verdict is Verdict.PAUSE:
            if self._host.hold(self):
                return False
            self.ended = decision
            raise RunEnded  # what follows the loop is for the end of the training
        self.ended = decision
        return True

    def _checkpoint(self, *, force: bool) -> None:
        if not self._kept:
            return
        begun = time.monotonic()
        best = self._policy == "best" and self._best[1] == self._step and self._step not in self._written
        due = (
            force
            or self._policy == "all"
            or (begun - self._last_write >= _EVERY_S and self._write_s <= _SHARE * self.elapsed_s)
        )
        if due or best:
            data = checkpoint.dumps(self._content()) if self._step not in self._written else None
            if best:
                self._best_data = data
            if due:
                self._write(data)
            self._write_s += time.monotonic() - begun

    def _write(self, data: bytes | None) -> None:
        """Write what is due; a full disk ends the run without a failure, for it is not the trial's fault."""
        try:
            self._write_files(data)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.halted = f"cannot write a checkpoint in {self._directory}: {error.strerror}"
            raise RunEnded from None

    def _write_files(self, data: bytes | None) -> None:
        if self._best_data is not None and self._best[1] not in self._written and self._best[1] != self._step:
            checkpoint.write(self._directory, self._best[1], self._best_data)
            self._written.append(self._best[1])
        if data is not None:
            checkpoint.write(self._directory, self._step, data)
            self._written.append(self._step)
        self._best_data, self._last_write = None, time.monotonic()
        if self._policy != "all":
            keep = {*sorted(self._written)[-2:], *([self._best[1]] if self._policy == "best" else [])}
            checkpoint.prune(self._directory, keep)
            self._written = [step for step in self._written if step in keep]

    def finish(self) -> None:
        """After the objective has returned: write the last checkpoint, keep only it and the best."""
        if self._in_steps and self._reports and self._reports[-1][0] == self._step + 1:
            self._leave_step()  # the loop was left by break or return, after the report of its last step
        self._in_steps = False
        self._checkpoint(force=True)
        if self._written and self._policy != "all":
            best = [self._best[1]] if self._policy == "best" else []
            checkpoint.prune(self._directory, {max(self._written), *best})

    def _content(self) -> dict[str, Any]:
        states = {n: o.state_dict() if hasattr(o, "state_dict") else o for n, o in self._kept.items()}
        return {
            "step": self._step, "reports": list(self._reports), "best": self._best, "config": dict(self.config),
            "objects": states, "random": random_state(),
        }  # fmt: skip


def _finish(run: Run) -> Failure | None:
    """Write the last checkpoint; return why it cannot be written, where that is the trial's fault."""
    try:
        run.finish()
    except Exception as error:  # noqa: BLE001 - what is kept says by itself how it is saved
        return failure_of(error)
    return None


def perform(objective: Objective, run: Run) -> Outcome:
    """Call an objective that takes a run, or yields, and say how its run ended."""
    try:
        result, failure = objective.attempt(run.config, run.seed, run)
        if failure is None and run.ended is None:
            failure = _finish(run)
    except RunEnded:
        if run.ended is None:
            return Outcome(run.number, "interrupted", reason=run.halted, seconds=run.stretch_s)
        result, failure = None, None
    if failure is not None:
        return Outcome(run.number, "failed", failure=failure, seconds=run.stretch_s)
    if run.ended is not None:
        return Outcome(run.number, _ENDINGS[run.ended.verdict], reason=run.ended.reason, seconds=run.stretch_s)
    return Outcome(run.number, "done", result=result, seconds=run.stretch_s)
