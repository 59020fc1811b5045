"""The job from raw data to a tested model: in memory and on disk, killed and gone on with."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import luthier
from luthier.data import from_arrays
from luthier.errors import DataError, SettingError, StudyBusy
from luthier.estimators import finalists, job, load
from luthier.estimators.job import Job
from luthier.estimators.objective import Training
from luthier.estimators.prepared import fingerprint
from luthier.estimators.sizes import Sizes, epoch_seconds
from luthier.estimators.summary import summary
from luthier.estimators.wishes import Wishes
from luthier.execute import checkpoint
from luthier.folds import CrossValidation
from luthier.recipes import Recipe
from luthier.training import RateLog, nudge
from luthier.trial import State

SOURCE = Path(__file__).parents[2] / "src"


def blobs(n=160, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    x = rng.normal(size=(n, 4)) + 3.0 * np.eye(4)[y]
    return x, np.array(["ant", "bee", "cat", "dog"])[y]


def run(dataset, directory=None, say=lambda _: None, **wishes):
    settings = {"budget": 2, "epochs": 6, "workers": 0, "view": "none", **wishes}
    return Job(dataset, Wishes(**settings), directory=directory, say=say).run()


def test_a_job_ends_with_a_tested_model():
    fitted = run(from_arrays(*blobs()))
    assert fitted.model.facts["retrained"]
    assert fitted.test["result"]["metrics"]["acc"] > 0.8
    low, high = fitted.test["result"]["interval"]
    assert 0.0 <= low <= fitted.test["result"]["metrics"]["acc"] <= high <= 1.0
    x, y = blobs(50, seed=1)
    assert np.mean(fitted.model.predict(x) == y) > 0.8


def test_the_first_trial_is_the_recipes_default():
    fitted = run(from_arrays(*blobs()), budget=1)
    from luthier.recipes import recipe

    default = recipe("tabular", epochs=6).default
    config = fitted.study.history.trial(0).config
    assert {n: v for n, v in config.items() if n != "batch_size"} == {
        n: v for n, v in default.items() if n != "batch_size"
    }


def test_a_job_is_repeatable_by_its_seed():
    first, second = (run(from_arrays(*blobs()), seed=5) for _ in range(2))
    x, _ = blobs(20, seed=2)
    np.testing.assert_array_equal(first.model.predict_proba(x), second.model.predict_proba(x))
    assert first.test == second.test | {"model": first.test["model"]}


def test_running_a_finished_job_again_changes_nothing(tmp_path):
    data = from_arrays(*blobs())
    first = run(data, tmp_path)
    before = (tmp_path / "test.json").read_text(), (tmp_path / "model" / "model.json").read_text()
    again = run(data, tmp_path)
    assert ((tmp_path / "test.json").read_text(), (tmp_path / "model" / "model.json").read_text()) == before
    assert len(again.study.trials) == len(first.study.trials) == 2


def test_rows_are_tested_on_only_once(tmp_path):
    data = from_arrays(*blobs())
    run(data, tmp_path)
    written = tmp_path / "test.json"
    other = json.loads(written.read_text())
    other["model"]["chosen"] = [[99, 1, 1.0]]  # as if another trial had won and been tested before
    written.write_text(json.dumps(other))
    said = []
    again = run(data, tmp_path, say=said.append)
    assert json.loads(written.read_text()) == other
    assert any("used up by the test of an earlier model" in line for line in said)
    assert again.outputs.get("test") is None


def test_other_data_in_the_same_directory_is_refused(tmp_path):
    run(from_arrays(*blobs()), tmp_path, budget=1)
    with pytest.raises(SettingError, match="other data"):
        run(from_arrays(*blobs(seed=9)), tmp_path, budget=1)
    with pytest.raises(SettingError, match="begun with metric=None, not 'f1'"):
        run(from_arrays(*blobs()), tmp_path, budget=1, metric="f1")
    with pytest.raises(SettingError, match="begun with folds=None, not 3"):
        run(from_arrays(*blobs()), tmp_path, budget=2, folds=3)
    with pytest.raises(SettingError, match="begun with mode='caviar', not 'panda'"):
        run(from_arrays(*blobs()), tmp_path, budget=2, mode="panda")


def test_a_cross_validation_goes_on_as_one(tmp_path):
    data = from_arrays(*blobs(60))
    run(data, tmp_path, budget=1, epochs=1, folds=2)
    again = run(data, tmp_path, budget=2, epochs=1)  # as after Ctrl-C, without saying folds again
    assert [trial.steps for trial in again.study.trials] == [2, 2]


def test_a_split_that_came_along_belongs_to_the_data():
    data = from_arrays(*blobs(30))
    parts = np.array(["train"] * 20 + ["test"] * 10)
    marks = {fingerprint(d) for d in (data, replace(data, given=parts), replace(data, given=parts[::-1]))}
    assert len(marks) == 3


HOLDING = """
import sys, time
from pathlib import Path
from luthier.estimators.files import alone

