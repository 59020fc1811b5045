"""The objective of the job: train a configuration of a recipe. Workers map the data from one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from luthier.errors import SettingError
from luthier.estimators.files import read_tensors, write_tensors
from luthier.estimators.targets import NumberTargets, Targets
from luthier.recipes import Recipe
from luthier.training import metrics

Inputs = Any  # a tensor, or numbers and codes of a table


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Encoded data to train on and to choose by.

    Parameters
    ----------
    train, valid
        Inputs and targets.
    """

    train: tuple[Inputs, Tensor]
    valid: tuple[Inputs, Tensor]

    @property
    def whole(self) -> tuple[Inputs, Tensor]:
        """Both together."""
        (x, y), (z, w) = self.train, self.valid
        both = (torch.cat([a, b]) for a, b in zip(_listed(x), _listed(z), strict=True))
        return _inputs(list(both)), torch.cat([y, w])

    def save(self, path: Path) -> Path:
        """Write them to a file."""
        content: dict[str, Tensor] = {}
        for name, (x, y) in (("train", self.train), ("valid", self.valid)):
            content |= {f"{name}.{place}": part for place, part in enumerate(_listed(x))}
            content[f"{name}.y"] = y
        return write_tensors(path, content)

    @classmethod
    def load(cls, path: Path) -> Parts:
        """Read them from a file; the tensors stay on the disk until they are used."""
        content = read_tensors(path, mapped=True)
        both = []
        for name in ("train", "valid"):
            parts = [content[key] for key in sorted(content) if key.startswith(name) and not key.endswith(".y")]
            both.append((_inputs(parts), content[f"{name}.y"]))
        return cls(*both)


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """Train one configuration and report every epoch; an objective for `luthier.tune`.

    Parameters
    ----------
    recipe
        Of the task.
    targets
        What is predicted.
    data
        The parts, or the file that they are in.
    device
        Where to train; None takes the best there is.
    precision
        See `luthier.training.Settings`.
    watched
        Watch over the training and act on it (`luthier.training.babysit`), instead of following the schedule. What was
        done is kept as ``rates.json`` in the trial's directory.
    quiet
        Do not print what is decided while it is watched.
    control
        File by which a person may step in while it is watched, see `luthier.training.intervention`.
    """

    recipe: Recipe
    targets: Targets
    data: Parts | Path
    device: str | None = None
    precision: str = "auto"
    watched: bool = False
    quiet: bool = False
    control: Path | None = None

    def __call__(self, config: dict[str, Any], run: Any) -> None:
        """Train."""
        parts = self.parts
        plan = self.plan(config, parts.train, seed=run.seed, device=self.device or run.device)
        if not self.watched:
            plan.fit(parts.valid, run=run)
            return
        from luthier.training.babysit_trainer import babysit_trainer

        log = babysit_trainer(
            plan.trainer, plan.train, plan.data(parts.valid), run=run, tell=None if self.quiet else print,
            control=self.control,
        )  # fmt: skip
        log.save(run.path / "rates.json")

    def fold(self, config: dict[str, Any], train: Any, valid: Any, seed: int) -> dict[str, float]:
        """Train on some rows of training and validation data together and judge by others."""
        whole = self.parts.whole
        plan = self.plan(config, some_rows(whole, train), seed=seed)
        found = plan.fit(some_rows(whole, valid))[-1]
        return {name: value for name, value in found.items() if name not in ("loss", "valid_loss")}

    @property
    def parts(self) -> Parts:
        """The data."""
        return self.data if isinstance(self.data, Parts) else _read(self.data)

    def plan(self, config: Mapping[str, Any], train: Any, *, seed: int, device: str | None = None) -> Any:
        """Make a plan whose scores are in the units of the user (Any: `luthier.training.plan.Plan`)."""
        plan = self.recipe.plan(
            config, train, classes=self.targets.classes, seed=seed, device=device or self.device or best_device(),
            precision=self.precision,
        )  # fmt: skip
        if isinstance(self.targets, NumberTargets):
            plan.trainer.score = partial(_in_units, targets=self.targets, scale=plan.target)
        return plan


def best_device() -> str:
    """Return ``"cuda"`` where torch sees a GPU, ``"mps"`` on Apple's, otherwise ``"cpu"``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@lru_cache(maxsize=1)
def _read(path: Path) -> Parts:
    """Once in a worker process."""
    return Parts.load(path)


def _in_units(outputs: Tensor, y: Tensor, *, targets: NumberTargets, scale: Any) -> dict[str, float]:
    """Metrics of a regression in the units of the user."""
    predicted = targets.decode(scale.inverse(outputs.cpu().reshape(len(y), -1)))
    true = targets.units(scale.inverse(y.cpu().reshape(len(y), -1)))
    return metrics.regression(torch.from_numpy(predicted), torch.from_numpy(true))


def _listed(x: Inputs) -> list[Tensor]:
    return list(x) if isinstance(x, tuple) else [x]


def _inputs(parts: list[Tensor]) -> Inputs:
    return parts[0] if len(parts) == 1 else tuple(parts)


def some_rows(data: tuple[Inputs, Tensor], rows: Any) -> tuple[Inputs, Tensor]:
    """Return some rows of inputs and targets."""
    index = torch.as_tensor(rows, dtype=torch.long)
    if int(index.numel()) == 0:
        raise SettingError("no rows were chosen")
    return _inputs([part.index_select(0, index) for part in _listed(data[0])]), data[1].index_select(0, index)
