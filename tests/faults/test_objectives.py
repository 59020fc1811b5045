"""Objectives that misbehave in every way we know: each is recorded for what it is, and the study goes on."""

import asyncio
import ctypes
import math
import os
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest

import luthier as lt
from luthier import State
from luthier.errors import AllTrialsFailed


class _Rude(BaseException):
    pass


def _allocate():
    blocks = []
    while True:
        blocks.append(bytearray(20 * 2**20))
        time.sleep(0.002)


def _misbehave(case, run):  # noqa: RET503 - so do objectives
    """Do one thing that objectives have been seen to do."""
    match case:
        case "fine" | "fine again":
            return 1.0
        case "text":
            return "1.5"
        case "huge":
            return 10**400
        case "none":
            return None
        case "nan":
            return math.nan
        case "-inf":
            return -math.inf
        case "list":
            return [0.5]
        case "another metric":
            return {"losss": 0.5}
        case "raises":
            raise ValueError("bad luck")
        case "raises what is no Exception":
            raise _Rude("rude")
        case "raises KeyboardInterrupt":
            raise KeyboardInterrupt
        case "is cancelled":
            raise asyncio.CancelledError
        case "recursion":
            return _misbehave(case, run) + 1
        case "sys.exit":
            sys.exit(3)
        case "os._exit":
            os._exit(3)
        case "killed":
            print("last words", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(10)
        case "crashes":
            ctypes.string_at(0)
        case "allocates":
            _allocate()
        case "reports nan":
            for step in run.steps(5):
                run.report(loss=math.nan if step == 2 else 1.0)
        case "reports text":
            run.report(loss="low")
        case "reports a step back":
            run.report(loss=1.0, step=5)
            run.report(loss=1.0, step=3)
        case "reports half a step":
            run.report(loss=1.0, step=1.5)
        case "reports a numpy step":
            run.report(loss=1.0, step=np.int64(3))
        case "changes directory":
            os.chdir("/")
            os.environ["HOME"] = "/nowhere"
            return 1.0
        case "changes its configuration":
            run.config.clear()
            return 1.0
        case "leaves a thread":
            threading.Thread(target=time.sleep, args=(60,)).start()
            return 1.0
        case "warns":
            warnings.warn("careful", UserWarning, stacklevel=1)
            return 1.0


_KINDS = {
    "fine": None,
    "text": "type",
    "huge": "nan",
    "none": "missing",
    "nan": "nan",
    "-inf": "nan",
    "list": "type",
    "another metric": "missing",
    "raises": "exception",
    "raises what is no Exception": "exception",
    "raises KeyboardInterrupt": "exception",
    "is cancelled": "exception",
    "recursion": "exception",
    "sys.exit": "exit",
    "os._exit": "exit",
    "killed": "signal",
    "crashes": "signal",
    "allocates": "memory",
    "reports nan": "nan",
    "reports text": "type",
    "reports a step back": "type",
    "reports half a step": "type",
    "reports a numpy step": None,
    "changes directory": None,
    "changes its configuration": None,
    "leaves a thread": None,
    "warns": None,
    "fine again": None,
}


_SAYS = {
    "text": "loss must be a number, got '1.5' of type str",
    "raises": "ValueError: bad luck",
    "none": "nothing was reported or returned",
    "another metric": "did you mean 'losss'",
    "killed": "killed by SIGKILL, probably because the machine ran out of memory",
    "crashes": "SIGSEGV",
    "os._exit": "exit code 3",
    "sys.exit": "exit(3)",
    "reports nan": "loss is nan at step 3",
}
_SHOWS = {
    "raises": 'raise ValueError("bad luck")',
    "killed": "last words",
    "sys.exit": "sys.exit(3)",
}


def test_each_is_recorded_for_what_it_is_and_the_study_goes_on(tmp_path):
    study = lt.tune(
        _misbehave,
        lt.Space(case=lt.Choice(*_KINDS)),
        minimize="loss",
        search="grid",
        workers=1,
        memory="300MB",
        dir=tmp_path,
        view="none",
    )
    assert [t.config["case"] for t in study.trials] == list(_KINDS)
    kinds = {t.config["case"]: t.failure.kind if t.failure else None for t in study.trials}
    assert kinds == _KINDS
    for trial in study.trials:
        case = trial.config["case"]
        assert trial.state is (State.FAILED if _KINDS[case] else State.DONE)
        assert trial.ended is not None
        if trial.failure:
            assert _SAYS.get(case, "") in trial.failure.message
            assert _SHOWS.get(case, "") in trial.failure.traceback
            assert "\n" not in trial.failure.message
        if case == "reports nan":  # what came before is kept
            assert list(trial.curve) == [(1, {"loss": 1.0}), (2, {"loss": 1.0})]
    assert study.best.metrics == {"loss": 1.0}
    with lt.load(tmp_path) as reader:
        assert reader.trials == study.trials
    _check_the_same_in_this_process({t.config["case"]: t for t in study.trials})


def test_one_that_sleeps_is_ended_with_what_it_said():
    def sleeps(x):  # sent by value: a worker that has to import this file for it may not get to its words in time
        print("good night", flush=True)
        time.sleep(60)

    space = lt.Space(x=lt.Float(0, 1))
    (trial,) = lt.tune(sleeps, space, minimize=True, budget=1, workers=1, timeout=3, view="none").trials
    assert (trial.state, trial.failure.kind) == (State.FAILED, "timeout")
    assert trial.failure.message == "took longer than 3s"
    assert "good night" in trial.failure.traceback


_INLINE = [
    "fine",
    "text",
    "huge",
    "none",
    "nan",
    "-inf",
    "list",
    "another metric",
    "raises",
    "is cancelled",
    "recursion",
    "sys.exit",
    "reports nan",
    "reports text",
    "reports a step back",
    "reports half a step",
    "reports a numpy step",
]


def _check_the_same_in_this_process(there):
    here = lt.tune(
        _misbehave, lt.Space(case=lt.Choice(*_INLINE)), minimize="loss", search="grid", workers=0, view="none"
    )
    assert len(here.trials) == len(_INLINE)
    for trial in here.trials:
        other = there[trial.config["case"]]
        assert (trial.state, trial.curve, trial.metrics) == (other.state, other.curve, other.metrics)
        assert (trial.failure and trial.failure.kind) == (other.failure and other.failure.kind)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_if_the_first_all_fail_the_study_stops_and_shows_why(tmp_path, workers):
    def broken(x):
        raise KeyError("no such layer")

    space = lt.Space(x=lt.Float(0, 1))
    with pytest.raises(AllTrialsFailed) as caught:
        lt.tune(broken, space, minimize=True, budget=100, workers=workers, dir=tmp_path, view="none")
    message = str(caught.value)
    assert "the first 5 trials all failed" in message
    assert 'raise KeyError("no such layer")' in message
    assert "KeyError: 'no such layer'" in message
    with lt.load(tmp_path) as reader:
        states = [t.state for t in reader.trials]
    assert states.count(State.FAILED) == 5
    assert State.RUNNING not in states


def test_failures_after_a_success_do_not_stop_the_study():
    def mostly_broken(x):
        if x > 1:
            raise ValueError(x)
        return x

    space = lt.Space(x=lt.Int(1, 30))
    study = lt.tune(mostly_broken, space, minimize=True, search="grid", workers=0, view="none")
    assert [t.state for t in study.trials] == [State.DONE] + [State.FAILED] * 29


@pytest.mark.parametrize("workers", [0, 1])
def test_a_failed_trial_is_tried_again_as_often_as_allowed(tmp_path, workers):
    counter = tmp_path / "count"

    def flaky(x):
        with open(counter, "a") as file:
            file.write("x")
        if counter.stat().st_size % 3:
            raise OSError("flaky")
        return x

    study = lt.tune(flaky, lt.Space(x=lt.Float(0, 1)), minimize=True, budget=4, retries=2, workers=workers, view="none")
    assert [(t.state, t.attempt) for t in study.trials] == [(State.DONE, 2)] * 4
    assert counter.stat().st_size == 12
    assert study.trials[0].failure.message == "OSError: flaky"


def test_half_of_the_space_failing_still_spends_the_whole_budget():
    def half(x, y):
        if x > 0.5:
            raise RuntimeError("diverged")
        return x + y

    space = lt.Space(x=lt.Float(0, 1), y=lt.Float(0, 1))
    study = lt.tune(half, space, minimize=True, budget=40, seed=2, workers=0, view="none")
    assert len(study.trials) == 40
    assert study.best.metrics["value"] < 0.5


def test_an_objective_that_closes_its_output_ends_all_the_same():
    def rude(x):
        sys.stdout.close()
        return x

    study = lt.tune(rude, lt.Space(x=lt.Float(0, 1)), minimize=True, budget=1, workers=1, timeout=60, view="none")
    assert [t.state for t in study.trials] == [State.DONE]
