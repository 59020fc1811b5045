import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.maths.breeding import crossover, differential, fill, mutate, tournament

CATEGORIES = np.array([0.0, 4.0, 0.0, 1.0])
NAMED = CATEGORIES > 0
seeds = st.integers(0, 9999)


def some(rng, n: int = 200) -> np.ndarray:
    x = rng.random((n, 4))
    return np.where(NAMED, (np.floor(x * np.maximum(CATEGORIES, 1)) + 0.5) / np.maximum(CATEGORIES, 1), x)


@given(seeds)
def test_children_stay_in_the_cube_and_take_categories_of_their_parents(seed):
    rng = np.random.default_rng(seed)
    a, b = some(rng), some(rng)
    child = crossover(a, b, NAMED, spread=2.0, rng=rng)
    assert ((child >= 0) & (child <= 1)).all()
    assert ((child == a) | (child == b))[:, NAMED].all()


def test_children_of_a_pair_have_its_mean():
    rng = np.random.default_rng(0)
    a, b = np.full((100_000, 1), 0.45), np.full((100_000, 1), 0.55)
    crossed = crossover(a, b, np.array([False]), spread=15.0, rng=rng)
    assert crossed.mean() == pytest.approx((0.45 + 0.5) / 2, abs=1e-3)  # half of the columns stay as they are


def test_equal_parents_have_equal_children():
    rng = np.random.default_rng(0)
    a = some(rng)
    assert np.allclose(crossover(a, a, NAMED, spread=2.0, rng=rng), a)


@given(seeds)
def test_mutants_stay_in_the_cube_and_on_categories(seed):
    rng = np.random.default_rng(seed)
    x = some(rng)
    mutants, chosen = mutate(x, CATEGORIES, rate=0.5, spread=5.0, rng=rng)
    assert ((mutants >= 0) & (mutants <= 1)).all()
    assert (mutants == x)[~chosen].all()
    assert (mutants[:, 1] != x[:, 1])[chosen[:, 1]].all()  # always another category
    assert np.isin(np.round(mutants[:, 1] * 8), [1, 3, 5, 7]).all()
    assert (mutants[:, 3] == 0.5).all()


def test_a_larger_spread_mutates_less_far():
    x = np.full((20_000, 1), 0.5)
    near, far = (mutate(x, np.zeros(1), rate=1.0, spread=s, rng=np.random.default_rng(0))[0] for s in (20.0, 2.0))
    assert near.std() < 0.07 < 0.2 < far.std()
    assert near.mean() == pytest.approx(0.5, abs=2e-3)


def test_tournaments_prefer_the_best():
    picked = tournament(10, (50_000, 3), np.random.default_rng(0))
    assert np.mean(picked == 0) == pytest.approx(1 - 0.9**3, abs=0.01)


def test_what_is_inactive_is_filled_from_the_other_parent():
    rng = np.random.default_rng(0)
    filled = fill(np.array([[np.nan, 0.2, np.nan]]), np.array([[0.7, 0.9, np.nan]]), rng)
    assert filled[0, :2].tolist() == [0.7, 0.2]
    assert 0 <= filled[0, 2] <= 1


@given(seeds)
def test_moves_stay_in_the_cube_and_move_one_column_at_least(seed):
    rng = np.random.default_rng(seed)
    x, lead, one, two = (some(rng, 50) for _ in range(4))
    zero = np.zeros((50, 1))
    moved = differential(x, lead, one, two, NAMED, step=zero + 0.8, share=zero, rng=rng)
    assert ((moved >= 0) & (moved <= 1)).all()
    assert ((moved != x).sum(axis=1) <= 1).all()
    assert (moved == x).all(axis=1).sum() < 40


def test_a_full_step_without_difference_reaches_the_lead():
    rng = np.random.default_rng(0)
    x, lead, one = (rng.random((50, 3)) for _ in range(3))
    ones = np.ones((50, 1))
    assert np.allclose(differential(x, lead, one, one, np.zeros(3, bool), step=ones, share=ones, rng=rng), lead)
