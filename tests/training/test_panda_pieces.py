"""What panda mode is made of: trend tests, rules, range test, hypergradient, logs, snapshots, a person's word."""

import itertools
import json
import math
import os
import signal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from luthier.errors import SettingError
from luthier.training import snapshot
from luthier.training.babysit import babysit
from luthier.training.hypergradient import Hypergradient
from luthier.training.intervention import COMMANDS, Command, ControlFile, Signals, nudge, read_command
from luthier.training.loader_order import LoaderOrder
from luthier.training.panda_rules import Branch, Curve, Rules, next_factor, wins, wins_first
from luthier.training.range_test import range_test, start_rate, sweep
from luthier.training.rate_log import Decision, RateLog, Window
from luthier.training.trend import falling, lower

# -- trends ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 7.0]), min_size=4, max_size=30))
def test_the_trend_test_is_kendalls_with_ties_and_continuity(values):
    n, counts = len(values), np.unique(values, return_counts=True)[1]
    score = sum(np.sign(b - a) for a, b in itertools.combinations(values, 2))
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in counts)) / 18
    z = 0.0 if variance == 0 else (score - np.sign(score)) / math.sqrt(variance)
    assert falling(values) == pytest.approx(stats.norm.cdf(z), abs=1e-12)


@given(st.permutations(range(9)))
def test_a_reversed_trend_is_the_opposite(values):
    assert falling(values) == pytest.approx(1.0 - falling(values[::-1]), abs=1e-12)


def test_noise_without_a_trend_seems_to_fall_as_often_as_it_should():
    rng = np.random.default_rng(0)
    seen = [falling(rng.standard_normal(16).tolist()) for _ in range(1000)]
    assert 0.03 < np.mean(np.array(seen) < 0.05) < 0.07


def test_the_paired_test_is_scipys_for_many_values():
    rng = np.random.default_rng(0)
    ours, theirs = rng.standard_normal(500), rng.standard_normal(500) + 0.1
    expected = stats.ttest_rel(ours, theirs, alternative="less").pvalue
    assert lower(ours.tolist(), theirs.tolist()) == pytest.approx(expected, abs=1e-3)
    assert lower([1.0, 1.0], [1.0, 1.0]) == 0.5
    assert lower([math.inf, 1.0], [1.0, 1.0]) == 0.5


# -- rules -------------------------------------------------------------------------------------------------------------


def curve(*windows, first=2.0):
    found = Curve()
    found.began([first])
    for window in windows:
        found.add([window] * 5)
    return found


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([0.6, 0.5, 0.7], ""),
        ([0.6, math.nan, 0.5], "the loss is nan"),
        ([0.6, math.inf, 0.5], "the loss is inf"),
        ([0.6, 5.0, 9.0], "risen from 2 to 5"),
        ([0.6, 50.0, 0.5], ""),
        ([0.6, 50.0, 1.9, 1.9, 1.9], "jumped to 50"),
        ([1.5, 1.4, 1.6], "gone back up from 0.533"),
    ],
)
def test_trouble_is_seen_and_a_single_bad_batch_is_none(losses, told):
    found = curve(1.0, 0.8, 0.6, 0.5, 0.5).trouble(losses)
    assert (told in found) if told else not found


def test_losses_below_zero_are_no_trouble():
    found = curve(-1.0, -2.0, -3.0, -3.5, first=-0.5)
    assert not found.trouble([-3.6, -3.4, -3.9])
    assert "gone back up" in found.trouble([-1.0, -0.9, -1.1])


def test_a_noisy_curve_stands_only_when_it_does():
    rng = np.random.default_rng(1)
    down = curve(*(2.0 - 0.05 * np.arange(30) + 0.2 * rng.standard_normal(30)))
    assert not down.stands()
    assert curve(*[1.0] * 10).stands()
    flat = [curve(*(1.0 + 0.2 * rng.standard_normal(30))).stands() for _ in range(200)]
    assert 0.6 < np.mean(flat) < 0.8
    assert not curve(1.0, 1.0, 1.0).stands()  # too early to say


def losses(level, n=8, seed=0):
    return (level + 0.05 * np.random.default_rng(seed).standard_normal(n)).tolist()


def branch(factor, level):
    return Branch(factor, losses(level) if math.isfinite(level) else [level], level)


