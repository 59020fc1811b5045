"""After the search: which networks are taken, and training them once more on all rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.budget import clock
from luthier.errors import LuthierError
from luthier.estimators.network import Network, network_from
from luthier.estimators.objective import Parts, Training, some_rows
from luthier.estimators.prepared import Prepared
from luthier.estimators.retraining import Diverged, Retraining, begun
from luthier.estimators.saved import SavedModel
from luthier.estimators.targets import ClassTargets
from luthier.execute import checkpoint
from luthier.reader import StudyReader
from luthier.trial import State, Trial

Say = Callable[[str], None]
_CANDIDATES = 12  # networks that an ensemble is selected from
_MOST = 5  # of them in it
_MEAN_OF = 3  # networks that an ensemble for numbers is the mean of
_LEAST = 0.8  # of the epochs: below it a network that has seen the validation rows too is seldom better
_LATE = 2.0  # times what is left; the estimate is from the search, where several trials shared the processors


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The configurations that were chosen, and their networks as the search has trained them.

    Attributes
    ----------
    trials : list of Trial
        The best first.
    epochs : list of int
        After which each was best.
    weights : list of float
        Shares in an ensemble; one of 1 without.
    model : SavedModel
        Trained on the training rows only.
    folded : bool
        Whether a trial's seconds are those of folds.
    """

    trials: list[Trial]
    epochs: list[int]
    weights: list[float]
    model: SavedModel
    folded: bool = False

    @property
    def key(self) -> list[list[float]]:
        """By which a model is known again."""
        return [[t.number, e, round(w, 6)] for t, e, w in zip(self.trials, self.epochs, self.weights, strict=True)]

    @property
    def title(self) -> str:
        """For people."""
        names = ", ".join(str(trial.number) for trial in self.trials)
        return f"trial {names}" if len(self.trials) == 1 else f"trials {names}"

    @property
    def seconds(self) -> float:
        """What the epochs took in the search."""
        if self.folded:
            return sum(trial.seconds / max(trial.steps, 1) for trial in self.trials)
        pairs = zip(self.trials, self.epochs, strict=True)
        return sum(trial.seconds / max(trial.steps, 1) * epochs for trial, epochs in pairs)


def choose(study: StudyReader, training: Training, prepared: Prepared, *, ensemble: bool) -> Chosen:
    """Take the best trial of a study, or an ensemble of its best ones.

    Raises
    ------
    LuthierError
        If no trial has a result that was kept.
    """
    candidates = ranked(study)
    if not candidates:
        raise LuthierError("no trial has reached the end of an epoch: give a longer budget, or less data")
    if not ensemble:
        trial = candidates[0]
        network, epochs = restored(study, trial, training, prepared)
        return Chosen([trial], [epochs], [1.0], model_of([network], [1.0], [trial.config], prepared))
    most = _CANDIDATES if prepared.targets.classes else _MEAN_OF
    found = [(trial, *restored(study, trial, training, prepared)) for trial in candidates[:most]]
    if prepared.targets.classes:
        weights = _mixture([network for _, network, _ in found], [trial for trial, _, _ in found], prepared)
    else:
        weights = np.full(len(found), 1.0 / len(found))
    members = np.argsort(-weights, kind="stable")[:_MOST]
    members = members[weights[members] > 0.02]
    shares = (weights[members] / weights[members].sum()).tolist()
    taken = [found[n] for n in members.tolist()]
    model = model_of([network for _, network, _ in taken], shares, [trial.config for trial, _, _ in taken], prepared)
    return Chosen([trial for trial, _, _ in taken], [epochs for _, _, epochs in taken], shares, model)


def crowned(study: StudyReader, training: Training, prepared: Prepared, *, epochs: int) -> Chosen:
    """Take the best trial of a cross-validation, and train it on the training rows: no fold's network is kept.

    Trials that have all folds come first: what a few folds gave may be luck.

    Raises
    ------
    LuthierError
        If no trial has a result.
    """
    metric = study.metrics[0]
    whole = [t for t in study.trials if t.state is State.DONE and math.isfinite(t.metrics.get(metric.name, math.nan))]
    trial = min(whole, key=lambda t: metric.sign * t.metrics[metric.name]) if whole else study.best
    if trial is None:
        raise LuthierError("no trial has got through a fold: give a longer budget, or fewer folds")
    plan = training.plan(trial.config, prepared.parts.train, seed=trial.seed, device=_device())
    plan.fit(None)
    plan.trainer.model.cpu()
    network = network_from(plan, prepared.dataset.task, trial.config, prepared.parts.train[0])
    return Chosen([trial], [epochs], [1.0], model_of([network], [1.0], [trial.config], prepared), folded=True)


