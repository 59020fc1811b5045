import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playing import LOSS, mixed

import luthier as lt
from luthier.contracts import New, Resume, Search
from luthier.errors import SettingError
from luthier.history import History
from luthier.objective import Metric
from luthier.search.adaptive import AdaptiveSearch
from luthier.search.freeze import FreezeSearch
from luthier.search.freeze_data import Reader, Scale, length_of
from luthier.search.freeze_many import along, directions
from luthier.search.freeze_model import Fitter, milestone
from luthier.simulate import simulate
from luthier.testing import check_search
from luthier.trial import Curve, State, Trial
from strategies import points, spaces

SPACE = lt.Space(lr=lt.Float(1e-4, 1.0, log=True), width=lt.Int(8, 256, log=True), act=lt.Choice("relu", "tanh"))


def curve(config, steps=32):
    off = (math.log10(config["lr"]) + 2.0) ** 2 + 0.2 * abs(math.log2(config["width"]) - 6)
    end = 0.1 * off + (0.0 if config["act"] == "relu" else 0.2)
    return [end + math.exp(-0.15 * step) for step in range(1, steps + 1)]


def run(search="freeze", function=curve, space=SPACE, **changes):
    given = {"minimize": "loss", "budget": "160 steps", "schedule": "full", "seed": 1, **changes}
    return simulate(function, space, search=search, **given)


def told(study):
    return [(t.config, t.steps, str(t.state), t.reason) for t in study.trials]


def history_of(space, losses, *, total=16, metrics=LOSS):
    """Random configurations with these curves; None is a failure."""
    rng = np.random.default_rng(0)
    history = History(space, metrics)
    for number, values in enumerate(losses):
        curve_ = Curve()
        for step, loss in enumerate(values or (), 1):
            curve_ = curve_.append(step, {"loss": loss})
        state = State.FAILED if values is None else State.DONE if len(values) == total else State.PAUSED
        metrics_ = {"loss": min(values)} if values else {}
        trial = Trial(
            number, space.sample(rng), state, curve=curve_, metrics=metrics_, grant=len(values or ()), total_steps=total
        )
        history = history.record(trial)
    return history


def propose(search, history, n=1):
    return search.propose(history, n, np.random.default_rng((history.seed, history.began)))


class Forgetful:
    """A search without a memory."""

    paced = True

    def __init__(self, make):
        self.make = make

    def describe(self, history):
        return self.make().describe(history)

    def propose(self, history, n, rng):
        return self.make().propose(history, n, rng)

    def resume(self, history):
        return self.make().resume(history)


def test_the_last_part_of_a_budget_can_begin_earlier_and_finish_more():
    def ended(search):
        return sum(t.steps == 32 for t in run(search, budget="480 steps").study.trials)

    assert ended(FreezeSearch(last=0.4, few=8)) > ended(FreezeSearch()) + 2


@pytest.mark.parametrize("wrong", [{"last": 1.1}, {"last": -0.1}, {"few": 0}])
def test_a_last_part_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(SettingError, match=r"last= is from 0 to 1"):
        FreezeSearch(**wrong)


@pytest.mark.parametrize("make", [FreezeSearch, AdaptiveSearch])
@pytest.mark.parametrize("workers", [1, 4, 8])
def test_a_fresh_instance_gives_the_same_answers(make, workers):
    small = {"budget": "96 steps", "workers": workers}
    assert told(run(Forgetful(make), **small).study) == told(run(make(), **small).study)


def test_it_is_a_search_that_says_what_it_is():
    assert isinstance(FreezeSearch(), Search)
    assert "curves" in FreezeSearch().describe(History(SPACE, LOSS))


def test_an_older_history_gives_the_older_answer():
    search = FreezeSearch()
    old, new = (history_of(mixed(), [[1.0 / (k + s) for s in range(1, 4)] for k in range(n)]) for n in (8, 20))
    first = propose(search, old)
    propose(search, new)
    assert propose(search, old) == first
    later = old.record(replace(old.live[0], state=State.RUNNING))
    propose(search, later)
    assert propose(search, old) == first


def test_it_reaches_in_five_trainings_what_random_search_does_not_in_twenty():
    def ends(search, budget):
        runs = [run(search, budget=f"{budget} steps", seed=seed) for seed in range(3)]
        return np.mean([curve(r.study.history.trial(r.log[-1].best).config)[-1] for r in runs])

    assert ends("freeze", 160) < ends("random", 640)


