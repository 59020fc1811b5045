"""One contract for all stores, and a state machine: whatever happens, a store equals a plain model of it."""

import json
import math
import shutil
import tempfile
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from luthier import Curve, Failure, Resumes, State, Trial
from luthier.store.base import StudyRecord
from luthier.store.memory import MemoryStore
from luthier.store.sqlite import SqliteStore
from luthier.testing import check_store
from luthier.trial import ENDED, NEXT, move


def _sqlite(directory):
    return SqliteStore(directory)


def test_the_sqlite_store_keeps_the_contract(tmp_path):
    numbers = iter(range(100))
    check_store(lambda: SqliteStore(tmp_path / str(next(numbers))))


def test_the_memory_store_keeps_the_contract():
    check_store(MemoryStore)


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)
_configs = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.floats(-1, 1), st.text(max_size=4)),
    max_size=3,
)
_numbers = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([math.inf, -math.inf, 5e-324]))
_metrics = st.dictionaries(st.sampled_from(["loss", "acc", "ünï"]), _numbers, max_size=3)
_failures = st.one_of(
    st.none(),
    st.builds(Failure, st.sampled_from(["exception", "nan", "signal"]), st.text(max_size=9), st.text(max_size=9)),
)
_resumes = st.sampled_from([Resumes(), Resumes(memory=1), Resumes(checkpoint=1, seconds=0.25, repeated=3)])
_records = st.builds(
    StudyRecord,
    st.text(max_size=4),
    st.dictionaries(st.text(max_size=3), _json, max_size=2),
    st.just((("loss", "minimize"),)),
    st.integers(0, 2**32),
    st.floats(0, 2e9),
    st.just(("luthier", "tune")),
    st.dictionaries(st.text(max_size=3), _json, max_size=2),
)


class StoreMachine(RuleBasedStateMachine):
    """Every operation in any order, with the store closed and reopened, and read by another at any moment."""

    durable = True

    @initialize()
    def begin_study(self):
        self.directory = tempfile.mkdtemp(prefix="luthier-test-")
        self.store = self.open()
        self.record = None
        self.trials: dict[int, Trial] = {}
        self.order: list[int] = []
        self.flushed = True

    def open(self):
        return SqliteStore(self.directory) if self.durable else MemoryStore()

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.directory)

    def expected(self):
        rest = sorted(n for n in self.trials if n not in self.order)
        return [self.trials[n] for n in (*self.order, *rest)]

    @rule(record=_records)
    def save(self, record):
        self.store.save(record)
        self.record = replace(record, space=json.loads(json.dumps(record.space)))

    @rule()
    def drive(self):
        self.store.drive()

    @rule(
        config=_configs,
        grant=st.one_of(st.none(), st.integers(0, 99)),
        seed=st.integers(0, 2**31 - 1),
        tags=st.lists(st.text(max_size=3), max_size=2),
    )
    def begin(self, config, grant, seed, tags):
        trial = Trial(len(self.trials), config, State.RUNNING, seed, grant=grant, tags=tuple(tags), started=1.5)
        self.store.begin(trial)
        self.trials[trial.number] = trial

    def some(self, data, states):
        known = [n for n, t in self.trials.items() if t.state in states]
        return self.trials[data.draw(st.sampled_from(known))] if known else None

    @rule(data=st.data(), gap=st.integers(0, 3), metrics=_metrics, seconds=st.floats(0, 100))
    def report(self, data, gap, metrics, seconds):
        trial = self.some(data, {State.RUNNING})
        if trial is None:
            return
        step = trial.steps + gap
        curve = trial.curve.upto(step - 1).append(step, metrics)
        seconds = max(trial.seconds, seconds)
        self.store.report(trial.number, step, metrics, seconds)
        self.trials[trial.number] = replace(trial, curve=curve, seconds=seconds)
        self.flushed = False

    @rule(data=st.data(), cut=st.integers(0, 3), note=st.text(max_size=4), metrics=_metrics, failure=_failures)
    def update(self, data, cut, note, metrics, failure):
        resumes = data.draw(_resumes)
        trial = self.some(data, set(State) - ENDED)
        if trial is None:
            return
        state = data.draw(st.sampled_from(sorted((NEXT[trial.state] | {trial.state}) - ENDED)))
        changed = replace(
            trial,
            state=state,
            curve=trial.curve.upto(trial.steps - cut),
            note=note,
            metrics=metrics,
            failure=failure,
            attempt=trial.attempt + 1,
            resumes=trial.resumes + resumes,
        )
        self.store.update(changed)
        self.trials[trial.number] = changed

    @rule(data=st.data(), metrics=_metrics, failure=_failures)
    def end(self, data, metrics, failure):
        trial = self.some(data, set(State) - ENDED)
        if trial is None:
            return
        state = data.draw(st.sampled_from(sorted(NEXT[trial.state] & ENDED)))
        ended = move(trial, state, metrics=metrics, failure=failure, ended=9.5, seconds=trial.seconds + 1)
        self.store.end(ended)
        self.trials[trial.number] = ended
        self.order.append(trial.number)

    @rule(data=st.data(), note=st.text(max_size=4))
    def annotate_an_ended_one(self, data, note):
        trial = self.some(data, ENDED)
        if trial is not None:
            self.trials[trial.number] = replace(trial, note=note)
            self.store.update(self.trials[trial.number])

    @rule()
    def flush(self):
        self.store.flush()
        self.flushed = True

    @rule()
    def equals_the_model(self):
        assert self.store.trials() == self.expected()
        assert self.store.load() == self.record

    @precondition(lambda self: self.durable)
    @rule()
    def reopen(self):
        self.store.close()
        self.store = self.open()
        assert self.store.trials() == self.expected()
        assert self.store.load() == self.record

    @precondition(lambda self: self.durable)
    @rule()
    def another_reads(self):
        self.store.flush()
        reader = SqliteStore(self.directory, readonly=True)
        assert reader.trials() == self.expected()
        assert reader.load() == self.record
        reader.close()

    @invariant()
    def time_does_not_run_backwards(self):
        if hasattr(self, "store"):
            assert self.store.spent_seconds() >= 0.0


