"""Losses: against PyTorch's, closed forms, and the law that means over parts give the mean over all."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from luthier.errors import SettingError
from luthier.training.losses import CrossEntropy, Regression, class_weights, penalty
from luthier.training.mixing import cutmix, mixup


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 5, generator=generator), torch.randint(5, (40,), generator=generator)


def hot(y):
    return functional.one_hot(y, 5).float()


WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 1.0, 0.5])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_pytorchs(batch, smoothing):
    logits, y = batch
    expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, y)
    torch.testing.assert_close(CrossEntropy(smoothing)(logits, y), expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"smoothing": 0.2},
        {"weights": WEIGHTS},
        {"focus": 2.0},
        {"focus": 1.0, "weights": WEIGHTS, "smoothing": 0.1},
    ],
)
def test_classes_and_their_shares_give_the_same(batch, options):
    logits, y = batch
    loss = CrossEntropy(**options)
    torch.testing.assert_close(loss(logits, y), loss(logits, hot(y)))


@pytest.mark.parametrize("options", [{}, {"weights": WEIGHTS, "smoothing": 0.1}, {"focus": 2.0, "weights": WEIGHTS}])
def test_the_mean_over_equal_parts_is_the_mean_over_all(batch, options):
    logits, y = batch
    loss = CrossEntropy(**options)
    parts = [loss(a, b) for a, b in zip(logits.split(10), y.split(10), strict=True)]
    torch.testing.assert_close(torch.stack(parts).mean(), loss(logits, y))


def test_the_focal_loss_in_closed_form(batch):
    logits, y = batch
    p = logits.softmax(1).gather(1, y[:, None])
    torch.testing.assert_close(CrossEntropy(focus=2.0)(logits, y), -((1 - p) ** 2 * p.log()).mean())
    almost_none = CrossEntropy(focus=1e-9)
    torch.testing.assert_close(almost_none(logits, y), CrossEntropy()(logits, y))


def test_ignored_places_of_sequences_do_not_count(batch):
    logits, y = batch
    padded = torch.cat([y.clamp(min=1).view(8, 5), torch.zeros(8, 2, dtype=torch.long)], 1)
    wide = torch.cat([logits.view(8, 5, 5), torch.randn(8, 2, 5)], 1)
    torch.testing.assert_close(CrossEntropy(ignore=0)(wide, padded), CrossEntropy()(logits, y.clamp(min=1)))


def test_balanced_classes_count_the_same_in_sum():
    y = torch.tensor([0] * 90 + [1] * 9 + [3])
    weights = class_weights(y, 5)
    counts = torch.tensor([90.0, 9, 0, 1, 0])
    torch.testing.assert_close(weights * counts, torch.tensor([100 / 3, 100 / 3, 0, 100 / 3, 0]))
    half = class_weights(y, 5, rule="sqrt")
    assert float((half * counts).sum()) == pytest.approx(100)
    assert float(half[1] / half[0]) == pytest.approx(10**0.5)


@pytest.mark.parametrize(
    ("kind", "theirs"), [("squared", nn.MSELoss), ("absolute", nn.L1Loss), ("huber", nn.HuberLoss)]
)
def test_regression_losses_are_pytorchs_whatever_the_last_axis(kind, theirs):
    outputs, y = torch.randn(9, 1), torch.randn(9)
    torch.testing.assert_close(Regression(kind)(outputs, y), theirs()(outputs[:, 0], y))


def test_penalties_in_closed_form():
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, -4.0]]))
    assert float(penalty(model, l1=0.1).detach()) == pytest.approx(0.7)
    assert float(penalty(model, l2=0.1).detach()) == pytest.approx(1.25)


def generator():
    return torch.Generator().manual_seed(3)


def test_mixup_blends_images_and_classes_by_the_same_share():
    y = torch.arange(5)
    x = hot(y)[:, :, None, None].expand(-1, -1, 4, 4).contiguous()  # an image tells its class
    mixed, shares = mixup(x, y, classes=5, alpha=0.5, generator=generator())
    torch.testing.assert_close(mixed.mean((2, 3)), shares)
    torch.testing.assert_close(shares.sum(1), torch.ones(5))


def test_cutmix_counts_classes_by_area():
    y = torch.arange(5)
    x = hot(y)[:, :, None, None].expand(-1, -1, 8, 8).contiguous()
    generator_ = generator()
    seen = set()
    for _ in range(20):
        mixed, shares = cutmix(x, y, classes=5, alpha=1.0, generator=generator_)
        torch.testing.assert_close(mixed.mean((2, 3)), shares)
        assert set(mixed.unique().tolist()) <= {0.0, 1.0}
        seen.add(round(float(shares.max()), 3))
    assert len(seen) > 5


def test_the_share_of_a_mix_is_beta_distributed():
    from luthier.training.mixing import _share

    source = generator()
    drawn = torch.tensor([_share(0.5, source) for _ in range(4000)])
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(drawn.var()) == pytest.approx(1 / (4 * (2 * 0.5 + 1)), abs=0.006)  # of Beta(a, a)


def test_unknown_names_are_told():
    with pytest.raises(SettingError, match="did you mean 'squared'"):
        Regression("sqared")
    with pytest.raises(SettingError, match="balanced"):
        class_weights(torch.tensor([0, 1]), 2, rule="fair")