def best(*tried, level=1.2, cuts=False):
    leader = None
    for one in tried:
        if wins(one, leader, tried[0], level=level, cuts=cuts):
            leader = one
    return leader.factor if leader else None


def test_the_branch_that_goes_on_is_clearly_better():
    assert best(branch(1.0, 1.0), branch(4.0, 0.6), branch(0.25, 1.1)) == 4.0
    assert best(branch(1.0, 1.0), branch(4.0, 0.95), branch(0.25, 1.1)) == 1.0  # hardly faster
    assert best(branch(1.0, 1.0), branch(4.0, 1.5), branch(0.25, 0.8)) == 0.25
    assert best(branch(1.0, 1.0), branch(4.0, 1.5), branch(0.25, 0.99)) == 1.0
    assert best(branch(1.0, 1.0), branch(4.0, 1.5), branch(0.25, 0.99), cuts=True) == 0.25
    assert best(branch(1.0, math.inf), branch(4.0, math.inf), branch(0.25, 3.0)) == 0.25
    assert best(branch(1.0, math.inf), branch(4.0, math.inf), branch(0.25, math.inf)) is None


@pytest.mark.parametrize("good", [1e-7, 1e-3, 0.3, 1.0, 5.0, 1e4])
def test_the_first_rate_is_found_from_anywhere(good):
    tried, leader = [], None
    factor = 1.0
    while factor is not None:
        distance = math.log(factor / good)
        tried.append(branch(factor, math.inf if distance > 3.0 else 1.0 + 0.1 * distance**2))
        leader = tried[-1] if wins_first(tried[-1], leader, tried[0]) else leader
        factor = next_factor(tried)
    assert good / 4 <= leader.factor <= good * 4
    assert len(tried) < 15


def test_the_rate_falls_over_the_last_part_only():
    rules = Rules(anneal=0.25, final=0.02)
    assert [rules.taper(k, 100) for k in (0, 50, 75)] == [1.0, 1.0, 1.0]
    assert rules.taper(100, 100) == pytest.approx(0.02)
    assert Rules(anneal=0.0).taper(99, 100) == 1.0


# -- range test --------------------------------------------------------------------------------------------------------


def quadratic(curvature=4.0):
    w = nn.Linear(3, 1, bias=False)
    nn.init.ones_(w.weight)
    optimizer = torch.optim.SGD(w.parameters(), 0.5)

    def step(k):
        optimizer.zero_grad()
        loss = 0.5 * curvature * (w.weight**2).sum()
        loss.backward()
        optimizer.step()
        torch.rand(())  # something random
        return loss

    return w, optimizer, step


@pytest.mark.parametrize("curvature", [0.4, 4.0, 400.0])
def test_a_range_test_finds_a_rate_that_converges_and_leaves_no_trace(curvature):
    w, optimizer, step = quadratic(curvature)
    before, random = w.weight.detach().clone(), torch.get_rng_state()
    found = range_test(step, w, optimizer)
    assert torch.equal(w.weight, before)
    assert torch.equal(torch.get_rng_state(), random)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert 0.02 < found.rate * curvature < 2.0  # it diverges from 2 on
    assert found.rates == sweep(1e-5, 10.0, 50)[: len(found.rates)]


def test_a_range_test_without_a_fall_says_nothing():
    assert start_rate([1, 2, 3], [1.0, 1.0, 1.0]) is None
    assert start_rate([1, 2, 3], [math.nan, 1.0, 1.0]) is None
    with pytest.raises(SettingError, match="0 < low < high and 8 steps"):
        range_test(lambda k: 0.0, *quadratic()[:2], low=1.0, high=0.1)


# -- hypergradient -----------------------------------------------------------------------------------------------------


def regression(make):
    torch.manual_seed(0)
    x, w = torch.randn(40, 3), nn.Parameter(torch.zeros(3))
    y = x @ torch.tensor([1.0, -2.0, 0.5])
    return x, y, w, make([w])


def gradient(x, y, w):
    return 2 * x.T @ (x @ w - y) / len(y)


