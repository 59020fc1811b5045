"""Panda mode: watch one training run and act on it, as a practitioner does, around a loop of the user's own.

    keeper = babysit(model, optimizer, steps=2000)
    for step in keeper:
        ...                      # the usual: batch, loss, backward, optimizer.step()
        keeper.observe(loss)

or ``keeper.run(train_step)`` with a function of the step's number that makes one update and returns its loss. Branches
and rollbacks happen between two steps: the weights are put elsewhere, and the loop does not notice. For a `Trainer`:
``babysit_trainer(trainer, train, valid, run=run)`` in `luthier.training.babysit_trainer`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from luthier.errors import SettingError
from luthier.training.decider import Decider, Now, out_of_memory
from luthier.training.intervention import ControlFile, Signals
from luthier.training.loader_order import LoaderOrder
from luthier.training.panda_rules import Branch, Curve, Rules
from luthier.training.rate_log import Decision, RateLog, Window
from luthier.training.track import Track


class Babysitter:
    """Watches a run; made by `babysit`, which describes the parameters.

    Attributes
    ----------
    tell : callable or None
        Gets a line for each decision; prints unless it is set to something else.
    writer
        A ``SummaryWriter`` of TensorBoard, or anything with ``add_scalar`` and ``add_text``, once it is set.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        steps: int,
        rules: Rules | None = None,
        valid: Callable[[], float] | None = None,
        keep: Mapping[str, Any] | None = None,
    ) -> None:
        self.rules = rules or Rules()
        objects = {**(keep or {}), "model": model, "optimizer": optimizer}
        self._track = Track(objects, steps, hold=self.rules.hold, beta=self.rules.hypergradient)
        self.tell: Callable[[str], Any] | None = print
        self.writer: Any = None
        self._decider = Decider(self._track, self.rules, valid=valid, announce=self._announced)
        self._unread: list[Tensor | float] = []
        self._control: ControlFile | None = None
        self._signals = Signals({})

    # -- what a loop calls -------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[int]:
        try:
            if self._now.observed:
                self._made()
            elif not self._now.spent and not self.ended:
                self._decider.begin()
            while not self.ended:
                self._track.set_rates(self._decider.taper)
                yield self._track.step
                self._made()
        finally:
            self._signals.close()
            if self._track.hyper is not None and self.ended:
                self._track.hyper.remove()

    def observe(self, loss: Tensor | float) -> None:
        """Tell the loss of the step, once in each; it is not read before the window is full.

        Raises
        ------
        SettingError
            If it is no number, or was told already in this step.
        """
        if self._now.observed:
            raise SettingError("observe() takes one loss in each step, this is the second: call it once in the loop")
        if isinstance(loss, Tensor):
            loss = loss.detach()
            if loss.numel() != 1:
                shape = tuple(loss.shape)
                self._decider.once(
                    f"a loss of shape {shape} is taken as its mean: observe the number that is minimized"
                )
                loss = loss.float().mean()
            loss = loss.reshape(()) if loss.dim() else loss
        elif isinstance(loss, bool) or not isinstance(loss, (int, float)):
            raise SettingError(f"observe() takes the step's loss, a number or a tensor, got {type(loss).__name__}")
        self._unread.append(loss)
        self._now.observed = True

    def run(self, train_step: Callable[[int], Tensor | float]) -> RateLog:
        """Make all the steps; a branch that runs out of memory is given up and told, and the run goes on without it.

        Parameters
        ----------
        train_step
            Takes the step's number, makes one update, returns its loss.

        Returns
        -------
        RateLog
        """
        for step in self:
            try:
                loss = train_step(step)
            except (MemoryError, RuntimeError) as error:
                if self._now.phase == "kept" or not out_of_memory(error):
                    raise
                self._decider.once(f"a branch ran out of memory and is given up: {str(error)[:80]}")
                loss = math.inf
            self.observe(loss)
        return self.log

    def over(self, loader: Iterable[Any]) -> Iterator[Any]:
        """Yield batches of a loader, around and around, in an order that is rolled back with the weights."""
        order = LoaderOrder(loader)
        self._track.add("loader", order)
        for _ in self:
            yield next(order)

    def listen(
        self, control: str | os.PathLike[str] | None = None, *, signals: Mapping[str, str] | None = None
    ) -> Babysitter:
        """Let a person step in; `luthier.training.intervention` has what can be said.

        Parameters
        ----------
        control
            File to which commands are appended; looked at after each window, need not exist yet.
        signals
            Names of signals and what they mean, such as ``{"SIGUSR1": "lower", "SIGUSR2": "rollback"}``; put back
            when the loop ends.
        """
        self._control = None if control is None else ControlFile(control)
        self._signals.close()
        self._signals = Signals(signals or {})
        return self

    @property
    def log(self) -> RateLog:
        """All that was decided, and the schedule that came of it."""
        return self._track.log

    @property
    def ended(self) -> str:
        """Why the run is over; empty while it is not."""
        return self._now.ended

    @property
    def spent(self) -> int:
        """Steps of the budget that are made and counted; the present one is counted when the next begins."""
        return self._now.spent

    @property
    def phase(self) -> str:
        """``"test"`` or ``"branch"`` while what is done may be undone, otherwise ``"kept"``."""
        return self._now.phase

    @property
    def metrics(self) -> dict[str, float]:
        """What to report beside the loss: the present rate, and how much was decided."""
        kinds = [decision.kind for decision in self.log.decisions]
        return {
            "rate": self._decider.rate,
            "rollbacks": float(kinds.count("rollback")),
            "branches": float(kinds.count("branch")),
            "branch_steps": float(self._now.branched),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on after a step; model and optimizer are not in it."""
        return {"now": asdict(self._now), "unread": [float(x) for x in self._unread], "track": self._track.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`: the same to the bit, once model and optimizer are back.

        Raises
        ------
        SettingError
            If it is of another run or another architecture.
        """
        self._track.load_state_dict(state["track"])
        tried = [Branch(**branch) for branch in state["now"]["tried"]]
        self._decider.now = Now(**{**state["now"], "curve": Curve(**state["now"]["curve"]), "tried": tried})
        self._unread = list(state["unread"])

    # -- a step ------------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> Now:
        return self._decider.now

    def _made(self) -> None:
        """After a step: count it, and when a window is full, judge."""
        now = self._now
        if not now.observed:
            raise SettingError("a step without a loss: call observe(loss) in each step of the loop")
        now.observed = False
        if not self._track.made():
            self._decider.once("somebody else changes the rates of the optimizer; they are set back: leave other "
                               "schedules out")  # fmt: skip
        now.spent, now.leg = now.spent + 1, now.leg + 1
        if self._decider.full:
            self._decider.judge(self._read())
            self._listen()

    def _read(self) -> list[float]:
        tensors = [x for x in self._unread if isinstance(x, Tensor)]
        if len(tensors) == len(self._unread):
            losses: list[float] = torch.stack(tensors).tolist()  # one wait for a GPU
        else:
            losses = [float(x) for x in self._unread]
        self._unread = []
        mean, rate, now = sum(losses) / len(losses), self._decider.rate, self._now
        self.log.windows.append(Window(now.spent, mean, rate, now.phase))
        if self.writer is not None:
            self.writer.add_scalar("panda/rate", rate, now.spent)
            self.writer.add_scalar(f"panda/loss_{now.phase}", mean, now.spent)
        return losses

    def _announced(self, decision: Decision) -> None:
        if self.tell is not None:
            self.tell(f"panda: {decision}")
        if self.writer is not None:
            self.writer.add_text("panda/decisions", f"{decision.kind}: {decision.why}", decision.spent)

    def _listen(self) -> None:
        commands = self._signals.read()
        if self._control is not None:
            told, complaints = self._control.read()
            commands += told
            for complaint in complaints:
                self._decider.decide("note", complaint)
        for command in commands:
            if not self.ended:
                self._decider.obey(command)


def babysit(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    rules: Rules | None = None,
    valid: Callable[[], float] | None = None,
    keep: Mapping[str, Any] | None = None,
) -> Babysitter:
    """Watch a training and act on it.

    Parameters
    ----------
    model, optimizer
        What is trained. Rates of several parameter groups keep their ratios.
    steps
        In all, those of tests and branches included.
    rules
        What may be done.
    valid
        Returns a loss on data that is not trained on, lower is better: it decides between branches. Without it the
        training loss does, on the same batches for each.
    keep
        What else belongs to the state and is rolled back: generators that batches are drawn with, gradient scalers,
        averaged weights; by name.

    Returns
    -------
    Babysitter

    Raises
    ------
    SettingError
        If there are no steps, all rates are 0, or something to keep has no state.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(4, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    >>> x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    >>> keeper = babysit(model, optimizer, steps=300)
    >>> keeper.tell = None
    >>> for step in keeper:
    ...     optimizer.zero_grad()
    ...     loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
    ...     loss.backward()
    ...     optimizer.step()
    ...     keeper.observe(loss)
    >>> float(loss.detach()) < 0.01
    True
    """
    return Babysitter(model, optimizer, steps=steps, rules=rules, valid=valid, keep=keep)
