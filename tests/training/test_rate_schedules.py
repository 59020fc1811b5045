"""Schedules: closed forms and PyTorch's own."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingError
from luthier.training.schedules import SCHEDULES, Plateau, factor


def torch_factors(make, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("name", "step", "value"),
    [
        ("constant", 70, 1.0),
        ("step", 33, 1.0),
        ("step", 34, 0.1),
        ("step", 67, 0.01),
        ("step", 100, 0.01),
        ("exponential", 50, 0.1),
        ("exponential", 100, 0.01),
        ("linear", 50, 0.505),
        ("cosine", 25, 0.01 + 0.99 * (1 + math.cos(math.pi / 4)) / 2),
        ("cosine", 100, 0.01),
        ("one_cycle", 0, 1 / 25),
        ("one_cycle", 30, 1.0),
        ("one_cycle", 100, 4e-6),
        ("plateau", 70, 1.0),
    ],
)
def test_values_in_closed_form(name, step, value):
    assert factor(name, step, 100) == pytest.approx(value)


def test_cosine_and_one_cycle_are_pytorchs():
    cosine = torch_factors(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 40, eta_min=0.01), 40)
    assert [factor("cosine", i, 40) for i in range(40)] == pytest.approx(cosine)
    cycle = torch_factors(lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=41), 40)
    # PyTorch ends the rise one step earlier, at 0.3 * 41 - 1: the curves are the same in t
    rise = 0.3 * 41 - 1
    shares = [0.3 * i / rise if i <= rise else 0.3 + 0.7 * (i - rise) / (40 - rise) for i in range(40)]
    ours = [factor("one_cycle", round(1e6 * t), 10**6) for t in shares]
    assert ours == pytest.approx(cycle, abs=1e-4)


@given(st.sampled_from(SCHEDULES), st.integers(2, 500), st.data())
def test_factors_stay_between_zero_and_one_and_warm_up_rises_linearly(name, total, data):
    warmup = data.draw(st.integers(0, total - 1))
    step = data.draw(st.integers(0, total + 5))
    value = factor(name, step, total, warmup=warmup)
    assert 0.0 < value <= 1.0
    if step < warmup:
        assert value == (step + 1) / warmup
    else:
        assert value == factor(name, step - warmup, total - warmup)


@pytest.mark.parametrize("minimize", [True, False])
def test_plateau_is_pytorchs(minimize):
    values = torch.rand(60, generator=torch.Generator().manual_seed(0)).cumsum(0) ** -0.5
    values = [float(v) * (1 if minimize else -1) + (i % 7) * 0.05 for i, v in enumerate(values)]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    mode = "min" if minimize else "max"
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, 0.5, 2, threshold=0.0, min_lr=1e-3)
    ours = Plateau(minimize=minimize, min_delta=0.0)
    for value in values:
        theirs.step(value)
        assert ours.update(value) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert ours.factor < 0.1


def test_a_plateau_goes_on_where_it_was():
    whole, first = Plateau(patience=1), Plateau(patience=1)
    values = [3.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    expected = [whole.update(v) for v in values]
    got = [first.update(v) for v in values[:3]]
    second = Plateau(patience=1)
    second.load_state_dict(first.state_dict())
    assert got + [second.update(v) for v in values[3:]] == expected


def test_an_unknown_schedule_is_told():
    with pytest.raises(SettingError, match="did you mean 'cosine'"):
        factor("cosin", 0, 10)
