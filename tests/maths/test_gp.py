import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.maths.gp import Hyperprior, LogPosterior, Posterior, Shape, fit
from luthier.maths.kernel import distance_tensor, matern, squared_distances


def shape_of(d: int, f: int) -> Shape:
    return Shape(np.arange(d), np.arange(f) % max(f, 1), d, f, 0.3 * np.arange(f))


def flat_prior(k: int) -> Hyperprior:
    return Hyperprior(np.zeros(k), np.full(k, 1e9), np.full(k, -12.0), np.full(k, 9.0))


def problem(seed: int, n: int = 12, d: int = 3, f: int = 2):
    rng = np.random.default_rng(seed)
    z, p = rng.random((n, d)), rng.normal(size=(n, f))
    theta = np.concatenate(
        [rng.normal(-0.5, 0.5, d), rng.normal(0.0, 0.5, 1), rng.uniform(-6, -2, 1), rng.normal(-1, 1, f)]
    )
    return rng, z, p, np.sin(4.0 * z.sum(axis=1)) + 0.3 * rng.normal(size=n), theta


def test_the_matern_correlation_and_slope_are_those_of_scikit_learn() -> None:
    from sklearn.gaussian_process.kernels import Matern

    x = np.random.default_rng(0).random((6, 2))
    value, slope = matern(squared_distances(x, x))
    assert value == pytest.approx(Matern(1.0, nu=2.5)(x), abs=1e-7)
    r2, step = np.linspace(0.1, 4.0, 9), 1e-6
    assert slope == pytest.approx(matern(squared_distances(x, x))[1])
    numeric = -2.0 * (matern(r2 + step)[0] - matern(r2 - step)[0]) / (2.0 * step)
    assert matern(r2)[1] == pytest.approx(numeric, rel=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_distances_by_group_add_up_to_the_whole(seed: int) -> None:
    z = np.random.default_rng(seed).normal(size=(5, 4))
    tensor = distance_tensor(z, np.array([0, 1, 1, 2]), 3)
    assert tensor.sum(axis=0) == pytest.approx(squared_distances(z, z), abs=1e-9)
    assert tensor[1] == pytest.approx(squared_distances(z[:, 1:3], z[:, 1:3]), abs=1e-9)


def test_likelihood_gradient_and_predictions_are_those_of_scikit_learn() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    _, z, _, y, theta = problem(1, f=0)
    shape, p = shape_of(3, 0), np.empty((len(y), 0))
    lengths, signal, noise = np.exp(theta[:3]), np.exp(theta[3]), np.exp(theta[4])
    ours = Posterior(shape, theta, z, p, y)
    kernel = ConstantKernel(signal) * Matern(lengths, nu=2.5) + WhiteKernel(noise)
    theirs = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8 * signal).fit(z, y - ours.mean)
    value, gradient = LogPosterior(shape, flat_prior(5), z, p, y).at(theta)
    likelihood, slope = theirs.log_marginal_likelihood(theirs.kernel_.theta, eval_gradient=True)
    assert -value == pytest.approx(likelihood + 0.5 * len(y) * np.log(2.0 * np.pi), rel=1e-9)
    assert -gradient == pytest.approx(slope[[1, 2, 3, 0, 4]], rel=1e-5)
    new = np.random.default_rng(2).random((7, 3))
    mean, variance = ours.predict(new, np.empty((7, 0)))
    expected, spread = theirs.predict(new, return_std=True)
    assert mean == pytest.approx(expected + ours.mean, abs=1e-8)
    assert variance + noise == pytest.approx(spread**2, abs=1e-6)


