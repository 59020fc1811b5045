"""The whole job: from a data set to a tuned, retrained, calibrated network that was tested once.

Everything that is decided is written down before it is acted on (``job.json``), the search is a study, retraining keeps
checkpoints, a model's files replace each other whole, and the one test is noted: so the job can be killed at any
moment, and running it again goes on to the end.
"""

from __future__ import annotations

import math
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from luthier.budget import Budget
from luthier.classifiers import TrackRecord
from luthier.data.split import together
from luthier.errors import SettingError
from luthier.estimators import finalists
from luthier.estimators.default_first import DefaultFirst, thorough
from luthier.estimators.files import alone, read_json, write_json
from luthier.estimators.held_out import Result, assess, is_of, tested, write_down
from luthier.estimators.metric_names import final_metric
from luthier.estimators.objective import Training
from luthier.estimators.prepared import Prepared, fingerprint, prepare
from luthier.estimators.retraining import retrainings
from luthier.estimators.reviewing import Asked, review_state
from luthier.estimators.saved import SavedModel, load, recipe_constants, tempered
from luthier.estimators.sizes import KEPT, Sizes, Timed, epoch_seconds, fit_sizes, suited
from luthier.estimators.wishes import Interrupted, Wishes
from luthier.folds import CrossValidation
from luthier.reader import StudyReader
from luthier.recipes import Recipe, recipe
from luthier.study import Study
from luthier.training.intervention import CONTROL
from luthier.tune import slots_of, tune

FORMAT = 1
_MORE = 3  # times that a search without any result is given as much time again
_TIMING = 0.03  # of the budget, at most, to time the steps of an epoch
Say = Callable[[str], None]


@dataclass(slots=True, eq=False)
class Fitted:
    """What the job has led to.

    Attributes
    ----------
    model : SavedModel
    study : StudyReader
        Closed: to read.
    prepared : Prepared
    sizes : Sizes
    valid : Result
        Of the chosen configuration, trained on the training rows only, on the validation rows.
    test : dict or None
        What the one test found: ``"model"``, what was tested, and ``"result"``, see
        `luthier.estimators.held_out.Result`.
    outputs : dict
        Of the model, by ``"valid"`` and ``"test"``; for pictures.
    asked : Asked or None
        By what the model's review was chosen.
    notes : list of str
        What has to be told.
    seconds : float
        This run of the job took.
    """

    model: SavedModel
    study: StudyReader
    prepared: Prepared
    sizes: Sizes
    valid: Result
    test: dict[str, Any] | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    asked: Asked | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    directory: Path | None = None


