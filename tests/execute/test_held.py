"""Paused runs in memory: what going on with them costs, which are dropped, and that dropping them loses nothing."""

import os
import random
import signal
import subprocess
import time
import weakref
from contextlib import suppress
from pathlib import Path

import pytest

import luthier as lt
from luthier.contracts import CONTINUE, Decision, Resume, Verdict
from luthier.errors import StoreFull
from luthier.execute.base import Limits, Ticket
from luthier.execute.limits import accelerator_room, give_memory_back
from luthier.execute.local import LocalExecutor
from luthier.objective import metrics_of, objective_of
from luthier.search.random import RandomSearch
from luthier.trial import State
from processes import gone

SPACE = lt.Space(x=lt.Float(0, 1))


class Relay:
    """A schedule that pauses every trial after 2 and after 4 of its 6 steps, and resumes the best of four."""

    def grant(self, history):
        return 2

    def promote(self, history):
        held = [t for t in history.live if t.state is State.PAUSED]
        if len(held) < 4:
            return None
        best = min(held, key=lambda t: (history.losses_of(t)[0], t.number))
        return Resume(best.number, "the best of four", best.steps + 2 if best.steps < 4 else None)

    def judge(self, history, trial):
        return CONTINUE


def noisy(x, run):
    draws = run.keep(draws=[])
    for _ in run.steps(6):
        draws.append(random.random())
        run.report(loss=x + sum(draws) / len(draws))


def relay(objective=noisy, **options):
    given = {"budget": 10, "workers": 1, "search": "random", "schedule": Relay(), "seed": 5, "view": "none", **options}
    return lt.tune(objective, SPACE, minimize="loss", **given)


def curves(study):
    return [(t.config, str(t.state), list(t.curve), t.metrics) for t in study.trials]


def short_of_memory(monkeypatch):
    monkeypatch.setattr("luthier.execute.local._HELD_SHARE", 0.0)
    monkeypatch.setattr("luthier.execute.local._TICK_S", 0.0)


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_going_on_in_memory_is_counted_and_free():
    resumes = relay().history.resumes
    assert resumes == lt.Resumes(memory=resumes.memory)
    assert resumes.memory >= 5


class Clock:
    """A clock for the runs of one worker, which goes on a second with each step of any of them."""

    now = 0.0

    @classmethod
    def monotonic(cls):
        return cls.now


def timed(x, run):
    from luthier.execute import run as runs
    from luthier.execute import worker
    from luthier.execute.base import Stopwatch

    runs.time = worker.time = Clock
    run.watch = Stopwatch(Clock.now)
    run.keep(nothing=0)
    for _ in run.steps(6):
        Clock.now += 1.0
        run.report(loss=x, elapsed=run.elapsed_s)


def test_the_seconds_of_a_run_that_waits_in_memory_are_counted_once():
    study = relay(timed)
    assert study.history.resumes.memory >= 5
    assert max(t.steps for t in study.trials) == 6
    for trial in study.trials:
        assert trial.seconds == trial.steps
        assert trial.curve.values("elapsed").tolist() == list(range(1, trial.steps + 1))  # pauses left out


def test_what_loading_takes_is_measured_and_is_part_of_what_the_study_has_spent():
    def objective(x, run):
        draws = run.keep(draws=[])
        time.sleep(0.05)
        for step in run.steps(6):
            draws.append(step)
            run.report(loss=x)

    study = relay(objective, workers=0)
    resumes, trials = study.history.resumes, study.trials
    assert resumes == lt.Resumes(checkpoint=relay().history.resumes.memory, seconds=resumes.seconds)
    assert resumes.seconds >= 0.05 * resumes.checkpoint
    assert study.spent.seconds >= 0.05 * (resumes.checkpoint + len(trials))
    assert all(t.seconds >= 0.05 * (1 + t.resumes.checkpoint) for t in trials)


def test_a_run_that_keeps_nothing_does_its_steps_again_and_they_are_spent():
    def objective(x, run):
        for _ in run.steps(6):
            run.report(loss=x)

    done = relay(objective, workers=0, budget=4)
    repeated = sum(t.resumes.repeated for t in done.trials)
    assert repeated == done.repeated > 0
    assert done.spent.steps == repeated + sum(t.steps for t in done.trials)
    for trial in done.trials:
        assert trial.resumes.repeated == {0: 0, 1: 2, 2: 2 + 4}[trial.resumes.checkpoint]


