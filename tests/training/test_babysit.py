"""Panda mode around a loop: what it rescues, what it undoes, what it bears, and that it goes on as if never stopped."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from luthier.errors import SettingError
from luthier.training.babysit import babysit
from luthier.training.panda_rules import Rules
from luthier.training.rate_log import RateLog

QUIET = Rules(branch=0.0, plateau=False, anneal=0.0)


class Job:
    """Two clouds of points, a small network with dropout, batches by number."""

    def __init__(self, lr=0.1, *, momentum=0.9, groups=1, name="sgd"):
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(256, 6, generator=generator)
        self.y = (self.x[:, 0] * self.x[:, 1] > 0).long()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 2))
        layers = [self.model[0].parameters(), self.model[3].parameters()]
        given = (
            self.model.parameters() if groups == 1 else [{"params": p, "lr": lr / 3**k} for k, p in enumerate(layers)]
        )
        make = {
            "sgd": lambda: torch.optim.SGD(given, lr, momentum=momentum),
            "adam": lambda: torch.optim.Adam(given, lr),
        }
        self.optimizer = make[name]()
        self.seen = []

    def step(self, k):
        self.seen.append(k)
        rows = torch.arange(k * 16, k * 16 + 16) % 256
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(self.x[rows]), self.y[rows])
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def keeper(self, steps=300, **options):
        keeper = babysit(self.model, self.optimizer, steps=steps, **options)
        keeper.tell = None
        return keeper

    def weights(self):
        return torch.cat([p.detach().flatten().clone() for p in self.model.parameters()])

    def loss(self):
        self.model.eval()
        with torch.no_grad():
            return float(functional.cross_entropy(self.model(self.x), self.y))


def kinds(keeper):
    return [decision.kind for decision in keeper.log.decisions]


# -- what it is for ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("lr", [1e-5, 30.0])
def test_a_hopeless_start_rate_is_rescued(name, lr):
    plain = Job(lr, name=name)
    for k in range(400):
        plain.step(k)
    watched = Job(lr, name=name)
    keeper = watched.keeper(400)
    keeper.run(watched.step)
    assert not plain.loss() < 0.5
    assert watched.loss() < 0.3
    assert keeper.spent == 400
    assert len(watched.seen) == 400


def test_a_range_test_leaves_nothing_behind_but_the_rate():
    job = Job(1e-5)
    keeper = job.keeper(rules=Rules(test=0.1, branch=0.0, anneal=0.0))
    start = job.weights()
    steps = iter(keeper)
    for _ in range(31):
        step = next(steps)
        if keeper.phase == "kept":
            break
        keeper.observe(job.step(step))
    assert step == 0
    assert torch.equal(job.weights(), start)
    assert job.optimizer.param_groups[0]["lr"] > 1e-3


def test_without_decisions_the_training_is_the_bare_one_to_the_bit():
    bare, watched = Job(), Job()
    torch.manual_seed(3)
    for k in range(100):
        bare.step(k)
    torch.manual_seed(3)
    watched.keeper(100, rules=QUIET).run(watched.step)
    assert torch.equal(bare.weights(), watched.weights())


def test_all_is_well_costs_no_steps_without_branches():
    job = Job(0.05)
    keeper = job.keeper(rules=Rules(branch=0.0))
    keeper.run(job.step)
    assert len(keeper.log.path) == 300
    assert kinds(keeper) == ["start", "end"]


def test_a_divergence_goes_back_to_a_good_checkpoint_with_a_lower_rate():
    job = Job(0.05)
    keeper = job.keeper(rules=QUIET)
    for step in keeper:
        if keeper.spent == 150:
            with torch.no_grad():
                job.model[3].weight.mul_(1e4)
        keeper.observe(job.step(step))
    found = [d for d in keeper.log.decisions if d.kind == "rollback"]
    assert len(found) == 1
    assert 100 <= found[0].step <= 150
    assert found[0].rate == pytest.approx(0.005)
    assert job.loss() < 0.5
    assert len(keeper.log.path) < 300


def test_a_plateau_is_cut_where_there_are_no_branches():
    job = Job(0.05)
    keeper = job.keeper(rules=Rules(branch=0.0, anneal=0.0))
    for step in keeper:
        job.step(step)
        keeper.observe(1.0)
    assert kinds(keeper).count("cut") >= 2
    assert job.optimizer.param_groups[0]["lr"] < 0.05 / 10


def test_branches_are_judged_by_validation_where_there_is_one():
    job, asked = Job(0.05), []

    def valid():
        asked.append(job.optimizer.param_groups[0]["lr"])
        return asked[-1]  # the lowest rate is the best

    keeper = job.keeper(valid=valid)
    keeper.run(job.step)
    assert len(asked) > 3
    assert keeper.log.rates[0] < 0.05 / 4


# -- the record --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [0.05, 30.0])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_replay_ends_with_the_same_weights_to_the_bit(lr, groups, tmp_path):
    job = Job(lr, groups=groups)
    torch.manual_seed(5)
    keeper = job.keeper()
    keeper.run(job.step)
    keeper.log.save(tmp_path / "log.json")
    again = Job(123.0, groups=groups)
    torch.manual_seed(5)
    for step in RateLog.load(tmp_path / "log.json").replay(again.optimizer):
        again.step(step)
    assert torch.equal(job.weights(), again.weights())
    assert (len(keeper.log.path) < 300) is True


@pytest.mark.parametrize("at", [1, 30, 61, 120])
def test_a_resumed_run_is_the_same_to_the_bit(at):
    whole = Job(3.0)
    torch.manual_seed(5)
    log = whole.keeper().run(whole.step)
    first = Job(3.0)
    torch.manual_seed(5)
    keeper = first.keeper()
    for count, step in enumerate(keeper, 1):
        keeper.observe(first.step(step))
        if count == at:
            break
    state = copy.deepcopy([keeper.state_dict(), first.model.state_dict(), first.optimizer.state_dict()])
    random = torch.get_rng_state()
    torch.manual_seed(99)
    second = Job(0.2)
    keeper = second.keeper()
    second.model.load_state_dict(state[1])
    second.optimizer.load_state_dict(state[2])
    keeper.load_state_dict(state[0])
    torch.set_rng_state(random)
    assert keeper.run(second.step).state_dict() == log.state_dict()
    assert torch.equal(whole.weights(), second.weights())


def test_tensorboard_gets_rates_losses_and_decisions():
    class Writer:
        def __init__(self):
            self.scalars, self.texts = {}, []

        def add_scalar(self, tag, value, step):
            self.scalars.setdefault(tag, []).append((step, value))

        def add_text(self, tag, text, step):
            self.texts.append((tag, text, step))

    job = Job(30.0)
    keeper = job.keeper()
    keeper.writer = Writer()
    keeper.run(job.step)
    assert {"panda/rate", "panda/loss_kept", "panda/loss_branch"} == set(keeper.writer.scalars)
    assert [text.split(":")[0] for _, text, _ in keeper.writer.texts] == kinds(keeper)
    assert keeper.writer.scalars["panda/rate"][-1][0] == 300


def test_decisions_are_printed(capsys):
    job = Job(30.0)
    keeper = babysit(job.model, job.optimizer, steps=100)
    keeper.run(job.step)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(keeper.log.decisions)
    assert all(str(decision) in line for decision, line in zip(keeper.log.decisions, printed, strict=True))


# -- what it bears -----------------------------------------------------------------------------------------------------


def test_nan_from_the_first_step_ends_with_advice_and_the_first_weights():
    job = Job()
    job.x[:] = math.nan
    start = job.weights()
    keeper = job.keeper()
    keeper.run(job.step)
    assert "before the first update" in keeper.ended
    assert "look at the inputs" in keeper.ended
    assert torch.equal(job.weights(), start)
    assert keeper.spent < 300


def test_a_first_batch_of_nan_is_passed_over():
    job = Job(0.05)
    clean, job.x = job.x, job.x.clone()
    job.x[:16] = math.nan
    keeper = job.keeper(400, rules=QUIET)
    for step in keeper:
        if step == 10:
            job.x = clean
        keeper.observe(job.step(step))
    assert keeper.spent == 400
    assert job.loss() < 0.4


def test_bad_data_in_the_middle_are_passed_over_and_the_rate_comes_back():
    job = Job(0.05)
    keeper = job.keeper(rules=QUIET)
    for step in keeper:
        loss = job.step(step)
        if step in (100, 101):
            for p in job.model.parameters():
                p.data.fill_(math.nan)
            loss = loss * math.nan
        keeper.observe(loss)
    rolled = [d for d in keeper.log.decisions if d.kind == "rollback"]
    assert len(rolled) == 2
    assert "passed over" in rolled[1].why
    assert job.optimizer.param_groups[0]["lr"] == 0.05
    assert job.loss() < 0.4
    assert keeper.ended == "all steps are made"


def test_a_constant_loss_ends_all_the_same():
    job = Job()
    keeper = job.keeper()
    for step in keeper:
        job.step(step)
        keeper.observe(torch.tensor(0.7))
    assert keeper.spent == 300
    assert keeper.metrics["branch_steps"] <= 0.2 * 300


@pytest.mark.parametrize(
    "error", [MemoryError("too much"), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_a_branch_that_runs_out_of_memory_is_given_up_and_the_run_goes_on(error):
    job = Job(0.05)
    keeper = job.keeper()

    def step(k):
        if keeper.phase == "branch" and job.optimizer.param_groups[0]["lr"] > 0.1:
            raise error
        return job.step(k)

    keeper.run(step)
    assert any("ran out of memory and is given up" in d.why for d in keeper.log.decisions)
    assert keeper.spent == 300
    assert job.loss() < 0.4


def test_no_memory_for_another_copy_turns_branches_off(monkeypatch):
    job = Job(0.05)
    keeper = job.keeper()
    real, copies = job.model.state_dict, []

    def state_dict(*args, **kwargs):
        copies.append(1)
        if len(copies) == 2:
            raise MemoryError("no room")
        return real(*args, **kwargs)

    monkeypatch.setattr(job.model, "state_dict", state_dict)
    keeper.run(job.step)
    assert any("no branches from now on" in d.why for d in keeper.log.decisions)
    assert "branch" not in kinds(keeper)
    assert job.loss() < 0.4


def test_other_errors_of_a_step_are_not_swallowed():
    job = Job(0.05)

    def step(k):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        job.keeper().run(step)


def test_a_checkpoint_of_another_architecture_says_so():
    job = Job(0.05)
    keeper = job.keeper()
    keeper.run(job.step)
    other = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
    new = babysit(other, torch.optim.SGD(other.parameters(), 0.1), steps=300)
    with pytest.raises(SettingError, match=r"another architecture: 0\.weight is \(32, 6\) there and \(16, 6\) here"):
        new.load_state_dict(keeper.state_dict())
    with pytest.raises(SettingError, match="of 300 steps and 1 parameter groups, here are 200"):
        job.keeper(200).load_state_dict(keeper.state_dict())


def test_a_loss_for_each_row_is_averaged_and_told_once():
    job = Job(0.05)
    keeper = job.keeper()
    for step in keeper:
        keeper.observe(job.step(step).expand(4))
    assert sum("taken as its mean" in d.why for d in keeper.log.decisions) == 1
    assert job.loss() < 0.4


def test_what_is_no_loss_is_refused():
    job = Job()
    for wrong in (None, "0.3", True, [0.3]):
        keeper = job.keeper()
        next(iter(keeper))
        with pytest.raises(SettingError, match="takes the step's loss"):
            keeper.observe(wrong)


def test_a_loop_that_forgets_to_observe_or_does_it_twice_is_told():
    keeper = Job().keeper()
    with pytest.raises(SettingError, match="step without a loss"):
        for _ in keeper:
            pass
    keeper = Job().keeper()
    next(iter(keeper))
    keeper.observe(1.0)
    with pytest.raises(SettingError, match="one loss in each step"):
        keeper.observe(1.0)


def test_groups_keep_the_ratios_of_their_rates():
    job = Job(30.0, groups=2)
    keeper = job.keeper()
    keeper.run(job.step)
    for _, (first, second) in keeper.log.path:
        assert second == pytest.approx(first / 3)
    assert job.loss() < 0.4


def test_a_foreign_schedule_is_told_once_and_set_back():
    job = Job(0.05)
    other = torch.optim.lr_scheduler.ExponentialLR(job.optimizer, gamma=0.9)
    keeper = job.keeper(rules=QUIET)
    for step in keeper:
        loss = job.step(step)
        other.step()
        keeper.observe(loss)
    assert sum("somebody else" in d.why for d in keeper.log.decisions) == 1
    assert set(keeper.log.rates) == {0.05}


def test_rates_held_as_tensors_are_moved_too():
    job = Job(30.0)
    job.optimizer.param_groups[0]["lr"] = torch.tensor(30.0)
    keeper = job.keeper()
    keeper.run(job.step)
    assert isinstance(job.optimizer.param_groups[0]["lr"], torch.Tensor)
    assert job.loss() < 0.4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"steps": 0}, "steps is at least 1"),
        ({"keep": {"thing": object()}}, "thing=object cannot be kept"),
        ({"rules": lambda: Rules(anneal=2.0)}, "anneal is a share"),
        ({"rules": lambda: Rules(checks=(2.0,))}, "checks are shares"),
    ],
)
def test_bad_settings_are_named(options, told):
    with pytest.raises(SettingError, match=told):
        Job().keeper(**{name: value() if callable(value) else value for name, value in options.items()})


def test_a_rate_of_zero_is_refused():
    with pytest.raises(SettingError, match=r"one of the optimizer's rates positive"):
        Job(0.0).keeper()


# -- data in another order ---------------------------------------------------------------------------------------------


def test_generators_that_are_kept_and_loaders_go_back_with_the_weights():
    def train(how):
        job, drawn = Job(30.0), torch.Generator().manual_seed(1)
        data = torch.utils.data.TensorDataset(job.x, job.y)
        loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True, generator=drawn)
        torch.manual_seed(2)
        keeper, taken = job.keeper(), []
        for x, y in keeper.over(loader):
            job.optimizer.zero_grad()
            loss = functional.cross_entropy(job.model(x), y)
            loss.backward()
            job.optimizer.step()
            keeper.observe(loss)
            taken.append((keeper.phase, float(x.sum())))
        return job, keeper, taken

    job, _keeper, taken = train("loader")
    branches = [value for phase, value in taken if phase == "branch"]
    assert branches[0] == branches[4]  # at a rate of 30, a branch ends after its first window of 4
    assert job.loss() < 0.4
    assert torch.equal(job.weights(), train("again")[0].weights())
