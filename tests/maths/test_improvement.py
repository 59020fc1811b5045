import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from luthier.maths.improvement import log_expected_improvement, log_expected_improvement_gradient, log_h


@pytest.mark.parametrize("z", [-6.0, -2.5, -1.0, -0.999, 0.0, 0.7, 5.0])
def test_log_h_is_the_log_of_the_expected_positive_part_of_a_normal(z: float) -> None:
    density = lambda u: max(z + u, 0.0) * math.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)  # noqa: E731
    expected, _ = quad(density, -z, 12.0, epsabs=0.0, epsrel=1e-11)
    assert log_h(np.array([z]))[0][0] == pytest.approx(math.log(expected), rel=1e-8)


def test_log_h_follows_its_asymptote_where_expected_improvement_underflows() -> None:
    z = np.array([-40.0, -1e3, -1e5, -1e150])
    value, slope = log_h(z)
    assert value == pytest.approx(-0.5 * z**2 - 0.5 * math.log(2.0 * math.pi) - 2.0 * np.log(-z), rel=1e-5)
    assert slope == pytest.approx(-z, rel=1e-2)


@given(st.floats(-50.0, 20.0))
def test_the_slope_of_log_h_is_its_derivative(z: float) -> None:
    step = 1e-5
    left, right = log_h(np.array([z - step, z + step]))[0]
    assert log_h(np.array([z]))[1][0] == pytest.approx((right - left) / (2.0 * step), rel=1e-4, abs=1e-7)


@given(st.floats(-3.0, 3.0), st.floats(1e-6, 9.0), st.floats(-3.0, 3.0), st.floats(0.01, 1.0))
def test_more_spread_or_a_lower_mean_never_promise_less(mean: float, variance: float, best: float, more: float) -> None:
    here = log_expected_improvement(np.array([mean]), np.array([variance]), best) - 1e-12  # of rounding
    assert log_expected_improvement(np.array([mean]), np.array([variance + more]), best) >= here
    assert log_expected_improvement(np.array([mean - more]), np.array([variance]), best) >= here


@given(st.floats(-3.0, 3.0), st.floats(0.01, 9.0), st.floats(-3.0, 3.0))
def test_the_gradient_is_the_derivative_along_the_coordinates(mean: float, variance: float, best: float) -> None:
    slopes = np.array([[0.7, -0.2]]), np.array([[0.01, 0.3]])
    step = 1e-6

    def at(offset: np.ndarray) -> float:
        moved = mean + slopes[0] @ offset, variance + slopes[1] @ offset
        return float(log_expected_improvement(*moved, best)[0])

    value, gradient = log_expected_improvement_gradient(
        np.array([mean]), np.array([variance]), best, mean_gradient=slopes[0], variance_gradient=slopes[1]
    )
    numeric = [(at(step * axis) - at(-step * axis)) / (2.0 * step) for axis in np.eye(2)]
    assert value[0] == at(np.zeros(2))
    assert gradient[0] == pytest.approx(numeric, rel=1e-3, abs=1e-5)