def test_the_end_of_a_study_tells_its_resumes(capsys):
    resumes = relay(view="plain").history.resumes
    assert f"resumed {resumes.memory} times in memory" in capsys.readouterr().err


# -- which are dropped -------------------------------------------------------------------------------------------------


class Pauses:
    """A listener that pauses each run after a step, and drops the one with the highest number."""

    def __init__(self):
        self.starts, self.steps, self.asked = [], [], []

    def restarted(self, number, step, reports, *, seconds):
        self.starts.append((number, step))

    def reported(self, number, step, metrics, *, seconds, total_steps):
        self.steps.append((number, step, metrics["pid"]))
        return Decision(Verdict.PAUSE)

    def dispensable(self, numbers):
        self.asked.append(list(numbers))
        return max(numbers)


def pids(x, run):
    run.keep(nothing=0)
    for _ in run.steps(6):
        run.report(loss=x, pid=os.getpid())


@pytest.fixture
def executor(tmp_path):
    made = LocalExecutor(objective_of(pids, ["x"]), metrics_of("loss", None), Limits(), directory=tmp_path, slots=1)
    yield made
    made.close()


def one_step(executor, listener, path, number, step):
    """Run a trial until it is paused; tell whether it went on in memory."""
    alive, outcomes = False, []
    while not outcomes or outcomes[0].kind == "crowded":  # then its worker was dying when it was told to go on
        alive = executor.submit(Ticket(number, {"x": 0.5}, number, str(path / str(number)), step))
        outcomes = []
        while not outcomes:
            outcomes = executor.poll(listener, 1.0)
    assert [(o.number, o.kind) for o in outcomes] == [(number, "paused")]
    return alive


def test_the_listener_chooses_which_run_leaves_memory(executor, tmp_path, monkeypatch):
    listener = Pauses()
    for number in (0, 1, 2):
        assert not one_step(executor, listener, tmp_path, number, 0)
    short_of_memory(monkeypatch)
    executor._next_watch = 0.0
    executor.poll(listener, 0.0)
    monkeypatch.undo()
    assert listener.asked == [[0, 1, 2]]
    assert [one_step(executor, listener, tmp_path, number, 1) for number in (0, 1, 2)] == [True, True, False]
    assert listener.starts == [(2, 1)]


def test_the_worst_leaves_first_where_the_search_has_no_forecast():
    study = lt.Study(SPACE, minimize="loss", search="random", seed=1)
    for loss in (0.3, 0.9, 0.1, 0.9):
        trial = study.ask()
        study.report(trial, loss)
        study.pause(trial)
    assert study.policy.dispensable(study.history, [0, 2]) == 0
    assert study.policy.dispensable(study.history, [3, 0, 1, 2]) == 3  # of equals the longest paused


def test_the_worst_by_forecast_leaves_first_where_the_search_has_one():
    def training(lr, width, run):
        state = run.keep(state={"loss": 1.0})
        for _ in run.steps(16):
            state["loss"] *= 1 - min(lr, 0.5) * (1 - 8 / width / 2)
            run.report(loss=state["loss"])

    space = lt.Space(lr=lt.Float(1e-4, 1.0, log=True), width=lt.Int(8, 256, log=True))
    study = lt.tune(
        training, space, minimize="loss", search="freeze", budget="60 steps", workers=0, view="none", seed=1
    )
    behind = study.policy.search.prospects(study.history)
    paused = [t.number for t in study.history.live if t.state is State.PAUSED]
    assert len(behind) >= 4 and set(behind) <= set(paused)
    for hopeless in study.policy.hopeless(study.history):
        assert behind[hopeless] > 6.0
    order = sorted(behind, key=behind.get)
    for i in range(1, len(order)):
        assert study.policy.dispensable(study.history, order[: i + 1]) == order[i]


def test_a_process_that_has_not_used_a_gpu_has_all_the_room_and_one_that_has_asks_it(monkeypatch):
    torch = pytest.importorskip("torch")
    assert accelerator_room() == 1.0
    given_back = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (30, 120))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(True))
    assert accelerator_room() == 0.25
    give_memory_back()
    assert given_back == [True]


