import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from luthier.maths.pareto import best_first, crowding_distance, hypervolume, is_nondominated, nondominated_ranks

SMALL = st.integers(0, 6).map(float)  # small numbers: many ties


def losses(m: int | None = None, values=SMALL):
    columns = st.integers(1, 3) if m is None else st.just(m)
    return st.tuples(st.integers(0, 25), columns).flatmap(lambda shape: arrays(float, shape, elements=values))


def dominates(a, b) -> bool:
    return bool((a <= b).all() and (a < b).any())


@given(losses())
def test_a_rank_is_one_more_than_the_highest_of_those_that_dominate(y):
    ranks = nondominated_ranks(y)
    for i in range(len(y)):
        above = [ranks[j] for j in range(len(y)) if dominates(y[j], y[i])]
        assert ranks[i] == max(above, default=-1) + 1


@given(losses(2, st.floats(-1e9, 1e9)))
def test_ranks_are_those_of_moocore(y):
    if len(y):
        assert nondominated_ranks(y).tolist() == moocore.pareto_rank(y).tolist()


@given(losses())
def test_the_first_front_is_what_nobody_dominates(y):
    assert (is_nondominated(y) == (nondominated_ranks(y) == 0)).all()


@given(losses(), st.randoms())
def test_ranks_do_not_hang_on_the_order(y, random):
    order = list(range(len(y)))
    random.shuffle(order)
    assert (nondominated_ranks(y[order]) == nondominated_ranks(y)[order]).all()


@given(losses(3), st.integers(0, 25))
def test_ranking_only_enough_ranks_these_right(y, enough):
    full, part = nondominated_ranks(y), nondominated_ranks(y, enough=enough)
    for front in range(int(full.max(initial=-1)) + 1):
        if (full < front).sum() < enough:
            assert ((part == front) >= (full == front)).all()


def test_rows_without_a_result_come_last():
    y = np.array([[np.nan, 0.0], [3.0, 3.0], [1.0, 1.0], [np.nan, np.nan]])
    assert nondominated_ranks(y).tolist() == [2, 1, 0, 2]
    assert best_first(y).tolist() == [2, 1, 0, 3]
    assert best_first(np.array([[np.nan], [2.0], [np.inf], [1.0]])).tolist() == [3, 1, 2, 0]
    assert nondominated_ranks(np.full((3, 2), np.nan)).tolist() == [0, 0, 0]


def test_crowding_is_the_gap_between_neighbors():
    y = np.array([[0.0, 10.0], [1.0, 6.0], [4.0, 5.0], [10.0, 0.0]])
    assert crowding_distance(y).tolist() == pytest.approx([np.inf, 0.4 + 0.5, 0.9 + 0.6, np.inf])


@given(losses(2, st.sampled_from([0.0, 1e300, -1e300, 1.7e308, -1.7e308, np.inf, 1e-300])))
def test_huge_losses_crowd_without_overflow(y):
    with np.errstate(all="raise", under="ignore"):
        assert not np.isnan(crowding_distance(y)).any() if len(y) else True


def test_of_one_front_the_least_crowded_come_first():
    y = np.array([[0.0, 4.0], [1.9, 2.1], [2.0, 2.0], [2.1, 1.9], [4.0, 0.0], [5.0, 5.0]])
    order = best_first(y).tolist()
    assert set(order[:2]) == {0, 4}
    assert order[4:] == [2, 5]


@pytest.mark.parametrize("m", [1, 2, 3])
@given(data=st.data())
def test_the_hypervolume_is_that_of_moocore(m, data):
    y = data.draw(losses(m, st.floats(0, 2)))
    reference = np.full(m, 1.5)
    expected = 0.0
    if m == 1:
        expected = max([0.0, *(1.5 - y[:, 0]).tolist()])
    elif len(y):
        expected = moocore.hypervolume(y, ref=reference)
    assert hypervolume(y, reference) == pytest.approx(expected, abs=1e-12)


@given(losses(3), arrays(float, 3, elements=st.integers(0, 6).map(float)))
def test_a_point_never_lowers_the_hypervolume(y, point):
    reference = np.full(3, 5.0)
    assert hypervolume(np.vstack([y, point]), reference) >= hypervolume(y, reference) - 1e-9
