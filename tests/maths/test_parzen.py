import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from luthier.maths.parzen import Columns, Parzen, age_weights, scott_bandwidths

NUMBERS = Columns(np.array([0, 0]), np.zeros(2))
MIXED = Columns(np.array([0, 3, 0]), np.zeros(3))  # the third exists where the category is not 0


def mixture(columns: Columns, centers, *, prior: float = 1.0, smoothing: float = 0.1) -> Parzen:
    centers = np.asarray(centers, dtype=float).reshape(-1, len(columns.cells))
    bandwidths = scott_bandwidths(centers, factor=1.0, floor=0.05)
    return Parzen(columns, centers, age_weights(len(centers)), bandwidths, prior=prior, smoothing=smoothing)


def masked(x: np.ndarray) -> np.ndarray:
    return np.where((np.arange(3) == 2) & (x[:, 1:2] < 1 / 3), np.nan, x)


def test_the_density_of_numbers_is_a_mixture_of_truncated_gaussians():
    centers, x = np.array([[0.1, 0.5], [0.4, 0.9], [0.8, 0.2]]), np.random.default_rng(0).random((50, 2))
    made = mixture(NUMBERS, centers)
    expected = np.full(50, 0.25)
    for center in centers:
        s = made.bandwidths
        law = stats.truncnorm(-center / s, (1 - center) / s, center, s)
        expected += 0.25 * law.pdf(x).prod(axis=1)
    assert np.exp(made.log_density(x)) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 8), st.integers(0, 99))
@settings(max_examples=20)
def test_the_density_over_a_tree_integrates_to_one(k, seed):
    rng = np.random.default_rng(seed)
    made = mixture(MIXED, masked(rng.random((k, 3))))
    x = masked(np.array(np.meshgrid(*[(np.arange(36) + 0.5) / 36] * 3)).reshape(3, -1).T)
    x[:, 1] = (np.floor(x[:, 1] * 3) + 0.5) / 3
    total = np.exp(made.log_density(x)).mean() * 3  # a category has mass, not density
    assert total == pytest.approx(1.0, abs=0.01)


def test_draws_follow_the_density():
    rng = np.random.default_rng(1)
    made = mixture(MIXED, masked(rng.random((6, 3))), smoothing=0.3)
    x, kernel = made.sample(40_000, rng)
    x = masked(x)
    x[:, 1] = (np.floor(x[:, 1] * 3) + 0.5) / 3
    assert np.bincount(kernel, minlength=7) / 40_000 == pytest.approx(made.weights, abs=0.01)
    for category in range(3):
        mine = x[np.floor(x[:, 1] * 3) == category]
        grid = masked(
            np.column_stack([(np.arange(200) + 0.5) / 200, np.full(200, (category + 0.5) / 3), np.full(200, 0.5)])
        )
        if category == 0:
            density = np.exp(made.log_density(grid))
            assert len(mine) / 40_000 == pytest.approx(density.mean(), abs=0.01)
            counts = np.histogram(mine[:, 0], 10, (0, 1))[0] / 40_000
            assert counts == pytest.approx(density.reshape(10, 20).mean(axis=1) / 10, abs=0.01)


def test_a_kernel_from_another_branch_is_uniform_there():
    made = mixture(MIXED, [[0.5, 1 / 6, np.nan]], prior=1e-12)
    x = np.array([[0.5, 0.5, u] for u in (0.0, 0.3, 1.0)])
    assert np.ptp(made.log_density(x)) == pytest.approx(0.0, abs=1e-9)


def test_without_points_it_is_the_prior():
    made = mixture(MIXED, [])
    x, kernel = made.sample(5, np.random.default_rng(0))
    assert (kernel == 0).all()
    assert np.exp(made.log_density(x)) == pytest.approx(1 / 3)
    assert made.log_density(x, np.full(5, 2.0)) == pytest.approx(2.0 - np.log(3))


def test_bandwidths_are_those_of_scipy_for_one_column():
    x = np.random.default_rng(0).random((40, 1))
    kde = stats.gaussian_kde(x[:, 0])
    expected = kde.scotts_factor() * x.std()
    assert scott_bandwidths(x, factor=1.0, floor=0.0)[0] == pytest.approx(expected)


def test_bandwidths_look_at_active_values_only_and_keep_to_their_bounds():
    x = np.array([[0.5, 0.2], [0.5, np.nan], [0.5, 0.8]])
    assert scott_bandwidths(x, factor=1.0, floor=0.1, top=0.2).tolist() == [0.1, 0.2]
    assert scott_bandwidths(np.full((2, 1), np.nan), factor=1.0, floor=0.1).tolist() == [0.1]


def test_weights_fall_with_age():
    assert age_weights(5).tolist() == [1.0] * 5
    weights = age_weights(100)
    assert weights[0] == pytest.approx(0.01)
    assert (np.diff(weights) >= 0).all()
    assert (weights[-25:] == 1.0).all()


def test_far_points_do_not_underflow():
    columns = Columns(np.zeros(300, dtype=int), np.zeros(300))
    made = mixture(columns, np.zeros((3, 300)), prior=1e-300)
    assert np.isfinite(made.log_density(np.ones((2, 300)))).all()
