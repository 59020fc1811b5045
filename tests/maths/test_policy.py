import numpy as np
import pytest

from luthier.maths.policy import Policy

SIZES = np.array([2, 3, 2])


def random_policy(seed: int = 0) -> Policy:
    policy = Policy.uniform(SIZES)
    return policy.moved(np.arange(8), np.random.default_rng(seed).normal(size=policy.weights.shape))


def sequences() -> list[np.ndarray]:
    return [np.array(c) for c in np.ndindex(*SIZES)]


def test_probabilities_sum_to_one():
    assert sum(np.exp(random_policy().gradient(c)[0]) for c in sequences()) == pytest.approx(1.0)


def test_samples_follow_the_probabilities():
    policy = random_policy(1)
    drawn = policy.sample(50_000, np.random.default_rng(0))
    for choices in sequences():
        share = np.mean((drawn == choices).all(axis=1))
        assert share == pytest.approx(np.exp(policy.gradient(choices)[0]), abs=0.01)


def test_the_gradient_is_that_of_finite_differences():
    policy, choices = random_policy(2), np.array([1, 2, 0])
    _, rows, some_pull, some_spread = policy.gradient(choices)
    pull, spread = np.zeros((2, *policy.weights.shape))
    pull[rows], spread[rows] = some_pull, some_spread
    for i, j in [(-1, 0), (-1, 3), (1, 2), (1, 5), (4, 6), (0, 2), (6, 0)]:
        step = np.zeros_like(policy.weights)
        step[i, j] = 1e-6
        up, down = policy.moved(np.arange(8), step), policy.moved(np.arange(8), -step)
        slope = (up.gradient(choices)[0] - down.gradient(choices)[0]) / 2e-6
        assert pull[i, j] == pytest.approx(slope, abs=1e-6)
        assert spread[i, j] == pytest.approx((entropy(up, choices) - entropy(down, choices)) / 2e-6, abs=1e-6)


def entropy(policy: Policy, choices: np.ndarray) -> float:
    """Sum of the entropies of the positions, given the choices before."""
    total, before = 0.0, np.full(3, -1)
    for j, k in enumerate(SIZES):
        base = policy.gradient(before)[0]
        logs = np.array([policy.gradient(np.where(np.arange(3) == j, c, before))[0] - base for c in range(k)])
        total -= float(np.exp(logs) @ logs)
        before[j] = choices[j]
    return total


def test_positions_that_were_not_used_teach_nothing():
    log, rows, pull, spread = random_policy().gradient(np.array([1, -1, 0]))
    assert np.isfinite(log)
    assert rows.tolist() == [7, 1, 5]
    assert not pull[:, 2:5].any()
    assert not spread[:, 2:5].any()
    assert not pull[1:, :2].any()  # the first position hangs on the constant alone
