"""Optimizers: their updates written out, and what decays."""

import pytest
import torch
from torch import nn

from luthier.errors import SettingError
from luthier.nets import MLP
from luthier.training.losses import penalty
from luthier.training.optimizers import OPTIMIZERS, decay_groups, make_optimizer, rows_of_a_step, scaled_rate

LR, MOMENTUM, BETA2, EPS = 0.1, 0.9, 0.999, 1e-8


def updates(name, grads, **options):
    """The weights of a (1, 1) layer after each of some gradients."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = make_optimizer(model, name, lr=LR, momentum=MOMENTUM, **options)
    found = []
    for grad in grads:
        model.weight.grad = torch.full((1, 1), grad)
        optimizer.step()
        found.append(float(model.weight.detach()))
    return found


def written_out(name, grads, decay=0.0):
    """The textbook, in floats."""
    w, v, s, found = 1.0, 0.0, 0.0, []
    for t, g in enumerate(grads, 1):
        if name != "adamw":
            g += decay * w
        if name in ("full_batch", "stochastic", "sgd"):
            w -= LR * g
        elif name in ("momentum", "nesterov"):
            v = MOMENTUM * v + g
            w -= LR * (g + MOMENTUM * v if name == "nesterov" else v)
        elif name == "adagrad":
            s += g * g
            w -= LR * g / (s**0.5 + 1e-10)
        elif name == "rmsprop":
            s = BETA2 * s + (1 - BETA2) * g * g
            v = MOMENTUM * v + g / (s**0.5 + EPS)
            w -= LR * v
        else:
            w -= LR * decay * w if name == "adamw" else 0.0
            v, s = MOMENTUM * v + (1 - MOMENTUM) * g, BETA2 * s + (1 - BETA2) * g * g
            w -= LR * (v / (1 - MOMENTUM**t)) / ((s / (1 - BETA2**t)) ** 0.5 + EPS)
        found.append(w)
    return found


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_updates_are_those_of_the_textbook(name, decay):
    grads = [0.5, -0.2, 0.3, 0.3, -1.0]
    assert updates(name, grads, weight_decay=decay) == pytest.approx(written_out(name, grads, decay), rel=1e-4)


def test_biases_and_normalization_do_not_decay():
    decays, others = decay_groups(MLP(4, 2, depth=1, norm="batch", norm_place="after"), 0.1)
    assert all(p.dim() > 1 for p in decays["params"])
    assert others["weight_decay"] == 0.0
    assert len(decays["params"]) == 2
    assert len(others["params"]) == 4


def test_an_l2_penalty_is_weight_decay_for_descent_and_not_for_adam():
    def trained(name, l2, weight_decay):
        torch.manual_seed(0)
        model = MLP(4, 2, width=8)
        optimizer = make_optimizer(model, name, lr=0.01, weight_decay=weight_decay)
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
        for _ in range(10):
            optimizer.zero_grad()
            (model(x).square().mean() + penalty(model, l2=l2)).backward()
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    torch.testing.assert_close(trained("momentum", 0.1, 0.0), trained("momentum", 0.0, 0.1))
    torch.testing.assert_close(trained("adam", 0.1, 0.0), trained("adam", 0.0, 0.1))
    assert not torch.allclose(trained("adam", 0.1, 0.0), trained("adamw", 0.0, 0.1), atol=1e-4)


def test_full_batch_stochastic_and_mini_batch_differ_in_rows():
    assert rows_of_a_step("full_batch", 32, 500) == 500
    assert rows_of_a_step("stochastic", 32, 500) == 1
    assert rows_of_a_step("momentum", 32, 500) == 32
    assert rows_of_a_step("adam", 64, 50) == 50


def test_rates_are_scaled_by_their_rule():
    assert scaled_rate(0.1, 64) == 0.1
    assert scaled_rate(0.1, 16, rule="sqrt") == pytest.approx(0.05)
    assert scaled_rate(0.1, 16, rule="none") == 0.1


def test_unknown_names_are_told():
    with pytest.raises(SettingError, match="did you mean 'adamw'"):
        make_optimizer(nn.Linear(1, 1), "adamww")
    with pytest.raises(SettingError, match="did you mean 'linear'"):
        scaled_rate(0.1, 32, rule="linera")
