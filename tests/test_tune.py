"""The loop: budgets, continuing, what objectives may look like, and when it stops."""

import math
import sys
import threading
import time

import pytest

import luthier as lt
from luthier.errors import AllTrialsFailed, ObjectiveError, SettingError, StoreFull, StudyMismatch
from luthier.execute.base import Limits
from luthier.execute.inline import InlineExecutor
from luthier.objective import objective_of
from luthier.trial import State
from luthier.tune import _Loop, continue_line

SPACE = lt.Space(x=lt.Float(0, 1), n=lt.Int(1, 8))


def tune(objective, space=SPACE, **options):
    options = {"workers": 0, "search": "random", "view": "none", "seed": 1, **options}
    return lt.tune(objective, space, **options)


def stepwise(x, n, run):
    for i in run.steps(n):
        run.report(loss=x / (i + 1))


@pytest.mark.parametrize(
    "objective",
    [
        lambda x, n: x * n,
        lambda n, **rest: n * rest["x"],
        lambda config: config["x"] * config["n"],
        lambda x, n, run: {"value": x * n},
        lambda x, n: (yield {"value": x * n}),
    ],
    ids=["names", "keywords", "dict", "run", "generator"],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_objectives_come_in_several_forms(objective, workers):
    study = tune(objective, minimize=True, budget=3, workers=workers)
    assert [t.metrics["value"] for t in study.trials] == [t.config["x"] * t.config["n"] for t in study.trials]


def test_a_slip_in_a_name_is_told_before_anything_runs():
    with pytest.raises(ObjectiveError, match="needs 'xx', which is not in the space; did you mean 'x'"):
        tune(lambda xx, n: 1, minimize=True, budget=3)
    with pytest.raises(ObjectiveError, match="the space has 'n', which <lambda>\\(\\) does not take"):
        tune(lambda x, m=1: 1, minimize=True, budget=3)


def test_inactive_parameters_are_none_or_the_default():
    space = lt.Space(opt=lt.Choice("adam", "sgd"), momentum=lt.Float(0.5, 0.9, when={"opt": "sgd"}))
    seen = []
    tune(lambda opt, momentum: seen.append((opt, momentum)) or 1.0, space, minimize=True, budget=20)
    tune(lambda opt, momentum=0.0: seen.append((opt, momentum)) or 1.0, space, minimize=True, budget=20)
    assert {m for opt, m in seen if opt == "adam"} == {None, 0.0}
    assert all(0.5 <= m <= 0.9 for opt, m in seen if opt == "sgd")


def test_a_budget_of_trials_is_a_total(tmp_path):
    for budget, there in ((3, 3), (3, 3), (8, 8), (5, 8)):
        assert len(tune(lambda x, n: x, minimize=True, budget=budget, dir=tmp_path).trials) == there


def test_a_budget_of_steps_ends_within_a_step_of_each_trial_and_goes_on(tmp_path):
    study = tune(stepwise, minimize="loss", budget="20 steps", dir=tmp_path)
    assert study.spent.steps == 20
    study = tune(stepwise, minimize="loss", budget="50 steps", dir=tmp_path)
    assert study.spent.steps == 50
    whole = [t for t in study.trials if t.state is State.DONE]
    assert all(len(t.curve) == t.config["n"] for t in whole)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_budget_of_steps_counts_a_trial_that_reports_nothing_as_one(workers, tmp_path):
    def objective(x, n):
        if n % 2:
            raise ValueError("an odd number")
        return x

    study = tune(objective, minimize=True, budget={"steps": 9, "trials": 60}, workers=workers, dir=tmp_path)
    assert (len(study.trials), study.spent.steps) == (9, 9)
    assert lt.load(tmp_path).spent.steps == 9
    assert {t.state for t in study.trials} == {State.DONE, State.FAILED}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_budget_of_seconds_bounds_the_trial_in_flight(workers, tmp_path):
    began = time.monotonic()
    study = tune(lambda x, n: time.sleep(60), minimize=True, budget="1s", workers=workers, dir=tmp_path)
    assert time.monotonic() - began < 30
    assert [t.state for t in study.trials] == [State.WAITING]
    study = tune(lambda x, n: x, minimize=True, budget={"seconds": 3600, "trials": 1}, workers=workers, dir=tmp_path)
    assert [t.state for t in study.trials] == [State.DONE]


def test_the_first_limit_that_is_reached_ends_the_study():
    assert len(tune(lambda x, n: x, minimize=True, budget={"trials": 4, "seconds": 600}).trials) == 4
    assert len(tune(stepwise, minimize="loss", budget={"trials": 400, "steps": 30}).trials) < 31


def test_an_endless_study_is_refused_and_a_finite_space_ends_by_itself(capsys):
    with pytest.raises(SettingError, match="say how much to spend"):
        tune(lambda x, n: x, minimize=True)
    study = tune(lambda n: n, lt.Space(n=lt.Int(1, 8)), minimize=True, view="plain")
    assert sorted(t.config["n"] for t in study.trials) == list(range(1, 9))
    assert "nothing is left to try after 8 trials" in capsys.readouterr().err


def test_starting_points_come_first_and_only_once(tmp_path):
    for budget in (3, 6):
        study = tune(
            lambda x, n: x, minimize=True, budget=budget, dir=tmp_path, start=[{"x": 0.5}, {"x": 0.25, "n": 2}]
        )
    assert [t.config["x"] for t in study.trials[:2]] == [0.5, 0.25]
    assert [t.origin for t in study.trials] == ["start", "start"] + ["search"] * 4


def test_the_believed_values_are_tried_first():
    space = lt.Space(x=lt.Float(0, 1, prior=0.3), n=lt.Int(1, 8, prior=4))
    first = tune(lambda x, n: x, space, minimize=True, budget=2).trials[0]
    assert (first.config, first.origin) == ({"x": 0.3, "n": 4}, "prior")


def test_failures_are_data_and_the_study_goes_on():
    def objective(x, n):
        if n > 4:
            raise ValueError(f"n={n} is too much")
        return math.nan if n == 1 else x

    study = tune(objective, minimize=True, budget=30)
    assert len(study.trials) == 30
    assert {t.failure.kind for t in study.trials if t.failure} == {"exception", "nan"}
    failed = next(t for t in study.trials if t.failure and t.failure.kind == "exception")
    assert f"n={failed.config['n']} is too much" in failed.failure.traceback
    assert study.best.state is State.DONE


def test_when_the_first_trials_all_fail_the_study_stops_and_shows_why(tmp_path):
    with pytest.raises(AllTrialsFailed, match=r"(?s)first 5 trials all failed.*no such layer.*Traceback"):
        tune(lambda x, n: {}["no such layer"], minimize=True, budget=30, dir=tmp_path)
    assert len(lt.load(tmp_path).trials) == 5


def test_failures_do_not_stop_a_study_that_had_results_in_an_earlier_session(tmp_path):
    tune(lambda x, n: x, minimize=True, budget=2, dir=tmp_path)
    study = tune(lambda x, n: {}["no such layer"], minimize=True, budget=9, dir=tmp_path)
    assert [t.state for t in study.trials] == [State.DONE] * 2 + [State.FAILED] * 7


def test_a_trial_lasts_as_long_as_all_its_attempts(tmp_path):
    def objective(x, n, run):
        time.sleep(0.1)
        if not (run.path / "tried").exists():
            (run.path / "tried").touch()
            raise OSError("the disk was busy")
        return x

    study = tune(objective, minimize=True, budget=1, retries=1, dir=tmp_path)
    assert study.trials[0].attempt == 1
    assert study.trials[0].seconds >= 0.2


def test_a_full_disk_at_the_end_closes_the_view(tmp_path):
    class Told:
        closed = False

        def begin(self, snapshot):
            pass

        def say(self, text):
            pass

        def changed(self, trial):
            pass

        def close(self):
            self.closed = True

    def objective(x, run):
        study._store._db.execute("PRAGMA max_page_count = 1")  # no page more than there are
        run.report(loss=x, **{f"metric {i}": 0.5 for i in range(1000)})
        raise KeyboardInterrupt

    view = Told()
    study = lt.Study(lt.Space(x=lt.Float(0, 1)), minimize="loss", search="random", budget=3, dir=tmp_path)
    executor = InlineExecutor(objective_of(objective, ["x"]), study.metrics, Limits())
    with pytest.raises(StoreFull):
        _Loop(study, executor, view, None, keep=False).run()
    assert view.closed
    with pytest.raises(StoreFull):
        study.close()
    lt.Study(None, dir=tmp_path).close()  # and it is not left locked


def test_a_study_made_for_another_metric_is_refused(tmp_path):
    tune(lambda x, n: {"loss": x}, minimize="loss", budget=2, dir=tmp_path)
    with pytest.raises(StudyMismatch, match="to minimize loss, not to maximize loss: use another dir="):
        tune(lambda x, n: {"loss": x}, maximize="loss", budget=2, dir=tmp_path)


def test_a_changed_space_keeps_what_fits_and_tells_the_rest(tmp_path, capsys):
    tune(lambda x, n: x, minimize=True, budget=10, dir=tmp_path)
    narrow = lt.Space(x=lt.Float(0, 0.5), n=lt.Int(1, 8))
    study = tune(lambda x, n: x, narrow, minimize=True, budget=12, dir=tmp_path, view="plain")
    outside = sum(t.config["x"] > 0.5 for t in study.trials[:10])
    assert len(study.history.outside) == outside > 0
    assert f"{outside} earlier trials are outside of the space as it is now" in capsys.readouterr().err
    assert len(study.trials) == 12


def test_a_continued_study_does_not_repeat_its_proposals(tmp_path):
    whole = tune(lambda x, n: x, minimize=True, budget=8)
    for budget in (3, 8):
        parts = tune(lambda x, n: x, minimize=True, budget=budget, dir=tmp_path)
    assert [t.config for t in parts.trials] == [t.config for t in whole.trials]


def test_several_metrics_give_a_front():
    study = tune(lambda x, n: {"acc": x, "cost": x * n}, maximize="acc", minimize="cost", budget=40)
    front = study.best_trials
    assert 1 < len(front) < 40
    for a in front:
        assert not any(b.metrics["acc"] >= a.metrics["acc"] and b.metrics["cost"] < a.metrics["cost"] for b in front)


def test_early_stopping_works_with_several_metrics():
    def objective(x, n, run):
        for i in run.steps(8):
            run.report(loss=x + 1 / (i + 1), size=n)

    study = tune(objective, minimize=["loss", "size"], budget=30, schedule="median")
    assert {t.state for t in study.trials} == {State.DONE, State.STOPPED}


@pytest.mark.parametrize(
    ("argv", "file", "recorded", "line"),
    [
        (["job.py", "--fast"], "job.py", ("job.py", "--fast"), "job.py --fast"),
        (["/lib/ipykernel_launcher.py", "-f", "kernel.json"], None, (), "run the same again"),
        (["-c"], None, (), "run the same again"),
        ([""], None, (), "run the same again"),
        (["luthier", "-C", "/", "tune"], None, ("luthier", "-C", "/", "tune"), "resume"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_command_is_recorded_where_it_can_be_run_again(monkeypatch, tmp_path, argv, file, recorded, line):
    main = sys.modules["__main__"]
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(main, "__file__", file, raising=False)
    if file is None:
        monkeypatch.delattr(main, "__file__")
    study = tune(lambda x, n: x, minimize=True, budget=1, dir=tmp_path)
    assert study.record.command == recorded
    assert line in continue_line(study)


def test_tune_works_outside_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(tune(lambda x, n: x, minimize=True, budget=3)))
    thread.start()
    thread.join()
    assert len(found[0].trials) == 3


def test_observers_see_every_change():
    seen = []
    tune(stepwise, minimize="loss", budget=2, observers=[lambda trial: seen.append((trial.number, str(trial.state)))])
    assert seen[0] == (0, "running")
    assert seen[-1] == (1, "done")


def test_a_budget_in_money_is_time_at_its_price():
    study = lt.tune(
        lambda x: x, lt.Space(x=lt.Float(0, 1)), minimize=True, budget="0.25 USD", price_per_hour=3600.0,
        search="random", workers=0, view="none",
    )  # fmt: skip
    assert study.budget.seconds == 0.25
    assert study.ended_by == "budget"
