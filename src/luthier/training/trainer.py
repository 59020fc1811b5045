"""The training loop: tensors in memory, an epoch at a time, the same to the bit whenever it is repeated or resumed.

Everything random in epoch k is drawn from the seed and k: the order of the rows, the augmentation, dropout. So nothing
but the weights, the optimizer's state and a few numbers has to be kept between epochs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from luthier.errors import SettingError
from luthier.training import metrics
from luthier.training.losses import CrossEntropy, penalty
from luthier.training.schedules import SCHEDULES, Plateau, factor

Inputs: TypeAlias = "Tensor | tuple[Tensor, ...]"
Data: TypeAlias = tuple[Inputs, Tensor]
Augment = Callable[[Inputs, torch.Generator], Inputs]
Mix = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
Score = Callable[[Tensor, Tensor], dict[str, float]]

_LOOK = 16  # steps between two looks at whether the loss is still finite; a look waits for a GPU
_PREDICTED_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to train.

    Parameters
    ----------
    epochs
        Passes through the training data.
    batch_size
        Rows of a step; a last batch of a single row is left out, as batch normalization cannot take it.
    accumulate
        Parts that a batch is cut into, one after the other through the network, when it does not fit as a whole.
    schedule, warmup, final
        Of the learning rate, see `luthier.training.schedules.factor`; `warmup` is a share of all steps.
    clip
        Longest gradient; longer ones are shortened to it. None for no limit.
    l1
        Strength of the L1 penalty. (L2 and decoupled decay are the optimizer's.)
    precision
        ``"bfloat16"`` runs the network in 16 bits, weights and loss stay in 32.
    channels_last
        Keep images as (B, H, W, C) in memory, which convolutions on processors and GPUs like better.
    device
        Where to train.
    seed
        Of everything random.

    Raises
    ------
    SettingError
        If a number is out of range or a name unknown.
    """

    epochs: int = 10
    batch_size: int = 64
    accumulate: int = 1
    schedule: str = "constant"
    warmup: float = 0.0
    final: float = 0.01
    clip: float | None = None
    l1: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not 1 <= self.accumulate <= self.batch_size:
            raise SettingError(
                "epochs and batch_size are at least 1, accumulate at least 1 and at most batch_size, got "
                f"epochs={self.epochs!r}, batch_size={self.batch_size!r}, accumulate={self.accumulate!r}"
            )
        if not 0.0 <= self.warmup < 1.0 or (self.clip is not None and self.clip <= 0.0) or self.l1 < 0.0:
            raise SettingError(
                "warmup is a share from 0 to below 1, clip positive or None, l1 not negative, got "
                f"warmup={self.warmup!r}, clip={self.clip!r}, l1={self.l1!r}"
            )
        if self.precision not in ("float32", "bfloat16") or self.schedule not in SCHEDULES:
            raise SettingError(
                f"precision is 'float32' or 'bfloat16' and schedule one of {', '.join(SCHEDULES)}, "
                f"got {self.precision!r} and {self.schedule!r}"
            )


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
        if self.settings.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.optimizer, self.loss = optimizer, loss or CrossEntropy()
        self.augment, self.mix, self.score = augment, mix, score
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.plateau = Plateau()
        self.curve: list[dict[str, float]] = []
        self.step = 0
        self.diverged = False

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
        train = self._moved(train)
        valid = None if valid is None else self._moved(valid)
        for epoch in self._epochs(run):
            found = self.epoch(train, epoch) | ({} if valid is None else self.validate(valid))
            if self.diverged:
                found = dict.fromkeys(found, math.nan)
            elif self.settings.schedule == "plateau":
                self.plateau.update(found.get("valid_loss", found["loss"]))
            self.curve.append(found)
            if run is not None:
                run.report(found)
            if self.diverged:
                break
        return self.curve

    def epoch(self, train: Data, epoch: int) -> dict[str, float]:
        """Train for one epoch and return its mean loss; ends at once when the loss is not finite."""
        rows, size = len(train[1]), self.settings.batch_size
        steps = math.ceil(rows / size) - (rows % size == 1 and rows > 1 and size > 1)
        total = torch.zeros((), device=self.settings.device)
        self.model.train()
        with _seeded(self.settings, epoch) as generator:
            order = torch.randperm(rows, generator=generator).to(self.settings.device)
            for place, index in enumerate(order.split(size)[:steps]):
                self._set_rates(steps)
                loss = self._step(train, index, generator)
                total += loss
                self.step += 1
                if place % _LOOK == 0 and not math.isfinite(loss):
                    break
        mean = float(total) / steps
        self.diverged = not math.isfinite(mean)
        return {"loss": mean}

    def validate(self, valid: Data) -> dict[str, float]:
        """Return the loss and the scores on data that is not trained on."""
        outputs, y = self.predict(valid[0]).nan_to_num(0.0), valid[1].to(self.settings.device)
        return {"valid_loss": float(self.loss(outputs, y)), **self.score(outputs, y)}

    def predict(self, x: Inputs) -> Tensor:
        """Return the network's outputs, (n, ...), in evaluation mode, on its device."""
        self.model.eval()
        x = _each(x, lambda part: part.to(self.settings.device))
        rows = len(x) if isinstance(x, Tensor) else len(x[0])
        with torch.inference_mode(), self._precision():
            places = torch.arange(rows, device=self.settings.device).split(_PREDICTED_AT_ONCE)
            parts = [self._outputs(_rows(x, index)) for index in places]
        return torch.cat(parts).float()

    # -- going on ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on after an epoch."""
        return {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(), "curve": list(self.curve), "step": self.step,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`: what follows is the same to the bit as without the interruption."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.plateau.load_state_dict(state["plateau"])
        self.curve, self.step = list(state["curve"]), state["step"]

    # -- inside ------------------------------------------------------------------------------------------------------

    def _epochs(self, run: Any) -> Iterable[int]:
        if run is None:
            return range(len(self.curve), self.settings.epochs)
        run.keep(trainer=self)
        steps: Iterable[int] = run.steps(self.settings.epochs)
        return steps

    def _step(self, train: Data, index: Tensor, generator: torch.Generator) -> Tensor:
        """One update; the batch's mean loss, ()."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.settings.accumulate == 1:
            loss = self._loss(train, index, generator)
            loss.backward()
            loss = loss.detach()
        else:
            loss = torch.zeros((), device=self.settings.device)
            for part in index.chunk(self.settings.accumulate):
                share = self._loss(train, part, generator) * (len(part) / len(index))
                share.backward()
                loss += share.detach()
        if self.settings.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimizer.step()
        return loss

    def _loss(self, train: Data, index: Tensor, generator: torch.Generator) -> Tensor:
        x, y = _rows(train[0], index), train[1].index_select(0, index)
        if self.augment is not None:
            x = self.augment(x, generator)
        if self.mix is not None:
            x, y = self.mix(x, y, generator)
        with self._precision():
            outputs = self._outputs(x)
        loss = self.loss(outputs.float(), y)
        return loss + penalty(self.model, l1=self.settings.l1) if self.settings.l1 else loss

    def _outputs(self, x: Inputs) -> Tensor:
        return self.model(x) if isinstance(x, Tensor) else self.model(*x)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.settings.precision == "float32":
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

    def _moved(self, data: Data) -> Data:
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


def _each(x: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    return change(x) if isinstance(x, Tensor) else tuple(change(part) for part in x)


def _rows(x: Inputs, index: Tensor) -> Inputs:
    return _each(x, lambda part: part.index_select(0, index))