with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_do_not_do_the_same_job(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    with other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StudyBusy):
            run(from_arrays(*blobs()), tmp_path, budget=1)
        other.kill()
    assert run(from_arrays(*blobs()), tmp_path, budget=1).test is not None


def test_what_earlier_runs_have_searched_is_not_left_for_retraining(tmp_path, monkeypatch):
    left = []

    def killed(*_, left_s, **__):
        left.append(left_s)
        raise KeyboardInterrupt

    monkeypatch.setattr(finalists, "retrain", killed)
    monkeypatch.setattr("luthier.estimators.drawings.end_seconds", lambda **_: 0.5)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(from_arrays(*blobs()), tmp_path, budget="6s")
    with luthier.load(tmp_path) as study:
        assert left[1] <= 6.0 - study.spent.seconds


def test_a_model_for_which_there_was_no_time_is_trained_again_when_there_is_more(tmp_path, monkeypatch):
    data, once = from_arrays(*blobs()), {"trials": 1}
    with monkeypatch.context() as short:
        short.setattr(finalists, "retrain", lambda chosen, *_, **__: (chosen.model, "no time is left"))
        first = run(data, tmp_path, budget={**once, "seconds": 900})
    assert not first.model.facts["retrained"] and first.test is not None
    said = []
    again = run(data, tmp_path, budget={**once, "seconds": 900}, say=said.append)
    assert not again.model.facts["retrained"] and "is there" in said[-1]
    longer = run(data, tmp_path, budget={**once, "seconds": 1800}, say=said.append)
    assert longer.model.facts["retrained"]
    assert "used up by the test of an earlier model" in longer.notes[-1]
    assert "What it is worth" in summary(longer)


def test_probabilities_are_calibrated_as_the_last_command_says(tmp_path):
    data = from_arrays(*blobs())
    temperature = run(data, tmp_path, budget=1).model.temperature
    assert temperature != 1.0
    plain = run(data, tmp_path, budget=1, calibrate=False)
    assert plain.model.temperature == load(tmp_path).temperature == 1.0
    assert "Calibration error" in summary(plain)
    assert run(data, tmp_path, budget=1).model.temperature == load(tmp_path).temperature == temperature


def test_what_is_told_of_an_ensemble_is_of_the_member_that_is_best_alone():
    fitted = run(from_arrays(*blobs()), budget=5, epochs=2, ensemble=True)
    order = [trial.number for trial in finalists.ranked(fitted.study)]
    members = [number for number, *_ in fitted.model.facts["chosen"]]
    assert fitted.model.facts["trial"] == min(members, key=order.index)


def test_a_job_that_was_begun_with_trials_keeps_time_for_the_end_when_it_gets_seconds():
    made = Job(from_arrays(*blobs()), Wishes(budget="20m"))
    made._told_s = math.inf
    assert made._tuning(Sizes(5, 100))["seconds"] == pytest.approx(0.6 * 1200, rel=0.01)


def test_a_test_part_that_came_along_waits_where_no_test_is_wanted():
    parts = np.array(["train"] * 100 + ["valid"] * 30 + ["test"] * 30)
    fitted = run(replace(from_arrays(*blobs()), given=parts), budget=1, test=False)
    assert len(fitted.prepared.rows["test"]) == 30
    assert fitted.test is None


def test_networks_are_timed_and_folded_on_the_device_that_they_are_trained_on(monkeypatch):
    fitted, asked = run(from_arrays(*blobs()), budget=1), []
    monkeypatch.setattr("luthier.estimators.objective.best_device", lambda: asked.append(1) or "cpu:0")
    training = Training(Recipe("tabular", fitted.study.space), fitted.prepared.targets, fitted.prepared.parts)
    epoch_seconds(training, fitted.prepared.parts.train, threads=1)
    training.fold(fitted.study.trials[0].config, range(80), range(80, 100), 0)
    assert len(asked) == 3


def test_copies_of_a_row_are_in_one_fold(monkeypatch):
    x, y = blobs(60)
    made = []

    class Watched(CrossValidation):
        def __init__(self, *args, **settings):
            super().__init__(*args, **settings)
            made.append(self)

    monkeypatch.setattr(job, "CrossValidation", Watched)
    data = from_arrays(np.concatenate([x, x[:20]]), np.concatenate([y, y[:20]]))
    rows = run(data, budget=1, epochs=1, folds=3).prepared.parts.whole[0].numpy()
    for train, valid in made[0].pairs:
        assert not {row.tobytes() for row in rows[train]} & {row.tobytes() for row in rows[valid]}


