"""A step without preparations is the optimizer's own step, to the bit."""

import copy

import pytest
import torch
from torch import nn

from luthier.nets import MLP
from luthier.training.fused import Step, hooked
from luthier.training.optimizers import OPTIMIZERS, make_optimizer


def twins(name, **options):
    torch.manual_seed(0)
    one = MLP(5, 3, width=8, norm="batch")
    two = copy.deepcopy(one)
    options = {"lr": 0.05, "weight_decay": 0.01, **options}
    return (one, make_optimizer(one, name, **options)), (two, make_optimizer(two, name, **options))


def backward(model, at):
    x = torch.randn(16, 5, generator=torch.Generator().manual_seed(at))
    model.zero_grad()
    model(x).square().mean().backward()


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_does_what_the_optimizer_does_to_the_bit(name):
    (one, ours), (two, theirs) = twins(name)
    step = Step(ours)
    for at in range(6):
        for model in (one, two):
            backward(model, at)
        for optimizer in (ours, theirs):
            for group in optimizer.param_groups:
                group["lr"] = 0.05 / (at + 1)
        step()
        theirs.step()
        assert same(one, two)
    assert str(ours.state_dict()) == str(theirs.state_dict())


@pytest.mark.parametrize("name", ["adamw", "momentum"])
def test_a_state_that_is_loaded_in_between_counts(name):
    (one, ours), (two, theirs) = twins(name)
    step = Step(ours)
    kept = None
    for at in range(6):
        for model in (one, two):
            backward(model, at)
        step()
        theirs.step()
        if at == 1:
            kept = copy.deepcopy((one.state_dict(), ours.state_dict()))
        if at == 3:
            for model, optimizer in ((one, ours), (two, theirs)):
                model.load_state_dict(kept[0])
                optimizer.load_state_dict(copy.deepcopy(kept[1]))
    assert same(one, two)


def test_hooks_of_the_optimizer_are_called():
    (one, ours), _ = twins("adam")
    step, called = Step(ours), []
    for at in range(4):
        if at == 2:
            ours.register_step_post_hook(lambda *_: called.append(1))
        backward(one, at)
        step()
    assert hooked(ours)
    assert len(called) == 2


def test_a_part_that_got_no_gradient_stays_as_it_was():
    torch.manual_seed(0)
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    step, x = Step(torch.optim.Adam(model.parameters(), 0.1, fused=True)), torch.ones(3, 2)
    for at in range(4):
        model.zero_grad()
        before = model[1].weight.detach().clone()
        (model[0](x) if at == 3 else model[1](model[0](x))).sum().backward()
        step()
    assert torch.equal(model[1].weight, before)


@pytest.mark.parametrize("options", [{"amsgrad": True}, {"maximize": True}, {"foreach": True}])
def test_variants_of_an_optimizer_go_their_own_way(options):
    torch.manual_seed(0)
    one = MLP(5, 3, width=8)
    two = copy.deepcopy(one)
    ours, theirs = (torch.optim.Adam(model.parameters(), 0.01, **options) for model in (one, two))
    step = Step(ours)
    for at in range(4):
        for model in (one, two):
            backward(model, at)
        step()
        theirs.step()
    assert same(one, two)


def test_adam_that_was_told_to_decay_apart_does_so():
    (one, _), (two, _) = twins("adam")
    ours, theirs = (
        torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.5, fused=True, decoupled_weight_decay=True)
        for model in (one, two)
    )
    step = Step(ours)
    for at in range(4):
        for model in (one, two):
            backward(model, at)
        step()
        theirs.step()
    assert same(one, two)
