"""Feature scaling: against scikit-learn's, and back again."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from luthier.errors import SettingError
from luthier.training.scaling import SCALINGS, Scaler, quantiles


def table(seed=0, n=200):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(5, 3, n), rng.exponential(2, n), rng.integers(0, 4, n).astype(float)])


@pytest.mark.parametrize("kind", ["standard", "robust"])
def test_centered_scalings_are_scikit_learns(kind):
    theirs = {"standard": StandardScaler(), "robust": RobustScaler()}[kind].fit(table())
    ours = Scaler(kind).fit(torch.tensor(table()))
    assert ours.transform(torch.tensor(table(1))).numpy() == pytest.approx(theirs.transform(table(1)))


@given(st.integers(0, 1000), st.integers(5, 300))
def test_the_quantile_scaling_is_scikit_learns_but_for_the_ends(seed, n):
    known, fresh = table(seed, n)[:, :2], table(seed + 1, 50)[:, :2]
    theirs = QuantileTransformer(n_quantiles=n, output_distribution="normal").fit(known).transform(fresh)
    ours = Scaler("quantile").fit(torch.tensor(known)).transform(torch.tensor(fresh)).numpy()
    edge = norm.ppf(1 - 0.5 / n)
    assert ours == pytest.approx(np.clip(theirs, -edge, edge), abs=1e-6)


@given(st.integers(0, 1000), st.integers(5, 300))
def test_values_that_occur_often_get_the_middle_of_their_shares(seed, n):
    x = np.sort(table(seed, n)[:, 2])
    ours = Scaler("quantile").fit(torch.tensor(x[:, None])).transform(torch.tensor(x[:, None])).flatten().numpy()
    for value in set(x.tolist()) if x[0] < x[-1] else ():
        (places,) = np.nonzero(x == value)
        middle = 0.5 * (places[0] + places[-1]) / (n - 1)
        assert ours[places] == pytest.approx(norm.ppf(np.clip(middle, 0.5 / n, 1 - 0.5 / n)))


@given(st.sampled_from(SCALINGS), st.integers(0, 1000))
def test_the_inverse_undoes_it(kind, seed):
    x = torch.tensor(table(seed))
    scaler = Scaler(kind).fit(x)
    torch.testing.assert_close(scaler.inverse(scaler.transform(x)), x)


@pytest.mark.parametrize("kind", ["standard", "robust", "quantile"])
def test_missing_values_do_not_count_and_become_the_middle(kind):
    whole = torch.tensor(table())
    holes = torch.cat([whole, torch.full((30, 3), torch.nan, dtype=torch.double)])
    scaled = Scaler(kind).fit(holes).transform(holes)
    if kind != "quantile":  # whose table has more entries with more rows
        torch.testing.assert_close(scaled[:200], Scaler(kind).fit(whole).transform(whole))
    assert not scaled[200:].any()
    assert scaled.isfinite().all()


@pytest.mark.parametrize("kind", ["standard", "robust", "quantile"])
def test_a_column_that_does_not_vary_becomes_zero(kind):
    x = torch.cat([torch.full((50, 1), 3.7), torch.full((50, 1), torch.nan), torch.zeros(50, 1)], 1)
    assert not Scaler(kind).fit(x).transform(x).any()


@pytest.mark.parametrize("kind", SCALINGS)
def test_a_scaler_is_its_state(kind):
    x = torch.tensor(table()).float()
    ours, other = Scaler(kind).fit(x), Scaler()
    other.load_state_dict(ours.state_dict())
    assert torch.equal(other.transform(x), ours.transform(x))
    assert other.transform(x).dtype == torch.float32


def test_quantiles_are_numpys():
    x = np.random.default_rng(0).normal(size=(33, 4))
    x[:7, 1] = np.nan
    shares = np.linspace(0, 1, 11)
    assert quantiles(torch.tensor(x), torch.tensor(shares)).numpy() == pytest.approx(np.nanquantile(x, shares, axis=0))


def test_images_are_scaled_pixel_by_pixel():
    x = torch.rand(60, 1, 4, 4)
    scaled = Scaler().fit(x).transform(x)
    assert scaled.shape == x.shape
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(1, 4, 4))


def test_mistakes_are_told():
    with pytest.raises(SettingError, match="did you mean 'robust'"):
        Scaler("robst")
    with pytest.raises(SettingError, match="call fit"):
        Scaler().transform(torch.zeros(2, 2))
