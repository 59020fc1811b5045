"""Sobol indices against closed forms."""

import numpy as np
import pytest

from luthier.maths.sensitivity import closed_indices


def samples(n, d):
    rng = np.random.default_rng(3)
    return rng.random((n, d)), rng.random((n, d))


def test_the_ishigami_function_has_its_known_indices():
    def ishigami(u):
        x = np.pi * (2 * u - 1)
        return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])

    shares, variance = closed_indices(ishigami, *samples(100_000, 3), [(0,), (1,), (2,), (0, 2)])
    assert shares == pytest.approx([0.3139, 0.4424, 0.0, 0.5576], abs=0.02)
    assert variance == pytest.approx(13.845, rel=0.02)


def test_all_variables_together_explain_everything():
    shares, _ = closed_indices(lambda u: np.exp(u.sum(axis=1)), *samples(5_000, 4), [(0, 1, 2, 3)])
    assert shares[0] == pytest.approx(1.0, abs=0.05)


def test_a_constant_has_no_shares():
    shares, variance = closed_indices(lambda u: np.ones(len(u)), *samples(100, 2), [(0,), (1,)])
    assert (shares.tolist(), variance) == ([0.0, 0.0], 0.0)