def test_hypergradient_descent_is_algorithm_4_of_the_paper():
    x, y, w, optimizer = regression(lambda p: torch.optim.SGD(p, 0.01))
    Hypergradient(optimizer, beta=1e-4, form="additive")
    ours, rate, before = torch.zeros(3), 0.01, torch.zeros(3)
    for _ in range(20):
        g = gradient(x, y, ours)
        rate = rate + 1e-4 * float(g @ before)
        ours, before = ours - rate * g, g
        w.grad = gradient(x, y, w.detach())
        optimizer.step()
    torch.testing.assert_close(w.detach(), ours, rtol=1e-4, atol=1e-5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-4)
    assert rate > 0.011


def test_hypergradient_adam_is_algorithm_6_of_the_paper():
    x, y, w, optimizer = regression(lambda p: torch.optim.Adam(p, 0.01))
    Hypergradient(optimizer, beta=1e-5, form="additive")
    ours, rate, before, m, v = torch.zeros(3), 0.01, torch.zeros(3), torch.zeros(3), torch.zeros(3)
    for t in range(1, 21):
        g = gradient(x, y, ours)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        rate = rate + 1e-5 * float(g @ before)
        before = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        ours = ours - rate * before
        w.grad = gradient(x, y, w.detach())
        optimizer.step()
    torch.testing.assert_close(w.detach(), ours, rtol=1e-3, atol=1e-4)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-3)
    assert rate > 0.0105


def test_a_tiny_rate_grows_and_removing_stops_it():
    x, y, w, optimizer = regression(lambda p: torch.optim.SGD(p, 1e-6))
    hyper = Hypergradient(optimizer, beta=0.05)

    def step():
        w.grad = gradient(x, y, w.detach())
        optimizer.step()
        return optimizer.param_groups[0]["lr"]

    rates = [step() for _ in range(100)]
    assert rates[-1] > 50e-6
    hyper.remove()
    assert step() == rates[-1]


def test_a_gradient_that_is_not_finite_leaves_the_rate():
    _, _, w, optimizer = regression(lambda p: torch.optim.SGD(p, 0.1))
    Hypergradient(optimizer, beta=0.05)
    for value in (1.0, math.nan):
        w.grad = torch.full((3,), value)
        optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.1
    with pytest.raises(SettingError, match="beta is positive"):
        Hypergradient(optimizer, beta=0.0)


def test_a_babysitter_may_use_it_and_logs_the_rates_that_were_used():
    x, y, w, optimizer = regression(lambda p: torch.optim.SGD(p, 1e-4))
    model = nn.Module()
    model.w = w
    keeper = babysit(model, optimizer, steps=60, rules=Rules(branch=0.0, anneal=0.0, hypergradient=0.05))
    keeper.tell, used = None, []
    for _ in keeper:
        w.grad = gradient(x, y, w.detach())
        optimizer.step()
        used.append(optimizer.param_groups[0]["lr"])
        keeper.observe(float(((x @ w.detach() - y) ** 2).mean()))
    assert keeper.log.rates == used
    assert used[-1] > 1e-3


# -- the record --------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from([0.1, 0.3, 1 / 3]), st.sampled_from([0.2, 1e-9])), max_size=40
    )
)
def test_a_log_is_read_back_as_it_was_written(entries):
    log = RateLog(50, [(step, (a, b)) for step, a, b in entries], [Decision(3, 2, "note", 0.1, "ä")])
    other = RateLog(0)
    other.load_state_dict(json.loads(json.dumps(log.state_dict())))
    assert other.path == log.path
    assert other.decisions == log.decisions


