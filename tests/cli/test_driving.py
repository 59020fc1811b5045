"""tune, run and resume: what they make and how they end."""

import json
import sqlite3
import sys

import pytest

import luthier as lt
from luthier.cli.options import budget_of, config_of, space_of
from luthier.errors import SettingError

QUICK = ("--workers", 0, "--view", "none", "--search", "random", "--seed", 1)


def test_tune_takes_the_space_of_the_module_and_prints_the_best(luthier):
    result = luthier("tune", "model.py:train", "--minimize", "loss", "--budget", 4, *QUICK)
    assert result.stdout.startswith("Best of 4 trials: trial ")
    assert "Trained model: runs/model/trials/" in result.stdout
    study = lt.load("runs/model")
    assert len(study.trials) == 4
    assert study.metrics[0].name == "loss"


def test_a_study_that_promises_too_little_ends_early_and_show_says_what_more_would_bring(luthier):
    luthier("tune", "model.py:train", "--minimize", "loss", "--budget", 90, *QUICK, "--stop-below", 1e9)
    assert 20 <= len(lt.load("runs/model").trials) < 90
    assert "trials more would bring" in luthier("show", "runs/model").stdout


def test_tune_in_a_worker_finds_the_module_there(luthier):
    luthier("tune", "model.py:train", "--minimize", "loss", "--budget", 2, "--workers", 1, "--view", "none")
    assert [trial.state for trial in lt.load("runs/model").trials] == ["done", "done"]


def test_tune_takes_a_dotted_module_and_a_space_file(luthier, place):
    (place / "pack").mkdir()
    (place / "pack" / "objective_here.py").write_text("def f(a):\n    return {'loss': a}\n")
    (place / "space.toml").write_text('[parameters]\na = "0..1:float"\n')
    luthier("tune", "pack.objective_here:f", "--space", "space.toml", "--minimize", "loss", "--budget", 2, *QUICK)
    assert set(lt.load("runs/objective_here").trials[0].config) == {"a"}


def test_param_replaces_a_part_of_the_space(luthier):
    args = ["tune", "model.py:train", "--minimize", "loss", "--budget", 3, *QUICK, "--param", "n=2", "--dir", "d"]
    luthier(*args)
    assert {trial.config["n"] for trial in lt.load("d").trials} == {2}


def test_a_start_is_tried_first_and_the_recorded_seed_repeats_the_study(luthier):
    args = ["tune", "model.py:train", "--minimize", "loss", "--budget", 3, *QUICK]
    luthier(*args, "--start", "x=0.5 n=2", "--dir", "a")
    luthier(*args, "--start", '{"x": 0.5, "n": 2}', "--dir", "b")
    first, second = lt.load("a").trials, lt.load("b").trials
    assert first[0].config == {"x": 0.5, "n": 2}
    assert [t.config for t in first] == [t.config for t in second]


def test_the_budget_is_a_total_and_a_rerun_keeps_it(luthier):
    args = ["tune", "model.py:train", "--minimize", "loss", *QUICK]
    luthier(*args, "--budget", 2)
    luthier(*args)
    assert len(lt.load("runs/model").trials) == 2
    luthier(*args, "--budget", 4)
    assert len(lt.load("runs/model").trials) == 4


def test_run_tunes_a_script_with_its_flags_and_fixed_arguments(luthier):
    luthier(
        "run", "script.py", "--x", "-1..1:float", "--n=1..3", "--deep", "true,false", "--minimize", "loss",
        "--budget", 4, *QUICK, "--", "--epochs", 3,
    )  # fmt: skip
    study = lt.load("runs/script")
    assert [trial.state for trial in study.trials] == ["done"] * 4
    assert study.trials[0].steps == 3
    for trial in study.trials:
        expected = trial.config["x"] + trial.config["n"] + (0 if trial.config["deep"] else 1)
        assert trial.metrics["loss"] == pytest.approx(expected)


def test_run_takes_a_program_with_its_first_arguments_and_fills_places(luthier):
    luthier(
        "run", sys.executable, "-c", "import sys; print(sys.argv[1])", "--x", "1..5", "--minimize", "loss",
        "--budget", 2, "--dir", "d", *QUICK, "--", "loss={x}",
    )  # fmt: skip
    assert all(trial.metrics["loss"] == trial.config["x"] for trial in lt.load("d").trials)


def test_a_parameter_named_like_an_option_comes_by_param(luthier):
    code = "import sys; print('loss=' + sys.argv[2])"
    luthier(
        "run", sys.executable, "-c", code, "--param", "seed=1..9", "--minimize", "loss", "--budget", 2, "--dir", "d",
        *QUICK,
    )  # fmt: skip
    assert set(lt.load("d").trials[0].config) == {"seed"}


def test_resume_goes_on_with_the_recorded_command_from_anywhere(luthier, tmp_path, monkeypatch):
    luthier("run", "script.py", "--x", "0..1:float", "--minimize", "loss", "--budget", 2, *QUICK, "--", "--epochs", 3)
    study = tmp_path / "runs" / "script"
    monkeypatch.chdir("/")
    luthier("resume", study, "--budget", 5, "--workers", 0, "--view", "none")
    read = lt.load(study)
    assert [trial.steps for trial in read.trials] == [3] * 5
    luthier("resume", study)
    assert len(lt.load(study).trials) == 5


def test_resume_keeps_the_space_that_the_study_has(luthier, place):
    (place / "space.json").write_text('{"parameters": {"x": "0..1:float", "n": 2}}')
    luthier("tune", "model.py:train", "--space", "space.json", "--minimize", "loss", "--budget", 2, *QUICK)
    (place / "space.json").unlink()
    luthier("resume", "runs/model", "--budget", 3)
    assert [trial.config["n"] for trial in lt.load("runs/model").trials] == [2, 2, 2]


