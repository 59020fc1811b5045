import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier import Choice, Failure, Float, Int, Ordinal, Space, State, Trial
from luthier.contracts import Search
from luthier.errors import SettingError
from luthier.history import History
from luthier.maths.transform import winsorize
from luthier.objective import Metric
from luthier.search.bayes import BayesSearch
from luthier.search.bayes_belief import believe
from luthier.search.bayes_data import Data, Memory, _failures
from luthier.search.bayes_frame import Frame
from luthier.search.bayes_model import kept, milestone
from luthier.search.bayes_start import start_point
from luthier.search.bayes_terms import Improvement, NewImprovement
from strategies import spaces

LOSS = (Metric("loss"),)


def told(history: History, config, loss, **changes) -> History:
    losses = loss if isinstance(loss, dict) else {} if loss is None else {history.metrics[0].name: loss}
    state = State.FAILED if loss is None else State.DONE
    trial = Trial(history.began, config, state=state, metrics=losses, **{"seconds": 1.0, **changes})
    return history.record(trial)


def propose(search, history: History, n: int = 1):
    return search.propose(history, n, np.random.default_rng((history.seed, history.began)))


def run(space: Space, function, trials: int, *, search=None, seed: int = 0, metrics=LOSS) -> History:
    search = search or BayesSearch()
    history = History(space, metrics, seed=seed)
    for _ in range(trials):
        proposals = propose(search, history)
        if not proposals:
            break
        history = told(history, proposals[0].config, function(proposals[0].config))
    return history


def mixed() -> Space:
    return Space(
        lr=Float(1e-5, 1e-1, log=True), opt=Choice("adam", "sgd", "lamb"), layers=Int(1, 6),
        momentum=Float(0.0, 0.99, when={"opt": "sgd"}), width=Int(16, 512, log=True), batch=Int(16, 256, pow2=True),
        act=Ordinal("a", "b", "c"),
    )  # fmt: skip


def bowl(config) -> float:
    optimizer = {"adam": 0.3, "sgd": 0.0, "lamb": 0.5}[config["opt"]]
    momentum = 2.0 * (config["momentum"] - 0.9) ** 2 if "momentum" in config else 0.0
    return (math.log10(config["lr"]) + 2.5) ** 2 + 0.1 * (config["layers"] - 4) ** 2 + optimizer + momentum


# -- the contract ----------------------------------------------------------------------------------------------------


def test_it_is_a_search() -> None:
    assert isinstance(BayesSearch(), Search)
    assert "Gaussian process" in BayesSearch().describe(History(mixed(), LOSS))


@given(spaces(), st.integers(0, 99))
@settings(max_examples=20)
def test_without_its_cache_it_proposes_the_same(space: Space, seed: int) -> None:
    search, history, rng = BayesSearch(), History(space, LOSS, seed=seed), np.random.default_rng(seed)
    for step in range(8):
        warm, cold = propose(search, history, 2), propose(BayesSearch(), history, 2)
        assert warm == cold
        if not warm:
            break
        space.validate(warm[0].config)
        history = told(history, warm[0].config, None if step % 4 == 3 else float(rng.normal()))


def test_a_batch_of_one_equals_the_first_of_a_batch() -> None:
    history = run(mixed(), bowl, 12)
    assert propose(BayesSearch(), history, 3)[:1] == propose(BayesSearch(), history, 1)


@given(spaces(finite=True), st.integers(0, 99))
@settings(max_examples=20)
def test_a_finite_space_is_tried_once_and_then_it_ends(space: Space, seed: int) -> None:
    size = int(space.size().total)
    if size > 60:
        return
    rng = np.random.default_rng(seed)
    history = run(space, lambda config: float(rng.normal()), size + 5, seed=seed)
    tried = [repr(trial.config) for trial in history.trials]
    assert len(tried) == size
    assert len(set(tried)) == size


def test_a_large_finite_space_is_not_repeated_either() -> None:
    space = Space({f"op{i}": Choice(*"abcde") for i in range(6)})
    history = run(space, lambda config: float(sum("cab".find(v) for v in config.values())), 40)
    assert len({repr(t.config) for t in history.trials}) == 40


def test_a_batch_holds_different_configurations_away_from_what_is_pending() -> None:
    history = run(mixed(), bowl, 10)
    for _ in range(3):
        (new,) = propose(BayesSearch(), history)
        history = history.record(Trial(history.began, new.config, state=State.RUNNING))
    batch = [p.config for p in propose(BayesSearch(), history, 5)] + [t.config for t in history.live]
    codes = np.nan_to_num(np.array([history.space.encode(c) for c in batch]), nan=-1.0)
    apart = np.abs(codes[:, None] - codes[None]).max(axis=2) + np.eye(8)
    assert apart.min() > 1e-3


