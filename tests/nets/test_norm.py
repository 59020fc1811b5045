"""Normalization: against PyTorch's, and what the accumulated kind is for."""

import pytest
import torch
from torch import nn

from luthier.nets.norm import AccumulatedNorm, norm_layer


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_at_first_accumulated_normalization_is_batch_normalization(dims):
    x = torch.randn(16, 5, *[6] * dims) * 3 + 2
    torch.testing.assert_close(AccumulatedNorm(5)(x), norm_layer("batch", 5, dims=dims)(x))


def test_in_evaluation_accumulated_normalization_is_batch_normalization_with_the_same_statistics():
    ours, theirs = AccumulatedNorm(5), nn.BatchNorm1d(5)
    theirs.running_mean.copy_(ours.running_mean.normal_())
    theirs.running_var.copy_(ours.running_var.uniform_(0.5, 2))
    x = torch.randn(3, 5)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_after_a_while_small_batches_come_out_in_training_as_they_do_in_evaluation():
    torch.manual_seed(0)
    ours, theirs = AccumulatedNorm(8, momentum=0.02, warm=100), nn.BatchNorm1d(8, momentum=0.02)
    for _ in range(600):
        x = 2 * torch.randn(4, 8) + 1
        ours(x), theirs(x)
    x = 2 * torch.randn(4, 8) + 1

    def gap(layer):
        layer.train()
        trained = layer(x)
        return float((trained - layer.eval()(x)).detach().abs().mean())

    assert gap(ours) < 0.1 * gap(theirs)


def test_gradients_through_the_batch_are_those_of_the_formula():
    layer = AccumulatedNorm(3, warm=1).double()
    layer.batches += 5
    x = torch.randn(6, 3, dtype=torch.double, requires_grad=True)
    state = {n: b.clone() for n, b in layer.named_buffers()}

    def forward(x):
        for n, b in layer.named_buffers():
            b.copy_(state[n])
        return layer(x)

    r_and_d_are_constants = forward(x)
    grads = torch.autograd.grad(r_and_d_are_constants.square().sum(), x)[0]
    variance, mean = torch.var_mean(x, 0, correction=0)
    deviation = (variance + 1e-5).sqrt()
    r = (deviation / (state["running_var"] + 1e-5).sqrt()).clamp(1 / 3, 3).detach()
    d = ((mean - state["running_mean"]) / (state["running_var"] + 1e-5).sqrt()).clamp(-5, 5).detach()
    written_out = (x - mean) / deviation * r + d
    torch.testing.assert_close(written_out, r_and_d_are_constants)
    torch.testing.assert_close(grads, torch.autograd.grad(written_out.square().sum(), x)[0])


def test_group_normalization_takes_the_most_groups_that_fit():
    assert norm_layer("group", 24).num_groups == 8
    assert norm_layer("group", 7).num_groups == 7
    assert norm_layer("group", 11).num_groups == 1
    assert norm_layer("layer", 24).num_groups == 1
