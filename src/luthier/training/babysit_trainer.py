"""Panda mode around a `Trainer`: the same data, augmentation and loss, the rate in the babysitter's hands.

    log = babysit_trainer(trainer, train, valid, run=run)

The number of steps is what ``trainer.fit`` would have made; ``settings.schedule``, ``warmup`` and ``patience`` do not
count. After each epoch's worth of steps the model is validated and reported, with the rate and the counts of decisions.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.errors import SettingError
from luthier.training.babysit import Babysitter
from luthier.training.panda_rules import Rules
from luthier.training.rate_log import RateLog
from luthier.training.settings import Settings
from luthier.training.trainer import Data, Trainer


def babysit_trainer(
    trainer: Trainer,
    train: Data,
    valid: Data | None = None,
    *,
    run: Any = None,
    rules: Rules | None = None,
    tell: Callable[[str], Any] | None = None,
    control: str | os.PathLike[str] | None = None,
) -> RateLog:
    """Train for all the epochs of a trainer's settings in panda mode.

    Parameters
    ----------
    trainer
        Fresh; its optimizer's rates are where to start from, its ``curve`` is filled in.
    train, valid
        As of ``trainer.fit``.
    run : luthier Run, optional
        Keeps trainer and babysitter in checkpoints, counts the epochs, gets the metrics of each, and may end early.
        (Any: trainers know the tuner only through keep, steps and report.)
    rules
        What may be done.
    tell
        Gets a line for each decision.
    control
        File to which a person may append commands, see `luthier.training.intervention`.

    Returns
    -------
    RateLog
        Printed, drawn, saved, replayed; the metrics are in ``trainer.curve``.

    Raises
    ------
    SettingError
        If the trainer averages its weights.

    Examples
    --------
    >>> import torch
    >>> from luthier.nets import MLP
    >>> from luthier.training import Settings, Trainer, make_optimizer
    >>> x = torch.rand(400, 2, generator=torch.Generator().manual_seed(0))
    >>> y = (x[:, 0] > x[:, 1]).long()
    >>> model = MLP(2, 2, width=16)
    >>> trainer = Trainer(model, make_optimizer(model, "adam", lr=10.0), settings=Settings(epochs=30))
    >>> log = babysit_trainer(trainer, (x[:300], y[:300]), (x[300:], y[300:]))
    >>> trainer.curve[-1]["acc"] > 0.9
    True
    """
    if trainer.settings.ema:
        raise SettingError("branches and rollbacks would mix in an average of the weights: leave ema out")
    train = trainer.moved(train)
    valid = None if valid is None else trainer.moved(valid)
    order = _Order(trainer.settings, len(train[1]))
    epochs = trainer.settings.epochs
    keeper = Babysitter(trainer.model, trainer.optimizer, steps=epochs * order.steps, rules=rules)
    keeper.tell = tell
    keeper.listen(control)
    if run is not None:
        run.keep(trainer=trainer, keeper=keeper)
    counted: Iterable[int] = range(epochs) if run is None else run.steps(epochs)
    made = _steps(trainer, train, order, keeper)
    for epoch in counted:
        if keeper.ended:  # before a pause
            break
        losses = list(_until(made, keeper, (epoch + 1) * order.steps))
        before = trainer.curve[-1]["loss"] if trainer.curve else math.nan
        found = {"loss": _mean(losses, before)} | ({} if valid is None else trainer.validate(valid))
        trainer.curve.append(found | keeper.metrics)
        if run is not None:
            run.report(trainer.curve[-1])
        if keeper.ended:
            break
    trainer.ended = "" if keeper.spent >= epochs * order.steps else keeper.ended
    return keeper.log


def _steps(trainer: Trainer, train: Data, order: _Order, keeper: Babysitter) -> Iterator[Tensor]:
    """Make the steps; yield the loss of each."""
    for step in keeper:
        trainer.model.train()
        with order.drawn(step) as (rows, generator):
            loss = trainer.update(train, rows, generator)
        trainer.step += 1
        keeper.observe(loss)
        yield loss


def _until(made: Iterator[Tensor], keeper: Babysitter, spent: int) -> Iterator[Tensor]:
    """Make steps until there are so many and the weights are none of a branch; yield the losses not of branches."""
    while keeper.spent + 1 < spent or keeper.phase != "kept" or spent >= keeper.log.steps:
        loss = next(made, None)
        if loss is None:
            return
        if keeper.phase == "kept":
            yield loss


def _mean(losses: list[Tensor], before: float) -> float:
    """Mean of the finite losses; that of the epoch before if there are none, for branches may reach over an epoch."""
    known = torch.stack(losses) if losses else torch.zeros(0)
    known = known[known.isfinite()]
    return float(known.mean()) if len(known) else before


class _Order:
    """Which rows a step takes and what is drawn in it: a function of the seed and the step, so nothing is kept."""

    def __init__(self, settings: Settings, rows: int) -> None:
        size = settings.batch_size
        self._settings, self._rows = settings, rows
        self.steps = math.ceil(rows / size) - (rows % size == 1 and rows > 1 and size > 1)
        self._epoch, self._batches, self._seed = -1, (torch.zeros(0),), 0
        self._cuda = range(torch.cuda.device_count() if "cuda" in settings.device else 0)

    @contextlib.contextmanager
    def drawn(self, step: int) -> Iterator[tuple[Tensor, torch.Generator]]:
        """Give the rows and a generator, with torch seeded; afterwards its generators are as before."""
        epoch, place = divmod(step, self.steps)
        if epoch != self._epoch:
            self._begin(epoch)
        with torch.random.fork_rng(self._cuda):
            torch.manual_seed(self._seed + place)
            yield self._batches[place], torch.Generator().manual_seed(self._seed - place - 1)

    def _begin(self, epoch: int) -> None:
        settings = self._settings
        seeds = np.random.SeedSequence((settings.seed, epoch)).generate_state(2, np.uint64)
        order = torch.randperm(self._rows, generator=torch.Generator().manual_seed(int(seeds[0] >> 1)))
        self._epoch, self._seed = epoch, int(seeds[1] >> 2)
        self._batches = order.to(settings.device).split(settings.batch_size)