def test_pending_trials_change_what_is_new_but_neither_the_forecast_nor_the_goal() -> None:
    history = run(mixed(), bowl, 10)
    memory, data = Memory.of(history, None), Data.of(history, limits={})
    asked = {"cost_aware": False, "least": 2, "rng": np.random.default_rng(0)}
    alone = believe(data, memory.surrogates, winsorize, waiting=np.empty((0, memory.frame.d)), **asked)
    waiting = memory.frame.space.snap(np.random.default_rng(1).random((3, memory.frame.d)))
    beside = believe(data, memory.surrogates, winsorize, waiting=waiting, **asked)
    assert alone is not None and beside is not None
    assert [type(term) for term in alone.acquisition.terms] == [Improvement]
    assert [type(term) for term in beside.acquisition.terms] == [NewImprovement]
    assert alone.best == beside.best
    assert alone.surrogate is not None and beside.surrogate is not None
    places = memory.frame.embed(waiting)
    assert np.array_equal(alone.surrogate.predict(*places), beside.surrogate.predict(*places))


def test_what_is_pending_loses_its_promise_and_gradients_agree_with_differences() -> None:
    history = run(
        Space(a=Float(0.0, 1.0), b=Float(0.0, 1.0)), lambda c: math.sin(9.0 * c["a"]) * math.cos(7.0 * c["b"]), 6
    )
    memory, data = Memory.of(history, None), Data.of(history, limits={})
    asked = {"cost_aware": False, "least": 2, "rng": np.random.default_rng(0)}
    alone = believe(data, memory.surrogates, winsorize, waiting=np.empty((0, 2)), **asked)
    waiting = np.array([[0.3, 0.2], [0.6, 0.1], [0.9, 0.9]])
    beside = believe(data, memory.surrogates, winsorize, waiting=waiting, **asked)
    assert alone is not None and beside is not None
    assert (beside.acquisition(waiting) < alone.acquisition(waiting)).all()
    x = np.random.default_rng(2).random((20, 2))
    value, slope = beside.acquisition.gradient(x)
    assert value == pytest.approx(beside.acquisition(x), abs=1e-9)
    for column, step in enumerate(1e-6 * np.eye(2)):
        ahead, back = beside.acquisition(x + step), beside.acquisition(x - step)
        assert (ahead - back) / 2e-6 == pytest.approx(slope[:, column], rel=1e-2, abs=1e-2)


def test_eight_begun_with_nothing_known_spread_out_and_the_middle_is_tried_once() -> None:
    history = History(Space(a=Float(0.0, 1.0), b=Float(1e-4, 1.0, log=True)), LOSS, seed=3)
    for _ in range(12):
        (new,) = propose(BayesSearch(), history)
        assert "starting point" in new.reason
        history = history.record(Trial(history.began, new.config, state=State.RUNNING))
    codes = np.array([history.space.encode(trial.config) for trial in history.live])
    apart = np.abs(codes[:, None] - codes[None]).max(axis=2) + np.eye(12)
    assert apart.min() > 0.02
    assert (np.abs(codes - 0.5) <= 0.3).all()
    for column in codes[4:].T:
        assert sorted(((column - 0.2) / 0.6 * 8.0).astype(int)) == list(range(8))


def test_the_history_is_not_changed() -> None:
    history = run(mixed(), bowl, 9)
    before = history.x.tobytes(), history.losses.tobytes(), len(history)
    propose(BayesSearch(), history, 3)
    assert before == (history.x.tobytes(), history.losses.tobytes(), len(history))


# -- what it looks at ------------------------------------------------------------------------------------------------


def test_two_inactive_parameters_are_alike_and_no_active_value_is_nearer_to_them() -> None:
    space = Space(opt=Choice("adam", "sgd"), momentum=Float(0.0, 1.0, when={"opt": "sgd"}))
    x = np.array([[0.25, np.nan], [0.75, 0.0], [0.75, 0.3], [0.75, 1.0]])
    coordinates, effects = Frame(space).embed(x)
    momentum = coordinates[:, Frame(space).shape.coordinate_groups == 1]
    assert np.isfinite(coordinates).all()
    assert np.isfinite(effects).all()
    assert np.linalg.norm(momentum[1:] - momentum[0], axis=1) == pytest.approx(0.5)
    assert not effects[0, Frame(space).shape.effect_groups == 1].any()


