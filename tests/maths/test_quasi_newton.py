import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize as reference
from scipy.optimize import rosen, rosen_der

from luthier.maths.quasi_newton import minimize


def rosenbrock(x, starts):
    return np.array([rosen(row) for row in x]), np.array([rosen_der(row) for row in x])


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_a_convex_quadratic_is_minimized_in_its_box_as_scipy_does(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d))
    hessian, slope = root @ root.T + 0.1 * np.eye(d), rng.normal(size=d) * 3.0

    def function(x, starts):
        return 0.5 * np.einsum("bi,ij,bj->b", x, hessian, x) + x @ slope, x @ hessian + slope

    start = rng.uniform(-1.0, 1.0, (3, d))
    _, values = minimize(
        function, start, low=np.full(d, -1.0), high=np.ones(d), steps=300, gradient_tolerance=1e-7, value_tolerance=0.0
    )
    single = lambda x: tuple(part[0] for part in function(x[None], None))  # noqa: E731
    best = reference(single, start[0], jac=True, method="L-BFGS-B", bounds=[(-1, 1)] * d, options={"ftol": 1e-14})
    assert values.min() == pytest.approx(best.fun, abs=1e-4)


def test_a_curved_valley_is_followed_to_a_bound() -> None:
    start = np.random.default_rng(0).uniform(-2.0, 0.8, (5, 4))
    ends, values = minimize(
        rosenbrock, start, low=np.full(4, -2.0), high=np.full(4, 0.8), steps=300, value_tolerance=1e-12,
        gradient_tolerance=1e-6,
    )  # fmt: skip
    assert values.min() == pytest.approx(0.50261844, abs=1e-6)
    assert (ends <= 0.8).all()


@given(st.integers(0, 2**32 - 1))
def test_no_start_point_ends_higher_and_none_minds_the_others(seed: int) -> None:
    start = np.random.default_rng(seed).uniform(-2.0, 2.0, (4, 3))
    box = {"low": np.full(3, -2.0), "high": np.full(3, 2.0), "steps": 20}
    ends, values = minimize(rosenbrock, start, **box)
    assert (values <= rosenbrock(start, None)[0]).all()
    alone = [minimize(rosenbrock, row[None], **box) for row in start]
    assert ends == pytest.approx(np.vstack([x for x, _ in alone]))
    assert values == pytest.approx(np.concatenate([v for _, v in alone]))


def test_a_wall_of_infinite_values_is_stepped_back_from() -> None:
    def function(x, starts):
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(x[:, 0] > 0.0, x[:, 0] - np.log(x[:, 0]), np.inf), 1.0 - 1.0 / x

    ends, _ = minimize(function, np.array([[5.0]]), low=np.array([-9.0]), high=np.array([9.0]), value_tolerance=1e-9)
    assert ends[0, 0] == pytest.approx(1.0, abs=1e-2)


def test_the_arguments_stay_as_they_are() -> None:
    start = np.array([[1.5, -1.0]])
    minimize(rosenbrock, start, low=np.full(2, -2.0), high=np.full(2, 2.0))
    assert start.tolist() == [[1.5, -1.0]]
