"""Kill -9 where trials are paused, resumed and dropped from memory: nothing is lost, nothing runs twice unknown."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from storm import loss_at
from thaw import STEPS

import luthier as lt
from luthier import State

_DRIVER = Path(__file__).with_name("thaw.py")


def _lines(root):
    path = root / "steps.log"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def _start(root, budget):
    return subprocess.Popen(
        [sys.executable, _DRIVER, root, str(budget)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _workers(process):
    """The processes that run trials: children of the process that starts them."""
    try:
        return [p.pid for zygote in psutil.Process(process.pid).children() for p in zygote.children()]
    except psutil.NoSuchProcess:
        return []


def _kill_workers(process, rng, times):
    """Kill a worker now and then, with all the paused runs that it holds; return how many were killed."""
    killed = 0
    while process.poll() is None and killed < times:
        time.sleep(rng.uniform(0.05, 0.3))
        workers = _workers(process)
        if workers:
            try:
                os.kill(workers[int(rng.integers(len(workers)))], signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
    return killed


def _check(root, budget):
    """Every trial has made every step in order, on the state that the step before has left; the books agree."""
    with lt.load(root / "study") as study:
        trials, spent = study.trials, study.spent.steps
    assert [t.number for t in trials] == list(range(budget))
    assert {t.state for t in trials} == {State.DONE}
    for trial in trials:
        expected = [loss_at(trial.config["x"], step) for step in range(1, STEPS + 1)]
        assert trial.curve.steps.tolist() == list(range(1, STEPS + 1))
        assert trial.curve.values("loss") == pytest.approx(expected, rel=1e-12)
    told = [line.split()[0] for line in (root / "told.log").read_text().splitlines()]
    assert len(told) == len(set(told))  # nothing ends twice
    repeated = sum(t.resumes.repeated for t in trials)
    assert spent == budget * STEPS + repeated
    done = sum(kind == "step" for kind, *_ in _lines(root))
    return sum((t.resumes for t in trials), lt.Resumes()), done


def test_runs_that_leave_memory_or_lose_their_worker_do_no_step_twice_that_was_reported(tmp_path):
    """What a killed worker had under way is one step, or what its last checkpoint did not have yet."""
    process = _start(tmp_path, 24)
    killed = _kill_workers(process, np.random.default_rng(5), 4)
    output = process.communicate(timeout=100)[0]
    assert process.returncode == 0, output
    resumes, done = _check(tmp_path, 24)
    assert killed >= 1  # how many depends on how fast the machine is
    assert resumes.memory > 0
    assert resumes.checkpoint > 0
    assert 24 * STEPS + resumes.repeated <= done <= 24 * STEPS + resumes.repeated + 2 * killed


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("storm", range(3))
def test_kills_of_drivers_and_workers_lose_nothing_that_is_paused(tmp_path, storm):
    rng = np.random.default_rng((23, storm))
    budget, killed, workers_killed = 60, 0, 0
    for _ in range(6):
        process = _start(tmp_path, budget)
        known = len(_lines(tmp_path))
        while len(_lines(tmp_path)) <= known and process.poll() is None:
            time.sleep(0.01)
        if rng.random() < 0.5:
            workers_killed += _kill_workers(process, rng, 1)
        time.sleep(rng.uniform(0.0, 0.4))
        killed += process.poll() is None
        process.kill()
        output = process.communicate()[0]
        assert "Traceback" not in output, output
    process = _start(tmp_path, budget)
    output = process.communicate(timeout=100)[0]
    assert process.returncode == 0, output
    resumes, done = _check(tmp_path, budget)
    assert killed >= 3
    assert resumes.memory > 0 and resumes.checkpoint > 0
    assert done >= budget * STEPS + resumes.repeated
