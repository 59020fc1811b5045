"""Conditions: the scalar and the vectorized reading agree; what could mean two things is refused."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier import Choice, Float, Space
from luthier.condition import Condition
from luthier.errors import SpaceError

_VALUES = {"n": [-2, 0, 1, 3], "x": [-1.5, 0.0, 0.25, 3.0], "opt": ["adam", "sgd", ""], "k": [(3, 3), (5, 5), None]}
_ATOMS = [
    "n > 1",
    "n == 3",
    "n + x >= 1",
    "n * 2 - x < 3",
    "x % 2 == 1",
    "n // 2 == -1",
    "-n <= x",
    "0 < x <= 3",
    "n < x < 3",
    "opt == 'sgd'",
    "opt != 'sgd'",
    "opt in ('sgd', 'adam')",
    "opt not in ['sgd']",
    "n in (0, 3)",
    "n in (x, 3)",
    "k == (3, 3)",
    "k != (3, 3)",
    "k in ((3, 3), None)",
    "k not in [[5, 5]]",
    "n",
    "x",
    "opt",
    "not n",
    "not opt",
    "x / 2 > n",
]
_expressions = st.recursive(
    st.sampled_from(_ATOMS),
    lambda inner: st.one_of(
        inner.map(lambda a: f"not ({a})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
    ),
    max_leaves=5,
)
_rows = st.lists(st.fixed_dictionaries({n: st.sampled_from(v) for n, v in _VALUES.items()}), min_size=1, max_size=6)


def _columns(rows):
    columns = {}
    for name in _VALUES:
        values = [row[name] for row in rows]
        columns[name] = np.empty(len(rows), dtype=object) if name in ("opt", "k") else np.array(values)
        columns[name][:] = values
    return columns


@given(_expressions, _rows)
def test_the_vectorized_mask_equals_the_scalar_reading(source, rows):
    condition = Condition(source)
    assert condition.mask(_columns(rows)).tolist() == [condition.holds(row) for row in rows]


@given(_expressions, _rows)
def test_a_condition_means_what_python_means(source, rows):
    for row in rows:
        assert Condition(source).holds(row) == bool(eval(source.replace("[[5, 5]]", "((5, 5),)"), {}, dict(row)))


@given(_expressions)
def test_a_condition_survives_printing_and_pickling(source):
    condition = Condition(source)
    assert Condition(condition.source) == condition == pickle.loads(pickle.dumps(condition)) == Condition(condition)
    assert hash(Condition(condition.source)) == hash(condition)


def test_a_condition_that_names_an_inactive_parameter_does_not_hold():
    assert not Condition("opt == 'a' or m > 0").holds({"opt": "a"})


@pytest.mark.parametrize(
    ("mapping", "source"),
    [
        ({"opt": "sgd"}, "opt == 'sgd'"),
        ({"opt": ["a", "b"], "n": 3}, "opt in ('a', 'b') and n == 3"),
        ({"opt": ["a"]}, "opt in ('a',)"),
        ({"k": [(3, 3)]}, "k in ((3, 3),)"),
        ({"flag": None}, "flag == None"),
    ],
)
def test_a_mapping_is_written_as_an_expression(mapping, source):
    assert Condition(mapping).source == source


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os')",
        "x.real > 0",
        "(lambda: x)()",
        "[y for y in x]",
        "x[0] == 1",
        "f'{x}'",
        "x if x else x",
        "x ** 9",
        "(y := x)",
        "x is None",
        "x & 1",
        "~x",
    ],
)
def test_only_the_subset_is_allowed(source):
    with pytest.raises(SpaceError, match="not allowed"):
        Condition(source)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x >", "cannot read"),
        ("", "cannot read"),
        ("1 < 2", "names no parameter"),
        ("opt in 'sgd'", "needs a list after 'in'"),
        ("'s' in opt", "needs a list after 'in'"),
        ("k < (3, 3)", r"kernel == \(3, 3\)"),
        ("(3, 3) == k", r"kernel == \(3, 3\)"),
        ({}, "at least one entry"),
        (3, "an expression or a mapping"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_way_out(source, says):
    with pytest.raises(SpaceError, match=says):
        Condition(source)


def test_a_part_that_only_holds_where_another_does_is_compared_there_only():
    condition = Condition("clip != None and clip > 2")
    clips = np.array([None, 1.0, 5.0], dtype=object)
    assert condition.mask({"clip": clips}).tolist() == [False, False, True]
    space = Space(clip=Choice(None, 1.0, 5.0), warm=Float(0, 1, when="clip != None and clip > 2"))
    assert set(space.validate({"clip": 5.0, "warm": 0.5})) == {"clip", "warm"}