def test_a_log_with_nan_is_valid_json(tmp_path):
    log = RateLog(9, [], [], [Window(3, math.nan, 0.1, "kept"), Window(6, 0.5, 0.1, "kept")])
    log.save(tmp_path / "log.json")
    json.loads((tmp_path / "log.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    again = RateLog.load(tmp_path / "log.json")
    assert math.isnan(again.windows[0].loss)
    assert again.windows[1:] == log.windows[1:]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 9, "windows": []}', '{"windows": 3}'])
def test_what_is_no_log_is_refused(text, tmp_path):
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(SettingError, match="no log"):
        RateLog.load(tmp_path / "log.json")


def test_a_replay_needs_as_many_groups():
    w = nn.Parameter(torch.zeros(1))
    log = RateLog(9, [(0, (0.1, 0.2))])
    with pytest.raises(SettingError, match="2 parameter groups, the optimizer has 1"):
        next(log.replay(torch.optim.SGD([w], 0.1)))


def test_a_log_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    windows = [Window(5, 2.0, 0.1, "branch"), Window(10, 1.0, 0.1, "kept"), Window(15, math.nan, 0.1, "kept")]
    log = RateLog(20, [(0, (0.1,))], [Decision(5, 0, "rollback", 0.1, "why"), Decision(9, 0, "note", 0.1, "")], windows)
    log.draw(tmp_path / "log.png")
    assert (tmp_path / "log.png").stat().st_size > 5000


# -- snapshots ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", [None, "cpu", "cpu:0"])  # the last is where the weights are, by another name
def test_a_snapshot_does_not_change_with_what_it_was_taken_of(device):
    w, _, _ = quadratic()
    optimizer = torch.optim.Adam(w.parameters(), 0.1)
    objects = {"model": w, "optimizer": optimizer, "drawn": torch.Generator().manual_seed(3)}
    for _ in range(3):
        w.zero_grad()
        (w.weight**2).sum().backward()
        optimizer.step()
    state = snapshot.take(objects, device=device)

    def go_on():
        values = []
        for _ in range(3):
            w.zero_grad()
            ((w.weight * torch.rand(3) * torch.rand(3, generator=objects["drawn"])) ** 2).sum().backward()
            optimizer.step()
            values.append(w.weight.detach().clone())
        return torch.cat(values)

    first = go_on()
    for _ in range(2):
        snapshot.put_back(state, objects)
        assert torch.equal(go_on(), first)


def test_a_snapshot_of_other_things_is_refused():
    one, other = nn.Linear(2, 3), nn.Linear(2, 4)
    with pytest.raises(SettingError, match=r"weight is \(3, 2\) there and \(4, 2\) here"):
        snapshot.put_back(snapshot.take({"model": one}), {"model": other})
    with pytest.raises(SettingError, match="holds model; here are net"):
        snapshot.put_back(snapshot.take({"model": one}), {"net": one})
    sgd, adam = torch.optim.SGD(one.parameters(), 0.1), torch.optim.SGD([one.weight], 0.1)
    with pytest.raises(SettingError, match="does not fit 'optimizer'"):
        snapshot.put_back(snapshot.take({"optimizer": sgd}), {"optimizer": adam})


@pytest.mark.parametrize("own", [True, False])
def test_a_loader_goes_back_to_any_batch(own):
    generator = torch.Generator().manual_seed(4) if own else None
    loader = torch.utils.data.DataLoader(list(range(10)), batch_size=3, shuffle=True, generator=generator)
    torch.manual_seed(8)
    order = LoaderOrder(loader)
    state, random = order.state_dict(), torch.get_rng_state()
    first = [next(order).tolist() for _ in range(9)]
    order.load_state_dict(state)
    torch.set_rng_state(random)
    states, again = [], []
    for _ in range(9):
        states.append((order.state_dict(), torch.get_rng_state()))
        again.append(next(order).tolist())
    assert again == first
    for place in (0, 3, 4, 7):
        order.load_state_dict(states[place][0])
        torch.set_rng_state(states[place][1])
        assert [next(order).tolist() for _ in range(9 - place)] == first[place:]


def test_a_loader_that_is_used_up_is_told():
    with pytest.raises(SettingError, match="used up after one pass"):
        list(itertools.islice(LoaderOrder(iter([1, 2])), 3))


# -- a person ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("lower", ("lower", 4.0)),
        ("LOWER 2", ("lower", 2.0)),
        ("raise 1.5", ("raise", 1.5)),
        ("rate 1e-3", ("rate", 1e-3)),
        ("rollback", ("rollback", 10.0)),
        ("stop", ("stop", 0.0)),
        ('{"do": "rate", "by": 0.5}', ("rate", 0.5)),
        ('{"do": "branch"}', ("branch", 0.0)),
    ],
)
def test_commands_are_read(line, command):
    assert read_command(line) == command


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("lowre", "did you mean 'lower'"),
        ("rate", "rate needs a number"),
        ("lower -1", "positive number"),
        ("rate nan", "positive number"),
        ("lower a lot now", "a word and perhaps a number"),
        ("x" * 500, "a word and perhaps a number"),
        ("{torn", "no JSON"),
        ('{"do": 3}', "such as"),
        ('{"do": "rate", "by": [1]}', "positive number"),
        ('{"do": "stop", "now": 1}', "such as"),
    ],
)
def test_what_is_no_command_is_told(line, told):
    with pytest.raises(SettingError, match=told):
        read_command(line)