class Job:
    """One job, in a directory or in memory.

    Parameters
    ----------
    dataset
        With targets (Any: a `luthier.data.Dataset`).
    wishes
        What is asked for.
    directory
        Where everything is kept; None keeps nothing.
    say
        Called with each thing that the user should know.
    begun
        When the clock of the budget began to run, by `time.monotonic`; now, if not given.
    """

    def __init__(
        self, dataset: Any, wishes: Wishes, *, directory: Path | None = None, say: Say = lambda _: None,
        begun: float | None = None,
    ) -> None:  # fmt: skip
        self._dataset, self._wishes, self._directory, self._say = dataset, wishes, directory, say
        self._begun = time.monotonic() if begun is None else begun
        self._end_s = 0.0  # what comes after retraining
        self._searched_s = 0.0  # in this run
        self._everything: Any = None  # the parts with all rows, where the search uses fewer
        self._budget = Budget.of(wishes.budget)
        wishes.check(dataset.goal)

    def run(self) -> Fitted:
        """Do the job, or what is left of it.

        Raises
        ------
        DataError, SettingError
            If the data or the wishes do not fit, before anything runs.
        Interrupted
            If the search was interrupted.
        StudyBusy
            If another process does this job.
        """
        if self._directory is None:
            return self._run()
        with alone(self._directory):
            return self._run()

    def _run(self) -> Fitted:
        there = self._remembered()
        wishes = self._wishes
        prepared = prepare(
            self._dataset, metric=wishes.metric, seed=int(there.get("seed", wishes.seed)), test=wishes.test,
            looking=wishes.look, seconds=self._remembered_s(there), say=self._say,
        )  # fmt: skip
        if wishes.review is not None:
            wishes.review.check(len(prepared.rows["valid"]))
        if math.isfinite(self._budget.seconds):
            from luthier.estimators.drawings import end_seconds

            self._end_s = end_seconds(pictures=self._directory is not None, onnx=wishes.onnx)
        sizes = Sizes.of(there["sizes"]) if there else self._decide(prepared)
        made, training = self._training(prepared, sizes.epochs)
        self._everything = prepared.parts
        if sizes.rows < len(prepared.rows["train"]):
            prepared = finalists.fewer(prepared, sizes.rows, seed=wishes.seed)
            training = replace(training, data=prepared.parts)
        study = self._search(prepared, sizes, made, training)
        fitted = self._finish(prepared, sizes, training, study)
        fitted.seconds = time.monotonic() - self._begun
        return fitted

    # -- what is decided before the search ---------------------------------------------------------------------------

    def _remembered(self) -> dict[str, Any]:
        """Read what an earlier run of the same job has decided."""
        if self._directory is None:
            return {}
        path = self._directory / "job.json"
        if not path.exists():
            if (self._directory / "study.db").exists():
                raise SettingError(f"{self._directory} holds a study that luthier fit has not made: use another dir")
            return {}
        there: dict[str, Any] = read_json(path)
        if there["data"] != fingerprint(self._dataset):
            raise SettingError(
                f"{self._directory} holds a job on other data ({there['source']}) or with another target or task, or "
                "the data has changed since: use another dir"
            )
        said = {"folds": None, "mode": "caviar", "look": self._wishes.look, **there["wishes"]}
        for name, unsaid in (("metric", None), ("epochs", None), ("folds", None), ("mode", "caviar")):
            given = getattr(self._wishes, name)
            if given not in (unsaid, said[name]):
                raise SettingError(
                    f"the job in {self._directory} was begun with {name}={said[name]!r}, not {given!r}: use "
                    "another dir, or leave it out"
                )
        self._say(f"going on with the job in {self._directory}")
        review = self._wishes.review or (Asked(**there["review"]) if there.get("review") else None)
        self._wishes = replace(self._wishes, review=review)
        latest = {"budget": _plain(self._budget), "review": None if review is None else review.state()}
        if any(there.get(name) != value for name, value in latest.items()):
            write_json(path, {**there, **latest})  # the latest is what to go on with
        kept = {name: said[name] for name in ("metric", "epochs", "folds", "mode", "test", "look")}
        self._wishes = replace(self._wishes, **kept, seed=there["seed"])
        self._wishes.check(self._dataset.goal)
        return there

    def _decide(self, prepared: Prepared) -> Sizes:
        """Choose epochs and shares of the budget, and write them down."""
        wishes, timed, left = self._wishes, None, math.inf
        if math.isfinite(self._budget.seconds):
            if self._left_s <= 0.0:
                raise SettingError(
                    f"the budget of {self._budget} was used up by starting and reading the data: give more"
                )
            timed = self._timed(prepared)
            left = max(self._left_s, 1.0)  # for what is timed, the first trial pays
        sizes = fit_sizes(
            prepared.dataset.task, len(prepared.rows["train"]), epochs=wishes.epochs, timed=timed,
            left_s=left, end_s=self._end_s,
        )  # fmt: skip
        for note in sizes.notes:
            self._say(note)
        if self._directory is not None:
            write_json(self._directory / "job.json", {
                "format": FORMAT, "data": fingerprint(self._dataset), "source": self._dataset.source,
                "task": prepared.dataset.task, "seed": wishes.seed, "budget_s": _finite(self._budget.seconds),
                "budget": _plain(self._budget), "review": None if wishes.review is None else wishes.review.state(),
                "wishes": {n: getattr(wishes, n) for n in ("metric", "epochs", "folds", "mode", "test", "look")},
                "sizes": {**asdict(sizes), "tuning_s": _finite(sizes.tuning_s)},
            })  # fmt: skip
        return sizes

    @property
    def _left_s(self) -> float:
        """Of the budget, before the search."""
        return self._budget.seconds - (time.monotonic() - self._begun)

    def _timed(self, prepared: Prepared) -> Timed:
        """Measure how long an epoch takes where as many trials run at once as will, and one of the last training."""
        from luthier.execute.machine import cores

        wishes, slots = self._wishes, max(1, slots_of(self._wishes.workers))
        _, training = self._training(prepared, 1)
        rows = prepared.parts.train
        timed = partial(epoch_seconds, training, rows, seed=wishes.seed, most_s=_TIMING * self._budget.seconds)
        epoch_s, before_s = timed(threads=cores() // slots)
        again_s = epoch_s if slots == 1 else timed(threads=cores())[0]
        again_s *= len(prepared.parts.whole[1]) / len(rows[1])
        trainings = wishes.folds or 1
        return epoch_s * trainings, before_s * trainings, slots, again_s

    def _training(self, prepared: Prepared, epochs: int) -> tuple[Recipe, Training]:
        """Make the recipe and the objective."""
        constants = recipe_constants(prepared.encoder, prepared.targets)
        fitting = suited(prepared.dataset.task, len(prepared.rows["train"]), goal=prepared.dataset.goal)
        made = recipe(prepared.dataset.task, epochs=epochs, **fitting, **constants)
        return made, Training(made, prepared.targets, prepared.parts)

    # -- the search --------------------------------------------------------------------------------------------------

    def _search(self, prepared: Prepared, sizes: Sizes, made: Recipe, training: Training) -> StudyReader:
        """Tune; the data go to workers through a file, which goes with the call where there is no directory."""
        if self._wishes.workers == 0 or self._directory is not None:
            return self._tuned(prepared, sizes, made, training, place=self._directory)
        with TemporaryDirectory(prefix="luthier-fit-") as place:
            return self._tuned(prepared, sizes, made, training, place=Path(place))

    def _tuned(
        self, prepared: Prepared, sizes: Sizes, made: Recipe, training: Training, *, place: Path | None
    ) -> StudyReader:
        wishes, metric = self._wishes, prepared.metric
        control = None if self._directory is None else (self._directory / CONTROL).resolve()
        training = replace(training, watched=wishes.mode == "panda", quiet=wishes.view == "none", control=control)
        if wishes.workers != 0 and place is not None:
            training = replace(training, data=prepared.parts.save(place / "data.pt"))
        objective: Any = training
        schedule = "full" if training.watched else "auto"
        if wishes.folds is not None:
            labels = torch.cat([prepared.parts.train[1], prepared.parts.valid[1]])
            kinds = labels.tolist() if prepared.targets.classes else len(labels)
            rows = np.concatenate([prepared.rows["train"], prepared.rows["valid"]])
            copies, _ = together(prepared.dataset.take(rows))
            objective = CrossValidation(training.fold, kinds, wishes.folds, seed=wishes.seed, groups=copies.tolist())
            schedule = "race"
        search = partial(
            tune, objective, made.space, maximize=metric.name if metric.maximize else None,
            minimize=None if metric.maximize else metric.name, search=self._searching(made), schedule=schedule,
            workers=wishes.workers, dir=self._directory, name=wishes.name, seed=wishes.seed, view=wishes.view,
        )  # fmt: skip
        begun = time.monotonic()
        study = self._until_a_result(search, self._tuning(sizes), sizes)
        self._searched_s = time.monotonic() - begun
        return study

    def _until_a_result(self, search: Callable[..., Study], budget: dict[str, float], sizes: Sizes) -> Study:
        """Search; where the time was up before any trial had ended an epoch, on a busy machine, go on for as long."""
        for more in range(_MORE + 1):
            study = search(budget=budget)
            if study.ended_by in ("SIGINT", "SIGTERM"):
                raise Interrupted(study.ended_by)
            if "seconds" not in budget or any(trial.curve or trial.failure for trial in study.trials):
                break
            if more < _MORE:
                self._say(
                    "the time for the search was up before any trial had ended an epoch: it goes on until one has"
                )
                seconds = max(budget["seconds"], study.spent.seconds)
                budget = {**budget, "seconds": seconds + max(seconds, sizes.kept_s)}
        return study

    def _tuning(self, sizes: Sizes) -> dict[str, float]:
        """The share of the budget that goes to the search."""
        total = {name: getattr(self._budget, name) for name in ("trials", "steps")}
        found = {name: value for name, value in total.items() if math.isfinite(value)}
        if math.isfinite(self._budget.seconds):
            seconds = sizes.tuning_s
            if not math.isfinite(seconds) or self._budget.seconds != self._told_s:
                left = self._budget.seconds - (time.monotonic() - self._begun)
                kept = sizes.kept_s if math.isfinite(seconds) else KEPT * left + self._end_s  # begun without seconds
                seconds = left - kept
            found["seconds"] = max(1.0, seconds)
        if self._wishes.mode == "panda":
            found["trials"] = 1
        return found

    def _remembered_s(self, there: dict[str, Any]) -> float:
        """The seconds that the job was begun with: what was decided by them stays."""
        self._told_s = float(there["budget_s"] or math.inf) if there else self._budget.seconds
        return self._told_s

    def _searching(self, made: Recipe) -> Any:
        if self._wishes.search == "staged":
            from luthier.search.staged import StagedSearch

            return StagedSearch(made.stages())
        plain = self._wishes.folds is None and self._wishes.mode == "caviar"
        if not plain or self._wishes.search != "auto":
            return self._wishes.search
        return DefaultFirst(made.default, thorough() if made.task == "image" else "adaptive")

    # -- the end -----------------------------------------------------------------------------------------------------

    def _finish(self, prepared: Prepared, sizes: Sizes, training: Training, study: StudyReader) -> Fitted:
        """Retrain, calibrate, save, test."""
        if self._wishes.folds is None:
            chosen = finalists.choose(study, training, prepared, ensemble=self._wishes.ensemble)
        else:
            chosen = finalists.crowned(study, training, prepared, epochs=sizes.epochs)
        model = chosen.model
        scores = model.outputs(prepared.parts.valid[0])
        temperature = finalists.temperature(model, scores, prepared) if self._wishes.calibrate else 1.0
        valid = assess(
            model, scores, prepared.part("valid"), prepared.rows["valid"], metric=final_metric(prepared.metric.name)
        )
        fitted = Fitted(model, study, prepared, sizes, valid, directory=self._directory)
        fitted.outputs["valid"] = scores
        if prepared.targets.classes and temperature != 1.0:
            fitted.outputs["calibrated"] = tempered(scores, temperature)
        fitted.model = self._final(chosen, training, fitted, temperature)
        self._test(fitted)
        return fitted

    def _final(self, chosen: Any, training: Training, fitted: Fitted, temperature: float) -> SavedModel:
        """Train the chosen configurations on all rows but the test's, or take the model that is there."""
        facts = self._facts(chosen, fitted, temperature)
        there = self._made(chosen, fitted, facts)
        if there is not None:
            return there
        outside = time.monotonic() - self._begun - self._searched_s
        left = self._budget.seconds - outside - fitted.study.spent.seconds - self._end_s  # of all runs
        model: SavedModel
        if self._wishes.mode == "panda":
            model, why = chosen.model, "the network that was watched over is the model: it was not trained again"
        else:
            model, why = finalists.retrain(
                chosen, training, fitted.prepared, everything=self._everything, directory=self._directory,
                left_s=left, say=self._say,
            )  # fmt: skip
        if why:
            fitted.notes.append(why)
            self._say(why)
        model.temperature = temperature
        model.facts = {**facts, **model.facts, "retrained": "again" in model.facts}
        self._review(model, fitted)
        if self._directory is not None:
            model.save(self._directory / "model")
            self._discard()
        return model

    def _made(self, chosen: Any, fitted: Fitted, facts: dict[str, Any]) -> SavedModel | None:
        """The model that is there, if it is of what was chosen, and more time would not make it another."""
        place = None if self._directory is None else self._directory / "model"
        if place is None or not (place / "model.json").exists():
            return None
        there = load(place)
        whole = all(there.facts.get("again", [])) and there.facts.get("retrained")
        longer = self._budget.seconds > (there.facts.get("budget_s") or math.inf)
        if there.facts.get("chosen") != facts["chosen"] or (longer and not whole and self._wishes.mode != "panda"):
            return None
        self._say(f"the model of {chosen.title} is there")
        before = (there.track is None, review_state(there.review), there.temperature)
        there.temperature = there.facts["temperature"] = facts["temperature"]
        self._review(there, fitted)
        if (there.track is None, review_state(there.review), there.temperature) != before:  # what is asked for differs
            there.save(place)
        self._discard()
        return there

    def _discard(self) -> None:
        """Delete the checkpoints of retraining: the model is written."""
        if self._directory is not None:
            shutil.rmtree(retrainings(self._directory), ignore_errors=True)

    def _review(self, model: SavedModel, fitted: Fitted) -> None:
        """Give a classifier its track record on the validation rows, and the review that is asked for."""
        if model.targets.classes is None:
            return
        outputs = tempered(fitted.outputs["valid"], model.temperature)
        model.track = TrackRecord.of(outputs, fitted.prepared.parts.valid[1].numpy())
        fitted.asked = self._wishes.review
        if fitted.asked is not None:
            model.review = fitted.asked.choose(model.track)

    def _facts(self, chosen: Any, fitted: Fitted, temperature: float) -> dict[str, Any]:
        prepared = fitted.prepared
        return {
            "metric": prepared.metric.name, "chosen": chosen.key, "trial": chosen.trials[chosen.best].number,
            "epochs": chosen.epochs[chosen.best], "budget_s": _finite(self._budget.seconds),
            "source": prepared.dataset.source, "seed": self._wishes.seed,
            "temperature": temperature,
            "rows": {name: len(rows) for name, rows in prepared.rows.items()}, "valid": fitted.valid.metrics,
            "made": time.strftime("%Y-%m-%d %H:%M:%S"),
        }  # fmt: skip

    def _test(self, fitted: Fitted) -> None:
        """Test the model on rows that nothing was chosen by: once, and never another one on the same rows."""
        prepared = fitted.prepared
        if not len(prepared.rows["test"]) or not self._wishes.test:
            return
        facts = fitted.model.facts
        key = {"chosen": facts["chosen"], "again": facts.get("again")}
        fitted.test = tested(self._directory)
        if fitted.test is not None and not is_of(fitted.test, facts):
            told = (
                "the held-out rows were used up by the test of an earlier model of this job: this one was not tested "
                "on them, and what it is worth is known from the validation rows only"
            )
            fitted.notes.append(told)
            self._say(told)
            return
        data = prepared.part("test")
        outputs = fitted.model.outputs(prepared.encoder.encode(data))
        fitted.outputs["test"] = outputs
        if fitted.test is None:
            result = assess(
                fitted.model, outputs, data, prepared.rows["test"], metric=final_metric(prepared.metric.name)
            )
            if self._directory is None:
                fitted.test = {"model": key, "result": asdict(result)}
            else:
                fitted.test = write_down(self._directory, result, model=key)

    @property
    def again(self) -> str:
        """What to type to go on."""
        where = "" if self._directory is None else f" --dir {shlex.quote(str(self._directory))}"
        return f"luthier fit {shlex.quote(self._dataset.source)}{where}"


def remembered_budget(directory: Path) -> dict[str, float] | None:
    """Return the budget that the job in a directory was given, None if there is none."""
    path = directory / "job.json"
    return dict(read_json(path)["budget"]) if path.exists() else None


def _plain(budget: Budget) -> dict[str, float]:
    """The limits of a budget that it has."""
    return {n: v for n in Budget.__slots__ if math.isfinite(v := getattr(budget, n))}


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None