def test_parameters_that_are_never_active_change_nothing() -> None:
    flat = Space(a=Float(0.0, 1.0), b=Choice("x", "y"))
    tree = Space(a=Float(0.0, 1.0), b=Choice("x", "y"), c=Float(0.0, 1.0, when="b == 'y'"))
    x = np.column_stack([np.random.default_rng(0).random(6), np.full(6, 0.25)])
    one, two = Frame(flat).embed(x)[0], Frame(tree).embed(np.column_stack([x, np.full(6, np.nan)]))[0]
    distances = [((z[:, None] - z[None]) ** 2).sum(axis=2) for z in (one, two)]
    assert distances[0] == pytest.approx(distances[1])


@given(spaces(forbid=False), st.integers(0, 2**32 - 1))
def test_gradients_are_pulled_back_to_the_codes(space: Space, seed: int) -> None:
    rng, frame = np.random.default_rng(seed), Frame(space)
    x = space.snap(rng.random((1, frame.d)))
    weights = [rng.normal(size=part.shape[1]) for part in frame.embed(x)]
    value = lambda at: sum(float((part @ w)[0]) for part, w in zip(frame.embed(at), weights, strict=True))  # noqa: E731
    pulled = frame.pull(np.concatenate(weights)[None], x)[0]
    for column in np.flatnonzero(frame.ordered & ~np.isnan(x[0])):
        step = 1e-6 * np.eye(frame.d)[column]
        assert pulled[column] == pytest.approx((value(x + step) - value(x - step)) / 2e-6, rel=1e-3, abs=1e-3)
    assert not pulled[~frame.ordered | np.isnan(x[0])].any()


@given(spaces(forbid=False), st.integers(0, 2**32 - 1))
def test_neighbors_are_configurations(space: Space, seed: int) -> None:
    frame = Frame(space)
    x = space.snap(np.random.default_rng(seed).random((3, frame.d)))
    near = frame.neighbors(x).reshape(-1, frame.d)
    assert np.array_equal(space.snap(np.nan_to_num(near, nan=0.5)), near, equal_nan=True)


@given(st.integers(1, 20_000))
def test_refits_become_rare_but_never_lag_by_more_than_a_tenth(n: int) -> None:
    assert milestone(n) <= n <= 1.1 * milestone(n) + 1.0
    assert milestone(n) in (milestone(n + 1), milestone(n - 1), n)
    assert milestone(milestone(n)) == milestone(n)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80).map(np.array), st.integers(2, 40))
