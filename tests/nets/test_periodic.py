"""Periodic embeddings of numbers: the formula, and what a perceptron can learn with them."""

import math

import torch

from luthier.nets import TabularNet
from luthier.nets.periodic import Periodic
from luthier.training import Settings, Trainer, make_optimizer


def test_each_number_becomes_itself_and_a_mixture_of_its_own_waves():
    torch.manual_seed(0)
    net = Periodic(2, frequencies=3, size=4)
    x = torch.tensor([[0.3, -1.2]])
    expected = [x]
    for column in range(2):
        angles = [2 * math.pi * float(c) * float(x[0, column]) for c in net.frequencies[column].tolist()]
        waves = torch.tensor([*map(math.sin, angles), *map(math.cos, angles)])
        expected.append((net.mix.weight @ waves + net.mix.bias).relu()[None])
    torch.testing.assert_close(net(x), torch.cat(expected, 1))
    assert net(x).shape == (1, net.width)


def test_a_perceptron_learns_stripes_only_with_them():
    x = torch.rand(1500, 1, generator=torch.Generator().manual_seed(0)) * 6 - 3
    y = (x[:, 0] * 3).floor().long() % 2

    def accuracy(size):
        torch.manual_seed(1)
        net = TabularNet(1, [], 2, width=32, periodic=size, spread=1.0)
        trainer = Trainer(net, make_optimizer(net, "adam", lr=0.01), settings=Settings(epochs=12))
        return trainer.fit((x[:1000], y[:1000]), (x[1000:], y[1000:]))[-1]["acc"]

    assert accuracy(8) > 0.9
    assert accuracy(0) < 0.8


def test_wide_tables_get_fewer_waves():
    def inputs(columns):
        return TabularNet(columns, [], 2, width=4, periodic=8).mlp.layers[1][0].in_features

    assert inputs(10) == 90
    assert inputs(400) == 400 * 3
    assert inputs(1500) == 1500
