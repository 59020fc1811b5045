"""Initial weights: their variance, and what they are for."""

import math

import pytest
import torch
from torch import nn

from luthier.nets import MLP, initialize
from luthier.nets.init import draw


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("scheme", "shape", "std"),
    [
        ("normal", (300, 200), 0.05),
        ("he", (300, 200), math.sqrt(2 / 200)),
        ("xavier", (300, 200), math.sqrt(2 / 500)),
        ("he", (60, 50, 3, 3), math.sqrt(2 / 450)),
        ("xavier", (60, 50, 3, 3), math.sqrt(2 / (450 + 540))),
    ],
)
def test_weights_have_the_deviation_of_their_scheme(scheme, shape, std):
    weight = draw(torch.empty(shape), scheme, generator())
    assert float(weight.std()) == pytest.approx(std, rel=0.02)
    assert abs(float(weight.mean())) < 0.02 * std * 10


def test_orthogonal_weights_are_orthogonal_with_the_gain_of_relu():
    weight = draw(torch.empty(20, 50), "orthogonal", generator())
    assert torch.allclose(weight @ weight.T, 2 * torch.eye(20), atol=1e-5)


def test_he_keeps_the_size_of_a_signal_through_many_layers_and_a_small_normal_loses_it():
    x = torch.randn(100, 64, generator=generator())
    sizes = {}
    for scheme in ("he", "normal"):
        torch.manual_seed(0)
        sizes[scheme] = float(MLP(64, 64, depth=20, width=256, init=scheme)(x).detach().std())
    assert 0.2 < sizes["he"] < 5
    assert sizes["normal"] < 0.05


def test_biases_are_zero_padding_stays_zero_and_recurrent_weights_are_orthogonal_by_gate():
    net = nn.ModuleDict({"gru": nn.GRU(6, 5), "embed": nn.Embedding(9, 4, padding_idx=0), "out": nn.Linear(5, 2)})
    initialize(net, "xavier", generator=generator())
    assert not net["out"].bias.any()
    assert not net["gru"].bias_hh_l0.any()
    assert not net["embed"].weight[0].any()
    for gate in net["gru"].weight_hh_l0.split(5):
        assert torch.allclose(gate @ gate.T, torch.eye(5), atol=1e-5)


def test_the_generator_decides():
    one, two = (initialize(nn.Linear(4, 4), "he", generator=generator()).weight for _ in range(2))
    assert torch.equal(one, two)