def test_main_effects_are_bayesian_linear_regression() -> None:
    rng, z, p, y, theta = problem(3)
    theta[3] = -18.0  # hardly any Matern part
    posterior = Posterior(shape_of(3, 2), theta, z, p, y)
    noise, weight = np.exp(theta[4]), np.exp(theta[5:])
    precision = p.T @ p / noise + np.diag(1.0 / weight)
    new = rng.normal(size=(4, 2))
    mean, variance = posterior.predict(rng.random((4, 3)), new)
    prior = np.array([0.0, 0.3])
    weights = prior + np.linalg.solve(precision, p.T @ (y - posterior.mean - p @ prior) / noise)
    assert mean == pytest.approx(posterior.mean + new @ weights, abs=1e-4)
    assert variance == pytest.approx(np.einsum("ij,jk,ik->i", new, np.linalg.inv(precision), new), rel=1e-3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_the_gradient_of_the_log_posterior_is_its_derivative(seed: int) -> None:
    _, z, p, y, theta = problem(seed)
    k = len(theta)
    prior = Hyperprior(np.zeros(k), np.full(k, 1.5), np.full(k, -12.0), np.full(k, 9.0))
    posterior = LogPosterior(shape_of(3, 2), prior, z, p, y)
    numeric = [(posterior.at(theta + e)[0] - posterior.at(theta - e)[0]) / 2e-5 for e in 1e-5 * np.eye(k)]
    assert posterior.at(theta)[1] == pytest.approx(numeric, rel=1e-3, abs=1e-3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_the_gradient_of_predictions_is_their_derivative(seed: int) -> None:
    rng, z, p, y, theta = problem(seed)
    posterior = Posterior(shape_of(3, 2), theta, z, p, y)
    at, step = np.concatenate([rng.random(3), rng.normal(size=2)]), 1e-5
    _, _, mean_slope, variance_slope = posterior.gradient(at[None, :3], at[None, 3:])
    for axis in range(5):
        left, right = at - step * np.eye(5)[axis], at + step * np.eye(5)[axis]
        (m0, v0), (m1, v1) = (posterior.predict(w[None, :3], w[None, 3:]) for w in (left, right))
        assert mean_slope[0, axis] == pytest.approx((m1 - m0)[0] / (2 * step), rel=1e-3, abs=1e-4)
        assert variance_slope[0, axis] == pytest.approx((v1 - v0)[0] / (2 * step), rel=1e-3, abs=1e-4)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(max_examples=25)
def test_believing_in_pending_points_equals_a_posterior_computed_afresh(seed: int, pending: int) -> None:
    rng, z, p, y, theta = problem(seed)
    shape = shape_of(3, 2)
    posterior = Posterior(shape, theta, z, p, y)
    more, effects = rng.random((pending, 3)), rng.normal(size=(pending, 2))
    expected, _ = posterior.predict(more, effects)
    afresh = Posterior(shape, theta, np.vstack([z, more]), np.vstack([p, effects]), np.concatenate([y, expected]))
    extended = posterior.believe(more, effects)
    new = rng.random((6, 3)), rng.normal(size=(6, 2))
    for ours, theirs in zip(extended.predict(*new), afresh.predict(*new), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    assert extended.predict(*new)[0] == pytest.approx(posterior.predict(*new)[0], abs=1e-8)
    assert (extended.predict(*new)[1] <= posterior.predict(*new)[1] + 1e-9).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(max_examples=25)
def test_awaiting_points_leaves_the_forecast_and_tells_the_variance_and_slopes_to_come(seed: int, pending: int) -> None:
    rng, z, p, y, theta = problem(seed)
    now = Posterior(shape_of(3, 2), theta, z, p, y)
    more, effects = rng.random((pending, 3)), rng.normal(size=(pending, 2))
    awaiting, then = now.awaiting(more, effects), now.believe(more, effects)
    new = rng.random((6, 3)), rng.normal(size=(6, 2))
    mean, variance, left = awaiting.predict(*new)
    assert mean == pytest.approx(now.predict(*new)[0], abs=1e-9)
    assert variance == pytest.approx(now.predict(*new)[1], rel=1e-6)
    assert left == pytest.approx(then.predict(*new)[1], rel=1e-6)
    sloped, known, told = awaiting.gradient(*new), now.gradient(*new), then.gradient(*new)
    for ours, theirs in zip(sloped, (known[0], known[1], told[1], known[2], known[3], told[3]), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-8)


def test_fitting_finds_which_parameter_matters() -> None:
    rng = np.random.default_rng(0)
    z = rng.random((40, 3))
    y = np.sin(6.0 * z[:, 1])
    k = 5
    prior = Hyperprior(np.array([0.0, 0, 0, 0, -6]), np.array([2.0, 2, 2, 1, 2]), np.full(k, -12.0), np.full(k, 6.0))
    posterior = LogPosterior(shape_of(3, 0), prior, z, np.empty((40, 0)), (y - y.mean()) / y.std())
    theta = fit(posterior, prior.mean[None] - np.array([1.0, 1, 1, 0, 0]), steps=60)
    assert theta[1] < min(theta[0], theta[2]) - 1.0
    assert posterior.at(theta)[0] < posterior.at(prior.mean)[0]


def test_a_covariance_that_is_not_definite_raises() -> None:
    theta = np.array([0.0, 0.0, -9.0])
    z = np.full((3, 1), np.nan)
    with pytest.raises(FloatingPointError, match="not positive definite"):
        Posterior(shape_of(1, 0), theta, z, np.empty((3, 0)), np.zeros(3))