def test_the_best_observations_are_kept(y, most: int) -> None:
    rows = kept(y, most)
    assert len(rows) == len(set(rows.tolist())) == min(most, len(y))
    assert sorted(y)[: len(rows) // 2] == sorted(y[rows])[: len(rows) // 2]
    assert (np.diff(rows) > 0).all()


def test_alike_parameters_share_what_they_teach() -> None:
    space = Space({f"width_{i}": Int(16, 512, log=True) for i in range(4)})
    frame = Frame(space)
    assert frame.shape.amplitudes == 5
    effects = frame.embed(np.array([[0.1, 0.1, 0.9, 0.9], [0.9, 0.1, 0.9, 0.1]]))[1]
    shared = effects[:, frame.shape.effect_groups == 4]
    assert shared[0] == pytest.approx(shared[1])


def test_the_first_trials_are_the_middle_and_points_around_it() -> None:
    frame = Frame(Space(a=Float(0.0, 1.0), b=Float(1e-4, 1.0, log=True), c=Choice(*"wxyz")))
    points = np.array([start_point(frame, 7, number) for number in range(4)])
    assert points[0, :2].tolist() == [0.5, 0.5]
    assert (np.abs(points[:, :2] - 0.5) <= 0.3).all()
    assert len(set(points[:, 2])) == 4
    assert not np.array_equal(points[1], start_point(frame, 8, 1))


def test_the_believed_values_come_first_and_the_search_stays_near_for_a_while() -> None:
    sure = Space(lr=Float(1e-5, 1e-1, log=True, prior=1e-2, sure=0.95), x=Float(0.0, 1.0), y=Float(0.0, 1.0))
    history = run(sure, lambda c: abs(c["x"] - 0.4) + abs(c["y"] - 0.4), 14)
    assert history.trials[0].config["lr"] == pytest.approx(1e-2)
    assert np.median([abs(math.log10(t.config["lr"]) + 2.0) for t in history.trials]) < 0.8


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_where_half_of_the_space_crashes_it_learns_to_stay_out() -> None:
    space = Space(a=Float(0.0, 1.0), b=Float(0.0, 1.0), c=Float(0.0, 1.0))
    crashed = Failure("exception", "boom")
    shares = []
    for seed in range(4):
        search, history = BayesSearch(), History(space, LOSS, seed=seed)
        for _ in range(40):
            config = propose(search, history)[0].config
            if config["a"] > 0.5:  # and the loss falls towards the border
                history = told(history, config, None, failure=crashed)
            else:
                history = told(history, config, (config["a"] - 0.6) ** 2 + (config["b"] - 0.3) ** 2)
        late = [t.state is State.FAILED for t in history.trials[20:]]
        shares.append(np.mean(late))
        assert history.losses[~np.isnan(history.losses)].min() < 0.02
    assert np.mean(shares) < 0.25


def test_running_out_of_memory_is_told_apart_from_other_failures() -> None:
    space, shares = Space(width=Int(16, 4096, log=True), lr=Float(1e-5, 1.0, log=True)), []
    for seed in range(4):  # the loss falls towards the corner of two borders
        search, history = BayesSearch(), History(space, LOSS, seed=seed)
        for _ in range(40):
            config = propose(search, history)[0].config
            kind = "memory" if config["width"] > 1000 else "nan" if config["lr"] > 0.1 else None
            loss = None if kind else -math.log(config["width"]) - math.log10(config["lr"])
            history = told(history, config, loss, failure=Failure(kind, kind) if kind else None)
        shares.append(np.mean([t.state is State.FAILED for t in history.trials[20:]]))
        assert np.nanmin(history.losses) < -4.5
    assert np.mean(shares) < 0.4


def test_a_trial_that_worked_when_it_was_tried_again_is_no_failure() -> None:
    history = History(mixed(), LOSS)
    rng, lost = np.random.default_rng(0), Failure("signal", "killed")
    for number, state in enumerate((State.DONE, State.FAILED, State.DONE)):
        loss = {} if state is State.FAILED else {"loss": 1.0}
        trial = Trial(number, history.space.sample(rng), state, metrics=loss, failure=lost if number < 2 else None)
        history = history.record(trial)
    [(_, failed)] = _failures(history).values()
    assert failed.tolist() == [False, True, False]


def test_while_everything_fails_it_goes_on_proposing_new_configurations() -> None:
    history = History(mixed(), LOSS)
    for _ in range(8):
        history = told(history, propose(BayesSearch(), history)[0].config, None, failure=Failure("nan", "nan"))
    assert len({repr(t.config) for t in history.trials}) == 8
    assert "fail" in propose(BayesSearch(), history)[0].reason


@pytest.mark.parametrize(
    "loss",
    [
        lambda i: 1.0,
        lambda i: 1e300 * (-1) ** i,
        lambda i: 1e-300 * i,
        lambda i: float(i == 3),
        lambda i: -float(10**i),
    ],
    ids=["constant", "huge", "tiny", "one outlier", "runaway"],
)
def test_odd_losses_still_get_a_sensible_proposal(loss) -> None:
    history = History(mixed(), LOSS)
    for i in range(9):
        history = told(history, propose(BayesSearch(), history)[0].config, loss(i))
    assert history.space.validate(propose(BayesSearch(), history)[0].config)


def test_odd_spaces_still_get_a_sensible_proposal() -> None:
    assert len(run(Space(a=Choice("only")), lambda c: 1.0, 5)) == 1
    assert len(run(Space(a=3), lambda c: 1.0, 5)) == 1
    assert len(run(Space(a=Choice("x", "y"), b=Choice("only")), lambda c: 1.0, 5)) == 2
    wide = Space({f"p{i}": Float(0.0, 1.0) for i in range(200)})
    assert len(run(wide, lambda c: c["p0"], 7)) == 7
    narrow = Space(a=Float(0.0, 1.0), b=Float(0.0, 1.0), forbid=["a + b > 0.2"])
    history = run(narrow, lambda c: -c["a"] - c["b"], 12)
    assert len(history) == 12
    assert min(history.losses)[0] < -0.15


def test_configurations_told_twice_do_no_harm() -> None:
    history = run(mixed(), bowl, 5)
    for _ in range(6):
        history = told(history, history.trials[0].config, 1.0)
    assert propose(BayesSearch(), history)[0].config not in [t.config for t in history.trials]


def test_a_limit_that_is_no_number_is_refused() -> None:
    with pytest.raises(SettingError, match="latency"):
        BayesSearch(limits={"latency": math.nan})


# -- how well it does ------------------------------------------------------------------------------------------------


def test_it_finds_a_mixed_conditional_optimum_that_random_search_misses() -> None:
    space, rng = mixed(), np.random.default_rng(0)
    found = [np.nanmin(run(space, bowl, 30, seed=seed).losses) for seed in range(4)]
    random = [min(bowl(space.sample(rng)) for _ in range(30)) for _ in range(20)]
    assert np.mean(found) < 0.25 * np.mean(random)


def test_several_metrics_are_traded_off() -> None:
    space, metrics = Space(a=Float(0.0, 1.0), b=Float(0.0, 1.0)), (Metric("error"), Metric("speed", maximize=True))
    history = run(space, lambda c: {"error": c["a"] ** 2 + c["b"], "speed": c["a"] - c["b"]}, 25, metrics=metrics)
    front = [t.config["a"] for t in history.trials if t.config["b"] < 0.05]
    assert len(front) >= 8
    assert np.ptp(front) > 0.6


def test_limits_are_kept_and_approached() -> None:
    space = Space(a=Float(0.0, 1.0), b=Float(0.0, 1.0))
    search = BayesSearch(limits={"latency": 0.5})
    history = run(
        space, lambda c: {"loss": -c["a"] - 0.2 * c["b"], "latency": c["a"] + 0.1 * c["b"]}, 25, search=search
    )
    kept = [t.metrics["loss"] for t in history.trials if t.metrics["latency"] <= 0.5]
    assert min(kept) < -0.55
    assert np.mean([t.metrics["latency"] <= 0.5 for t in history.trials[10:]]) > 0.5


def test_a_cost_aware_search_spends_less() -> None:
    space = Space(size=Int(1, 1000, log=True), lr=Float(1e-5, 1.0, log=True))

    def spent(search: BayesSearch) -> float:
        history = History(space, LOSS, seed=3)
        for _ in range(20):
            config = propose(search, history)[0].config
            loss = (math.log10(config["lr"]) + 2) ** 2 - 0.05 * math.log(config["size"])
            history = told(history, config, loss, seconds=float(config["size"]))
        return float(history.seconds.sum())

    assert spent(BayesSearch(cost_aware=True)) < 0.7 * spent(BayesSearch())


def test_noisy_results_are_repeated_where_it_matters_and_exact_ones_never() -> None:
    space, rng = Space(a=Float(0.0, 1.0), b=Float(0.0, 1.0)), np.random.default_rng(0)

    def noisy(config) -> float:
        return (config["a"] - 0.3) ** 2 + 0.05 * rng.normal()

    tried = [repr(t.config) for t in run(space, noisy, 40, search=BayesSearch(noisy=True)).trials]
    assert 4 <= len(tried) - len(set(tried)) <= 8
    assert len({repr(t.config) for t in run(space, noisy, 30).trials}) == 30
    history = run(space, noisy, 9)
    history = told(history, history.trials[0].config, 9.0)  # two results of one configuration: now it is known
    proposals = propose(BayesSearch(), history, 10)
    assert sum(p.config in [t.config for t in history.trials] for p in proposals) == 2
    assert any("repeat of trial" in p.reason for p in proposals)


def test_each_reason_names_the_rule_the_forecast_and_the_nearest_trial() -> None:
    history = run(mixed(), bowl, 12, metrics=(Metric("loss"),))
    assert history.space.names
    (new,) = propose(BayesSearch(), history)
    for part in ("expected improvement", "predicts loss", "to beat the best so far", "nearest is trial"):
        assert part in new.reason
    assert "starting point" in propose(BayesSearch(), History(mixed(), LOSS))[0].reason


def test_thousands_of_trials_keep_the_cost_of_a_proposal() -> None:
    space, rng = mixed(), np.random.default_rng(0)
    history, cost = History(space, LOSS), {}
    for number in range(1, 3001):
        config = space.sample(rng)
        history = told(history, config, bowl(config))
        if number in (300, 3000):
            search = BayesSearch()
            propose(search, history)
            cost[number] = min(seconds_of(search, history) for _ in range(5))
    assert cost[3000] < 3 * cost[300]  # a guard against something quadratic; figures are in benchmarks/search.py
    (new,) = propose(search, history)
    assert bowl(new.config) < np.median(history.losses)


def seconds_of(search, history) -> float:
    start = time.process_time()
    propose(search, history)
    return time.process_time() - start
