"""show, best, trials, export and space: what they print, and where."""

import ast
import csv
import io
import json
import re

import pytest
import yaml

import luthier as lt
from luthier.cli import cli


def test_show_tells_the_state_the_best_the_failures_and_what_to_type(luthier, study):
    out = luthier("show", study).stdout
    assert "12 trials: 9 done, 3 failed" in out
    assert "nobody drives it now" in out
    assert "3 x exception: ValueError: diverged" in out
    assert f"trial {lt.load(study).best.number}: acc" in out
    assert f"luthier resume {study} --budget" in out


def test_show_tells_what_resumes_cost_and_what_checkpoints_take(luthier, tmp_path):
    def train(x, run):
        run.keep(weights=b"x" * 200_000)
        for _ in run.steps(4):
            run.report(loss=x)

    space, steps = lt.Space(x=lt.Float(0, 1)), iter((3, 6, 9, 12))
    for budget in steps:  # each call ends in the middle of a trial, or at its end
        lt.tune(
            train, space, minimize="loss", search="random", budget=f"{budget} steps", workers=0, dir=tmp_path, seed=1
        )
    out = luthier("show", tmp_path).stdout
    assert re.search(r"resumed 3 times from checkpoints, which took [\d.]+s to load", out)
    sizes = [f.stat().st_size for f in tmp_path.glob("trials/*/checkpoints/*.ckpt")]
    assert f"{len(sizes)} checkpoints take {sum(sizes) / 2**20:.3g} MB; " in out
    assert "GB are free" in out


def test_show_follow_ends_when_nobody_drives_the_study(luthier, study):
    assert "12 trials" in luthier("show", study, "--follow").stdout


def test_show_effects_tells_what_matters(luthier, study):
    lines = luthier("show", study, "--effects").stdout.splitlines()
    assert lines[0] == "What the loss depends on, by 9 trials:"
    assert {line.split()[0] for line in lines[1:3]} == {"x", "opt"}


def test_best_prints_only_the_configuration_on_standard_output(luthier, study):
    best = lt.load(study).best.config
    result = luthier("best", study)
    assert yaml.safe_load(result.stdout) == best
    assert "acc" in result.stderr
    assert json.loads(luthier("best", study, "--as", "json").stdout) == best
    assert ast.literal_eval(luthier("best", study, "--as", "python").stdout) == best
    assert luthier("best", study, "--as", "flags").stdout == f"--x {best['x']!r} --opt {best['opt']}\n"


def test_best_gives_any_trial_and_the_front(luthier, study):
    assert json.loads(luthier("best", study, "--as", "json", "--trial", 3).stdout) == lt.load(study).trials[3].config
    lines = luthier("best", study, "--as", "json", "--front").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [t.config for t in lt.load(study).best_trials]
    luthier("best", study, "--trial", 99, code=2)


def test_best_without_a_result_is_exit_code_1(luthier, tmp_path):
    with lt.Study(lt.Space(x=lt.Float(0, 1)), minimize="loss", dir=tmp_path / "empty"):
        pass
    result = luthier("best", tmp_path / "empty", code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("luthier: error: no trial has a result")


def test_trials_as_csv_and_json_hold_the_same(luthier, study):
    rows = list(csv.DictReader(io.StringIO(luthier("trials", study, "--as", "csv").stdout)))
    trials = json.loads(luthier("trials", study, "--as", "json").stdout)
    assert len(rows) == len(trials) == 12
    for row, trial in zip(rows, trials, strict=True):
        assert (int(row["trial"]), row["state"]) == (trial["number"], trial["state"])
        assert row["acc"] == str(trial["metrics"].get("acc", ""))
    assert rows[2]["failure"] == "exception: ValueError: diverged"


def test_trials_are_sorted_best_first_and_filtered(luthier, study):
    result = luthier("trials", study, "--as", "json", "--sort", "acc", "--state", "done", "--limit", 4)
    values = [trial["metrics"]["acc"] for trial in json.loads(result.stdout)]
    assert values == sorted(values, reverse=True)
    assert len(values) == 4
    assert values[0] == lt.load(study).best.metrics["acc"]
    by_opt = [t["config"]["opt"] for t in json.loads(luthier("trials", study, "--as", "json", "--sort", "opt").stdout)]
    assert by_opt == sorted(by_opt)
    assert "did you mean 'acc'" in luthier("trials", study, "--sort", "ac", code=2).stderr


def test_the_table_has_a_line_for_each_trial(luthier, study):
    lines = luthier("trials", study).stdout.splitlines()
    assert len(lines) == 13
    assert lines[0].split()[:2] == ["trial", "state"]


def test_no_color_and_no_control_characters_go_to_a_pipe(luthier, study):
    for args in (["show"], ["trials"], ["doctor"]):
        assert "\x1b" not in luthier(*args, study).stdout


def test_export_writes_everything_as_json_and_every_report_as_csv(luthier, study, tmp_path):
    everything = json.loads(luthier("export", study).stdout)
    assert everything["study"]["metrics"] == [["acc", "maximize"]]
    assert len(everything["trials"]) == 12
    assert [step["step"] for step in everything["trials"][0]["curve"]] == [1, 2, 3]
    luthier("export", study, "-o", tmp_path / "all.csv")
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    assert len(rows) == 9 * 3 + 3
    assert [row["step"] for row in rows if row["trial"] == "2"] == [""]
    assert not list(tmp_path.glob("*.part"))


def test_export_model_copies_the_best_checkpoint(luthier, study, tmp_path):
    luthier("export", study, "--model", tmp_path / "best.ckpt")
    with lt.load(study) as read:
        assert (tmp_path / "best.ckpt").read_bytes() == read.checkpoint().read_bytes()
    luthier("export", study, "--model", tmp_path / "x.ckpt", "--trial", 2, code=1)
    luthier("export", study, "--model", tmp_path / "x.ckpt", "--trial", 77, code=2)


def test_space_shows_size_and_samples_and_writes_other_forms(luthier, tmp_path):
    args = ["--param", "lr=1e-4..1e-1:log", "--param", "opt=adam,sgd"]
    out = luthier("space", *args).stdout
    assert "2 parameters, continuous" in out
    assert "5 samples" in out
    for form in ("toml", "json", "yaml"):
        (tmp_path / f"space.{form}").write_text(luthier("space", *args, "--as", form).stdout)
        assert luthier("space", tmp_path / f"space.{form}").stdout == out


@pytest.mark.parametrize("name", ["show", "best", "trials", "export", "doctor", "resume"])
def test_a_directory_without_a_study_is_a_usage_error(luthier, name):
    result = luthier(name, "nowhere", code=2)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_every_command_has_help(luthier):
    for name in cli.list_commands(None):
        assert "Usage: luthier" in luthier(name, "--help").stdout
    assert luthier("--version").stdout == f"luthier {lt.__version__}\n"


def test_a_misspelt_command_gets_a_suggestion(luthier):
    assert "did you mean 'trials'?" in luthier("trails", code=2).stderr
