"""Worker processes: what they are given, what they keep alive, and that where a run goes on makes no difference."""

import functools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import luthier as lt
from luthier.contracts import CONTINUE, Resume
from luthier.errors import ObjectiveError, SettingError
from luthier.execute.machine import gpus, thread_limits
from luthier.execute.zygote import Zygote
from luthier.trial import State
from processes import gone

SPACE = lt.Space(x=lt.Float(0, 1))


class Weights:
    """The smallest thing with a state."""

    def __init__(self):
        self.value = 0.0

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


class Relay:
    """A schedule that pauses every trial after 3 and after 6 of its 9 steps, and resumes the best of four."""

    def grant(self, history):
        return 3

    def promote(self, history):
        held = [t for t in history.live if t.state is State.PAUSED]
        if len(held) < 4:
            return None
        best = min(held, key=lambda t: (history.losses_of(t)[0], t.number))
        return Resume(best.number, "the best of four", best.steps + 3 if best.steps < 6 else None)

    def judge(self, history, trial):
        return CONTINUE


def noisy_training(x, run):
    weights, draws = run.keep(weights=Weights(), draws=[])
    for _ in run.steps(9):
        weights.value += random.random() + np.random.random()
        draws.append(os.getpid())
        run.report(loss=x + weights.value / len(draws), pid=os.getpid())


def without_pids(study):
    return [(t.config, str(t.state), [(s, m["loss"]) for s, m in t.curve], t.metrics["loss"]) for t in study.trials]


def relay(workers, **options):
    return lt.tune(
        noisy_training, SPACE, minimize="loss", budget=10, workers=workers, search="random", schedule=Relay(), seed=5,
        view="none", **options,
    )  # fmt: skip


def test_a_run_goes_on_the_same_from_memory_and_from_its_checkpoint():
    held_in_memory, from_checkpoint = relay(1), relay(0)
    assert without_pids(held_in_memory) == without_pids(from_checkpoint)
    assert sum(t.state is State.DONE for t in held_in_memory.trials) >= 5


def test_a_paused_run_stays_alive_in_its_worker():
    done = [t for t in relay(1).trials if t.state is State.DONE]
    assert all(len({m["pid"] for _, m in t.curve}) == 1 for t in done)


def test_ordered_studies_are_equal_bit_for_bit_with_two_workers():
    assert without_pids(relay(2, ordered=True)) == without_pids(relay(2, ordered=True))


def test_closures_lambdas_partials_and_cached_functions_reach_the_workers():
    offset = 3.0

    @functools.cache
    def table():
        return {"offset": offset}

    def closure(x):
        return x + table()["offset"]

    for objective in (closure, lambda x: x + offset, functools.partial(lambda x, y: x + y, y=offset)):
        study = lt.tune(objective, SPACE, minimize=True, budget=2, workers=1, search="random", view="none")
        assert [t.metrics["value"] > 3 for t in study.trials] == [True, True]


def test_what_cannot_be_sent_is_named():
    lock = threading.Lock()
    with pytest.raises(ObjectiveError, match=r"'lock' \(of type lock\), which cannot be sent"):
        lt.tune(lambda x: lock and x, SPACE, minimize=True, budget=2, workers=1, view="none")


def test_limits_that_need_a_process_are_refused_without_one():
    with pytest.raises(SettingError, match="workers=1 or more"):
        lt.tune(lambda x: x, SPACE, minimize=True, budget=2, workers=0, timeout="1s", view="none")