def test_most_trials_get_few_steps_and_some_are_finished():
    steps = [t.steps for t in run(budget="320 steps").study.trials]
    assert sum(s == 32 for s in steps) >= 1
    assert sum(s <= 4 for s in steps) > len(steps) / 3


@pytest.mark.parametrize(("workers", "budget"), [(16, "192 steps"), (100, "240 steps")])
def test_several_workers_start_different_trials_and_none_waits(workers, budget):
    done = run(workers=workers, budget=budget)
    assert done.waited == 0
    configs = [tuple(t.config.items()) for t in done.study.trials]
    assert len(set(configs)) == len(configs)


def test_where_a_running_trial_is_likeliest_of_many_the_best_paused_one_is_next():
    """Three or six run, the best among them: with six, fewer new trials are begun."""
    losses = [[1.0 / (1 + k % 7) - 0.02 * step for step in range(1, 4 + 2 * (k % 7))] for k in range(21)]
    paused = history_of(SPACE, losses)

    def begun(running):
        history = paused
        for trial in sorted(paused.live, key=lambda t: t.metrics["loss"])[:running]:
            history = history.record(replace(trial, state=State.RUNNING, grant=trial.steps + 1))
        search = FreezeSearch()
        found = [search.propose(history, 1, np.random.default_rng(seed))[0] for seed in range(60)]
        assert all(
            p.number not in {t.number for t in history.live if t.state is State.RUNNING}
            for p in found
            if isinstance(p, Resume)
        )
        return sum(isinstance(p, New) for p in found)

    assert begun(6) < 0.7 * begun(3)


def test_proposals_at_once_differ():
    history = history_of(SPACE, [[1.0 / (k + s) for s in range(1, 3 + k % 5)] for k in range(15)])
    found = propose(FreezeSearch(), history, 8)
    kinds = [p.number if isinstance(p, Resume) else tuple(p.config.values()) for p in found]
    assert len(kinds) == len(set(kinds)) == 8


def test_a_higher_metric_is_better_when_maximizing():
    up = run(function=lambda c: [-v for v in curve(c)], minimize=None, maximize="loss").study
    down = run().study
    assert [(t.config, t.steps) for t in up.trials] == [(t.config, t.steps) for t in down.trials]