@given(st.text(max_size=40))
def test_any_line_is_a_command_or_a_message(line):
    try:
        assert read_command(line).do in COMMANDS
    except SettingError:
        pass


def test_a_control_file_gives_each_line_once_and_waits_for_torn_ones(tmp_path):
    path = tmp_path / "control"
    path.write_text("stop\n")
    control = ControlFile(path)
    assert control.read() == ([], [])  # from before
    nudge(path, "lower 2")
    with open(path, "a") as file:
        file.write("oops\nrate 0.")
    commands, complaints = control.read()
    assert commands == [Command("lower", 2.0)]
    assert "ignored 'oops'" in complaints[0]
    with open(path, "a") as file:
        file.write("01\n")
    assert control.read() == ([Command("rate", 0.01)], [])
    path.write_text("stop\n")  # written anew
    assert control.read() == ([Command("stop", 0.0)], [])
    path.unlink()
    assert control.read() == ([], [])
    nudge(path, '{"do": "branch"}')
    assert control.read() == ([Command("branch", 0.0)], [])
    with pytest.raises(SettingError, match="no command"):
        nudge(path, "explode")


def keeper_told(*told, steps=200, **options):
    """Train the quadratic; `told` are (step of the budget, line)."""
    w, optimizer, step = quadratic(0.1)
    keeper = babysit(
        w, optimizer, steps=steps, rules=Rules(branch=0.02, checks=(), plateau=False, anneal=0.0), **options
    )
    keeper.tell = None
    return w, optimizer, step, keeper


def test_a_person_steps_in_by_file(tmp_path):
    _w, _optimizer, step, keeper = keeper_told()
    path = tmp_path / "control"
    keeper.listen(path)
    said = {60: "lower 5", 80: "nonsense", 100: "rate 0.3", 120: "rollback 2", 140: "branch", 170: "stop"}
    for k in keeper:
        if line := said.pop(keeper.spent, ""):
            with open(path, "a") as file:
                file.write(line + "\n")
        keeper.observe(step(k))
    decisions = [d for d in keeper.log.decisions if d.spent >= 60]
    log = [(d.kind, d.rate) for d in decisions]
    told = [kind for kind, _ in log]
    assert told[:4] == ["told", "note", "told", "rollback"]
    assert log[0][1] == pytest.approx(keeper.log.rates[decisions[0].step - 1] / 5)
    assert log[2][1] == 0.3
    assert log[3][1] == pytest.approx(0.15)
    assert "branch" in told[4:]
    assert keeper.ended == "a person said stop"
    assert 170 <= keeper.spent <= 176


def test_a_person_steps_in_by_signal_and_the_handler_is_put_back():
    before = signal.getsignal(signal.SIGUSR1)
    _w, _optimizer, step, keeper = keeper_told()
    keeper.listen(signals={"SIGUSR1": "lower 10"})
    for k in keeper:
        if keeper.spent == 100:
            os.kill(os.getpid(), signal.SIGUSR1)
        keeper.observe(step(k))
    told = [d for d in keeper.log.decisions if d.kind == "told"]
    assert [d.why for d in told] == ["a person said lower 10"]
    assert keeper.log.rates[-1] == pytest.approx(keeper.log.rates[told[0].step - 1] / 10)
    assert signal.getsignal(signal.SIGUSR1) == before


def test_unknown_signals_are_told():
    with pytest.raises(SettingError, match="did you mean 'SIGUSR"):
        Signals({"SIGUSR": "lower"})


def test_a_word_during_branches_ends_them():
    _w, _optimizer, step, keeper = keeper_told()

    class Now:
        def read(self):
            return [Command("rate", 0.2)] if keeper.phase == "branch" else []

        def close(self):
            pass

    keeper._signals = Now()
    for k in keeper:
        keeper.observe(step(k))
    assert keeper.log.rates[-1] == 0.2
    assert keeper.phase == "kept"
    assert len(keeper.log.path) + keeper.metrics["branch_steps"] == 200