def ranked(study: StudyReader) -> list[Trial]:
    """Return the trials with a result and a checkpoint, the best first: by what the checkpoint holds."""
    worth = {trial.number: _worth(study, trial) for trial in study.trials if trial.failure is None}
    kept = [trial for trial in study.trials if math.isfinite(worth.get(trial.number, math.inf))]
    return sorted(kept, key=lambda trial: (worth[trial.number], trial.number))


def _worth(study: StudyReader, trial: Trial) -> float:
    """The metric, to be minimized, of the network that a trial's checkpoint holds; infinite without one.

    A trial that was killed may have reported a last epoch without having kept it.
    """
    metric, path = study.metrics[0], study.checkpoint(trial)
    if path is None:
        return math.inf
    step = next(step for step, place in checkpoint.files(path.parent).items() if place == path)
    found = metric.sign * dict(trial.curve).get(step, trial.metrics).get(metric.name, math.inf)
    return found if math.isfinite(found) else math.inf


def restored(study: StudyReader, trial: Trial, training: Training, prepared: Prepared) -> tuple[Network, int]:
    """Return a trial's network as it was when it was best, and after how many epochs that was."""
    path = study.checkpoint(trial)
    assert path is not None
    kept = checkpoint.read(path)
    plan = training.plan(trial.config, prepared.parts.train, seed=trial.seed)
    plan.trainer.load_state_dict(kept["objects"]["trainer"])
    plan.trainer.settle()
    x = prepared.parts.train[0]
    return network_from(plan, prepared.dataset.task, trial.config, x), max(int(kept["step"]), 1)


def model_of(
    networks: list[Network], weights: list[float], configs: list[dict[str, Any]], prepared: Prepared
) -> SavedModel:
    """Make a model of networks."""
    return SavedModel(
        prepared.dataset.task, networks, weights, [dict(config) for config in configs], prepared.encoder,
        prepared.targets, dict(prepared.dataset.form),
    )  # fmt: skip


def _mixture(networks: list[Network], trials: list[Trial], prepared: Prepared) -> Any:
    """Shares of the networks in an ensemble, (m,)."""
    from luthier.classifiers.ensemble import select

    x, y = prepared.parts.valid
    tables = [
        model_of([network], [1.0], [trial.config], prepared).outputs(x)
        for network, trial in zip(networks, trials, strict=True)
    ]
    name = prepared.metric.name
    metric = {"acc": "accuracy", "log_loss": "log_loss"}.get(name, "log_loss")
    return select(tables, y.numpy(), metric=metric).weights


# -- once more ---------------------------------------------------------------------------------------------------------


