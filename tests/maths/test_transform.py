import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.maths.transform import standardize, winsorize, yeo_johnson

TRANSFORMS = [standardize, winsorize, yeo_johnson]
losses = st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30).map(np.array)


@pytest.mark.parametrize("transform", TRANSFORMS)
@given(y=losses)
def test_results_are_finite_standardized_and_in_the_same_order(transform, y) -> None:
    z = transform(y)
    assert np.isfinite(z).all()
    assert (np.diff(z[np.argsort(y, kind="stable")]) >= -1e-9).all()
    if z.any():
        assert z.mean() == pytest.approx(0.0, abs=1e-6)
        assert z.std() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_constant_becomes_zeros(transform) -> None:
    assert not transform(np.full(5, 3.7)).any()


@pytest.mark.parametrize("transform", TRANSFORMS)
@given(shift=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3))
def test_units_do_not_matter(transform, shift: float, scale: float) -> None:
    y = np.array([0.1, 0.3, 0.2, 5.0, 0.9, 0.4])
    assert transform(shift + scale * y) == pytest.approx(transform(y), abs=1e-6)


def test_winsorizing_caps_the_upper_tail_only() -> None:
    y = np.array([0.0, 1.0, 2.0, 3.0, 1e6])
    z = winsorize(y)
    assert z[4] == pytest.approx(z[2] + (z[2] - z[0]))
    assert z[0] < z[1] < z[2] < z[3]


def test_yeo_johnson_finds_the_power_that_scipy_finds() -> None:
    from scipy.stats import yeojohnson, yeojohnson_normmax

    y = np.exp(np.random.default_rng(0).normal(size=200))
    z = standardize(y)
    best = yeojohnson_normmax(z)
    nearest = 0.2 * round(best / 0.2)  # ours tries every fifth
    assert yeo_johnson(y) == pytest.approx(standardize(yeojohnson(z, nearest)), abs=1e-9)
