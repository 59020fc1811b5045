"""Panda mode around a trainer: a rescue, repeats and resumes to the bit, and what a run is told."""

import math

import pytest
import torch

from luthier.contracts import CONTINUE, Decision, Verdict
from luthier.execute.base import Ticket
from luthier.execute.run import Run, perform
from luthier.nets import MLP
from luthier.objective import Metric, objective_of
from luthier.training import Settings, Trainer, make_optimizer
from luthier.training.babysit_trainer import babysit_trainer


def data(n=200):
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] + x[:, 1] > 0).long()


def trainer(lr=0.01, **settings):
    torch.manual_seed(1)
    model = MLP(8, 2, width=16, dropout=0.2)
    settings = {"epochs": 16, "batch_size": 16, **settings}
    return Trainer(model, make_optimizer(model, "adam", lr=lr, weight_decay=0.01), settings=Settings(**settings))


def weights(it):
    return torch.cat([v.flatten().double() for v in it.model.state_dict().values()])


@pytest.mark.parametrize("lr", [1e-6, 20.0])
def test_a_hopeless_rate_is_rescued(lr):
    plain, watched = trainer(lr), trainer(lr)
    plain.fit(data(), data())
    log = babysit_trainer(watched, data(), data())
    assert plain.curve[-1]["acc"] < 0.85
    assert watched.curve[-1]["acc"] > 0.93
    assert log.windows[-1].spent == 16 * 13
    assert len(watched.curve) == 16
    assert all(math.isfinite(epoch["loss"]) for epoch in watched.curve)
    assert watched.curve[-1].keys() >= {"loss", "valid_loss", "acc", "rate", "branches", "rollbacks"}


def test_it_is_the_same_to_the_bit_whatever_was_drawn_around_it():
    one, two = trainer(5.0), trainer(5.0)
    babysit_trainer(one, data())
    torch.manual_seed(77)
    before = torch.get_rng_state()
    babysit_trainer(two, data())
    assert torch.equal(weights(one), weights(two))
    assert torch.equal(torch.get_rng_state(), before)


def test_data_of_nan_end_it_with_advice():
    it = trainer()
    x, y = data()
    log = babysit_trainer(it, (x * math.nan, y), data())
    assert "before the first update" in it.ended
    assert log.decisions[-1].kind == "end"
    assert torch.isfinite(weights(it)).all()


def test_what_is_told_is_what_is_logged():
    told = []
    log = babysit_trainer(trainer(20.0), data(), tell=told.append)
    assert told == [f"panda: {decision}" for decision in log.decisions]


# -- with a run --------------------------------------------------------------------------------------------------------


class Host:
    """Collects what a run says; pauses it once."""

    def __init__(self, at=0):
        self.at, self.reports = at, []

    def restarted(self, run, step, reports):
        pass

    def reported(self, run, step, metrics):
        self.reports.append((step, metrics))
        return Decision(Verdict.PAUSE, "told so") if step == self.at else CONTINUE

    def hold(self, run):
        return False


def play(path, *, at=0, step=0):
    made = []

    def train(x, run):
        made.append(trainer(5.0))
        babysit_trainer(made[0], data(), data(), run=run)

    host = Host(at)
    run = Run(Ticket(0, {"x": 1.0}, 7, str(path), step), (Metric("acc", maximize=True),), host)
    outcome = perform(objective_of(train, ["x"]), run)
    return made[0], host, outcome


@pytest.mark.parametrize("at", [1, 3, 9])
def test_a_paused_trial_goes_on_to_the_bit(at, tmp_path):
    whole, all_of_it, _ = play(tmp_path / "whole")
    _, first, outcome = play(tmp_path / "parts", at=at)
    assert outcome.kind == "paused"
    second, rest, outcome = play(tmp_path / "parts", step=at)
    assert outcome.kind == "done", outcome
    assert torch.equal(weights(whole), weights(second))
    assert first.reports + rest.reports == all_of_it.reports
