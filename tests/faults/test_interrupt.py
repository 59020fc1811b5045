"""Ctrl-C and SIGTERM: once pauses what runs at its checkpoints and says how to go on, twice stops at once."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from storm import loss_at

import luthier as lt
from luthier import State
from luthier.execute import checkpoint
from luthier.search.random import RandomSearch

_STORM = Path(__file__).with_name("storm.py")
_BUDGET = 6
_STEPS = 12


def _start(root, workers, *more):
    return subprocess.Popen(
        [sys.executable, _STORM, root, "all", "0.03", str(_BUDGET), str(workers), str(_STEPS), *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def _steps(root):
    log = root / "steps.log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def _until_running(process, root, n=6):
    deadline = time.monotonic() + 30
    while len([line for line in _steps(root) if line[0] == "step"]) < n:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return psutil.Process(process.pid).children(recursive=True)


def _all_dead(family):
    _, alive = psutil.wait_procs(family, timeout=5)
    return not alive


def _finish_and_check(root, workers):
    process = _start(root, workers)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f"ended {_BUDGET}" in out
    with lt.load(root / "study") as study:
        assert [t.number for t in study.trials] == list(range(_BUDGET))
        assert {t.state for t in study.trials} == {State.DONE}
        for trial in study.trials:
            assert [s for s, _ in trial.curve] == list(range(1, _STEPS + 1))
            expected = [loss_at(trial.config["x"], s) for s in range(1, _STEPS + 1)]
            assert [m["loss"] for _, m in trial.curve] == pytest.approx(expected, rel=1e-12)
        assert study.spent.trials == _BUDGET
        assert study.spent.steps == _BUDGET * _STEPS + sum(t.resumes.repeated for t in study.trials)
    steps = [(n, s) for kind, n, s, _ in _steps(root) if kind == "step"]
    return len(steps) - len(set(steps))  # done twice


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_pauses_running_trials_with_checkpoints_and_says_how_to_go_on(tmp_path, workers, number):
    process = _start(tmp_path, workers)
    family = _until_running(process, tmp_path)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "Ctrl-C again stops at once" in err
    last = err.strip().splitlines()[-1]
    assert "interrupted after" in last
    assert "to go on:" in last
    assert str(_STORM) in last
    assert str(tmp_path) in last
    assert _all_dead(family)
    begun = Counter(int(n) for kind, n, *_ in _steps(tmp_path) if kind == "step")
    with lt.load(tmp_path / "study") as study:
        assert {t.number: t.steps for t in study.trials} == begun  # each step that was begun was ended, and no more
        assert study.spent.steps < _BUDGET * _STEPS
        held = [t for t in study.trials if t.state is State.PAUSED]
        assert len(held) <= max(workers, 1)
        for trial in study.trials:  # one that was in its last step is done
            assert trial.state is (State.DONE if trial.steps == _STEPS else State.PAUSED)
        for trial in held:  # each stands at a checkpoint
            there = checkpoint.files(study.path(trial) / "checkpoints")
            assert max(there) == trial.steps > 0
            assert trial.metrics["loss"] == pytest.approx(trial.config["x"])
    assert _finish_and_check(tmp_path, workers) == 0  # no step is done twice


@pytest.mark.parametrize("workers", [0, 2])
def test_twice_stops_at_once_and_the_study_is_consistent(tmp_path, workers):
    process = _start(tmp_path, workers, "deaf")
    family = _until_running(process, tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "to go on:" in err
    assert _all_dead(family)
    with lt.load(tmp_path / "study") as study:
        assert {t.state for t in study.trials} <= {State.PAUSED, State.WAITING, State.DONE}
    assert _finish_and_check(tmp_path, workers) <= max(workers, 1)  # at most the step that was broken off


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_a_signal_while_it_starts_ends_it_without_harm(tmp_path, delay):
    process = _start(tmp_path, 1)
    while not (tmp_path / "driver.log").exists():
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode in (0, 1, -signal.SIGINT), err
    _finish_and_check(tmp_path, 1)


def test_a_budget_of_seconds_also_ends_the_trial_in_flight(tmp_path, monkeypatch):
    monkeypatch.setattr("luthier.execute.local._PRELOAD", ())  # loading what other tests have may take the two seconds
    began = time.monotonic()

    def endless(x, run):
        state = run.keep(state=[0])
        while True:
            time.sleep(0.02)
            state[0] += 1
            run.report(loss=x, step=state[0])
            if run.should_stop:
                return

    study = lt.tune(
        endless, lt.Space(x=lt.Float(0, 1)), minimize="loss", budget="2s", workers=1, dir=tmp_path, view="none"
    )
    assert time.monotonic() - began < 60
    assert study.trials[0].state is State.PAUSED
    assert study.trials[0].steps > 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_budget_of_seconds_breaks_off_a_trial_that_never_reports(workers, monkeypatch):
    monkeypatch.setattr("luthier.execute.local._PRELOAD", ())
    began = time.monotonic()
    study = lt.tune(
        lambda x: time.sleep(600), lt.Space(x=lt.Float(0, 1)), minimize=True, budget="1s", workers=workers, view="none"
    )
    assert time.monotonic() - began < 60
    assert [t.state for t in study.trials] == [State.WAITING]


# -- signals at chosen moments: each test sends them to this process itself --------------------------------------------

_SPACE = lt.Space(x=lt.Float(0, 1))


class _Pressing:
    """A view during whose `close`, and whose words after it, Ctrl-C is pressed."""

    def begin(self, snapshot):
        self.closed, self.said = False, []

    def say(self, text):
        self.said.append(text)
        if self.closed:
            signal.raise_signal(signal.SIGINT)

    def changed(self, trial):
        pass

    def close(self):
        self.closed = True
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("pressed", [0, 1])
def test_ctrl_c_once_the_loop_has_ended_breaks_nothing_off_and_is_told(tmp_path, monkeypatch, workers, pressed):
    monkeypatch.setattr("luthier.execute.local._PRELOAD", ())
    view, driver, before = _Pressing(), os.getpid(), signal.getsignal(signal.SIGINT)

    def objective(x):
        for _ in range(pressed):
            os.kill(driver, signal.SIGINT)
        return x

    given = {"minimize": True, "budget": 1, "workers": workers, "dir": tmp_path}
    study = lt.tune(objective, _SPACE, view=view, **given)
    assert [t.state for t in study.trials] == [State.DONE]
    assert study.ended_by == "SIGINT"
    assert ("interrupted after" in view.said[-1]) is bool(pressed)
    assert "after 1 trial" in view.said[-1]
    assert signal.getsignal(signal.SIGINT) is before
    assert lt.tune(objective, _SPACE, view="none", **given).trials == study.trials  # it was closed


class _Late:
    """Random search during which the deadline passes."""

    def describe(self, history):
        return "late"

    def propose(self, history, n, rng):
        signal.raise_signal(signal.SIGALRM)
        return RandomSearch().propose(history, n, rng)


def test_the_deadline_while_the_search_thinks_ends_the_study_as_always():
    study = lt.tune(
        lambda x: time.sleep(60), _SPACE, minimize=True, budget="1h", workers=0, search=_Late(), view="none"
    )
    assert study.ended_by == "budget"
    assert [t.state for t in study.trials] == [State.WAITING]  # broken off soon after


def test_the_deadline_while_a_result_is_written_loses_nothing():
    seen = []

    def observe(trial):
        if trial.state is State.DONE:
            seen.append(trial)
            signal.raise_signal(signal.SIGALRM)

    study = lt.tune(lambda x: x, _SPACE, minimize=True, budget="1h", workers=0, observers=[observe], view="none")
    assert study.ended_by == "budget"
    assert study.trials == seen
    assert len(seen) == 1


class _Torn(io.RawIOBase):
    """A stream during the first writing of some words to which Ctrl-C is pressed."""

    def __init__(self, words):
        self.words, self.text = words, ""

    def writable(self):
        return True

    def write(self, data):
        self.text += bytes(data).decode()
        if self.words and self.words in self.text:
            self.words = ""
            signal.raise_signal(signal.SIGINT)
        return len(data)


@pytest.mark.parametrize(
    ("words", "workers"),
    [("by the objective", 0), ("trial 0 done", 0), ("best so far", 0), ("budget 100 trials", 1), ("trial 0 done", 1)],
)
def test_ctrl_c_in_the_middle_of_a_line_is_answered_after_it(monkeypatch, words, workers):
    raw = _Torn(words)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(raw), line_buffering=True))
    monkeypatch.setattr("luthier.execute.local._PRELOAD", ())

    def objective(x):
        print("by the objective", file=sys.stderr, flush=True)
        return x

    study = lt.tune(objective, _SPACE, minimize=True, budget=100, workers=workers, search="random", view="plain")
    assert study.ended_by == "SIGINT"
    assert study.notices == []
    assert {t.state for t in study.trials} <= {State.DONE}
    assert raw.text.count("Ctrl-C again stops at once") == 1
    assert re.search(r"interrupted after \d+ trials?", raw.text)