def test_it_keeps_away_from_where_trials_fail():
    def broken(config):
        return [math.nan] if config["lr"] > 0.02 else curve(config)

    second = []
    for seed in range(2):
        states = [t.state for t in run(function=broken, budget="400 steps", seed=seed).study.trials]
        second += states[len(states) // 2 :]
    assert sum(s is State.FAILED for s in second) < 0.2 * len(second)  # the best lie at the border


def test_the_number_of_epochs_may_be_a_parameter():
    space = lt.Space(lr=SPACE.parameters["lr"], epochs=lt.Int(2, 40))
    done = run(function=lambda c: curve({"width": 64, "act": "relu", **c}, c["epochs"]), space=space)
    assert all(t.steps <= t.config["epochs"] for t in done.study.trials)
    assert any(t.state is State.DONE for t in done.study.trials)


def test_the_length_of_a_training_may_be_unknown():
    study = lt.Study(SPACE, minimize="loss", search="freeze", schedule="full", seed=0)
    for _ in range(60):
        trial = study.ask()
        values = curve(trial.config)
        for step in range(trial.steps + 1, 33):
            if study.report(trial, values[step - 1], step=step).verdict == "pause":
                study.pause(trial)
                break
        else:
            study.tell(trial)
    assert len(study.trials) < 60
    assert max(t.steps for t in study.trials) > 4


def test_an_objective_that_reports_nothing_is_searched_as_by_a_model():
    study = lt.Study(SPACE, minimize="loss", search="freeze", schedule="full", seed=0)
    for _ in range(25):
        trial = study.ask()
        study.tell(trial, curve(trial.config)[-1])
    assert study.best.metrics["loss"] < 0.1
    assert len(study.trials) == 25


def test_a_finite_space_is_finished_to_the_last_trial():
    space = lt.Space(act=lt.Choice("relu", "tanh"), width=lt.Choice(16, 64, 128))
    done = run(function=lambda c: curve({"lr": 0.01, **c}), space=space, budget="1000 steps")
    assert {t.state for t in done.study.trials} == {State.DONE}
    assert len(done.study.trials) == 6


def test_the_last_part_of_a_budget_finishes_the_best_few():
    done = run(budget="320 steps")
    assert any("finish the best few" in t.reason for t in done.study.trials)
    best = done.study.history.trial(done.log[-1].best)
    assert best.steps == 32


def test_after_the_last_new_trial_the_best_are_finished():
    study = run(budget=20).study
    assert len(study.trials) == 20
    ends = sorted(study.trials, key=lambda t: curve(t.config)[-1])
    assert ends[0].state is State.DONE


def test_seconds_are_dealt_out_where_steps_differ():
    def slow(config):
        return 8.0 if config["act"] == "relu" else 1.0

    def even(config):
        return curve({**config, "act": "relu"})

    def share(search):
        trials = [
            t for s in range(2) for t in run(search(), even, seconds=slow, seed=s, budget="128 steps").study.trials
        ]
        return sum(t.steps for t in trials if t.config["act"] == "relu") / sum(t.steps for t in trials)

    assert share(lambda: FreezeSearch(per_second=True)) < share(FreezeSearch)


@pytest.mark.parametrize("make", [FreezeSearch, AdaptiveSearch])
@pytest.mark.parametrize("space", [SPACE, lt.Space(a=lt.Choice("x", "y", "z"), b=lt.Int(1, 4))])
def test_it_keeps_the_contract_of_searches(make, space):
    check_search(make, space, trials=12)


def test_reasons_say_what_is_expected():
    reasons = [t.reason for t in run().study.trials]
    assert any(r.startswith("new: expects loss") for r in reasons)
    assert any(r.startswith("go on from step") for r in reasons)
    assert any("waits: expected to end at" in r for r in reasons)


@pytest.mark.parametrize(
    "losses",
    [[[1.0] * 3] * 9, [None] * 9, [[1e300, -1e300], [1.7e308]] * 5, [None, [0.0]] * 5, [[1.0]] * 5, [[1e-320]] * 9],
    ids=["constant", "failed", "huge", "half-failed", "one-step", "tiny"],
)
def test_odd_results_give_proposals(losses):
    assert len(propose(FreezeSearch(), history_of(mixed(), losses), 3)) == 3


@given(space=spaces(), seed=st.integers(0, 999), n=st.integers(0, 20))
@settings(max_examples=15)
def test_any_space_gets_proposals_that_it_holds(space, seed, n):
    rng = np.random.default_rng(seed)
    history = History(space, LOSS, seed=seed)
    x = points(space, n, seed)
    for number, row in enumerate(x[space.allowed(x)]):
        curve_ = Curve()
        for step in range(1, int(rng.integers(1, 9))):
            curve_ = curve_.append(step, {"loss": float(rng.normal())})
        state = State.PAUSED if len(curve_) else State.FAILED
        metrics = {"loss": 0.0} if len(curve_) else {}
        trial = Trial(number, space.decode(row), state, curve=curve_, metrics=metrics, grant=curve_.last_step)
        history = history.record(replace(trial, total_steps=8))
    for proposal in propose(FreezeSearch(), history, 2):
        if isinstance(proposal, New):
            assert space.validate(proposal.config) == proposal.config
        else:
            assert history.trial(proposal.number).state is State.PAUSED


def test_points_of_a_curve_halve_backwards():
    history = history_of(SPACE, [[1.0 / s for s in range(1, 53)]], total=60)
    reading = Reader.of(history, None).read(history)
    strand = reading.strands[0]
    assert strand.steps[strand.thin(6)].tolist() == [2, 3, 7, 13, 26, 52]
    assert strand.steps[strand.thin(1)].tolist() == [52]
    assert strand.steps[strand.thin(3, 20)].tolist() == [5, 10, 20]


def test_the_transform_is_increasing_and_undone():
    losses = np.array([0.3, 0.5, 1.0, 7.0, 100.0])
    scale = Scale.of(losses)
    assert (np.diff(scale(losses)) > 0.0).all()
    assert [scale.loss(v) for v in scale(losses)] == pytest.approx(losses.tolist())


def test_the_length_of_a_training_is_the_longest_that_was_told():
    trial = Trial(0, {}, curve=Curve().append(5, {"loss": 1.0}))
    assert length_of([]) == 16
    assert length_of([trial]) == 16
    assert length_of([replace(trial, state=State.DONE)]) == 5
    assert length_of([replace(trial, total_steps=30), replace(trial, total_steps=50)]) == 50


def test_hyperparameters_are_fitted_to_a_growing_series_of_trials():
    counts = [milestone(n) for n in range(400)]
    assert counts == sorted(counts)
    assert all(c <= n for n, c in enumerate(counts))
    assert all(c >= n / 1.2 for n, c in enumerate(counts))
    assert len(set(counts[100:200])) < 8


def test_hyperparameters_are_fitted_anew_when_a_training_turns_out_to_be_longer():
    """The thirteenth trial is not fitted to, but what it shows moves the curves of the others in time."""
    known, rng = Reader.of(History(SPACE, LOSS), None).frame, np.random.default_rng(0)
    search, reader = Fitter(known), Reader(known, None)
    history = History(SPACE, LOSS)
    for number, steps in enumerate([1] * 12 + [8]):
        curve_ = Curve()
        for step in range(1, steps + 1):
            curve_ = curve_.append(step, {"loss": 1.0 + 0.1 * number + 1.0 / step})
        state = State.PAUSED
        history = history.record(
            Trial(number, SPACE.sample(rng), state, curve=curve_, metrics={"loss": curve_.at(steps)["loss"]})
        )
    search.forecasts(reader.read(history), [])
    longer = history.trial(12)
    for step in range(9, 31):
        longer = replace(longer, curve=longer.curve.append(step, {"loss": 2.0}))
    later = reader.read(history.record(longer))
    assert later.length == 60
    search.forecasts(later, [])
    afresh = Fitter(known)
    afresh.forecasts(later, [])
    assert np.array_equal(search.known[False][1], afresh.known[False][1])


def test_the_adaptive_search_takes_trials_that_do_not_report_to_the_automatic_search():
    study = lt.Study(SPACE, minimize="loss", search=AdaptiveSearch(), schedule="full", seed=0, budget=20)
    for _ in range(6):
        trial = study.ask()
        study.tell(trial, curve(trial.config)[-1])
    assert "bayes" in study.trials[-1].reason
    by_step = run(AdaptiveSearch())
    assert by_step.log[0].kind == "paused"
    assert len(by_step.study.trials) > 8


def many(config):
    """A loss that falls, and a size that is known at once: the larger, the better the end."""
    end = 0.1 * (math.log10(config["lr"]) + 2.0) ** 2 + 8.0 / config["width"]
    return [{"loss": end + math.exp(-0.15 * step), "size": config["width"] / 256} for step in range(1, 33)]


def test_with_several_metrics_it_trains_along_the_front():
    done = run(function=many, minimize=["loss", "size"], budget="320 steps")
    front = [t for t in done.study.trials if t.steps >= 16]
    assert len(done.study.trials) > 10
    assert np.median([abs(math.log10(t.config["lr"]) + 2.0) for t in front]) < 0.5
    assert max(t.config["width"] for t in front) > 3 * min(t.config["width"] for t in front)
    assert any("loss and" in t.reason and "size, scaled" in t.reason for t in done.study.trials)


def test_with_several_metrics_a_fresh_instance_gives_the_same_answers():
    small = {"function": many, "minimize": ["loss", "size"], "budget": "64 steps"}
    assert told(run(Forgetful(FreezeSearch), **small).study) == told(run(**small).study)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_directions_weigh_all_metrics(m):
    weights = directions(m)
    assert weights.sum(axis=1) == pytest.approx(np.ones(len(weights)))
    assert weights.min() > 0.0


def test_what_is_better_in_all_metrics_is_better_along_every_direction():
    rng = np.random.default_rng(0)
    pair = (Metric("a"), Metric("b"))
    history = History(SPACE, pair)
    points = rng.uniform(size=(20, 2))
    for number, (a, b) in enumerate(points):
        curve_ = Curve().append(1, {"a": a, "b": b})
        history = history.record(Trial(number, SPACE.sample(rng), State.PAUSED, curve=curve_, metrics={"a": a, "b": b}))
    reading = Reader.of(history, None).read(history)
    for weights in directions(2):
        losses = np.array([s.best for s in along(reading, weights).strands])
        for i in range(20):
            worse = (points > points[i]).all(axis=1)
            assert (losses[worse] >= losses[i]).all()


def test_what_is_far_behind_is_given_up_at_the_end_and_says_why():
    study = run().study
    found = FreezeSearch().hopeless(study.history)
    assert found
    for number, why in found.items():
        assert why.startswith(f"given up at step {study.trials[number].steps} of 32: expects loss")
        assert "0% to beat the best so far" in why
    best = min(study.trials, key=lambda t: curve(t.config)[-1])
    assert best.number not in found


def test_a_study_ends_the_trials_that_are_given_up_and_keeps_the_others():
    def train(lr, width, act, run):
        run.keep(state={"nothing": 0})
        for step in run.steps(32):
            run.report(loss=curve({"lr": lr, "width": width, "act": act})[step])

    study = lt.tune(train, SPACE, minimize="loss", search="freeze", budget="160 steps", workers=0, view="none", seed=1)
    stopped = [t for t in study.trials if t.state is State.STOPPED]
    assert stopped
    assert all(t.reason.startswith("given up at step") for t in stopped)
    assert study.best.state is not State.STOPPED
    assert not study.policy.hopeless(study.history)


def test_where_resuming_is_dear_trials_are_resumed_less_often_and_for_longer():
    def resumed(search):
        done = run(search, budget="160 steps")
        return sum(m.kind in ("paused", "done") for m in done.log) / len(done.study.trials)

    assert resumed(FreezeSearch(resume_steps=4.0)) < resumed(FreezeSearch())


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"share": 1.5}, {"resume_steps": -1.0}])
def test_bad_settings_are_told(bad):
    with pytest.raises(SettingError):
        FreezeSearch(**bad)