def test_a_trial_with_few_folds_does_not_beat_those_with_all():
    fitted = run(from_arrays(*blobs()), budget=2, epochs=1, folds=3)
    whole, lucky = fitted.study.trials
    cut = replace(lucky, state=State.PAUSED, grant=None, curve=lucky.curve.upto(1), metrics={"acc": 1.5})
    study = SimpleNamespace(metrics=fitted.study.metrics, trials=[whole, cut], best=cut)
    training = Training(Recipe("tabular", fitted.study.space), fitted.prepared.targets, fitted.prepared.parts)
    chosen = finalists.crowned(study, training, fitted.prepared, epochs=1)
    assert chosen.trials[0].number == whole.number


def test_an_auc_needs_rows_of_two_classes():
    x, y = blobs(120, classes=2)
    y[100:] = "ant"
    parts = np.array(["train"] * 80 + ["valid"] * 20 + ["test"] * 20)
    with pytest.raises(DataError, match="all 20 test rows are of one class, so they have no AUC"):
        run(replace(from_arrays(x, y), given=parts), metric="auc")


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"budget": None}, "how much to spend"),
        ({"metric": "accurracy"}, "did you mean 'accuracy'"),
        ({"metric": "rmse"}, "no metric 'rmse' where classes are predicted"),
        ({"epochs": 0}, "whole number from 1 up"),
        ({"mode": "pandas"}, "did you mean 'panda'"),
        ({"folds": 1}, "from 2 up"),
        ({"mode": "panda", "ensemble": True}, "one network"),
        ({"workers": "many"}, "from 0 up or 'auto'"),
        ({"search": "bayse"}, "did you mean 'bayes'"),
        ({"view": "loud"}, "view= is 'auto'"),
    ],
)
def test_wrong_wishes_are_told_before_anything_runs(wishes, message):
    with pytest.raises(SettingError, match=message):
        run(from_arrays(*blobs()), **wishes)


def test_a_regression_is_measured_in_the_users_units():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = 50_000.0 + 10_000.0 * (x[:, 0] - x[:, 1])
    fitted = run(from_arrays(x, y), budget=1, epochs=25, metric="mae")
    trial = fitted.study.history.trial(0)
    assert 0.0 < trial.metrics["mae"] < 9000.0
    assert fitted.valid.metrics["mae"] == pytest.approx(trial.metrics["mae"], rel=1e-3)
    assert abs(float(np.median(fitted.model.predict(x))) - 50_000.0) < 5000.0


def test_an_ensemble_is_saved_with_its_members(tmp_path):
    fitted = run(from_arrays(*blobs()), tmp_path, budget=4, ensemble=True, metric="log loss")
    there = load(tmp_path)
    assert len(there.members) == len(there.weights) == len(fitted.model.members) >= 1
    assert sum(there.weights) == pytest.approx(1.0)
    x, _ = blobs(10, seed=3)
    np.testing.assert_allclose(there.predict_proba(x), fitted.model.predict_proba(x))


def test_an_ensemble_for_numbers_is_the_mean_of_the_best():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    fitted = run(from_arrays(x, x[:, 0] - 2.0 * x[:, 1]), budget=4, epochs=10, ensemble=True)
    model = fitted.model
    assert len(model.members) == 3
    encoded = model.encoder.encode(model.dataset(x[:5]))
    alone = [member.predict(encoded).double().numpy() for member in model.members]
    np.testing.assert_allclose(model.predict(x[:5]), model.decoded(np.mean(alone, axis=0)), rtol=1e-6)


def test_a_model_that_makes_no_mistake_is_calibrated_too():
    fitted = run(from_arrays(*blobs(300)), budget=1)
    right = np.eye(3)[fitted.prepared.parts.valid[1].numpy()]
    unsure = 0.7 * right + 0.1  # as label smoothing leaves it: always right, and never sure
    value = finalists.temperature(fitted.model, unsure, fitted.prepared)
    assert 0.1 < value < 1.0


def test_a_schedule_that_was_cut_off_is_shortened():
    study = run(from_arrays(*blobs()), budget=1, epochs=4).study
    trial = study.history.trial(0)
    assert finalists.settled(trial, 2)["epochs"] == 4  # it went to its end, and was best after 2
    assert finalists.settled(replace(trial, curve=trial.curve.upto(3)), 2)["epochs"] == 2


