"""Retraining: the same to the bit after an interruption; checkpoints of something else are not used."""

import errno

import pytest
import torch

from luthier.estimators.retraining import Diverged, Retraining, begun
from luthier.recipes import recipe

RECIPE = recipe("tabular", epochs=8)


def plan():
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    return RECIPE.plan(RECIPE.default, (x, (x[:, 0] > 0).long()), classes=2, seed=1)


def weights(made):
    return torch.cat([p.detach().flatten() for p in made.trainer.model.parameters()])


def test_an_interrupted_retraining_goes_on_to_the_bit(tmp_path):
    whole, cut, rest, place = plan(), plan(), plan(), tmp_path / "retraining" / "0"
    whole.fit(None, run=Retraining(6))
    cut.fit(None, run=Retraining(3, directory=place, what={"trial": 1}, every_s=0.0))
    again = Retraining(6, directory=place, what={"trial": 1}, every_s=0.0)
    rest.fit(None, run=again)
    assert len(rest.trainer.curve) == 6
    torch.testing.assert_close(weights(rest), weights(whole), rtol=0, atol=0)
    assert not torch.equal(weights(cut), weights(whole))
    again.discard()
    assert not place.exists()


def test_a_retraining_that_came_to_its_end_is_not_begun_again(tmp_path):
    made, later = plan(), plan()
    ended = Retraining(4, directory=tmp_path, what={"trial": 1}, every_s=1e9)
    made.fit(None, run=ended)
    ended.finish()
    again = Retraining(4, directory=tmp_path, what={"trial": 1})
    later.fit(None, run=again)
    torch.testing.assert_close(weights(later), weights(made), rtol=0, atol=0)
    assert ended.epoch_s > 0.0 == again.epoch_s


def test_where_the_time_is_short_the_schedule_ends_with_the_last_epoch_that_fits():
    made, asked, now = plan(), [], [0.0]
    rates = made.trainer._set_rates

    def watched(steps):
        now[0] += 1.0  # an epoch has one step
        rates(steps)
        asked.append(made.trainer.optimizer.param_groups[0]["lr"])

    made.trainer._set_rates = watched
    made.fit(None, run=(loop := Retraining(8, until=4.5, clock=lambda: now[0])))
    assert len(made.trainer.curve) == loop.epochs == 4
    assert asked[-1] < 0.5 * max(asked)


def test_a_shortened_retraining_goes_on_to_the_bit(tmp_path):
    whole, cut, rest = plan(), plan(), plan()
    first = Retraining(6)
    for epoch in first.steps(6):  # as `fit` counts, shortened after two epochs
        if epoch == 0:
            first.keep(trainer=whole.trainer)
        if epoch == 2:
            first._shorten(4)
        whole.trainer.curve.append(whole.trainer.epoch(whole.train, epoch))
    stopped = Retraining(6, directory=tmp_path)
    for epoch in stopped.steps(6):
        if epoch == 0:
            stopped.keep(trainer=cut.trainer)
        if epoch == 2:
            stopped._shorten(4)
            stopped._write(tmp_path)
            break
        cut.trainer.curve.append(cut.trainer.epoch(cut.train, epoch))
    rest.fit(None, run=Retraining(6, directory=tmp_path))
    assert len(rest.trainer.curve) == 4
    torch.testing.assert_close(weights(rest), weights(whole), rtol=0, atol=0)


def test_an_interrupted_retraining_says_for_how_many_epochs_it_was_begun(tmp_path):
    stopped, what = Retraining(7, directory=tmp_path, what={"trial": 1}, every_s=0.0), {"trial": 1}
    for epoch in stopped.steps(7):
        stopped._shorten(5)
        if epoch == 2:
            break
    assert begun(tmp_path, what) == 7
    assert begun(tmp_path, {"trial": 2}) == begun(None, what) == begun(tmp_path / "none", what) == 0


def test_the_first_epoch_does_not_shorten_a_retraining():
    times = iter([0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    loop = Retraining(7, until=9.0, clock=lambda: next(times))
    assert len(list(loop.steps(7))) == 6  # by the mean of three; by the first there would be four


def test_a_full_disk_costs_the_checkpoints_and_not_the_network(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    whole, made = plan(), plan()
    whole.fit(None, run=Retraining(4))
    monkeypatch.setattr("luthier.estimators.retraining.checkpoint.write", full)
    loop = Retraining(4, directory=tmp_path, every_s=0.0)
    made.fit(None, run=loop)
    loop.finish()
    torch.testing.assert_close(weights(made), weights(whole), rtol=0, atol=0)
    assert loop.note == "retraining keeps no checkpoints any more: No space left on device"


def test_a_retraining_for_which_there_is_no_time_ends_at_once():
    times = iter([0.0, *(float(n) for n in range(1, 20))])
    loop = Retraining(20, until=10.0, least=16.0, clock=lambda: next(times))
    assert len(list(loop.steps(20))) == 3  # by then it is known that ten fit
    assert loop.epochs < 16


def test_checkpoints_of_another_training_are_not_used(tmp_path):
    plan().fit(None, run=Retraining(3, directory=tmp_path, what={"trial": 1}, every_s=0.0))
    made = plan()
    made.fit(None, run=Retraining(2, directory=tmp_path, what={"trial": 2}))
    assert len(made.trainer.curve) == 2


def test_a_loss_that_is_not_finite_is_told():
    with pytest.raises(Diverged, match="no longer finite"):
        Retraining(2).report({"loss": float("nan")})