def test_each_worker_sees_its_gpu_and_its_share_of_the_processors(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert gpus() == ["4", "7"]

    def objective(x):
        time.sleep(0.3)  # so that both workers get a trial
        return {"loss": x, "gpu": int(os.environ["CUDA_VISIBLE_DEVICES"]), "omp": int(os.environ["OMP_NUM_THREADS"])}

    study = lt.tune(objective, SPACE, minimize="loss", budget=4, workers=2, search="random", view="none")
    assert {t.metrics["gpu"] for t in study.trials} == {4, 7}
    assert {t.metrics["omp"] for t in study.trials} == {int(thread_limits(2)["OMP_NUM_THREADS"])}


def test_no_gpu_is_taken_where_none_may_be_seen(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []


def test_gpus_are_counted_from_zero_whatever_their_files_are_called(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("nvidia3", "nvidia5", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpus(tmp_path) == ["0", "1"]


def test_a_path_that_is_no_text_does_not_reach_the_workers(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, Path("somewhere")])
    study = lt.tune(lambda x: x, SPACE, minimize=True, budget=1, workers=1, search="random", view="none")
    assert [t.state for t in study.trials] == [State.DONE]


def test_what_a_trial_prints_goes_to_its_log(tmp_path):
    def objective(x):
        print(f"hello from {x}")
        os.system("echo and from a child")
        return x

    study = lt.tune(objective, SPACE, minimize=True, budget=2, workers=1, search="random", view="none", dir=tmp_path)
    for trial in study.trials:
        log = (study.path(trial) / "log.txt").read_text()
        assert sorted(log.split("\n")) == ["", "and from a child", f"hello from {trial.config['x']}"]


def test_workers_and_their_children_end_with_the_study():
    def objective(x, run):
        (run.path / "pid").write_text(str(os.getpid()))
        os.system("sleep 60 & echo $! > " + str(run.path / "child"))
        apart = subprocess.Popen(["sleep", "60"], start_new_session=True)
        (run.path / "apart").write_text(str(apart.pid))
        return x

    study = lt.tune(objective, SPACE, minimize=True, budget=1, workers=1, search="random", view="none")
    for name in ("pid", "child", "apart"):
        assert _ends(int((study.path(0) / name).read_text()))


def test_a_trial_that_is_killed_takes_along_what_it_has_started_in_another_session():
    def objective(x, run):
        apart = subprocess.Popen(["sleep", "60"], start_new_session=True)
        (run.path / "apart").write_text(str(apart.pid))
        if apart.wait():
            raise RuntimeError("the child was killed")  # which is not why the trial ends

    study = lt.tune(objective, SPACE, minimize=True, budget=1, workers=1, search="random", view="none", timeout=1)
    assert study.trials[0].failure.kind == "timeout"
    assert _ends(int((study.path(0) / "apart").read_text()))


def test_a_worker_that_dies_beside_a_child_that_it_has_forked_is_noticed():
    def objective(x, run):
        if run.number:
            return x
        child = os.fork()
        if child == 0:
            time.sleep(60)  # with the worker's pipe open
            os._exit(0)
        (run.path / "child").write_text(str(child))
        os._exit(3)

    began = time.monotonic()
    study = lt.tune(objective, SPACE, minimize=True, budget=2, workers=1, search="random", view="none")
    assert time.monotonic() - began < 30
    assert [t.failure and t.failure.kind for t in study.trials] == ["exit", None]
    assert _ends(int((study.path(0) / "child").read_text()))


def _ends(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not gone(pid):
        time.sleep(0.05)
    return gone(pid)


def test_a_run_that_had_to_leave_memory_goes_on_from_its_checkpoint(monkeypatch):
    monkeypatch.setattr("luthier.execute.local._HELD_SHARE", 0.0)
    monkeypatch.setattr("luthier.execute.local._TICK_S", 0.0)
    assert without_pids(relay(1)) == without_pids(relay(0))


def test_a_dead_worker_takes_down_one_run_only(tmp_path):
    def objective(x, run):
        weights = run.keep(weights=Weights())
        for step in run.steps(9):
            if run.number == 4 and step == 1:
                os.kill(os.getpid(), 9)
            weights.value += random.random()
            run.report(loss=x + weights.value)

    study = lt.tune(
        objective, SPACE, minimize="loss", budget=8, workers=1, search="random", schedule=Relay(), seed=5, view="none"
    )
    assert [t.number for t in study.trials if t.state is State.FAILED] == [4]
    assert "killed by SIGKILL" in study.trials[4].failure.message
    for trial in study.trials:
        if trial.state is State.DONE:
            assert trial.curve.steps.tolist() == list(range(1, 10))
    assert sum(t.state is State.DONE for t in study.trials) >= 3


def kinds(objective, budget, **limits):
    study = lt.tune(objective, SPACE, minimize=True, budget=budget, workers=1, search="random", view="none", **limits)
    return [t.failure.kind if t.failure else None for t in study.trials]


def test_a_trial_that_takes_too_long_is_ended_and_the_study_goes_on():
    assert kinds(lambda x: time.sleep(60), budget=2, timeout=0.5) == ["timeout", "timeout"]


def test_a_trial_that_takes_too_much_is_ended_and_the_study_goes_on():
    def objective(x, run):
        if run.number == 0:
            np.ones(10**8)
        if run.number == 1:
            raise RuntimeError("CUDA error: out of memory")
        return x

    assert kinds(objective, budget=3, memory="300MB") == ["memory", "memory", None]


def test_a_failed_trial_is_tried_again_when_asked():
    def objective(x, run):
        if not (run.path / "tried").exists():
            (run.path / "tried").touch()
            raise OSError("the disk was busy")
        return x

    study = lt.tune(objective, SPACE, minimize=True, budget=3, workers=1, search="random", view="none", retries=1)
    assert [(t.state, t.attempt, t.failure.kind) for t in study.trials] == [(State.DONE, 1, "exception")] * 3


def test_the_next_driver_waits_for_the_last_worker_of_a_dead_one(tmp_path):
    orphan = Zygote([], {}, tmp_path)
    try:
        began = time.monotonic()
        threading.Timer(0.5, orphan.close).start()
        Zygote([], {}, tmp_path).close()
        assert time.monotonic() - began >= 0.5
    finally:
        orphan.close()


ALONE = """
from multiprocessing.connection import Pipe
from luthier.execute.worker import _Worker
theirs, ours = Pipe()
theirs.close()
_Worker(ours).send("ended", 1, None)
"""


def test_a_worker_whose_driver_has_gone_ends_without_a_word():
    worker = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, start_new_session=True)
    assert (worker.returncode, worker.stderr) == (-signal.SIGKILL, "")
