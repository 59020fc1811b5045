"""An average of the weights: its equation, going on to the bit, and who has it when."""

import copy

import pytest
import torch
from torch import nn

from luthier.errors import SettingError
from luthier.nets import MLP, VGG
from luthier.training import Settings, Trainer, babysit_trainer, make_optimizer
from luthier.training.average import Average


def data(n=120, shape=(8,)):
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))
    return x, (x.flatten(1)[:, 0] > 0).long()


def trainer(model=None, **settings):
    torch.manual_seed(1)
    model = model or MLP(8, 2, width=16, dropout=0.3, norm="batch")
    settings = {"epochs": 4, "batch_size": 16, "ema": 0.9, **settings}
    return Trainer(model, make_optimizer(model, "adam", lr=0.01), settings=Settings(**settings))


def values(model):
    return torch.cat([v.detach().flatten().double() for v in model.state_dict().values()])


def test_the_average_follows_its_equation():
    model = nn.Linear(2, 1, bias=False)
    average, mean = Average(model, 0.6), model.weight.detach().clone()
    for step in range(1, 15):
        with torch.no_grad():
            model.weight += torch.tensor([[float(step), -1.0]])
        average.update()
        kept = min(0.6, (1 + step) / (10 + step))
        mean = kept * mean + (1 - kept) * model.weight.detach()
    own = model.weight.detach().clone()
    assert average.use(True) is False
    torch.testing.assert_close(model.weight.detach(), mean)
    assert average.use(False) is True
    assert torch.equal(model.weight, own)


def test_an_average_that_keeps_nothing_is_the_network_itself():
    plain, averaged = trainer(ema=0.0), trainer(ema=0.9)
    averaged._average.decay = 0.0
    assert plain.fit(data(), data(40)) == averaged.fit(data(), data(40))
    assert torch.equal(values(plain.model), values(averaged.model))


def test_the_weights_that_are_trained_are_the_same_with_and_without_an_average():
    plain, averaged = trainer(ema=0.0), trainer(ema=0.9)
    for one in (plain, averaged):
        one.fit(data(), data(40))
    assert [found["loss"] for found in plain.curve] == [found["loss"] for found in averaged.curve]
    assert plain.curve != averaged.curve  # the scores are the average's
    assert not torch.equal(values(plain.model), values(averaged.model))
    model = averaged.state_dict()["model"]
    for name, value in plain.state_dict()["model"].items():
        assert torch.equal(value, model[name])


def test_scores_predictions_and_the_network_at_the_end_are_the_averages():
    one = trainer()
    one.fit(data(), data(40))
    assert one.validate(data(40)) == {n: v for n, v in one.curve[-1].items() if n != "loss"}
    one.model.eval()
    with torch.no_grad():
        torch.testing.assert_close(one.model(data(40)[0]), one.predict(data(40)[0]))


@pytest.mark.parametrize("net", ["mlp", "images"])
def test_a_resumed_training_equals_the_uninterrupted_to_the_bit(net):
    def made():
        torch.manual_seed(1)
        return trainer(VGG((1, 8, 8), 2, depth=2, width=4)) if net == "images" else trainer()

    shape = (1, 8, 8) if net == "images" else (8,)
    train, valid = data(shape=shape), data(40, shape)
    whole, cut, rest = made(), made(), made()
    whole.fit(train, valid)
    for epoch in range(2):
        cut.curve.append(cut.epoch(train, epoch) | cut.validate(valid))
    rest.load_state_dict(copy.deepcopy(cut.state_dict()))
    rest.fit(train, valid)
    assert rest.curve == whole.curve
    assert torch.equal(values(rest.model), values(whole.model))


def test_an_epoch_more_goes_on_with_the_networks_own_weights():
    whole, more = trainer(), trainer()
    for epoch in range(4):
        whole.epoch(data(), epoch)
        more.epoch(data(), epoch)
        more.settle()
    whole.settle()
    assert torch.equal(values(whole.model), values(more.model))


def test_patience_keeps_the_averaged_weights_of_the_best_epoch():
    one = trainer(epochs=60, patience=2)
    one.fit(data(40), data(200))
    best = min(found["valid_loss"] for found in one.curve)
    assert one.ended
    assert one.validate(data(200))["valid_loss"] == pytest.approx(best, abs=1e-6)


def test_statistics_of_batch_normalization_go_with_the_averaged_weights():
    one = trainer()
    one.fit(data())
    state = one.state_dict()["model"]
    names = [name for name in state if name.endswith("running_mean")]
    assert names
    for name in names:
        assert not torch.equal(state[name], one.model.state_dict()[name])
    counts = [name for name in state if name.endswith("num_batches_tracked")]
    assert all(torch.equal(state[name], one.model.state_dict()[name]) for name in counts)


@pytest.mark.parametrize("wrong", [-0.1, 1.0, 1.5])
def test_a_share_out_of_range_is_told(wrong):
    with pytest.raises(SettingError, match="ema is a share from 0 "):
        Settings(ema=wrong)


def test_panda_mode_takes_no_average():
    with pytest.raises(SettingError, match="leave ema out"):
        babysit_trainer(trainer(), data())
