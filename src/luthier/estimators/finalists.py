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
from luthier.estimators.retraining import Diverged, Retraining, begun, retrainings
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
    best : int
        Place of the one that is best alone; shares say nothing about that.
    """

    trials: list[Trial]
    epochs: list[int]
    weights: list[float]
    model: SavedModel
    folded: bool = False
    best: int = 0

    @property
    def key(self) -> list[list[float]]:
        """By which a model is known again."""
        return [[t.number, e, round(w, 6)] for t, e, w in zip(self.trials, self.epochs, self.weights, strict=True)]

    @property
    def title(self) -> str:
        """For people."""
        names = ", ".join(str(trial.number) for trial in self.trials)
        return f"trial {names}" if len(self.trials) == 1 else f"trials {names}"

    def cost(self, place: int) -> float:
        """Seconds that the epochs of one took in the search."""
        trial = self.trials[place]
        return trial.seconds / max(trial.steps, 1) * (1 if self.folded else self.epochs[place])


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
    return Chosen(
        [trial for trial, _, _ in taken], [epochs for _, _, epochs in taken], shares, model,
        best=int(members.argmin()),
    )  # fmt: skip


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
    plan = training.plan(trial.config, prepared.parts.train, seed=trial.seed)
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
    plan = training.plan(trial.config, prepared.parts.train, seed=trial.seed, device="cpu")
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
        Where checkpoints are kept, in ``retraining``, until the model is written.
    left_s
        Of the budget, for this; of an ensemble, those with the largest shares come first.
    say
        Called with what is done.

    Returns
    -------
    SavedModel, str
        With the epochs of each network in its facts, as ``"again"``, 0 for one that is still that of the search; and
        why there are such, if there are. Without ``"again"`` it is the model of the search.
    """
    train, whole, smaller = prepared.parts.train, everything.whole, prepared.parts.whole
    if len(whole[1]) > len(smaller[1]):  # the search had fewer rows
        long = chosen.cost(0) * len(whole[1]) / len(train[1]) > left_s
        if _begun(chosen, 0, smaller, directory) or (long and not _begun(chosen, 0, whole, directory)):
            whole = smaller
    job = _Again(chosen, training, whole, directory, say)
    until = time.monotonic() + max(left_s, 1.0)
    networks, ends, pace, why = list(chosen.model.members), [0] * len(chosen.trials), 1.0 / _LATE, list[str]()
    for place in range(len(chosen.trials)):
        needed = chosen.cost(place) * len(whole[1]) / len(train[1])
        trained, told = job.train(place, needed, pace=pace, until=until)
        if trained is None:
            why.append(told)
        else:
            networks[place], ends[place], pace = trained.network, trained.epochs, trained.pace
    if not any(ends):
        return chosen.model, f"{'; '.join(why)}: the network of the search is taken"
    model = model_of(networks, chosen.weights, [trial.config for trial in chosen.trials], prepared)
    model.facts = {"again": ends}
    return model, f"{'; '.join(why)}: the network of the search is taken for it" if why else ""


@dataclass(frozen=True, slots=True, eq=False)
class _Trained:
    """A network that was trained again, for how many epochs, and the seconds that one of the search took."""

    network: Network
    epochs: int
    pace: float


@dataclass(frozen=True, slots=True, eq=False)
class _Again:
    """Trains one of the chosen at a time."""

    chosen: Chosen
    training: Training
    whole: tuple[Any, Any]
    directory: Path | None
    say: Say

    def train(self, place: int, needed: float, *, pace: float, until: float) -> tuple[_Trained | None, str]:
        """Return the network, or why there is none.

        Parameters
        ----------
        place
            Among the chosen.
        needed
            Seconds that all its epochs would have taken in the search.
        pace
            Seconds now for one of them.
        until
            By the clock.
        """
        trial, wanted = self.chosen.trials[place], self.chosen.epochs[place]
        share = min(1.0, (until - time.monotonic()) / max(needed * pace, 1e-9))
        going_on, epochs = _begun(self.chosen, place, self.whole, self.directory), max(1, round(share * wanted))
        if going_on:
            epochs = going_on
            self.say(f"going on with training trial {trial.number} again")
        elif min(share, epochs / wanted) < _LEAST:
            return None, f"no time is left to train trial {trial.number} again on all rows (about {clock(needed)})"
        else:
            self.say(
                f"training trial {trial.number} again on {len(self.whole[1]):,} rows, validation rows included, about "
                f"{clock(share * needed)}"
                + (f", for {share:.0%} of its epochs: there is no time for all" if epochs != wanted else "")
            )
        loop = Retraining(
            epochs, until=until, least=_LEAST * wanted, directory=_place(place, self.directory),
            what=_what(self.chosen, place, self.whole),
        )  # fmt: skip
        shorter = epochs != wanted
        config = settled(trial, epochs, shorter=shorter) if not self.chosen.folded or shorter else trial.config
        plan = self.training.plan(config, self.whole, seed=trial.seed)
        try:
            plan.fit(None, run=loop)
            if plan.trainer.ended:
                raise Diverged(plan.trainer.ended)
        except Diverged:
            return None, f"trained again on all rows, the loss of trial {trial.number} went to infinity"
        if loop.epochs < _LEAST * wanted:
            loop.discard()
            return None, f"there was time for {loop.epochs} of {wanted} epochs only to train trial {trial.number} again"
        if loop.epochs < epochs:
            self.say(f"the time allowed for {loop.epochs} of {epochs} epochs")
        loop.finish()
        if loop.note:
            self.say(loop.note)
        plan.trainer.model.cpu()
        network = network_from(plan, self.training.recipe.task, trial.config, self.whole[0])
        return _Trained(network, loop.epochs, loop.epoch_s * wanted / max(needed, 1e-9) if loop.epoch_s else pace), ""


def _begun(chosen: Chosen, place: int, whole: tuple[Any, Any], directory: Path | None) -> int:
    """For how many epochs the retraining of one on some rows was begun before; 0 if it was not."""
    return begun(_place(place, directory), _what(chosen, place, whole))


def _place(place: int, directory: Path | None) -> Path | None:
    return None if directory is None else retrainings(directory) / f"{place}"


def _what(chosen: Chosen, place: int, whole: tuple[Any, Any]) -> dict[str, int]:
    return {"trial": chosen.trials[place].number, "rows": len(whole[1]), "chosen": chosen.epochs[place]}


def settled(trial: Trial, epochs: int, *, shorter: bool = False) -> dict[str, Any]:
    """Return the configuration to train once more.

    A trial that was paused on its way has trained at rates that were still to come down: its schedule is shortened to
    the epochs that it had; so it is where there is no time for all of them.
    """
    whole = int(trial.config["epochs"])
    return {**trial.config, "epochs": epochs if shorter or trial.steps < whole else whole}


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
