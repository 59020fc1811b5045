"""The batch-normalized last layer: what lengths and scales of features do to it, and that it learns how sure to be."""

import pytest
import torch

from luthier.errors import SettingError
from luthier.nets import NormalizedHead
from luthier.training import Settings, Trainer, make_optimizer


def test_scale_and_place_of_the_features_do_not_count():
    torch.manual_seed(0)
    head, x = NormalizedHead(8, 3), torch.randn(64, 8)
    torch.testing.assert_close(head(x * 50 + 7), head(x), rtol=1e-3, atol=1e-3)


def test_long_weights_win_nothing():
    torch.manual_seed(0)
    head, x = NormalizedHead(8, 3).eval(), torch.randn(64, 8)
    before = head(x)
    with torch.no_grad():
        head.weight[1] *= 100
    torch.testing.assert_close(head(x), before)


def test_scores_are_within_the_scale():
    head = NormalizedHead(8, 3, scale=5.0)
    assert head.scale == pytest.approx(5.0)
    assert float(head(100 * torch.randn(200, 8)).detach().abs().max()) <= 5.0001


def test_it_learns_to_be_surer_on_easy_data_than_on_noisy_labels():
    torch.manual_seed(0)
    x = torch.randn(800, 8)
    easy = (x[:, 0] > 0).long()
    noisy = torch.where(torch.rand(800) < 0.35, 1 - easy, easy)
    scales = []
    for y in (easy, noisy):
        model = NormalizedHead(8, 2, scale=4.0)
        trainer = Trainer(model, make_optimizer(model, "adam", lr=0.03), settings=Settings(epochs=12, batch_size=40))
        trainer.fit((x, y))
        scales.append(model.scale)
    assert scales[0] > 2 * scales[1]
    assert trainer.validate((x, easy))["acc"] > 0.85


def test_a_scale_that_is_not_positive_is_told():
    with pytest.raises(SettingError, match="positive"):
        NormalizedHead(4, 2, scale=0.0)
