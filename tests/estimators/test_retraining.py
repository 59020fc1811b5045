"""Retraining: the same to the bit after an interruption; checkpoints of something else are not used."""

import pytest
import torch

from luthier.estimators.retraining import Diverged, Retraining
from luthier.recipes import recipe

RECIPE = recipe("tabular", epochs=8)


def plan():
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    return RECIPE.plan(RECIPE.default, (x, (x[:, 0] > 0).long()), classes=2, seed=1)


def weights(made):
    return torch.cat([p.detach().flatten() for p in made.trainer.model.parameters()])


def test_an_interrupted_retraining_goes_on_to_the_bit(tmp_path):
    whole, cut, rest = plan(), plan(), plan()
    whole.fit(None, run=Retraining(6))
    cut.fit(None, run=Retraining(3, directory=tmp_path, what={"trial": 1}, every_s=0.0))
    again = Retraining(6, directory=tmp_path, what={"trial": 1}, every_s=0.0)
    rest.fit(None, run=again)
    assert len(rest.trainer.curve) == 6
    torch.testing.assert_close(weights(rest), weights(whole), rtol=0, atol=0)
    assert not torch.equal(weights(cut), weights(whole))
    again.discard()
    assert not tmp_path.exists()


def test_checkpoints_of_another_training_are_not_used(tmp_path):
    plan().fit(None, run=Retraining(3, directory=tmp_path, what={"trial": 1}, every_s=0.0))
    made = plan()
    made.fit(None, run=Retraining(2, directory=tmp_path, what={"trial": 2}))
    assert len(made.trainer.curve) == 2


def test_a_loss_that_is_not_finite_is_told():
    with pytest.raises(Diverged, match="no longer finite"):
        Retraining(2).report({"loss": float("nan")})