def test_configurations_can_be_compared_by_cross_validation():
    fitted = run(from_arrays(*blobs()), budget=2, folds=3, epochs=4)
    assert fitted.study.best.steps == 3
    assert fitted.test["result"]["metrics"]["acc"] > 0.5


def test_panda_mode_trains_one_network_and_keeps_it():
    fitted = run(from_arrays(*blobs()), budget="5m", mode="panda", epochs=10)
    assert len(fitted.study.trials) == 1
    assert not fitted.model.facts["retrained"]
    assert "branches" in fitted.study.trials[0].metrics


def test_a_person_can_step_in_while_one_network_is_watched_over(tmp_path):
    data = from_arrays(*blobs(400))

    class Impatient:
        def begin(self, snapshot): ...
        def say(self, text): ...
        def close(self): ...
        def changed(self, trial):
            nudge(tmp_path / "job" / "control", "stop")

    fitted = run(data, budget="5m", mode="panda", epochs=500, directory=tmp_path / "job", view=Impatient())
    assert fitted.study.trials[0].steps < 500
    [path] = (tmp_path / "job" / "trials").glob("*/rates.json")
    assert "stop" in str(RateLog.load(path))


def test_trials_are_ranked_by_the_networks_that_were_kept(tmp_path):
    study = run(from_arrays(*blobs()), budget=2, epochs=4, directory=tmp_path / "job").study
    best = finalists.ranked(study)[0]
    held = finalists._worth(study, best)
    assert held == -best.metrics["acc"]
    study.checkpoint(best).unlink()
    earlier = list(checkpoint.files(tmp_path / "job" / "trials" / f"{best.number:05d}" / "checkpoints"))
    kept = -dict(best.curve)[max(earlier)]["acc"] if earlier else math.inf
    assert finalists._worth(study, best) == kept


def test_with_too_little_time_for_all_epochs_fewer_are_trained():
    fitted, said = run(from_arrays(*blobs()), budget=1, epochs=8), []
    prepared = fitted.prepared
    training = Training(Recipe("tabular", fitted.study.space), prepared.targets, prepared.parts)
    chosen = replace(finalists.choose(fitted.study, training, prepared, ensemble=False), epochs=[8])
    whole = len(prepared.parts.whole[1]) / len(prepared.parts.train[1])
    object.__setattr__(chosen.trials[0], "seconds", 1000.0)
    needed = chosen.cost(0) * whole
    options = {"everything": prepared.parts, "directory": None, "say": said.append}
    _, why = finalists.retrain(chosen, training, prepared, left_s=0.45 * needed, **options)
    assert why == ""
    assert "90% of its epochs" in said[-1]
    _, why = finalists.retrain(chosen, training, prepared, left_s=0.3 * needed, **options)
    assert "no time is left" in why
    three = replace(chosen, epochs=[3])
    needed = three.cost(0) * whole
    _, why = finalists.retrain(three, training, prepared, left_s=0.41 * needed, **options)
    assert "no time is left" in why  # 82 % of three epochs are two


def test_of_an_ensemble_those_are_trained_again_for_which_there_is_time():
    fitted, said = run(from_arrays(*blobs()), budget=1, epochs=8), []
    prepared = fitted.prepared
    training = Training(Recipe("tabular", fitted.study.space), prepared.targets, prepared.parts)
    alone = finalists.choose(fitted.study, training, prepared, ensemble=False)
    slow = replace(alone.trials[0], number=7, seconds=1e9)  # by the pace of the first, it would take years
    model = finalists.model_of([*alone.model.members] * 2, [0.6, 0.4], [alone.trials[0].config] * 2, prepared)
    both = replace(alone, trials=[alone.trials[0], slow], epochs=[8, 8], weights=[0.6, 0.4], model=model)
    options = {"everything": prepared.parts, "directory": None, "say": said.append}
    found, why = finalists.retrain(both, training, prepared, left_s=100.0, **options)
    assert (found.facts["again"], found.weights) == ([8, 0], [0.6, 0.4])
    assert found.members[0] is not model.members[0]
    assert found.members[1] is model.members[1]
    assert "no time is left to train trial 7 again" in why


def test_a_budget_in_seconds_keeps_time_for_the_end():
    said = []
    fitted = run(from_arrays(*blobs()), budget="4s", epochs=None, say=said.append)
    assert fitted.sizes.kept_s > 0.0
    assert any("kept for retraining, test and summary" in line for line in said)
    assert fitted.test is not None