class MemoryMachine(StoreMachine):
    """The same of the in-memory twin."""

    durable = False


TestSqliteEqualsItsModel = StoreMachine.TestCase
TestMemoryEqualsItsModel = MemoryMachine.TestCase


class _Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_time_counts_while_a_study_is_driven_and_stands_still_afterwards(tmp_path, kind):
    clock = _Clock()
    store = SqliteStore(tmp_path, clock=clock) if kind == "sqlite" else MemoryStore(clock)
    clock.now += 5
    store.drive()
    clock.now += 7
    assert store.spent_seconds() == 7.0
    store.begin(Trial(0, {}))
    store.close()
    clock.now += 50
    assert store.spent_seconds() == 7.0


def test_the_time_of_all_sessions_counts(tmp_path):
    clock = _Clock()
    for number in range(3):
        store = SqliteStore(tmp_path, clock=clock)
        store.drive()
        clock.now += 10
        store.begin(Trial(number, {}))
        assert store.spent_seconds() == 10.0 * (number + 1)
        store.close()
        clock.now += 1000
    reader = SqliteStore(tmp_path, readonly=True)
    assert reader.spent_seconds() == 30.0
    reader.close()


def test_all_spaces_of_a_study_are_kept(tmp_path):
    store = SqliteStore(tmp_path)
    for space in ({"a": 1}, {"a": 1}, {"a": 2}):
        store.save(StudyRecord("s", space, (("loss", "minimize"),), 0, 0.0))
    assert store.spaces() == [{"a": 1}, {"a": 2}]
    store.close()


def test_reports_reach_other_readers_within_a_moment_and_ends_at_once(tmp_path):
    clock = _Clock()
    store = SqliteStore(tmp_path, clock=clock)
    store.begin(Trial(0, {"x": 1}, State.RUNNING))
    reader = SqliteStore(tmp_path, readonly=True)
    store.report(0, 1, {"loss": 1.0}, 0.1)
    assert reader.trials()[0].steps == 0  # in its group
    clock.now += 0.3
    store.report(0, 2, {"loss": 0.5}, 0.2)
    seen = reader.trials()[0]
    assert list(seen.curve) == [(1, {"loss": 1.0}), (2, {"loss": 0.5})]
    assert seen.seconds == 0.2
    store.end(Trial(0, {"x": 1}, State.DONE, curve=Curve().append(1, {"loss": 1.0}).append(2, {"loss": 0.5})))
    assert reader.trials()[0].state is State.DONE
    reader.close()
    store.close()
