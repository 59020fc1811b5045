"""The training loop: tensors in memory, an epoch at a time, the same to the bit whenever it is repeated or resumed.

Everything random in epoch k is drawn from the seed and k: the order of the rows, the augmentation, dropout. So nothing
but the weights, the optimizer's state and a few numbers has to be kept between epochs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from luthier.errors import SettingError
from luthier.training import metrics
from luthier.training.average import Average
from luthier.training.fused import Step
from luthier.training.hardware import suits_bfloat16, suits_channels_last
from luthier.training.losses import CrossEntropy, penalty
from luthier.training.schedules import Plateau, factor
from luthier.training.settings import Settings

Inputs: TypeAlias = "Tensor | tuple[Tensor, ...]"
Data: TypeAlias = tuple[Inputs, Tensor]
Augment = Callable[[Inputs, torch.Generator], Inputs]
Mix = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
Score = Callable[[Tensor, Tensor], dict[str, float]]

_LOOK = 16  # steps between two looks at whether the loss is still finite; a look waits for a GPU
_PREDICTED_AT_ONCE = 512
_EXPLODED, _FOR_LONG = 3.0, 3  # times the loss of the first step, epochs in a row
_OUT_OF_MEMORY: type[RuntimeError] = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)  # torch 2.4


class Trainer:
    """Train a network.

    Parameters
    ----------
    model
        Moved to the device of the settings.
    optimizer
        Of the model's parameters; its present rates are the base of the schedule.
    loss
        Of outputs and targets, a mean over rows.
    settings
        How to train.
    augment
        Changes the inputs of each batch; a function of inputs and a generator.
    mix
        Blends examples; a function of x, y and a generator that returns both (`luthier.training.mixing`).
    score
        Metrics of outputs and targets on the validation data.

    Attributes
    ----------
    curve : list of dict
        Metrics of each epoch: ``loss`` on the training data as it went; ``valid_loss`` and what `score` gives on the
        validation data. All are NaN where training diverged.
    diverged : bool
        Whether training ended because the loss was no longer finite.
    ended : str
        Why training ended before its last epoch; empty if it did not.
    notes : list of str
        What it decided by itself: 16 bits, smaller parts of a batch where memory ran out, no compilation.

    Examples
    --------
    >>> import torch
    >>> from luthier.nets import MLP
    >>> from luthier.training.optimizers import make_optimizer
    >>> x = torch.rand(400, 2, generator=torch.Generator().manual_seed(0))
    >>> y = (x[:, 0] > x[:, 1]).long()
    >>> model = MLP(2, 2, width=16)
    >>> trainer = Trainer(model, make_optimizer(model, "adam", lr=0.02), settings=Settings(epochs=5))
    >>> trainer.fit((x[:300], y[:300]), (x[300:], y[300:]))[-1]["acc"] > 0.9
    True
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        *,
        settings: Settings | None = None,
        augment: Augment | None = None,
        mix: Mix | None = None,
        score: Score = metrics.classification,
    ) -> None:
        self.settings = settings or Settings()
        self.model = model.to(self.settings.device)
        self.notes: list[str] = []
        self._choose_format()
        self.optimizer, self.loss = optimizer, loss or CrossEntropy()
        self.augment, self.mix, self.score = augment, mix, score
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.plateau = Plateau()
        self.curve: list[dict[str, float]] = []
        self.step = 0
        self.first_loss: float | None = None
        self.accumulate = self.settings.accumulate
        self.diverged, self.ended = False, ""
        self._best: dict[str, Tensor] | None = None  # weights of the best epoch, where they are wanted
        self._apply = Step(optimizer)
        self._weights = [p for p in self.model.parameters() if p.requires_grad]
        self._average = Average(self.model, self.settings.ema) if self.settings.ema else None
        self._compiled: Callable[..., Tensor] | None = None
        self._at_once = _PREDICTED_AT_ONCE

    # -- training ----------------------------------------------------------------------------------------------------

    def fit(self, train: Data, valid: Data | None = None, *, run: Any = None) -> list[dict[str, float]]:
        """Train for the epochs that are left.

        Parameters
        ----------
        train
            Inputs and targets, (n, ...) tensors; several inputs as a tuple, which are the network's arguments.
        valid
            The same for the scores; without it only the loss is reported.
        run : luthier Run, optional
            Keeps this trainer in checkpoints, counts the epochs, gets the metrics of each, and may end early.
            (Any: trainers know the tuner only through keep, steps and report.)

        Returns
        -------
        list of dict
            The `curve`.
        """
        train = self.moved(train)
        valid = None if valid is None else self.moved(valid)
        for epoch in self._epochs(run):
            if self.ended:  # in the epoch before, which the run has counted now; or before a pause
                break
            found = self.epoch(train, epoch) | ({} if valid is None else self.validate(valid))
            if self.diverged:
                found = dict.fromkeys(found, math.nan)
            elif self.settings.schedule == "plateau":
                self.plateau.update(found.get("valid_loss", found["loss"]))
            self.curve.append(found)
            self._look_back()
            if run is not None:
                run.report(found)
        self.settle()
        if self._best is not None and not self.diverged:
            self.model.load_state_dict(self._best)
        return self.curve

    def settle(self) -> None:
        """Give the network the averaged weights, where there are any; an epoch more begins with its own again."""
        if self._average is not None:
            self._average.use(True)

    def epoch(self, train: Data, epoch: int) -> dict[str, float]:
        """Train for one epoch and return its mean loss; ends at once when the loss is not finite."""
        rows, size = len(train[1]), self.settings.batch_size
        steps = math.ceil(rows / size) - (rows % size == 1 and rows > 1 and size > 1)
        total = torch.zeros((), device=self.settings.device)
        self.model.train()
        if self._average is not None:
            self._average.use(False)
        with _seeded(self.settings, epoch) as generator:
            order = torch.randperm(rows, generator=generator).to(self.settings.device)
            for place, index in enumerate(order.split(size)[:steps]):
                self._set_rates(steps)
                loss = self.update(train, index, generator)
                total += loss
                self.step += 1
                if place % _LOOK == 0:
                    now = float(loss)
                    self.first_loss = now if self.first_loss is None else self.first_loss
                    if not math.isfinite(now):
                        break
        mean = float(total) / steps
        self.diverged = not math.isfinite(mean)
        return {"loss": mean}

    def validate(self, valid: Data) -> dict[str, float]:
        """Return the loss and the scores on data that is not trained on."""
        outputs, y = self.predict(valid[0]).nan_to_num(0.0), valid[1].to(self.settings.device)
        with torch.no_grad():  # a loss may have parameters of its own
            loss = float(self.loss(outputs, y))
        return {"valid_loss": loss, **self.score(outputs, y)}

    def predict(self, x: Inputs) -> Tensor:
        """Return the network's outputs, (n, ...), in evaluation mode, on its device."""
        return self._in_parts(x, self._outputs).float()

    def write(self, source: Tensor, length: int) -> Tensor:
        """Return what a network with a method `write` writes for sources, (n, length), such as `Seq2Seq`."""
        return self._in_parts(source, lambda part: self.model.write(part, length))

    def _in_parts(self, x: Inputs, outputs: Callable[[Any], Tensor]) -> Tensor:
        self.model.eval()
        x = _each(x, lambda part: part.to(self.settings.device))
        rows, at, parts = len(x) if isinstance(x, Tensor) else len(x[0]), 0, []
        with self._averaged(), torch.inference_mode(), self._precision():
            while at < rows:
                index = torch.arange(at, min(at + self._at_once, rows), device=self.settings.device)
                try:
                    parts.append(outputs(_rows(x, index)))
                except _OUT_OF_MEMORY:
                    if len(index) == 1:
                        raise
                    self._at_once = len(index) // 2
                    continue
                at += len(index)
        return torch.cat(parts)

    # -- going on ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on after an epoch."""
        with self._averaged(False):
            model = self.model.state_dict()
            average = None if self._average is None else self._average.state_dict()
        return {
            "model": model, "optimizer": self.optimizer.state_dict(), "best": self._best, "average": average,
            "plateau": self.plateau.state_dict(), "curve": list(self.curve), "step": self.step, "ended": self.ended,
            "first_loss": self.first_loss, "accumulate": self.accumulate, "precision": self.precision,
            "notes": list(self.notes),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`: what follows is the same to the bit as without the interruption."""
        with self._averaged(False):
            self.model.load_state_dict(state["model"])
            if self._average is not None and state.get("average") is not None:
                self._average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.plateau.load_state_dict(state["plateau"])
        self.curve, self.step, self.ended = list(state["curve"]), state["step"], state["ended"]
        self.first_loss, self.accumulate = state["first_loss"], state["accumulate"]
        self.precision, self.notes, self._best = state["precision"], list(state["notes"]), state["best"]

    def shorten(self, epochs: int) -> None:
        """Let the schedule of the learning rate end after so many epochs; not part of the `state_dict`."""
        self.settings = replace(self.settings, epochs=epochs)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _epochs(self, run: Any) -> Iterable[int]:
        if run is None:
            return range(len(self.curve), self.settings.epochs)
        run.keep(trainer=self)
        steps: Iterable[int] = run.steps(self.settings.epochs)
        return steps

    def _choose_format(self) -> None:
        """Settle what the settings leave to the machine."""
        self.precision, images = self.settings.precision, self.settings.channels_last
        if self.precision == "auto":
            reason = suits_bfloat16(self.model, self.settings.device)
            self.precision = "bfloat16" if reason else "float32"
            if reason:
                self.notes.append(
                    f"the network runs in bfloat16, which suits {reason}; weights and loss stay in 32 bits"
                )
        if suits_channels_last(self.model) if images == "auto" else images:
            self.model = self.model.to(memory_format=torch.channels_last)

    def _look_back(self) -> None:
        """After an epoch: keep the best weights, and see whether to go on."""
        losses = [found.get("valid_loss", found["loss"]) for found in self.curve]
        patience, reached = self.settings.patience, 1 + _first_lowest(losses)
        late = [found["loss"] for found in self.curve[-_FOR_LONG:]]
        limit = _EXPLODED * max(self.first_loss or 0.0, 1.0)
        if self.diverged:
            self.ended = "the loss is no longer finite"
        elif len(late) == _FOR_LONG and min(late) > limit:
            self.ended = (
                f"for {_FOR_LONG} epochs the loss was above {limit:.3g}, {_EXPLODED:g} times what it began with or 1"
            )
        elif patience is not None:
            if reached == len(losses):
                with self._averaged():
                    self._best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            elif len(losses) - reached >= patience:
                self.ended = f"no better epoch in {patience} since epoch {reached}"

    def update(self, train: Data, index: Tensor, generator: torch.Generator) -> Tensor:
        """Make one update on some rows, (B,), of moved data and return the batch's mean loss, ().

        For loops of one's own; the learning rate is left as it is.
        """
        loss = self._gradients(train, index, generator)
        while loss is None:  # the parts did not fit: smaller ones
            self.accumulate *= 2
            self.notes.append(
                f"out of memory at step {self.step}: batches are cut into {self.accumulate} parts from here"
            )
            if "cuda" in self.settings.device:
                torch.cuda.empty_cache()
            loss = self._gradients(train, index, generator)
        if self.settings.clip is not None:
            nn.utils.clip_grad_norm_(self._weights, self.settings.clip)
        self._apply()
        if self._average is not None:
            self._average.update()
        return loss

    def _gradients(self, train: Data, index: Tensor, generator: torch.Generator) -> Tensor | None:
        """Gradients of the batch, in its parts; its mean loss, (), or None where memory ran out."""
        for weight in self._weights:
            weight.grad = None
        most = max(1, len(index) // 2)  # parts of two rows: batch statistics of one are none
        parts = [index] if self.accumulate == 1 else index.tensor_split(min(self.accumulate, most))
        total: Tensor | None = None
        try:
            for part in parts:
                loss = self._loss(train, part, generator)
                if len(parts) > 1:
                    loss = loss * (len(part) / len(index))
                loss.backward()
                total = loss.detach() if total is None else total + loss.detach()
        except _OUT_OF_MEMORY:
            if len(parts) >= most:
                raise
            return None  # what the exception holds is free once this has returned
        return total

    def _loss(self, train: Data, index: Tensor, generator: torch.Generator) -> Tensor:
        x, y = _rows(train[0], index), train[1].index_select(0, index)
        if self.augment is not None:
            x = self.augment(x, generator)
        if self.mix is not None:
            x, y = self.mix(x, y, generator)
        with self._precision():
            whole = self.settings.compile and len(index) == self.settings.batch_size
            outputs = self._fast(x) if whole else self._outputs(x)
        loss = self.loss(outputs.float(), y)
        return loss + penalty(self.model, l1=self.settings.l1) if self.settings.l1 else loss

    def _outputs(self, x: Inputs) -> Tensor:
        return self.model(x) if isinstance(x, Tensor) else self.model(*x)

    def _fast(self, x: Inputs) -> Tensor:
        """Outputs of a whole batch by the compiled network; the last, smaller one would be compiled for itself."""
        if self._compiled is None:
            self._compiled = self._compile(x)
        return self._compiled(x) if isinstance(x, Tensor) else self._compiled(*x)

    def _compile(self, x: Inputs) -> Callable[..., Tensor]:
        """The network written anew; itself where that does not work."""
        compiled: Callable[..., Tensor] = torch.compile(self.model, dynamic=False)
        kept = {name: value.clone() for name, value in self.model.named_buffers()}  # trying moves averages
        try:
            with torch.random.fork_rng(range(torch.cuda.device_count() if "cuda" in self.settings.device else 0)):
                compiled(*(x if isinstance(x, tuple) else (x,))).sum().backward()
        except _OUT_OF_MEMORY:
            raise
        except RuntimeError as error:  # no compiler, or an operation that it does not know
            self.notes.append(f"the network is not compiled: {str(error).strip().splitlines()[0]}")
            compiled = self.model
        for weight in self._weights:
            weight.grad = None
        for name, value in self.model.named_buffers():
            value.copy_(kept[name])
        return compiled

    @contextlib.contextmanager
    def _averaged(self, wanted: bool = True) -> Iterator[None]:
        """With the averaged weights in the network, or with its own."""
        if self._average is None:
            yield
            return
        before = self._average.use(wanted)
        try:
            yield
        finally:
            self._average.use(before)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision == "float32":
            return contextlib.nullcontext()
        autocast: contextlib.AbstractContextManager[Any] = torch.autocast(
            torch.device(self.settings.device).type, dtype=torch.bfloat16
        )
        return autocast

    def _set_rates(self, steps: int) -> None:
        total = steps * self.settings.epochs
        now = self.plateau.factor * factor(
            self.settings.schedule, self.step, total,
            warmup=round(self.settings.warmup * total), final=self.settings.final,
        )  # fmt: skip
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * now

    def moved(self, data: Data) -> Data:
        """Return inputs and targets on the device.

        Raises
        ------
        SettingError
            If they have different numbers of rows, or none.
        """
        device, parts = self.settings.device, data[0] if isinstance(data[0], tuple) else (data[0],)
        rows = [len(part) for part in (*parts, data[1])]
        if len(set(rows)) > 1 or not rows[0]:
            raise SettingError(f"inputs and targets need the same number of rows, at least one, got {rows}")
        return _each(data[0], lambda part: part.to(device)), data[1].to(device)


@contextlib.contextmanager
def _seeded(settings: Settings, epoch: int) -> Any:  # Any: contextmanager needs no more, and torch has no types here
    """Seed torch for an epoch, give a generator for the rest, and put torch's generators back afterwards."""
    first, second = np.random.SeedSequence((settings.seed, epoch)).generate_state(2).tolist()
    with torch.random.fork_rng(range(torch.cuda.device_count() if "cuda" in settings.device else 0)):
        torch.manual_seed(first)
        yield torch.Generator().manual_seed(second)


def _first_lowest(values: list[float]) -> int:
    """Place of the lowest value; NaN is never lower."""
    return min(range(len(values)), key=lambda i: (math.isnan(values[i]), values[i], i))


def _each(x: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    return change(x) if isinstance(x, Tensor) else tuple(change(part) for part in x)


def _rows(x: Inputs, index: Tensor) -> Inputs:
    return _each(x, lambda part: part.index_select(0, index))
