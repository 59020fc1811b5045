"""Spaces: encoding, sampling under conditions and forbidden combinations, counting, and what is refused."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from luthier import Choice, Float, Int, Ordinal, Space
from luthier.errors import ConfigError, SpaceError
from strategies import close, points, spaces

_seeds = st.integers(0, 2**32 - 1)


def _mixed():
    return Space(
        lr=Float(1e-5, 1e-1, log=True, prior=1e-3),
        opt=Choice("adam", "sgd"),
        momentum=Float(0.0, 0.99, when={"opt": "sgd"}),
        nesterov=Choice(False, True, when="momentum > 0.5"),
        depth=Int(1, 4),
        epochs=20,
        forbid=["opt == 'adam' and lr > 0.05"],
    )


# -- laws --------------------------------------------------------------------------------------------------------------


@given(spaces(), _seeds)
def test_samples_are_valid_and_not_changed_by_validation(space, seed):
    config = space.sample(np.random.default_rng(seed))
    valid = space.validate(config)
    assert valid == config
    assert [type(v) for v in valid.values()] == [type(v) for v in config.values()]
    assert list(valid) == [n for n in space.names if n in valid]


@given(spaces(), _seeds)
def test_decode_of_encode_is_the_identity(space, seed):
    config = space.sample(np.random.default_rng(seed))
    assert close(space, config, space.decode(space.encode(config)))


@given(spaces(), _seeds)
def test_every_point_of_the_cube_decodes_to_the_same_configuration_as_its_snapped_point(space, seed):
    x = points(space, 12, seed)
    snapped = space.snap(x)
    np.testing.assert_array_equal(space.snap(snapped), snapped)
    for row, moved in zip(x, snapped, strict=True):
        config = space.decode(row)
        assert close(space, config, space.decode(moved))
        np.testing.assert_array_equal(np.isnan(space.encode(config)), np.isnan(moved))
        np.testing.assert_allclose(space.encode(config), moved, rtol=0, atol=1e-9)


@given(spaces(), _seeds)
def test_the_vectorized_masks_equal_the_single_configurations(space, seed):
    x = points(space, 12, seed)
    active, allowed = space.active(x), space.allowed(x)
    for row, on, fine in zip(x, active, allowed, strict=True):
        config = space.decode(row)
        assert [n for n, a in zip(space.columns, on, strict=True) if a] == [n for n in space.columns if n in config]
        assert fine == (space.forbidden(config) is None)


@given(spaces(), _seeds)
def test_arguments_are_not_changed(space, seed):
    x = points(space, 5, seed)
    config = space.sample(np.random.default_rng(seed))
    before, kept = x.copy(), dict(config)
    space.snap(x), space.active(x), space.allowed(x), space.believe(x), space.log_prior(x), space.decode(x[0])
    space.validate(config), space.encode(config), space.complete({}, np.random.default_rng(1))
    np.testing.assert_array_equal(x, before)
    assert config == kept


@given(spaces(finite=True))
def test_a_finite_space_enumerates_as_many_configurations_as_its_size_says_each_once(space):
    configs = list(space.enumerate())
    assert len(configs) == space.size().total
    assert space.size().exact
    keys = {tuple(space.encode(c).tolist()) for c in configs} if len(space.columns) else {()}
    keys = {tuple("nan" if math.isnan(u) else u for u in key) for key in keys}
    assert len(keys) == len(configs)
    for config in configs:
        assert space.validate(config) == config


@given(spaces(), st.integers(2, 4))
def test_a_grid_enumerates_as_many_configurations_as_its_size_says(space, n):
    finite = math.prod(n if math.isinf(p.size) else p.size for p in space.parameters.values())
    assume(finite <= 5000)
    configs = list(space.enumerate(points=n))
    assert len(configs) == space.size(n).total
    for config in configs:
        space.validate(config)


@given(spaces(finite=True), _seeds)
def test_every_sample_is_among_the_enumerated(space, seed):
    rng = np.random.default_rng(seed)
    known = list(space.enumerate())
    assert all(space.sample(rng) in known for _ in range(10))


@given(spaces(), _seeds)
def test_a_whole_configuration_is_completed_to_itself(space, seed):
    config = space.sample(np.random.default_rng(seed))
    assert space.complete(config, np.random.default_rng(seed)) == config


@given(spaces())
def test_a_space_survives_pickling(space):
    again = pickle.loads(pickle.dumps(space))
    assert again == space
    assert hash(again) == hash(space)
    assert repr(again) == repr(space)


# -- statistics: a fixed seed; each test fails by chance once in 10,000 ------------------------------------------------


def test_samples_under_conditions_are_uniform_on_each_scale():
    space, rng = _mixed(), np.random.default_rng(1)
    configs = [space.sample(rng) for _ in range(20_000)]
    sgd = [c for c in configs if c["opt"] == "sgd"]
    adam = [c for c in configs if c["opt"] == "adam"]
    assert stats.kstest([(np.log10(c["lr"]) + 5) / 4 for c in sgd], "uniform").pvalue > 1e-4
    top = (math.log10(0.05) + 5) / 4  # of adam, the rest is forbidden
    assert stats.kstest([(np.log10(c["lr"]) + 5) / 4 / top for c in adam], "uniform").pvalue > 1e-4
    assert stats.binomtest(len(sgd), len(configs), 1 / (1 + top)).pvalue > 1e-4
    assert stats.kstest([c["momentum"] / 0.99 for c in sgd], "uniform").pvalue > 1e-4
    assert all("momentum" not in c and "nesterov" not in c for c in adam)
    fast = [c for c in sgd if c["momentum"] > 0.5]
    assert all(("nesterov" in c) == (c["momentum"] > 0.5) for c in sgd)
    assert stats.binomtest(sum(c["nesterov"] for c in fast), len(fast)).pvalue > 1e-4
    assert stats.chisquare([sum(c["depth"] == d for c in configs) for d in range(1, 5)]).pvalue > 1e-4


def test_samples_of_a_constrained_finite_space_are_uniform_over_what_is_left():
    space = Space(a=Int(1, 4), b=Choice("x", "y"), c=Int(1, 3, when={"b": "x"}), forbid=["a == 4 and b == 'x'"])
    known, rng = list(space.enumerate()), np.random.default_rng(2)
    weight = np.array([1 / 3 if c["b"] == "x" else 1.0 for c in known])  # each leaf of a condition shares its place
    draws = [known.index(space.sample(rng)) for _ in range(20_000)]
    expected = weight / weight.sum() * len(draws)
    assert stats.chisquare(np.bincount(draws, minlength=len(known)), expected).pvalue > 1e-4


def test_believed_samples_fall_near_the_prior_as_often_as_one_is_sure():
    space = Space(lr=Float(0, 1, prior=0.3, sure=0.7), opt=Choice(*"abcd", prior="c", sure=0.6))
    rng = np.random.default_rng(3)
    configs = [space.sample(rng, believed=True) for _ in range(20_000)]
    share = np.mean([c["opt"] == "c" for c in configs])
    assert share == pytest.approx(0.6 + 0.4 / 4, abs=4 * math.sqrt(0.7 * 0.3 / 20_000))
    near = np.mean([abs(c["lr"] - 0.3) < 0.1 for c in configs])  # one standard deviation of the belief
    mass = stats.truncnorm(-3, 7).cdf(1) - stats.truncnorm(-3, 7).cdf(-1)
    expected = 0.7 * mass + 0.3 * 0.2
    assert near == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 20_000) + 1e-3)


def test_the_density_of_the_prior_integrates_to_one_and_matches_its_samples():
    space = Space(a=Float(0, 1, prior=0.2), b=Int(1, 9, log=True, prior=3), c=Choice(*"abc", prior="b", sure=0.9))
    rng = np.random.default_rng(4)
    density = np.exp(space.log_prior(rng.random((100_000, 3))))
    assert density.mean() == pytest.approx(1.0, abs=5 * density.std() / math.sqrt(len(density)))
    drawn = space.believe(rng.random((100_000, 3)))
    inverse = np.exp(-space.log_prior(drawn))
    assert inverse.mean() == pytest.approx(1.0, abs=5 * inverse.std() / math.sqrt(len(inverse)))


# -- completing --------------------------------------------------------------------------------------------------------


def test_what_is_missing_takes_its_prior_also_when_conditions_need_several_draws():
    space = _mixed()
    for seed in range(20):
        config = space.complete({"momentum": 0.9}, np.random.default_rng(seed))
        assert config["lr"] == 1e-3
        assert config["opt"] == "sgd"


def test_a_prior_that_the_given_values_rule_out_is_not_insisted_on():
    space = Space(opt=Choice("adam", "sgd", prior="adam"), m=Float(0, 1, when={"opt": "sgd"}))
    assert space.complete({"m": 0.5}, np.random.default_rng(0)) == {"opt": "sgd", "m": 0.5}


def test_none_for_an_inactive_parameter_leaves_it_out():
    for seed in range(10):
        config = _mixed().complete({"momentum": None}, np.random.default_rng(seed))
        assert config["opt"] == "adam"


@pytest.mark.parametrize(
    ("partial", "says"),
    [
        ({"epochs": 99}, "constant 20"),
        ({"lr": "abc"}, "not a number"),
        ({"lr": 0.2}, "outside"),
        ({"momentun": 0.5}, "did you mean 'momentum'"),
        ({"opt": "adam", "momentum": 0.5}, "inactive unless opt == 'sgd'"),
        ({"opt": "adam", "lr": 0.06}, "forbidden"),
    ],
)
def test_a_partial_configuration_that_cannot_be_is_refused(partial, says):
    with pytest.raises(ConfigError, match=says):
        _mixed().complete(partial, np.random.default_rng(0))


# -- validation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lrr": 0.1}, "did you mean 'lr'"),
        ({"lr": None}, "lr: None is not a number"),
        ({"momentum": None}, "momentum: None"),
        ({"opt": "adam"}, "momentum is inactive unless"),
        ({"opt": "SGD"}, "did you mean 'sgd'"),
        ({"epochs": 3}, "epochs is the constant 20"),
        ({"opt": "adam", "lr": 0.06, "momentum": None, "nesterov": None}, "this combination is forbidden"),
    ],
)
def test_a_configuration_outside_is_refused_in_words(change, says):
    good = {"lr": 0.01, "opt": "sgd", "momentum": 0.9, "nesterov": True, "depth": 2, "epochs": 20}
    assert _mixed().validate(good) == good
    with pytest.raises(ConfigError, match=says):
        _mixed().validate({**good, **change})


def test_a_missing_parameter_is_named_with_what_it_is():
    with pytest.raises(ConfigError, match=r"depth is missing; it is depth=Int\(1, 4\)"):
        _mixed().validate({"lr": 0.01, "opt": "adam"})


def test_constants_may_be_left_out_and_are_filled_in():
    assert _mixed().validate({"lr": 0.01, "opt": "adam", "depth": 1})["epochs"] == 20


# -- conditions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [3, 12, 24])
def test_conditions_nest_to_any_depth(depth):
    given = {"p0": Choice("a", "b", "c")}
    for i in range(1, depth):
        given[f"p{i}"] = Choice("a", "b", "c", when={f"p{i - 1}": "a"})
    space = Space(given)
    full = space.complete({f"p{depth - 2}": "a", f"p{depth - 1}": "b"} | {f"p{i}": "a" for i in range(depth - 2)},
                          np.random.default_rng(0))  # fmt: skip
    assert len(full) == depth
    assert space.decode(space.encode(full)) == full
    assert len(list(space.enumerate())) == 2 * depth + 1


def test_a_nested_condition_that_contradicts_itself_is_refused():
    given = {"p0": Choice("a", "b", "c")}
    for i in range(1, 15):
        given[f"p{i}"] = Choice("a", "b", "c", when={f"p{i - 1}": "a"})
    given["last"] = Int(1, 2, when="p14 == 'a' and p0 == 'b'")
    with pytest.raises(SpaceError, match="last can never be active"):
        Space(given)


def test_a_condition_may_compare_tuples_and_constants():
    space = Space(
        k=Choice((3, 3), (5, 5)),
        wide=Int(1, 2, when="k == (5, 5)"),
        big=Int(1, 2, when="k in ((3, 3),) and c == 1"),
        c=1,
    )
    assert {tuple(c) for c in space.enumerate()} == {("k", "big", "c"), ("k", "wide", "c")}
    rng = np.random.default_rng(0)
    assert space.active(rng.random((50, 3))).sum() == 100


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Space(), "at least one parameter"),
        (lambda: Space({"": Int(1, 2)}), "name is a string"),
        (lambda: Space(lr=Float), "give it its bounds"),
        (lambda: Space(f=print), "cannot hold"),
        (lambda: Space(opt=Choice("a", "b"), m=Int(1, 2, when={"optt": "a"})), "did you mean 'opt'"),
        (lambda: Space(opt=Choice("a", "b"), m=Int(1, 2, when={"opt": "c"})), "can never hold"),
        (lambda: Space(a=Int(1, 2, when="b > 1"), b=Int(1, 2, when="a > 1")), "circle"),
        (lambda: Space(a=Int(1, 2, when="a > 1")), "circle"),
        (lambda: Space(a=Int(1, 2), forbid=["a > 0"]), "no configuration is allowed"),
        (lambda: Space(a=Float(0, 1), forbid=["a >= 0"]), "no configuration is allowed"),
        (lambda: Space(a=Int(1, 2), forbid=["a > 5"]), "can never hold"),
        (lambda: Space(a=Int(1, 2), forbid=["c > 5"]), "not in the space"),
        (lambda: Space(a=Choice(1, "b"), m=Int(1, 2, when="a > 0")), "cannot be evaluated"),
        (lambda: Space(a=Int(-1, 1), m=Int(1, 2, when="1 / a > 0")), "cannot be evaluated"),
        (lambda: Space(a=Choice("x", "y"), m=Int(1, 2, when={"a": "x"}), forbid=[{"a": "x"}]), "m can never be active"),
    ],
)
def test_an_impossible_space_is_refused_when_it_is_built(make, says):
    with pytest.raises(SpaceError, match=says):
        make()


# -- counting and looks ------------------------------------------------------------------------------------------------


def test_a_continuous_space_cannot_be_enumerated_without_points():
    with pytest.raises(SpaceError, match="cannot be enumerated"):
        next(_mixed().enumerate())
    assert math.isinf(_mixed().size().total)


def test_the_size_of_a_large_conditional_space_is_estimated():
    space = Space(a=Int(1, 100), b=Int(1, 100), c=Int(1, 100, when="a <= 50"), forbid=["b > 50"])
    size = space.size()
    assert not size.exact
    assert size.total == pytest.approx(50 * 50 * 100 + 50 * 50, rel=0.05)
    assert "about" in repr(space)


def test_the_size_of_a_large_plain_space_is_exact():
    assert Space(a=Int(1, 10**6), b=Ordinal(1, 2, 3)).size() == (3 * 10**6, True)


def test_the_repr_names_all_there_is():
    text = repr(_mixed())
    for part in ("5 parameters", "lr = 1e-05..0.1 log, prior 0.001", "opt = adam | sgd", "when opt == 'sgd'",
                 "epochs = 20 (constant)", "forbid opt == 'adam' and lr > 0.05"):  # fmt: skip
        assert part in text


def test_spaces_differ_by_type_not_only_by_equality():
    assert Space(a=Choice(1, 2)) != Space(a=Ordinal(1, 2))
    assert Space(a=Int(1, 4)) != Space(a=Int(1, 4), forbid=["a == 2"])
    assert Space(a=Int(1, 4), c=1) != Space(a=Int(1, 4), c=2)


def test_a_belief_without_a_doubt_has_a_finite_density():
    space = Space(lr=Float(0, 1, prior=0.01, sure=1.0), opt=Choice(*"abc", prior="b", sure=1.0))
    density = space.log_prior(np.array([[0.01, 0.5], [0.99, 0.1]]))
    assert np.isfinite(density).all()
    assert density[0] > density[1] + 10.0
