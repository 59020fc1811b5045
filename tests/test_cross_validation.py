"""Cross-validation as an objective: folds are steps, the same for all trials, and survive an interruption."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import luthier as lt
from luthier.errors import SettingError
from luthier.folds import CrossValidation, folds

Y = np.array([0, 1, 1] * 20)


def share(config, train, valid):
    """The score is a function of the rows alone."""
    return {"acc": float(Y[valid].mean() * config["x"]), "rows": len(train)}


def tuned(objective, **changes):
    given = {"maximize": "acc", "budget": 4, "search": "random", "workers": 0, "view": "none", "seed": 0, **changes}
    return lt.tune(objective, lt.Space(x=lt.Float(0, 1)), **given)


def test_the_mean_over_the_folds_so_far_is_reported_and_the_result_is_that_over_all():
    objective = CrossValidation(share, Y, k=4, seed=3)
    study = tuned(objective)
    for trial in study.trials:
        scores = [objective.fold(trial.config, fold)["acc"] for fold in range(4)]
        np.testing.assert_allclose(trial.curve.values("acc"), np.cumsum(scores) / np.arange(1, 5))
        assert trial.metrics["acc"] == pytest.approx(np.mean(scores))
        assert trial.metrics["acc_deviation"] == pytest.approx(np.std(scores, ddof=1))
        assert trial.metrics["rows"] == 45


def test_repeats_cut_the_rows_anew():
    objective = CrossValidation(share, Y, k=3, repeats=2)
    assert len(objective.pairs) == 6
    assert not np.array_equal(objective.pairs[0][1], objective.pairs[3][1])
    assert all(trial.steps == 6 for trial in tuned(objective, budget=2).trials)


def test_parameters_may_be_taken_by_name_and_a_number_is_the_metric_of_the_study():
    def score(x, train, valid, seed):
        return x + 1e-12 * seed

    study = tuned(CrossValidation(score, 12, k=3), budget=2)
    assert study.best.metrics["acc"] == pytest.approx(study.best.config["x"], abs=0.01)


def test_each_trial_and_fold_has_a_seed_of_its_own():
    seeds = []
    objective = CrossValidation(lambda x, train, valid, seed: seeds.append(seed) or x, 12, k=3)
    tuned(objective, budget=2)
    assert len(set(seeds)) == 6


def test_groups_stay_together():
    groups = np.repeat(np.arange(20), 3)
    objective = CrossValidation(share, Y, k=5, groups=groups)
    assert all(not set(groups[train]) & set(groups[valid]) for train, valid in objective.pairs)


def test_an_estimator_of_scikit_learn_is_tuned():
    from sklearn.datasets import load_wine
    from sklearn.neighbors import KNeighborsClassifier

    x, y = load_wine(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)

    def fit(config, train, valid):
        return KNeighborsClassifier(**config).fit(x[train], y[train]).score(x[valid], y[valid])

    space = lt.Space(n_neighbors=lt.Int(1, 60), weights=lt.Choice("uniform", "distance"))
    study = lt.tune(
        CrossValidation(fit, y, k=5), space, maximize="acc", budget=12, schedule="race", workers=0, view="none", seed=1
    )
    assert study.best.metrics["acc"] > 0.95
    assert study.best.state == "done"


SCRIPT = textwrap.dedent("""
    import sys, time
    import luthier as lt
    from luthier.folds import CrossValidation

    def slow(x, train, valid):
        time.sleep(0.3)
        with open(sys.argv[2], "a") as log:
            log.write(f"{x} {valid[0]}\\n")
        return x + valid[0]

    lt.tune(CrossValidation(slow, 80, k=8), lt.Space(x=lt.Float(0, 1)), minimize=True, budget=1, workers=0,
            schedule="full", dir=sys.argv[1], view="none", seed=0)
""")


def test_folds_that_were_done_are_kept_when_the_study_is_killed(tmp_path):
    script, log = tmp_path / "script.py", tmp_path / "log.txt"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "study"), str(log)]
    first = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not log.exists() or len(log.read_text().splitlines()) < 6):
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = log.read_text().splitlines()
    subprocess.run(command, check=True, timeout=120)
    after = log.read_text().splitlines()[len(before) :]
    assert len(set(before + after)) == 8
    assert len(after) < 8  # the first step is in a checkpoint at once, the others when they are due
    trial = lt.load(tmp_path / "study").trials[0]
    valid = [valid[0] for _, valid in folds(80, 8)]
    assert trial.metrics["value"] == pytest.approx(trial.config["x"] + np.mean(valid))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: CrossValidation(lambda x, train: 0.0, 10), "train= and valid="),
        (lambda: CrossValidation(share, 10, repeats=0), "repeats"),
        (lambda: CrossValidation(share, 3, k=5), "use fewer folds"),
    ],
)
def test_mistakes_are_told(wrong, told):
    with pytest.raises(SettingError, match=told):
        wrong()