def test_resume_of_a_python_made_study_says_what_to_run(luthier, study):
    with sqlite3.connect(study / "study.db") as db:
        db.execute("UPDATE study SET command = ?", (json.dumps(["my_script.py", "--fast"]),))
    assert "python my_script.py --fast" in luthier("resume", study, code=2).stderr
    assert "change budget=" in luthier("resume", study, "--budget", 9, code=2).stderr
    with sqlite3.connect(study / "study.db") as db:
        db.execute("UPDATE study SET command = '[]'")  # a notebook's
    assert "interactive session" in luthier("resume", study, code=2).stderr


def test_a_study_without_a_result_is_exit_code_1_and_shows_why(luthier):
    result = luthier("tune", "model.py:broken", "--minimize", "loss", "--budget", 9, *QUICK, code=1)
    assert "never works" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["tune", "model.py:trian", "--minimize", "l"], "did you mean 'train'?"),
        (["tune", "model.py", "--minimize", "l"], "model.py:broken or model.py:slow or model.py:train"),
        (["tune", "no_such_thing:f", "--minimize", "l"], "no module 'no_such_thing'"),
        (["tune", "nothing.py:f", "--minimize", "l"], "no file nothing.py"),
        (["tune", "model.py:space", "--minimize", "l"], "no function"),
        (["tune", "model.py:train", "--budget", "3"], "--maximize acc or --minimize loss"),
        (["tune", "model.py:train", "--minimize", "loss"], "--budget 20m"),
        (["tune", "model.py:train", "--minimize", "loss", "--budget", "soon"], "'soon'"),
        (["tune", "model.py:train", "--minimize", "loss", "--budget", "3", "--search", "randm"], "'random'"),
        (["tune", "model.py:train", "--minimize", "loss", "--budget", "3", "--start", "x"], "--start"),
        (["tune", "model.py:train", "--minimize", "loss", "--budget", "3", "--start", "{x"], "not JSON"),
        (["tune", "model.py:train", "--minimize", "loss", "--budget", "3", "--param", "x"], "--param"),
        (["tune", "model.py:train", "--minimize", "loss", "--space", "none.toml"], "none.toml"),
        (["tune", "model.py:train", "--minimise", "loss"], "--minimize"),
        (["run"], "which program"),
        (["run", "script.py", "--x"], "needs a range"),
        (["run", "script.py", "--x", "1..2", "stray", "--minimize", "l"], "'stray' stands alone"),
        (["run", "script.py", "--minimize", "l", "--budget", "3"], "what may be tried"),
        (["run", "nothing.py", "--x", "1..2", "--minimize", "l"], "no program"),
        (["run", "script.py", "--x", "1..2:lg", "--minimize", "l"], "did you mean 'log'"),
        (["-C", "/no/such/place", "doctor"], "cannot change"),
    ],
)
def test_a_wrong_command_says_the_way_out_and_makes_nothing(luthier, place, args, said):
    result = luthier(*args, code=2)
    assert said in result.stderr
    assert result.stderr.startswith("luthier: error: ")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert not (place / "runs").exists()


def test_a_module_that_cannot_be_imported_says_where(luthier, place):
    (place / "torn.py").write_text("x = 1\n1 / 0\n")
    assert "torn.py, line 2" in luthier("tune", "torn.py:f", "--minimize", "l", code=2).stderr
    (place / "leaves.py").write_text("exit(3)\n")
    assert "luthier run" in luthier("tune", "leaves.py:f", "--minimize", "l", code=2).stderr
    (place / "json.py").write_text("def f(x): return x\n")
    assert "rename the file" in luthier("tune", "json.py:f", "--minimize", "l", code=2).stderr


def test_another_metric_is_refused_for_a_study_that_is_there(luthier):
    luthier("tune", "model.py:train", "--minimize", "loss", "--budget", 1, *QUICK)
    result = luthier("tune", "model.py:train", "--maximize", "loss", "--budget", 2, *QUICK, code=2)
    assert "is to minimize loss" in result.stderr


def test_a_study_that_is_being_driven_is_exit_code_3(luthier, place):
    luthier("tune", "model.py:train", "--minimize", "loss", "--budget", 1, *QUICK)
    with lt.Study(None, dir="runs/model"):
        result = luthier("tune", "model.py:train", "--minimize", "loss", "--budget", 2, *QUICK, code=3)
    assert "drives the study" in result.stderr


def test_tensorboard_logs_every_trial(luthier, place):
    pytest.importorskip("tensorboard")
    luthier("tune", "model.py:train", "--minimize", "loss", "--budget", 2, *QUICK, "--tensorboard", "tb")
    assert sorted(p.name for p in (place / "tb").iterdir()) == ["trial-00000", "trial-00001"]


def test_several_budgets_become_one_with_the_tightest_limits():
    assert budget_of([]) is None
    assert budget_of(["20m"]) == "20m"
    assert budget_of(["20m", "100 trials", "90 trials"]) == {"seconds": 1200.0, "trials": 90.0}


def test_configurations_and_spaces_are_read_from_words():
    assert config_of("lr=0.001, opt=adam") == {"lr": 0.001, "opt": "adam"}
    assert space_of(None, []) is None
    assert space_of(None, ["a=1..2", "b=x"]).constants == {"b": "x"}
    with pytest.raises(SettingError, match="configuration"):
        config_of("lr=1..2")
