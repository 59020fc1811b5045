"""Kill -9 at random instants, 50 rounds: what was acknowledged stays, trials go on where they stood, totals agree."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from storm import loss_at

import luthier as lt
from luthier import State
from luthier.errors import StoreError
from processes import gone

_STORM = Path(__file__).with_name("storm.py")
_STEPS = 6


def _lines(path):
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def _start(root, checkpoints, budget):
    return subprocess.Popen(
        [sys.executable, _STORM, root, checkpoints, "0.01", str(budget)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_until_dead(pids):
    deadline = time.monotonic() + 10
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its driver"
        time.sleep(0.01)


def _strike(process, root, rng):
    """Kill the driver, or a worker and some time later the driver; at a random instant of its life."""
    known = len(_lines(root / "steps.log"))
    if rng.random() < 0.8:  # otherwise it may be killed while it starts
        deadline = time.monotonic() + 20
        while len(_lines(root / "steps.log")) <= known and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
    time.sleep(rng.uniform(0.0, 0.4))
    workers = {int(line[3]) for line in _lines(root / "steps.log")[known:]}
    if workers and rng.random() < 0.4:
        try:
            os.kill(sorted(workers)[int(rng.integers(len(workers)))], signal.SIGKILL)
        except ProcessLookupError:
            pass
        time.sleep(rng.uniform(0.0, 0.3))
        workers |= {int(line[3]) for line in _lines(root / "steps.log")[known:]}
    process.kill()
    output = process.communicate()[0]
    assert "Traceback" not in output, output
    _wait_until_dead(workers | {int(line[3]) for line in _lines(root / "steps.log")[known:]})


def _check(root, budget):
    with lt.load(root / "study") as study:
        trials = {t.number: t for t in study.trials}
    assert sorted(trials) == list(range(budget))  # exactly the budget
    assert {t.state for t in trials.values()} == {State.DONE}  # nothing is left running
    told = _lines(root / "told.log")
    assert sorted(int(n) for n, *_ in told) == sorted({int(n) for n, *_ in told})  # nothing ends twice
    for number, state, loss in told:  # no acknowledged result is lost
        assert trials[int(number)].state == state
        assert repr(trials[int(number)].metrics["loss"]) == loss
    for trial in trials.values():
        x = trial.config["x"]
        expected = [(step, {"loss": loss_at(x, step)}) for step in range(1, _STEPS + 1)]
        assert [s for s, _ in trial.curve] == list(range(1, _STEPS + 1)), trial
        assert [m["loss"] for _, m in trial.curve] == pytest.approx([m["loss"] for _, m in expected], rel=1e-12)
        assert trial.metrics["loss"] == pytest.approx(x)  # the best step is the first one, whenever it was
        assert trial.seconds > 0


def _check_readable(study, budget):
    """Check that a study can be read at any moment from its first record on, and that none loses that again."""
    record = study.with_name("has-record")
    try:
        with lt.load(study) as reader:
            assert len(reader.trials) <= budget
        record.touch()
    except StoreError as error:
        if record.exists() or not re.search("no study in|it is being created", str(error)):
            raise


def _resumptions(root):
    """Check that each run began at the checkpoint that was there; return how many went on and how many began anew."""
    went_on, began, at = 0, 0, {}
    for kind, number, step, pid in _lines(root / "steps.log"):
        if kind == "begin":
            at[number, pid] = int(step)
            went_on += int(step) > 0
            began += int(step) == 0
        else:
            assert int(step) == at[number, pid], f"trial {number} stood at {at[number, pid]} and began at {step}"
            at[number, pid] = int(step) + 1
    return went_on, began


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("storm", range(5))
def test_ten_kills_of_drivers_and_workers_lose_nothing(tmp_path, storm):
    rng = np.random.default_rng((17, storm))
    checkpoints = ("all", "best", "latest")[storm % 3]
    budget = 60
    for _ in range(10):
        process = _start(tmp_path, checkpoints, budget)
        _strike(process, tmp_path, rng)
        _check_readable(tmp_path / "study", budget)
    for _ in range(2):  # to the end; and once more, which finds nothing to do
        process = _start(tmp_path, checkpoints, budget)
        output = process.communicate(timeout=100)[0]
        assert process.returncode == 0, output
        assert f"ended {budget}" in output
        _check(tmp_path, budget)
    went_on, _ = _resumptions(tmp_path)
    assert went_on >= 3  # the kills did hit running trials that had checkpoints


def test_a_killed_driver_leaves_no_process_behind(tmp_path):
    process = _start(tmp_path, "all", 60)
    while len(_lines(tmp_path / "steps.log")) < 6:
        time.sleep(0.01)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 3  # the process that starts workers, and two workers
    process.kill()
    process.communicate()
    _wait_until_dead([p.pid for p in family])


def test_a_worker_that_is_killed_costs_one_run_only_and_the_driver_goes_on(tmp_path):
    process = _start(tmp_path, "all", 12)
    killed = set()
    while process.poll() is None and len(killed) < 3:
        lines = [line for line in _lines(tmp_path / "steps.log") if line[0] == "step" and int(line[2]) >= 2]
        pids = {int(line[3]) for line in lines} - killed
        if pids:
            victim = pids.pop()
            killed.add(victim)
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.1)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    _check(tmp_path, 12)
    _resumptions(tmp_path)