def test_a_run_leaves_where_the_gpu_has_no_room(monkeypatch):
    def objective(x, run):
        from luthier.execute import limits

        class Gpu:  # as torch.cuda is, with 5 % of its memory free
            mem_get_info = staticmethod(lambda: (5, 100))
            empty_cache = staticmethod(lambda: None)

        limits._cuda = Gpu
        return noisy(x, run)

    monkeypatch.setattr("luthier.execute.local._TICK_S", 0.0)
    crowded = relay(objective)
    assert crowded.history.resumes.checkpoint >= 3
    assert curves(crowded) == curves(relay(workers=0))


# -- out of memory -----------------------------------------------------------------------------------------------------


class Block:
    """Memory on a made-up device that has room for two in each process."""

    alive = weakref.WeakSet()

    def __init__(self):
        if len(Block.alive) >= 2:
            raise RuntimeError("CUDA error: out of memory")
        Block.alive.add(self)


def on_a_device(x, run):
    Path(run.path / f"try-{time.time_ns()}").touch()
    block = Block()  # noqa: F841 - as long as the run lives
    return noisy(x, run)


def test_a_run_that_runs_out_of_memory_beside_paused_ones_goes_on_alone(capsys):
    study = relay(on_a_device, view="plain")
    assert {t.state for t in study.trials} <= {State.DONE, State.PAUSED}
    assert curves(study) == curves(relay(workers=0))
    assert "ran out of memory beside paused ones; it goes on alone (RuntimeError: CUDA" in capsys.readouterr().err


def test_paused_runs_of_another_worker_leave_the_gpu_that_both_see(tmp_path, monkeypatch):
    def objective(x, run):
        if run.number == 1:
            raise RuntimeError("CUDA error: out of memory")
        if run.number == 2:
            time.sleep(60)
        run.keep(nothing=0)
        for _ in run.steps(6):
            run.report(loss=x, pid=0)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    listener = Pauses()
    executor = LocalExecutor(
        objective_of(objective, ["x"]), metrics_of("loss", None), Limits(), directory=tmp_path, slots=2
    )
    try:
        one_step(executor, listener, tmp_path, 0, 0)
        kinds = []
        executor.submit(Ticket(2, {"x": 0.5}, 2, str(tmp_path / "2")))  # to the worker that holds trial 0
        for _ in range(2):
            executor.submit(Ticket(1, {"x": 0.5}, 1, str(tmp_path / "1")))
            outcomes = []
            while not outcomes:
                outcomes = executor.poll(listener, 1.0)
            kinds += [o.kind for o in outcomes]
        assert kinds == ["crowded", "failed"]
        executor.kill(2)
        assert executor.poll(listener, 5.0)[0].kind == "interrupted"
        assert not one_step(executor, listener, tmp_path, 0, 1)  # it was dropped, and nothing is lost
        assert listener.starts == [(0, 1)]
    finally:
        executor.close()


def test_no_run_is_held_on_a_gpu_while_one_that_has_run_out_of_memory_there_goes_on_alone(tmp_path, monkeypatch):
    def objective(x, run):
        if run.number == 1 and not (run.path / "tried").exists():
            (run.path / "tried").touch()
            raise RuntimeError("CUDA error: out of memory")
        while run.number and not (run.path / "go").exists():
            time.sleep(0.01)
        run.keep(nothing=0)
        for _ in run.steps(6):
            run.report(loss=x, pid=0)

    def until(kind):
        outcomes = []
        while not outcomes:
            outcomes = executor.poll(listener, 1.0)
        assert [o.kind for o in outcomes] == [kind]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    listener = Pauses()
    tickets = [Ticket(n, {"x": 0.5}, n, str(tmp_path / str(n)), n % 2) for n in range(3)]
    executor = LocalExecutor(
        objective_of(objective, ["x"]), metrics_of("loss", None), Limits(), directory=tmp_path, slots=2
    )
    try:
        one_step(executor, listener, tmp_path, 0, 0)
        executor.submit(tickets[2])  # to the worker that holds trial 0
        executor.submit(tickets[1])
        until("crowded")
        executor.submit(tickets[1])  # alone, and it takes its time
        (tmp_path / "2" / "go").touch()
        until("paused")
        assert not executor.submit(tickets[2])  # it was not held
        until("paused")
        (tmp_path / "1" / "go").touch()
        until("paused")
        assert executor.submit(tickets[1])  # and once it is through, runs are held again
    finally:
        executor.close()