def retrain(
    chosen: Chosen,
    training: Training,
    prepared: Prepared,
    *,
    everything: Parts,
    directory: Path | None,
    left_s: float,
    say: Say,
) -> tuple[SavedModel, str]:
    """Train the chosen configurations on training and validation rows together.

    Parameters
    ----------
    chosen
        By `choose`.
    training
        With the recipe.
    prepared
        The data of the search.
    everything
        All rows; taken if there is time for them.
    directory
        Where checkpoints are kept meanwhile.
    left_s
        Of the budget, for this.
    say
        Called with what is done.

    Returns
    -------
    SavedModel, str
        With the epochs of each network in its facts, as ``"again"``; and why it was not done, if it was not: then the
        model is that of the search.
    """
    train, whole = prepared.parts.train, everything.whole
    needed = chosen.seconds * len(whole[1]) / len(train[1])
    if needed > left_s and len(everything.train[1]) > len(train[1]):
        whole = prepared.parts.whole
        needed = chosen.seconds * len(whole[1]) / len(train[1])
    share = min(1.0, _LATE * max(left_s, 1.0) / needed) if needed > 0.0 else 1.0
    counts = [max(1, round(share * epochs)) for epochs in chosen.epochs]
    if min(share, *(count / epochs for count, epochs in zip(counts, chosen.epochs, strict=True))) < _LEAST:
        return chosen.model, (
            f"no time is left to train {chosen.title} again on all rows (about {clock(needed)}): the network of the "
            "search is taken"
        )
    shorter = counts != chosen.epochs
    say(
        f"training {chosen.title} again on {len(whole[1]):,} rows, validation rows included, about "
        f"{clock(share * needed)}" + (f", for {share:.0%} of its epochs: there is no time for all" if shorter else "")
    )
    networks: list[Network] = []
    ends: list[int] = []  # epochs
    until = time.monotonic() + max(left_s, 1.0)  # as `share` has it
    for place, trial in enumerate(chosen.trials):
        where = None if directory is None else directory / "retraining" / f"{place}"
        what = {"trial": trial.number, "rows": len(whole[1]), "chosen": chosen.epochs[place]}
        epochs, now = begun(where, what) or counts[place], time.monotonic()
        loop = Retraining(
            epochs, until=now + (until - now) / (len(chosen.trials) - place), directory=where,
            what=what,
        )  # fmt: skip
        shorter = epochs != chosen.epochs[place]
        config = settled(trial, epochs, shorter=shorter) if not chosen.folded or shorter else trial.config
        plan = training.plan(config, whole, seed=trial.seed, device=_device())
        try:
            plan.fit(None, run=loop)
            if plan.trainer.ended:
                raise Diverged(plan.trainer.ended)
        except Diverged:
            return (
                chosen.model,
                "trained again on all rows, the loss went to infinity: the network of the search is taken",
            )
        loop.discard()
        if loop.epochs < epochs:
            say(f"the time allowed for {loop.epochs} of {epochs} epochs")
        if loop.epochs < _LEAST * chosen.epochs[place]:
            return chosen.model, (
                f"there was time for {loop.epochs} of {chosen.epochs[place]} epochs only to train trial "
                f"{trial.number} again: the network of the search is taken"
            )
        plan.trainer.model.cpu()
        networks.append(network_from(plan, prepared.dataset.task, trial.config, whole[0]))
        ends.append(loop.epochs)
    model = model_of(networks, chosen.weights, [trial.config for trial in chosen.trials], prepared)
    model.facts = {"again": ends}
    return model, ""


def settled(trial: Trial, epochs: int, *, shorter: bool = False) -> dict[str, Any]:
    """Return the configuration to train once more.

    A trial that was paused on its way has trained at rates that were still to come down: its schedule is shortened to
    the epochs that it had; so it is where there is no time for all of them.
    """
    whole = int(trial.config["epochs"])
    return {**trial.config, "epochs": epochs if shorter or trial.steps < whole else whole}


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


# -- probabilities -----------------------------------------------------------------------------------------------------


def temperature(model: SavedModel, probabilities: Any, prepared: Prepared) -> float:
    """Return the temperature that makes a classifier's probabilities right on the validation rows; 1 for others.

    Parameters
    ----------
    model
        Uncalibrated.
    probabilities : (n, C) array
        Of the validation rows.
    prepared
        The data.
    """
    if not isinstance(model.targets, ClassTargets):
        return 1.0
    from luthier.classifiers.calibration import Temperature

    scores = np.log(np.maximum(probabilities, 1e-30))
    truth = prepared.parts.valid[1].numpy()
    if (scores.argmax(1) == truth).all():  # then any confidence would do: let the least sure row have been wrong, too
        ordered = np.sort(scores, 1)
        row = int((ordered[:, -1] - ordered[:, -2]).argmin())
        scores = np.concatenate([scores, scores[row : row + 1]])
        truth = np.append(truth, np.argsort(scores[row])[-2])
    fitted = Temperature.fit(scores, truth)
    return 1.0 if fitted.at_limit else float(fitted.value)


# -- sizes -------------------------------------------------------------------------------------------------------------


def fewer(prepared: Prepared, rows: int, *, seed: int) -> Prepared:
    """Keep some of the training rows only."""
    count = len(prepared.rows["train"])
    kept = np.sort(np.random.default_rng(seed).permutation(count)[:rows])
    parts = replace(prepared.parts, train=some_rows(prepared.parts.train, kept))
    return replace(prepared, parts=parts, rows={**prepared.rows, "train": prepared.rows["train"][kept]})