def test_what_passed_before_the_job_counts():
    data, wishes = from_arrays(*blobs()), Wishes(budget={"seconds": 900, "trials": 1}, workers=0, view="none")
    early = Job(data, wishes, begun=time.monotonic() - 800.0).run()
    assert early.sizes.tuning_s + early.sizes.kept_s < 100.0
    with pytest.raises(SettingError, match="used up by starting and reading"):
        Job(data, wishes, begun=time.monotonic() - 901.0).run()


def test_a_search_without_any_result_goes_on_with_a_larger_total_and_that_is_told():
    said, totals = [], []

    def search(budget):
        totals.append(budget["seconds"])
        trials = [SimpleNamespace(curve=[1] if totals[-1] > 10.0 else [], failure=None)]
        return SimpleNamespace(trials=trials, ended_by="budget", spent=SimpleNamespace(seconds=totals[-1] + 0.5))

    made = Job(from_arrays(*blobs()), Wishes(budget="30s"), say=said.append)
    study = made._until_a_result(search, {"seconds": 3.0}, Sizes(5, 100, 3.0, 2.0))
    assert study.trials[0].curve
    assert totals == [3.0, 7.0, 15.0]
    assert sum("before any trial had ended an epoch" in line for line in said) == 2


def test_a_retraining_that_gets_no_further_than_a_few_epochs_is_not_taken():
    fitted, said = run(from_arrays(*blobs()), budget=1, epochs=8), []
    prepared = fitted.prepared
    training = Training(Recipe("tabular", fitted.study.space), prepared.targets, prepared.parts)
    chosen = replace(finalists.choose(fitted.study, training, prepared, ensemble=False), epochs=[4000])
    object.__setattr__(chosen.trials[0], "seconds", 1e-9)  # the search was much faster
    model, why = finalists.retrain(
        chosen, training, prepared, everything=prepared.parts, directory=None, left_s=1.0, say=said.append
    )
    assert model is chosen.model
    assert "of 4000 epochs only" in why


def test_a_search_on_fewer_rows_ends_with_a_training_on_all_if_there_is_time(tmp_path):
    fitted = run(from_arrays(*blobs(400)), budget=1)
    everything = fitted.prepared.parts
    training = Training(Recipe("tabular", fitted.study.space), fitted.prepared.targets, everything)
    chosen = finalists.choose(fitted.study, training, fitted.prepared, ensemble=False)
    few = finalists.fewer(fitted.prepared, 50, seed=0)
    object.__setattr__(chosen.trials[0], "seconds", 1000.0)  # so that what the machine does is no matter
    seconds = chosen.cost(0) * (50 + len(everything.valid[1])) / 50
    said = []
    options = {"everything": everything, "say": said.append}
    for left_s, rows in ((100.0 * seconds, len(everything.whole[1])), (1.1 * seconds, 50 + len(everything.valid[1]))):
        _, why = finalists.retrain(chosen, training, few, directory=tmp_path / str(rows), left_s=left_s, **options)
        assert not why
        assert f"again on {rows} rows" in said[-1]
    finalists.retrain(chosen, training, few, directory=tmp_path / str(rows), left_s=100.0 * seconds, **options)
    assert "going on with training" in said[-1]  # what was begun on few rows before a kill is not begun anew on all


KILLED = """
import sys
import numpy as np
from luthier.data import from_arrays
from luthier.estimators.job import Job, Wishes
from pathlib import Path

rng = np.random.default_rng(0)
y = rng.integers(3, size=400)
x = rng.normal(size=(400, 4)) + 2.0 * np.eye(4)[y]
wishes = Wishes(budget=6, epochs=8, workers=1, view="plain")
job = Job(from_arrays(x, y), wishes, directory=Path(sys.argv[1]), say=print)
fitted = job.run()
print("DONE", len(fitted.study.trials), fitted.test["result"]["metrics"]["acc"])
"""


@pytest.mark.slow
def test_a_killed_job_goes_on_to_the_end(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", KILLED, str(tmp_path / "job")]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ends = time.monotonic() + 100.0
    while time.monotonic() < ends and not list(tmp_path.glob("job/trials/00002")):
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not (tmp_path / "job" / "test.json").exists()
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=True)
    assert "going on with the job" in second.stdout
    assert "DONE 6 " in second.stdout
    assert (tmp_path / "job" / "test.json").exists()


def test_too_little_data_is_told_at_the_door():
    x, _ = blobs(3)
    with pytest.raises(DataError, match="3 samples are too few"):
        run(from_arrays(x, ["a", "b", "a"]))
    with pytest.raises(DataError, match="one class only"):
        run(from_arrays(blobs(30)[0], ["a"] * 30))