def test_a_run_that_needs_too_much_by_itself_is_tried_once_more_only():
    def objective(x, run):
        Path(run.path / f"try-{time.time_ns()}").touch()
        if run.number == 5:
            raise MemoryError("too large")
        return noisy(x, run)

    study = relay(objective)
    assert [t.number for t in study.trials if t.state is State.FAILED] == [5]
    assert study.trials[5].failure.kind == "memory"
    assert len(list(study.path(5).glob("try-*"))) == 2


def test_a_run_whose_worker_was_killed_with_its_paused_ones_goes_on_once_more():
    """That is what a machine does that runs out of memory."""

    def objective(x, run):
        if run.number == 4 and not (run.path / "killed").exists():
            (run.path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return noisy(x, run)

    study = relay(objective)
    assert (study.path(4) / "killed").exists()
    assert study.history.resumes.checkpoint > 0
    assert curves(study) == curves(relay(workers=0))


def test_without_paused_runs_nothing_is_tried_twice():
    def objective(x, run):
        Path(run.path / f"try-{time.time_ns()}").touch()
        raise MemoryError("too large")

    study = lt.tune(objective, SPACE, minimize="loss", budget=2, workers=1, search="random", view="none")
    assert [len(list(study.path(t).glob("try-*"))) for t in study.trials] == [1, 1]


def test_what_paused_runs_take_is_not_held_against_the_one_that_runs():
    def objective(x, run):
        ballast = bytearray(os.urandom(2**20)) * 100  # every run alone is far below its 400 MB
        for _ in range(3):
            time.sleep(0.15)  # so that somebody looks
        noisy(x, run)
        return None if ballast else 0.0

    study = relay(objective, memory="400MB", budget=7)
    assert not [t.failure for t in study.trials if t.failure]
    assert study.history.resumes.checkpoint > 0


# -- nothing is lost, nothing runs twice -------------------------------------------------------------------------------


def test_ordered_studies_are_equal_whatever_leaves_memory(monkeypatch):
    enough = relay(workers=2, ordered=True)
    short_of_memory(monkeypatch)
    short = relay(workers=2, ordered=True)
    assert enough.history.resumes.checkpoint == 0 < short.history.resumes.checkpoint
    assert curves(enough) == curves(short)


def test_paused_runs_outlive_a_worker_that_is_killed(executor, tmp_path):
    """Even where the next one is to go on in it before anybody has noticed."""
    listener = Pauses()
    for number in (0, 1):
        one_step(executor, listener, tmp_path, number, 0)
    pid = listener.steps[0][2]
    os.kill(int(pid), signal.SIGKILL)
    while not gone(int(pid)):
        time.sleep(0.01)
    assert [one_step(executor, listener, tmp_path, number, 1) for number in (0, 1)] == [False, False]
    assert listener.starts == [(0, 1), (1, 1)]
    assert [step for *step, _ in listener.steps] == [[0, 1], [1, 1], [0, 2], [1, 2]]


def test_runs_of_trials_that_have_ended_leave_memory(executor, tmp_path):
    listener = Pauses()
    for number in (0, 1):
        one_step(executor, listener, tmp_path, number, 0)
    executor.drop([0, 7])
    assert [one_step(executor, listener, tmp_path, number, 1) for number in (0, 1)] == [False, True]


@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_that_is_killed_when_its_run_has_just_ended_takes_no_other_down(
    executor, tmp_path, monkeypatch, number
):
    """The next run of its slot, another or the same one, is begun in a new worker."""
    listener, dying = Pauses(), []
    slot, ticket = executor._slots[0], Ticket(0, {"x": 0.5}, 0, str(tmp_path / "0"))
    executor.submit(ticket)
    while not listener.steps:
        executor.poll(listener, 0.0)
    assert slot.pipe.poll(60)  # it is paused, and nobody has heard of it
    monkeypatch.setattr("luthier.execute.local.os.killpg", lambda pid, _: dying.append(pid))
    executor.kill(0)
    assert [o.kind for o in executor.poll(listener, 0.0)] == ["paused"]
    monkeypatch.undo()
    alive = executor.submit(Ticket(number, {"x": 0.5}, number, str(tmp_path / str(number)), 1 - number))
    with suppress(ProcessLookupError):
        os.killpg(dying[0], signal.SIGKILL)  # a signal takes its time
    outcomes = []
    while not outcomes:
        outcomes = executor.poll(listener, 1.0)
    assert [alive, *((o.number, o.kind) for o in outcomes)] == [False, (number, "paused")]
    assert len({pid for *_, pid in listener.steps}) == 2


def test_a_run_that_leaves_memory_while_it_is_resumed_elsewhere_goes_on_once(tmp_path):
    """Its own worker is busy: it is dropped there and goes on in another one from its checkpoint."""
    executor = LocalExecutor(objective_of(pids, ["x"]), metrics_of("loss", None), Limits(), directory=tmp_path, slots=2)
    listener = Pauses()
    try:
        one_step(executor, listener, tmp_path, 0, 0)
        executor.submit(Ticket(1, {"x": 0.5}, 1, str(tmp_path / "1")))  # takes the worker that holds trial 0
        assert not executor.submit(Ticket(0, {"x": 0.5}, 0, str(tmp_path / "0"), 1))
        ended = []
        while len(ended) < 2:
            ended += executor.poll(listener, 1.0)
        assert sorted((o.number, o.kind) for o in ended) == [(0, "paused"), (1, "paused")]
        assert sorted(step for *step, _ in listener.steps) == [[0, 1], [0, 2], [1, 1]]
        assert one_step(executor, listener, tmp_path, 0, 2)  # where it is now
    finally:
        executor.close()


# -- the disk ----------------------------------------------------------------------------------------------------------


class Behind(RandomSearch):
    """A random search that gives up every paused trial but the best."""

    def hopeless(self, history):
        paused = [t for t in history.live if t.state is State.PAUSED]
        best = min(paused, key=lambda t: history.losses_of(t)[0], default=None)
        return {t.number: "too far behind" for t in paused if t is not best}


@pytest.mark.parametrize("checkpoints", ["best", "all"])
def test_what_is_given_up_leaves_no_checkpoints_unless_all_are_to_stay(checkpoints):
    study = relay(search=Behind(), workers=0, checkpoints=checkpoints)
    given_up = [t for t in study.trials if t.state is State.STOPPED]
    assert given_up
    for trial in study.trials:
        kept = study.checkpoint(trial) is not None
        assert kept == (trial not in given_up or checkpoints == "all")


@pytest.fixture
def small_disk(tmp_path):
    """A disk for the trials of a study in `tmp_path` that has room for few checkpoints."""
    disk = tmp_path / "trials"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot mount a tmpfs: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def heavy(x, run):
    run.keep(weights=os.urandom(150_000))
    return noisy(x, run)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_costs_the_trials_that_are_hopeless_first(tmp_path, small_disk, capsys, monkeypatch, workers):
    dropped, drop = [], LocalExecutor.drop

    def noted(self, numbers):
        dropped.extend(numbers)
        drop(self, numbers)

    monkeypatch.setattr(LocalExecutor, "drop", noted)
    study = relay(heavy, search=Behind(), workers=workers, dir=tmp_path, view="plain", budget=10, checkpoints="latest")
    assert len(study.trials) == 10
    assert not [t.failure for t in study.trials if t.failure]
    stopped = [t for t in study.trials if t.state is State.STOPPED]
    assert min(t.ended for t in stopped) < max(t.started for t in study.trials)  # when it was full, not at the end
    assert "too far behind to catch up" in capsys.readouterr().err
    assert sorted(dropped) == [t.number for t in stopped] * workers  # they left the worker's memory too


def test_a_full_disk_costs_nothing_where_all_checkpoints_are_to_stay(tmp_path, small_disk):
    with pytest.raises(StoreFull, match="Free some space"):
        relay(heavy, search=Behind(), workers=0, dir=tmp_path, checkpoints="all", budget=10)
    with lt.load(tmp_path) as study:
        states = {t.state for t in study.trials}
        assert State.PAUSED in states
        assert State.STOPPED not in states
