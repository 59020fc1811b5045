"""Contract suites: what every search, schedule and store has to keep, for those who write their own.

Each raises `AssertionError` with the law that was broken. Luthier's own tests run them over all implementations.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from luthier.contracts import Decision, Fork, New, Proposal, Resume, Schedule, Search, Verdict
from luthier.history import History
from luthier.objective import Metric
from luthier.space import Config, Space
from luthier.store.base import Store, StudyRecord
from luthier.trial import Curve, Failure, Resumes, State, Trial

__all__ = ["check_schedule", "check_search", "check_store", "history_of"]

Loss = Callable[[Config], float]
_METRICS = (Metric("loss"),)


# -- searches ----------------------------------------------------------------------------------------------------------


def check_search(
    make: Callable[[], Search],
    space: Space,
    *,
    metrics: Sequence[Metric] = _METRICS,
    trials: int = 24,
    batch: int = 3,
    seed: int = 0,
) -> None:
    """Drive a search through a study of a synthetic objective and check the contract at every proposal.

    Proposals are valid in the space; a fresh instance, the same generator and a rebuilt history give the same answer;
    no argument is changed; on a finite space nothing is proposed twice, and the end is an empty list.

    Parameters
    ----------
    make
        Makes a new instance.
    space
        What to search. A finite one is searched to its end.
    metrics
        What the synthetic objective measures.
    trials
        How many trials to run on a space that has no end.
    batch
        How many proposals to ask for at a time.
    seed
        Of the study.

    Raises
    ------
    AssertionError
        If a law is broken.
    """
    size = space.size()
    finite = size.exact and not math.isinf(size.total)
    history = History(space, tuple(metrics), seed)
    search, tried = make(), list[Config]()
    _law(isinstance(search.describe(history), str), "describe() returns a line of text")
    asked = 0
    while len(tried) < (size.total if finite else trials):
        n = 1 + asked % batch
        proposals = _proposed(search, history, n, seed)
        fresh = _proposed(make(), _rebuilt(history), n, seed)
        _law(proposals == fresh, f"without its cache the answer is the same: {proposals} and {fresh}")
        _law(proposals == _proposed(search, history, n, seed), "the same question again gets the same answer")
        _law(len(proposals) <= n, f"at most the {n} proposals that were asked for, got {len(proposals)}")
        _law(bool(proposals), f"proposals until the space is exhausted; it stopped after {len(tried)}")
        for proposal in proposals:
            _check_proposal(proposal, history)
            if isinstance(proposal, New):
                _law(not finite or proposal.config not in tried, f"nothing is tried twice: {proposal.config}")
                tried.append(proposal.config)
        for i, proposal in enumerate(proposals):
            history = _run(history, proposal, fails=(asked + i) % 5 == 4, paused=(asked + i) % 7 == 6)
        asked += 1
    if finite:
        _law(_proposed(search, history, 2, seed) == [], "an empty list when a finite space is exhausted")
        _law(_proposed(make(), _rebuilt(history), 1, seed) == [], "a fresh instance sees the end, too")


def _proposed(search: Search, history: History, n: int, seed: int) -> list[Proposal]:
    rng = np.random.default_rng((seed, history.began))
    before = _snapshot(history)
    proposals = search.propose(history, n, rng)
    _law(_snapshot(history) == before, "the history is not changed")
    _law(isinstance(proposals, list), f"propose() returns a list, got {type(proposals).__name__}")
    return copy.deepcopy(proposals)


def _check_proposal(proposal: Proposal, history: History) -> None:
    if isinstance(proposal, New | Fork):
        valid = history.space.validate(proposal.config)
        same = [type(a) is type(b) and a == b for a, b in zip(valid.values(), proposal.config.values(), strict=True)]
        _law(all(same), f"configurations are in canonical types: {proposal.config} is {valid}")
        _law(isinstance(proposal.reason, str) and bool(proposal.reason), "every proposal has its reason")
    if isinstance(proposal, Resume):
        _law(history.trial(proposal.number).state is State.PAUSED, f"only paused trials are resumed: {proposal}")
    if isinstance(proposal, Fork):
        history.trial(proposal.number)
    _law(proposal.grant is None or proposal.grant > 0, f"a grant is a step from 1 up: {proposal}")


def _run(history: History, proposal: Proposal, *, fails: bool, paused: bool) -> History:
    """Run what was proposed for three steps of a made-up objective; some fail, some are paused."""
    if isinstance(proposal, Resume):
        trial = replace(history.trial(proposal.number), state=State.RUNNING)
    else:
        trial = Trial(history.began, proposal.config, State.RUNNING, seed=history.began)
    history = history.record(trial)
    for step in range(trial.steps + 1, trial.steps + 4):
        values = {
            m.name: _synthetic(history.space, trial.config) * m.sign + i + 1 / step
            for i, m in enumerate(history.metrics)
        }
        trial = replace(trial, curve=trial.curve.append(step, values), metrics=values, seconds=float(step))
        history = history.record(trial)
    if fails:
        return history.record(replace(trial, state=State.FAILED, failure=Failure("exception", "made up")))
    return history.record(replace(trial, state=State.PAUSED if paused else State.DONE, grant=trial.steps))


def _synthetic(space: Space, config: Config) -> float:
    x = space.encode(config)
    return float(np.nansum((x - 0.3) ** 2) + 0.1 * np.isnan(x).sum())


# -- schedules ---------------------------------------------------------------------------------------------------------


def check_schedule(make: Callable[[], Schedule], *, trials: int = 20, steps: int = 8, seed: int = 0) -> None:
    """Run trials with noisy curves under a schedule, four at a time, and check the contract at every answer.

    Answers are decisions; a fresh instance and a rebuilt history give the same ones; no argument is changed; only
    paused trials are promoted, and to a higher step than they have reached.

    Parameters
    ----------
    make
        Makes a new instance.
    trials
        How many trials to run.
    steps
        How many steps a full trial has.
    seed
        Of the curves.

    Raises
    ------
    AssertionError
        If a law is broken.
    """
    from luthier.parameter import Float

    rng = np.random.default_rng(seed)
    schedule, history = make(), History(Space(x=Float(0.0, 1.0)), _METRICS, seed, trials)
    running = list[int]()
    for _ in range(100 * trials * steps):
        while len(running) < 4:
            started = _next_trial(schedule, make(), history, trials, rng)
            if started is None:
                break
            history = history.record(started)
            running.append(started.number)
        if not running:
            return
        number = running[int(rng.integers(len(running)))]
        history = _one_step(schedule, make(), history, history.trial(number), steps, rng)
        if history.trial(number).state is not State.RUNNING:
            running.remove(number)
    raise AssertionError("contract broken: a schedule comes to an end")


def _next_trial(
    schedule: Schedule, fresh: Schedule, history: History, trials: int, rng: np.random.Generator
) -> Trial | None:
    before = _snapshot(history)
    promoted = schedule.promote(history)
    _law(promoted == fresh.promote(_rebuilt(history)), "without its cache, promote() gives the same answer")
    _law(_snapshot(history) == before, "promote() does not change the history")
    if promoted is not None:
        trial = history.trial(promoted.number)
        _law(trial.state is State.PAUSED, f"only paused trials are promoted: {promoted}")
        _law(promoted.grant is None or promoted.grant > trial.steps, f"a promotion leads further: {promoted}")
        return replace(trial, state=State.RUNNING, grant=promoted.grant)
    if history.began >= trials:
        return None
    grant = schedule.grant(history)
    _law(grant == fresh.grant(_rebuilt(history)), "without its cache, grant() gives the same answer")
    _law(grant is None or grant > 0, f"a grant is a step from 1 up, got {grant}")
    return Trial(history.began, {"x": float(rng.random())}, State.RUNNING, grant=grant)


def _one_step(
    schedule: Schedule, fresh: Schedule, history: History, trial: Trial, steps: int, rng: np.random.Generator
) -> History:
    step = trial.steps + 1
    loss = trial.config["x"] + 1.0 / step + 0.1 * float(rng.normal())
    best = min(loss, trial.metrics.get("loss", math.inf))
    trial = replace(trial, curve=trial.curve.append(step, {"loss": loss}), metrics={"loss": best}, seconds=float(step))
    history = history.record(trial)
    before = _snapshot(history)
    decision = schedule.judge(history, trial)
    _law(isinstance(decision, Decision) and isinstance(decision.verdict, Verdict), f"judge() decides, got {decision!r}")
    _law(decision == fresh.judge(_rebuilt(history), trial), "without its cache, judge() gives the same answer")
    _law(_snapshot(history) == before, "judge() does not change the history")
    if step >= steps or decision.verdict is Verdict.FINISH:
        return history.record(replace(trial, state=State.DONE))
    if decision.verdict is Verdict.STOP:
        return history.record(replace(trial, state=State.STOPPED))
    if decision.verdict is Verdict.PAUSE or (trial.grant is not None and step >= trial.grant):
        return history.record(replace(trial, state=State.PAUSED, grant=step))
    return history


# -- stores ------------------------------------------------------------------------------------------------------------


def check_store(make: Callable[[], Store]) -> None:
    """Check that a store gives back what it was told.

    Parameters
    ----------
    make
        Makes a new, empty store.

    Raises
    ------
    AssertionError
        If a law is broken.
    """
    store = make()
    _law(store.load() is None and store.trials() == [], "a new store is empty")
    record = StudyRecord("s", {"parameters": {"x": 1}}, (("loss", "minimize"),), 3, 5.0, ("a", "b"), {"budget": "5m"})
    store.save(record)
    _law(store.load() == record, "the record comes back as it was saved")
    store.drive()
    _law(store.spent_seconds() >= 0.0, "time runs forward")
    trials = [Trial(n, {"x": n, "opt": "sgd", "flag": None}, State.RUNNING, seed=n, started=1.0) for n in range(4)]
    for trial in trials:
        store.begin(trial)
    _law(store.trials() == trials, "trials that begin are there, by number")
    curve = Curve().append(1, {"loss": 2.0}).append(3, {"loss": 1.0, "grad": math.inf})
    store.report(2, 1, {"loss": 2.0}, 0.5)
    store.report(2, 3, {"loss": 1.5}, 1.0)
    store.report(2, 3, {"loss": 1.0, "grad": math.inf}, 1.5)
    _law(store.trials()[2].curve == curve, "reports are there; the same step again replaces it")
    _law(store.trials()[2].seconds == 1.5, "a living trial has run as long as its last report says")
    cut = replace(
        trials[2], curve=curve.upto(2), note="back", metrics={"loss": 2.0}, seconds=1.5, resumes=Resumes(2, 1, 0.25, 1)
    )
    store.update(cut)
    _law(store.trials()[2] == cut, "an update replaces the trial and drops later steps")
    failure = Failure("signal", "killed", "log")
    ended = [
        replace(trials[3], state=State.FAILED, failure=failure, ended=2.0, tags=("a",), attempt=2),
        replace(cut, state=State.DONE, metrics={"loss": 2.0}, ended=3.0, grant=7, parent=0, origin="queue", reason="r"),
    ]
    for trial in ended:
        store.end(trial)
    _law(store.trials() == [*ended, trials[0], trials[1]], "ended trials come first, in their order of ending")
    ended[0] = replace(ended[0], note="later")
    store.update(ended[0])
    _law(store.trials()[:2] == ended, "a note on an ended trial leaves its place")
    store.flush()
    store.close()
    store.close()  # twice does no harm


# -- shared ------------------------------------------------------------------------------------------------------------


def history_of(space: Space, configs: Sequence[Config], losses: Sequence[float], *, seed: int = 0) -> History:
    """Build a history of ended trials with these losses; NaN stands for a failed trial."""
    history = History(space, _METRICS, seed)
    for config, loss in zip(configs, losses, strict=True):
        trial = Trial(history.began, config, State.DONE, metrics={"loss": float(loss)})
        if math.isnan(loss):
            trial = replace(trial, state=State.FAILED, metrics={}, failure=Failure("exception", "made up"))
        history = history.record(trial)
    return history


def _rebuilt(history: History) -> History:
    return History.of(history.space, history.metrics, history.recorded, seed=history.seed, planned=history.planned)


def _snapshot(history: History) -> tuple[Any, ...]:
    arrays = (history.x.tobytes(), history.losses.tobytes(), history.pending.tobytes())
    return history.began, len(history), copy.deepcopy(history.trials), arrays


def _law(holds: bool, law: str) -> None:
    if not holds:
        raise AssertionError(f"contract broken: {law}")
