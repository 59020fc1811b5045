"""Ask, report, tell; and continuing: with the same arguments, with others, after a death in the middle."""

import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import luthier as lt
from luthier import Choice, Float, Int, Space, State, Study
from luthier.contracts import CONTINUE, Decision, Fork, New, Resume, Verdict
from luthier.errors import (
    ConfigError,
    LuthierError,
    MetricError,
    SettingError,
    StoreError,
    StoreFull,
    StudyMismatch,
    TrialStateError,
)
from luthier.search.random import RandomSearch
from luthier.store.sqlite import SqliteStore
from luthier.trial import Failure

_SPACE = Space(x=Float(0, 1), n=Int(1, 8))


def _study(dir=None, space=_SPACE, **options):
    return Study(space, dir=dir, **{"minimize": "loss", "search": "random", "seed": 1, **options})


def _play(study, n, loss=lambda c: c["x"]):
    for _ in range(n):
        trial = study.ask()
        study.tell(trial, {"loss": loss(trial.config)})
    return [t.config for t in study.trials]


def _die(directory, code):
    """Run code with a driven study in another process that is killed at its end."""
    script = f"""
        import os, signal
        import luthier as lt
        from luthier import *
        space = Space(x=Float(0, 1), n=Int(1, 8))
        study = Study(space, minimize="loss", search="random", seed=1, dir={str(directory)!r})
        {code}
        study.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr


# -- ask, report, tell -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
def test_a_trial_lives_from_ask_to_tell(tmp_path, durable):
    study = _study(tmp_path / "s" if durable else None)
    trial = study.ask()
    assert (trial.number, trial.state, trial.origin) == (0, State.RUNNING, "search")
    assert study.report(trial, {"loss": 3.0}) == CONTINUE
    assert study.report(0, {"loss": 1.0, "extra": 5.0}, step=4) == CONTINUE
    done = study.tell(trial, seconds=7.5)
    assert (done.state, done.metrics, done.steps, done.seconds) == (State.DONE, {"loss": 1.0, "extra": 5.0}, 4, 7.5)
    assert study.best == done
    assert study.trials == [done]
    assert study.spent.trials == 1
    assert study.spent.steps == 4
    study.close()
    if durable:
        with lt.load(tmp_path / "s") as reader:
            assert reader.trials == [done]


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("1.5", "type"),
        (math.nan, "nan"),
        (10**400, "nan"),
        (-math.inf, "nan"),
        ({"los": 1.0}, "missing"),
        (None, "missing"),
        (ValueError("bad"), "exception"),
        (Failure("timeout", "slow"), "timeout"),
        ([1.0], "type"),
    ],
    ids=lambda v: repr(v)[:20],
)
def test_a_result_that_cannot_be_used_makes_a_failed_trial(told, kind):
    study = _study()
    trial = study.tell(study.ask(), told)
    assert (trial.state, trial.failure.kind) == (State.FAILED, kind)
    assert study.best is None
    assert study.ask().number == 1


def test_a_result_overrides_what_was_reported():
    study = _study()
    trial = study.ask()
    study.report(trial, {"loss": 1.0, "acc": 0.5})
    assert study.tell(trial, {"loss": 2.0}).metrics == {"loss": 2.0, "acc": 0.5}


def test_what_has_ended_cannot_be_told_again():
    study = _study()
    trial = study.tell(study.ask(), 1.0)
    for again in (lambda: study.tell(trial, 2.0), lambda: study.report(trial, 2.0), lambda: study.pause(trial)):
        with pytest.raises(TrialStateError, match="trial 0 is done"):
            again()
    with pytest.raises(LuthierError, match="no trial 5"):
        study.tell(5, 1.0)


@pytest.mark.parametrize("step", [0, -1, 2, 1.5, "3", None.__class__])
def test_steps_are_whole_and_rise(step):
    study = _study()
    trial = study.ask()
    study.report(trial, {"loss": 1.0}, step=3)
    with pytest.raises(MetricError):
        study.report(trial, {"loss": 1.0}, step=step)
    assert study.trials[0].steps == 3


def test_a_step_may_come_from_numpy(tmp_path):
    with _study(tmp_path) as study:
        trial = study.ask()
        study.report(trial, {"loss": np.float32(1.0)}, step=np.int64(3), total_steps=np.int64(20))
        study.tell(trial)
    with lt.load(tmp_path) as reader:
        assert list(reader.trials[0].curve) == [(3, {"loss": 1.0})]
        assert reader.trials[0].total_steps == 20


def test_a_second_report_of_a_step_adds_to_it(tmp_path):
    with _study(tmp_path) as study:
        trial = study.ask()
        study.report(trial, {"loss": 1.0}, step=1)
        study.report(trial, {"acc": 0.5}, step=1)
        study.report(trial, {"loss": 0.5}, step=1)
        expected = [(1, {"loss": 0.5, "acc": 0.5})]
        assert list(study.trials[0].curve) == expected
    with lt.load(tmp_path) as reader:
        assert list(reader.trials[0].curve) == expected


@pytest.mark.parametrize("durable", [False, True])
def test_a_note_changes_nothing_else(tmp_path, durable):
    study = _study(tmp_path if durable else None)
    _play(study, 2)
    one, other = study.ask(), study.ask()
    study.report(one, {"loss": 0.5})
    study.annotate(other, note="look", tags=["a"])
    study.annotate(0, note="first")
    assert [t.note for t in study.trials] == ["first", "", "", "look"]
    assert study.trials[3].tags == ("a",)
    assert list(study.trials[2].curve) == [(1, {"loss": 0.5})]
    assert study.trials[2].metrics == {"loss": 0.5}
    study.tell(one)
    study.tell(other, {"loss": 0.1})
    assert study.best.note == "look"


def test_observers_hear_every_change():
    heard = []
    study = _study(observers=[lambda t: heard.append((t.number, t.state, t.steps))])
    trial = study.ask()
    study.report(trial, 1.0)
    study.pause(trial, hold=False)
    study.tell(study.ask(), 0.5)
    expected = [("running", 0), ("running", 1), ("paused", 1), ("running", 1), ("done", 1)]
    assert [(s, n) for _, s, n in heard] == expected


def test_a_rewound_trial_has_the_result_of_the_steps_that_are_left():
    study = _study()
    trial = study.ask()
    for loss in (3.0, 2.0, 1.0):
        study.report(trial, loss)
    after = study.resumed(trial, 2)
    assert (after.steps, after.metrics, study.spent.steps) == (2, {"loss": 2.0}, 3)  # what was done is spent
    assert study.resumed(trial, 5).steps == 2


@pytest.mark.parametrize("kept", [False, True])
def test_how_trials_were_resumed_and_what_is_done_again_is_recorded_and_spent(tmp_path, kept):
    place = tmp_path if kept else None
    with _study(dir=place, budget="10 steps") as study:
        trial = study.ask()
        assert study.resumed(trial, 0, seconds=9.0).resumes == lt.Resumes()  # it begins
        for loss in (3.0, 2.0, 1.0):
            study.report(trial, loss)
        study.pause(trial)
        assert study.resumed(study._accept(Resume(trial.number), 0, 0)).resumes == lt.Resumes(memory=1)
        study.resumed(trial, 1, seconds=0.5)
        study.report(trial, 2.0)
        told = [lt.Resumes(1, 1, 0.5, 2), 4, 2]
        assert [study.history.resumes, study.spent.steps, study.trials[0].steps] == told
    if kept:
        read = lt.load(tmp_path)
        assert [read.history.resumes, read.spent.steps, read.trials[0].steps] == told
        with _study(dir=tmp_path, budget="10 steps") as study:
            assert [study.history.resumes, study.spent.steps, study.trials[0].steps] == told


@pytest.mark.parametrize(
    ("reported", "stands", "left", "repeated"),
    [
        ([5, 10], 9, [5], 1),  # reports are rarer than checkpoints
        ([5, 10], 10, [5, 10], 0),
        ([5, 10], 12, [5, 10], 0),  # the checkpoint is newer than the last report
        ([51, 52], 50, [], 2),  # a fork, from its parent's checkpoint
        ([51, 52], 51, [51], 1),
        ([1, 2], 0, [], 2),
    ],
)
def test_steps_done_again_are_those_from_where_the_run_goes_on(tmp_path, reported, stands, left, repeated):
    def books(study):
        return study.steps, study.repeated, [t.curve.steps.tolist() for t in study.trials]

    with _study(dir=tmp_path) as study:
        trial = study.ask()
        for step in reported:
            study.report(trial, 1.0, step=step)
        study.resumed(trial, stands, seconds=0.5)
        assert books(study) == ((left or [0])[-1] + repeated, repeated, [left])
        assert books(lt.load(tmp_path)) == books(study)
        again = [step for step in (*reported, 60) if step > stands]
        for step in again:
            study.report(trial, 1.0, step=step)
        assert books(study) == (60 + repeated, repeated, [left + again])
        study.tell(trial)
    assert books(lt.load(tmp_path)) == books(study)


def test_loading_is_part_of_how_long_a_trial_has_run_even_where_no_report_follows():
    study = _study()
    trial = study.ask()
    study.report(trial, 1.0, seconds=3.0)
    study.resumed(trial, 1, seconds=0.5)
    assert study.release(trial).seconds == 3.5


def test_a_trial_lasts_as_long_as_all_its_attempts_and_runs(tmp_path):
    with _study(tmp_path, retries=1) as study:
        trial = study.ask()
        study.report(trial, 1.0, seconds=1.0)
        assert study.release(trial, seconds=3.0).seconds == 3.0
        trial = study.ask()
        assert study.tell(trial, Failure("exception", "no luck"), seconds=5.0).seconds == 5.0
        assert study.ask().number == trial.number
        assert study.release(trial).seconds >= 5.0
    assert lt.load(tmp_path).trials[0].seconds >= 5.0


def test_a_fork_is_charged_the_steps_that_it_did_itself(tmp_path):
    def books(study):
        return study.spent.steps, study.repeated, [t.steps for t in study.trials]

    with _study(tmp_path) as study:
        parent = study.ask()
        for _ in range(10):
            study.report(parent, 1.0)
        study.tell(parent)
        fork = study._accept(Fork(0, {"x": 0.9, "n": 2}, "from the first"), 1, 0)
        study.resumed(fork, 10)
        for step in (11, 12, 13):
            study.report(fork, 1.0, step=step)
        study.flush()
        assert books(study) == books(lt.load(tmp_path)) == (13, 0, [10, 13])
        study.resumed(fork, 10)  # it had no checkpoint of its own
        study.report(fork, 1.0, step=11)
        study.flush()
        assert books(study) == books(lt.load(tmp_path)) == (14, 3, [10, 11])
        study.tell(fork)
    assert books(lt.load(tmp_path)) == (14, 3, [10, 11])


def test_a_trial_that_reports_nothing_is_charged_one_step(tmp_path):
    with _study(tmp_path, retries=1) as study:
        study.tell(study.ask(), 1.0)
        study.tell(study.ask(), Failure("exception", "no luck"))
        assert study.spent.steps == 1  # it is tried again
        study.tell(study.ask(), Failure("exception", "no luck"))
        study.pause(study.ask())
        assert study.spent.steps == 2
    assert lt.load(tmp_path).spent.steps == 2


def test_steps_done_again_do_not_change_what_is_proposed_next():
    def proposed(interrupted):
        study = Study(_SPACE, minimize="loss", search="freeze", seed=3, budget="60 steps")
        for loss in range(1, 7):  # more trials than there are starting points
            trial = study.ask()
            study.report(trial, loss, total_steps=4)
            if interrupted:
                study.resumed(trial, 0)
                study.report(trial, loss, total_steps=4)
            study.pause(trial)
        return [(t.config, t.reason) for t in [*study.trials, study.ask()]]

    assert proposed(True) == proposed(False)


def test_several_metrics_have_a_front():
    study = Study(_SPACE, minimize="loss", maximize="acc", search="random", seed=1)
    for loss, acc in ((1.0, 0.1), (2.0, 0.5), (3.0, 0.4), (0.5, 0.05), (2.0, 0.5)):
        study.tell(study.ask(), {"loss": loss, "acc": acc})
    study.tell(study.ask(), math.nan)
    assert [t.number for t in study.best_trials] == [0, 1, 3, 4]
    assert study.best.number == 3


def test_the_front_has_trials_that_are_paused_or_wait():
    study = Study(_SPACE, minimize="loss", maximize="acc", search="random", seed=1)
    assert study.best_trials == []
    for loss, acc in ((1.0, 0.1), (2.0, 0.05)):
        study.tell(study.ask(), {"loss": loss, "acc": acc})
    paused, waits, runs = study.ask(), study.ask(), study.ask()
    for trial, acc in ((paused, 0.5), (waits, 0.6), (runs, 0.7)):
        study.report(trial, {"loss": 10 * acc, "acc": acc})
    study.pause(paused)
    study.release(waits)
    assert [t.number for t in study.best_trials] == [0, 2, 3]
    assert study.best.number == 0


def test_with_one_metric_the_front_is_the_best():
    study = _study()
    study.tell(study.ask(), 2.0)
    trial = study.ask()
    study.report(trial, 1.0)
    study.pause(trial)
    assert study.best_trials == [study.best] == [study.trials[1]]


# -- the queue ---------------------------------------------------------------------------------------------------------


def test_queued_configurations_come_first_and_are_completed():
    study = _study()
    study.enqueue({"x": 0.25}, note="mine", tags=("t",))
    study.enqueue({"x": 0.5, "n": 3})
    first, second, third = study.ask(), study.ask(), study.ask()
    assert (first.config["x"], first.origin, first.note, first.tags) == (0.25, "queue", "mine", ("t",))
    assert second.config == {"x": 0.5, "n": 3}
    assert third.origin == "search"
    with pytest.raises(ConfigError, match="did you mean 'x'"):
        study.enqueue({"xx": 1})
    with pytest.raises(ConfigError, match="a mapping"):
        study.enqueue([1])


@pytest.mark.parametrize(
    ("space", "start"),
    [
        (_SPACE, [{"x": 0.5}, {"x": 0.25, "n": 3}]),
        (Space(k=Choice((3, 3), (5, 5)), x=Float(0, 1)), [{"k": [3, 3]}]),
        (Space(x=Float(0, 1, step=0.1)), [{"x": 0.1 * 3}]),
        (Space(opt=Choice("a", "b"), m=Int(1, 30, when={"opt": "b"})), [{"opt": "a", "m": None}]),
        (Space(x=Float(0, 10)), [{"x": 1}, {"x": np.float64(2.0)}]),
    ],
)
def test_starting_points_are_tried_once_however_often_the_study_is_continued(tmp_path, space, start):
    for n in range(3):
        with _study(tmp_path, space, start=start) as study:
            assert len(study.trials) == max(len(start), n * (len(start) + 1))
            _play(study, len(start) + 1, loss=lambda c: 1.0)
            assert [t.origin for t in study.trials].count("start") == len(start)


# -- continuing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", ["random", "sobol", "grid"])
def test_a_resumed_study_continues_the_same_sequence(tmp_path, search):
    space = Space(a=Int(1, 9), b=Choice(*"uvwxyz"))
    with _study(space=space, search=search) as study:
        whole = _play(study, 20, loss=lambda c: c["a"])
    for n in (7, 1, 12):
        with _study(tmp_path, space, search=search) as study:
            parts = _play(study, n, loss=lambda c: c["a"])
    assert parts == whole
    assert len({repr(c) for c in parts}) == 20


def test_the_same_arguments_bring_no_notices(tmp_path):
    space = Space(
        lr=Float(1e-5, 1e-1, log=True, prior=1e-3),
        k=Choice((3, 3), (5, 5)),
        f=Choice(True, False, prior=False),
        s=Float(0, 10, step=1),
        o=Int(1, 9, when="s > 2"),
        c=(1, 2),
        d=None,
        forbid=["lr > 0.05 and s == 0"],
    )
    for _ in range(2):
        with _study(tmp_path, space) as study:
            assert study.notices == []
            assert study.space == space
    with Study(None, dir=tmp_path) as study:  # or with none at all
        assert study.space == space
        assert study.notices == []


def test_another_seed_is_told_to_be_ignored(tmp_path):
    _study(tmp_path, seed=5).close()
    with _study(tmp_path, seed=6) as study:
        assert study.seed == 5
        assert study.notices == ["seed=6 is ignored: the study began with seed 5"]


@pytest.mark.parametrize(
    "other", [{"maximize": "loss", "minimize": None}, {"minimize": "acc"}, {"minimize": ["loss", "acc"]}]
)
def test_other_metrics_are_refused(tmp_path, other):
    _study(tmp_path).close()
    with pytest.raises(StudyMismatch, match=r"is to minimize loss, not to .*: use another dir="):
        _study(tmp_path, **other)
    _study(tmp_path).close()  # and it is not left locked


def test_a_changed_range_keeps_what_it_holds_and_tells_of_the_rest(tmp_path):
    with _study(tmp_path, Space(n=Int(1, 8)), search="grid") as study:
        _play(study, 8, loss=lambda c: c["n"])
    with _study(tmp_path, Space(n=Int(5, 12)), search="grid") as study:
        assert any("the space has changed" in notice for notice in study.notices)
        assert any("4 earlier trials are outside" in notice for notice in study.notices)
        assert study.best.config == {"n": 5}
        assert [c["n"] for c in _play(study, 4, loss=lambda c: c["n"])] == list(range(1, 13))
        assert study.ask() is None
    with _study(tmp_path, Space(n=Int(1, 8)), search="grid") as study:  # and back: nothing was lost
        assert study.best.config == {"n": 1}
        assert study.ask() is None


def test_a_changed_choice_list_is_read_in_the_new_order(tmp_path):
    with _study(tmp_path, Space(opt=Choice("a", "b", "c")), search="grid") as study:
        _play(study, 3, loss=lambda c: "cab".index(c["opt"]))
    with _study(tmp_path, Space(opt=Choice("d", "c", "a")), search="grid") as study:
        assert "1 earlier trials are outside" in " ".join(study.notices)
        assert [t.config["opt"] for t in study.history.ended] == ["a", "c"]
        np.testing.assert_allclose(study.history.x[:, 0], [5 / 6, 3 / 6])
        assert study.best.config == {"opt": "c"}
        assert [c["opt"] for c in _play(study, 1, loss=lambda c: 9.0)] == ["a", "b", "c", "d"]


def test_a_renamed_parameter_is_told(tmp_path):
    with _study(tmp_path) as study:
        _play(study, 3)
    with _study(tmp_path, Space(y=Float(0, 1), n=Int(1, 8))) as study:
        assert "3 earlier trials are outside" in " ".join(study.notices)
        assert study.best is None
        assert len(study.trials) == 3


def test_a_new_constant_leaves_earlier_trials_inside(tmp_path):
    with _study(tmp_path) as study:
        _play(study, 3)
    with _study(tmp_path, Space(x=Float(0, 1), n=Int(1, 8), epochs=20)) as study:
        assert study.history.outside == ()
        assert study.best is not None


def test_a_space_alone_continues_with_the_metrics_that_the_study_has(tmp_path):
    _study(tmp_path).close()
    with Study(_SPACE, dir=tmp_path) as study:
        assert [(m.name, m.maximize) for m in study.metrics] == [("loss", False)]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("20m", lt.Budget(seconds=1200.0)),
        (50, lt.Budget(trials=50)),
        (lt.Budget(trials=50, seconds=60.0), lt.Budget(trials=50, seconds=60.0)),
        ({"trials": np.int64(100), "seconds": "20m"}, lt.Budget(trials=100, seconds=1200.0)),
        (np.int64(7), lt.Budget(trials=7)),
        (lt.Budget(), lt.Budget()),
    ],
    ids=repr,
)
def test_the_budget_is_recorded_in_whatever_form_it_was_given(tmp_path, given, read):
    _study(tmp_path, budget=3).close()
    _study(tmp_path, budget=given).close()
    assert lt.load(tmp_path).budget == read


def test_there_is_nothing_to_continue_without_a_space(tmp_path):
    with pytest.raises(StoreError, match="give it a space and a metric"):
        Study(None, dir=tmp_path)


# -- after a death -----------------------------------------------------------------------------------------------------


def test_what_a_dead_driver_left_running_goes_on_first_with_its_steps_and_its_result(tmp_path):
    _die(tmp_path, "t = study.ask(); [study.report(t, {'loss': v}, seconds=2.5) for v in (3.0, 1.0, 2.0)]; study.ask()")
    with lt.load(tmp_path) as reader:  # before anybody cleans up
        assert reader.trials[0].metrics == {"loss": 1.0}
    with _study(tmp_path) as study:
        assert [t.state for t in study.trials] == [State.WAITING, State.WAITING]
        trial = study.ask()
        assert (trial.number, trial.steps, trial.metrics, trial.seconds) == (0, 3, {"loss": 1.0}, 2.5)
        study.report(trial, {"loss": 5.0})
        assert study.tell(trial).metrics == {"loss": 1.0}
        assert study.ask().number == 1
        assert study.ask().number == 2
        assert study.spent.trials == 3


def test_the_trial_that_a_dead_driver_left_outside_of_the_changed_space_does_not_run_for_ever(tmp_path):
    _die(tmp_path, "study.ask(); study.ask(); study.tell(1, {'loss': 1.0})")
    with _study(tmp_path, Space(y=Float(0, 1))) as study:
        assert [t.state for t in study.trials] == [State.WAITING, State.DONE]
        assert study.ask().number == 2
    with lt.load(tmp_path) as reader:
        assert State.RUNNING not in [t.state for t in reader.trials]
    with _study(tmp_path) as study:  # the old space again: it goes on
        assert 0 in (study.ask().number, study.ask().number)


def test_a_death_between_two_starts_loses_no_number(tmp_path):
    for n in range(1, 4):
        _die(tmp_path, "t = study.ask(); study.tell(t, {'loss': 1.0}); study.ask()" if n == 1 else "study.ask()")
    with _study(tmp_path) as study:
        assert [(t.number, t.state) for t in study.trials] == [(0, State.DONE), (1, State.WAITING)]


def test_closing_gives_running_trials_back(tmp_path):
    with _study(tmp_path) as study:
        study.report(study.ask(), {"loss": 1.0})
        study.ask()
    study.close()  # twice does no harm
    with lt.load(tmp_path) as reader:
        assert [t.state for t in reader.trials] == [State.WAITING, State.WAITING]


def test_time_stands_still_after_closing(tmp_path):
    study = _study(tmp_path)
    _play(study, 1)
    study.close()
    first = study.spent.seconds
    assert study.spent.seconds == first
    store = SqliteStore(tmp_path, readonly=True)
    assert store.spent_seconds() <= first
    store.close()


def test_a_full_disk_does_not_leave_the_study_locked(tmp_path):
    study = _study(tmp_path)
    trial = study.ask()
    study.report(trial, {"loss": 1.0, **{f"metric {i}": 0.5 for i in range(1000)}})
    study._store._db.execute("PRAGMA max_page_count = 1")  # no page more than there are
    with pytest.raises(StoreFull):
        study.close()
    with _study(tmp_path) as study:
        assert study.trials[0].state is State.WAITING


# -- policies ----------------------------------------------------------------------------------------------------------


class _Population:
    """Starts two, forks the better one, resumes what was paused."""

    def describe(self, history):
        return "a population of two"

    def propose(self, history, n, rng):
        if history.began < 2:
            return [New({"x": 0.1 * (history.began + 1), "n": 1}, "start", grant=2)]
        held = [t for t in history.live if t.state is State.PAUSED]
        if held:
            return [Resume(held[0].number, "again", grant=None)]
        return [Fork(0, {"x": 0.9, "n": 2}, "from the first", grant=3)]


def test_a_search_may_grant_resume_and_fork(tmp_path):
    with _study(tmp_path, search=_Population()) as study:
        a, b = study.ask(), study.ask()
        assert study.report(a, 1.0) == CONTINUE
        assert study.report(a, 0.9) == Decision(Verdict.PAUSE, "reached step 2, as far as it was granted")
        study.pause(a)
        again = study.ask()
        assert (again.number, again.grant, again.reason, again.state) == (0, None, "again", State.RUNNING)
        study.tell(again)
        study.tell(b, 2.0)
        fork = study.ask()
        assert (fork.number, fork.parent, fork.config["x"], fork.reason, fork.grant) == (2, 0, 0.9, "from the first", 3)
    with lt.load(tmp_path) as reader:
        assert reader.trials[2].parent == 0


class _Foresees:
    """A schedule that pauses each trial and says what it will come to."""

    def grant(self, history):
        return None

    def promote(self, history):
        return None

    def judge(self, history, trial):
        return Decision(Verdict.PAUSE, "seen enough", estimate=5.0)


def test_what_is_foreseen_of_a_paused_trial_outlives_the_driver(tmp_path):
    with _study(tmp_path, schedule=_Foresees()) as study:
        study.tell(study.ask(), {"loss": 3.0})
        paused, released = study.ask(), study.ask()
        study.report(paused, {"loss": 1.0})
        study.pause(paused)
        study.report(released, {"loss": 2.0})
        study.release(released)
        live = [t.metrics for t in study.trials]
        assert live == [{"loss": 3.0}, {"loss": 5.0}, {"loss": 5.0}]
    with lt.load(tmp_path) as reader:
        assert [t.metrics for t in reader.trials] == live
        assert reader.best.number == 0


class _Hopeless(_Population):
    """A population that gives up all that is paused."""

    def hopeless(self, history):
        return {t.number: "too far behind" for t in history.live if t.state is State.PAUSED}


@pytest.mark.parametrize("keep", [False, True])
def test_what_a_living_fork_may_need_is_not_given_up(tmp_path, keep):
    with _study(tmp_path, search=_Hopeless()) as study:
        for loss in (1.0, 2.0):
            trial = study.ask()
            study.report(trial, loss)
            study.pause(trial)
        fork = study._accept(Fork(0, {"x": 0.9, "n": 2}, "from the first", grant=3), 2, 0)
        assert {t.number for t in study.give_up(keep_checkpoints=keep)} == ({0, 1} if keep else {1})
        study.report(fork, 3.0)
        study.pause(fork)
        assert {t.number for t in study.give_up(keep_checkpoints=keep)} == ({2} if keep else {0, 2})


@pytest.mark.parametrize(
    "options",
    [
        {"seed": -1},
        {"seed": 1.5},
        {"seed": True},
        {"search": "randm"},
        {"schedule": "medain"},
        {"budget": 0},
        {"minimize": ""},
        {"minimize": None},
        {"space": {"x": 1}},
    ],
    ids=repr,
)
def test_settings_outside_are_refused_before_anything_is_made(tmp_path, options):
    with pytest.raises(SettingError):
        _study(tmp_path / "s", **options)
    assert not (tmp_path / "s" / "study.db").exists()


def test_a_trial_that_is_given_up_is_not_asked_for_again():
    class Hopeless(RandomSearch):
        def hopeless(self, history):
            return {trial.number: "far behind" for trial in history.live if trial.state is State.PAUSED}

    with lt.Study(lt.Space(x=lt.Float(0, 1)), minimize="loss", search=Hopeless()) as study:
        trial = study.ask()
        study.report(trial, {"loss": 1.0})
        study.pause(trial, hold=False)
        [ended] = study.give_up()
        assert (ended.state, ended.reason) == (State.STOPPED, "far behind")
        assert study.ask().number == 1


def test_tuples_at_any_depth_come_back_from_the_store(tmp_path):
    kernels = lt.Choice(((3, 3), (5, 5)), ((1, 1), (3, 3)), prior=((1, 1), (3, 3)))
    space = lt.Space(shape=(1, 28, 28), kernels=kernels, lr=lt.Float(0, 1))
    for more in (2, 4):
        study = lt.tune(
            lambda lr, kernels, shape: lr + kernels[0][0] + len(shape), space, minimize=True, budget=more,
            dir=tmp_path, workers=0, view="none", seed=1,
        )  # fmt: skip
        assert len(study.history.ended) == more
    with lt.load(tmp_path) as there:
        assert there.trials[0].config["kernels"] == ((1, 1), (3, 3))