@pytest.mark.parametrize(("total", "every"), [(100, 10), (50, 5), (32, 3)])
def test_what_is_tuned_may_be_reported_every_few_steps(total, every):
    def objective(lr, run):
        state = run.keep(state={"steps": 0})
        for _ in run.steps(total):
            state["steps"] += 1
            if state["steps"] % every == 0:
                run.report(loss=(math.log10(lr) + 2.0) ** 2 + 1.0 / state["steps"])

    space = lt.Space(lr=lt.Float(1e-4, 1.0, log=True))
    study = lt.tune(objective, space, minimize="loss", budget=f"{8 * total} steps", workers=0, view="none", seed=1)
    assert len(study.trials) > 8
    assert any(trial.state is State.DONE for trial in study.trials)


def test_a_trial_that_is_paused_before_its_metric_is_reported_goes_on():
    def objective(lr, run):
        state = run.keep(state={"steps": 0})
        for _ in run.steps(20):
            state["steps"] += 1
            late = {} if state["steps"] % 2 else {"acc": -((math.log10(lr) + 2.0) ** 2)}
            run.report({"train_loss": 1.0 / state["steps"], **late})

    space = lt.Space(lr=lt.Float(1e-4, 1.0, log=True))
    study = lt.tune(objective, space, maximize="acc", budget=30, workers=0, view="none", seed=1)
    assert all(trial.steps >= 2 for trial in study.trials)
    assert study.best is not None and study.best.state is State.DONE


@pytest.mark.parametrize("workers", [0, 1])
def test_a_step_may_be_reported_in_two_parts_although_it_is_the_last_before_a_pause(workers):
    def objective(lr, run):
        state = run.keep(state={"steps": 0})
        for _ in run.steps(16):
            state["steps"] += 1
            run.report(loss=abs(math.log10(lr) + 2.0) + 1.0 / state["steps"])
            run.report(acc=1.0 / (1.0 + abs(math.log10(lr) + 2.0)))

    space = lt.Space(lr=lt.Float(1e-4, 1.0, log=True))
    study = lt.tune(objective, space, minimize="loss", budget="64 steps", workers=workers, view="none", seed=1)
    assert any(trial.state is State.PAUSED for trial in study.trials)
    for trial in study.trials:
        assert np.isfinite(trial.curve.values("acc")).all()
        assert len(trial.curve.values("acc")) == len(trial.curve.values("loss")) == trial.steps
        assert trial.resumes.repeated == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_best_trial_is_finished_however_short_the_budget(seed):
    study = run(budget="96 steps", seed=seed).study  # three trainings, of which a tenth is a third of one
    assert study.best.state is State.DONE
