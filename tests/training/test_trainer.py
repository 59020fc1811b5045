"""The trainer: equivalences to the bit, with and without a run."""

import math

import pytest
import torch
from torch import nn

import luthier as lt
from luthier.contracts import CONTINUE, Decision, Verdict
from luthier.errors import SettingError
from luthier.execute import checkpoint
from luthier.execute.base import Ticket
from luthier.execute.run import Run, perform
from luthier.nets import MLP, VGG
from luthier.objective import Metric, objective_of
from luthier.training import Settings, Trainer, make_optimizer
from luthier.training import augment as augmentation
from luthier.training.losses import Regression
from luthier.training.metrics import regression
from luthier.training.mixing import mixup


def data(n=120, shape=(8,)):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, *shape, generator=generator)
    return x, (x.flatten(1)[:, 0] + x.flatten(1)[:, 1] > 0).long()


def trainer(name="adam", *, model=None, lr=0.01, **settings):
    torch.manual_seed(1)
    model = model or MLP(8, 2, width=16, dropout=0.3)
    settings = {"epochs": 4, "batch_size": 16, **settings}
    return Trainer(model, make_optimizer(model, name, lr=lr, weight_decay=0.01), settings=Settings(**settings))


def weights(it):
    return torch.cat([v.flatten().double() for v in it.model.state_dict().values()])


def images(**settings):
    torch.manual_seed(1)
    model = VGG((1, 8, 8), 2, depth=2, width=4, dropout=0.2)
    settings = {"epochs": 4, "batch_size": 16, "schedule": "plateau", "clip": 1.0, "channels_last": True, **settings}
    return Trainer(
        model,
        make_optimizer(model, "adamw", weight_decay=0.01),
        settings=Settings(**settings),
        augment=lambda x, g: augmentation.images(x, g, strength=1.0),
        mix=lambda x, y, g: mixup(x, y, classes=2, alpha=0.3, generator=g),
    )


def test_training_is_the_same_to_the_bit_whatever_was_drawn_around_it():
    one = trainer()
    one.fit(data(), data(40))
    two = trainer()
    torch.manual_seed(77)
    before = torch.get_rng_state()
    two.fit(data(), data(40))
    assert torch.equal(weights(one), weights(two))
    assert one.curve == two.curve
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_trains_differently():
    one, two = trainer(seed=1), trainer(seed=2)
    one.fit(data())
    two.fit(data())
    assert not torch.equal(weights(one), weights(two))


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"])
def test_a_resumed_training_equals_the_uninterrupted_to_the_bit(name, tmp_path):
    whole = trainer(name, schedule="cosine", warmup=0.1)
    whole.fit(data(), data(40))
    first = trainer(name, schedule="cosine", warmup=0.1)
    state = {}
    for epoch in range(2):
        first.curve.append(first.epoch(data(), epoch) | first.validate(data(40)))
    torch.save(first.state_dict(), tmp_path / "state.pt")
    torch.manual_seed(5)
    second = trainer(name, schedule="cosine", warmup=0.1, model=MLP(8, 2, width=16, dropout=0.3))
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    second.load_state_dict(state)
    second.fit(data(), data(40))
    assert torch.equal(weights(whole), weights(second))
    assert whole.curve == second.curve


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


def play(path, *, at=0, step=0, make=images, shape=(1, 8, 8)):
    made = []

    def train(x, run):
        made.append(make())
        made[0].fit(data(shape=shape), data(40, shape), run=run)

    host = Host(at)
    run = Run(Ticket(0, {"x": 1.0}, 7, str(path), step), (Metric("acc", maximize=True),), host)
    outcome = perform(objective_of(train, ["x"]), run)
    return outcome, made[0], host.reports


def test_a_trial_that_was_paused_goes_on_as_if_nothing_had_happened(tmp_path):
    _, whole, reports = play(tmp_path / "whole")
    paused, _, first = play(tmp_path / "parts", at=2)
    assert paused.kind == "paused"
    done, resumed, second = play(tmp_path / "parts", step=2)
    assert done.kind == "done"
    assert first + second == reports
    assert torch.equal(weights(whole), weights(resumed))
    assert whole.plateau.state_dict() == resumed.plateau.state_dict()
    kept = checkpoint.latest(tmp_path / "parts" / "checkpoints")["objects"]["trainer"]
    assert kept["step"] == whole.step == 4 * 8


def test_a_diverging_trial_fails_at_once_and_says_why(tmp_path):
    outcome, diverged, _ = play(tmp_path, make=lambda: trainer("sgd", lr=1e30), shape=(8,))
    assert outcome.kind == "failed"
    assert outcome.failure.kind == "nan"
    assert diverged.step < 20


def test_the_tuner_finds_a_rate(tmp_path):
    def train(lr, run):
        trainer(lr=lr, seed=run.seed, epochs=3).fit(data(), data(60), run=run)

    space = lt.Space(lr=lt.Float(1e-5, 1e-1, log=True))
    study = lt.tune(train, space, maximize="acc", budget=6, workers=0, dir=tmp_path / "s", view="none", seed=0)
    assert study.best.metrics["acc"] > 0.85
    assert len(study.best.curve) == 3


# -- the pieces of a step ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [2, 4, 16])
def test_accumulated_gradients_equal_one_large_batch(parts):
    def trained(accumulate):
        model = MLP(8, 2, width=16).double()
        it = trainer("momentum", model=model, accumulate=accumulate, clip=0.5)
        it.model.load_state_dict(start)
        x, y = data(118)  # the last batch is smaller, its parts are not equal
        it.fit((x.double(), y))
        return weights(it)

    start = MLP(8, 2, width=16).double().state_dict()
    torch.testing.assert_close(trained(parts), trained(1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("rows", "parts"), [(66, 2), (69, 4), (3, 4)])
def test_parts_of_a_batch_have_two_rows_where_there_are_batch_statistics(rows, parts):
    model = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    x, y = data(rows)
    it = trainer("momentum", model=model, accumulate=parts, batch_size=64)
    assert len(it.fit((x, y))) == it.settings.epochs


def test_full_batch_descent_follows_the_gradient_of_all_rows():
    x, y = data()
    it = trainer("full_batch", model=MLP(8, 2, width=16), batch_size=len(y), epochs=1, lr=0.5)
    before = {n: p.detach().clone() for n, p in it.model.named_parameters()}
    nn.functional.cross_entropy(it.model(x), y).backward()
    grads = {n: p.grad + (0.01 * p.detach() if p.dim() > 1 else 0) for n, p in it.model.named_parameters()}
    it.fit((x, y))
    for n, p in it.model.named_parameters():
        torch.testing.assert_close(p.detach(), before[n] - 0.5 * grads[n])


def test_every_row_is_seen_once_an_epoch():
    seen = []
    it = trainer(epochs=2)
    it.augment = lambda x, g: (seen.append(x), x)[1]
    x, y = data(50)
    it.fit((x, y))
    for epoch in (torch.cat(seen[:4]), torch.cat(seen[4:])):
        assert torch.equal(epoch.sort(0).values, x.sort(0).values)
    assert not torch.equal(seen[0], seen[4])


def test_a_last_batch_of_one_row_does_not_break_batch_normalization():
    it = trainer(model=MLP(8, 2, norm="batch"), epochs=2)
    assert len(it.fit(data(33))) == 2
    assert it.step == 4


def test_long_gradients_are_clipped():
    x, y = data()
    it = trainer("sgd", model=MLP(8, 2, depth=0), clip=1e-3, lr=1.0, epochs=1, batch_size=len(y))
    it.optimizer.param_groups[0]["weight_decay"] = 0.0
    before = weights(it)
    it.fit((100 * x, y))
    assert float((weights(it) - before).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_the_schedule_sets_every_steps_rate():
    rates = []
    it = trainer("sgd", lr=0.2, epochs=2, batch_size=30, schedule="linear", final=0.0, warmup=0.25)
    it.augment = lambda x, g: (rates.append(it.optimizer.param_groups[0]["lr"]), x)[1]
    it.fit(data())
    assert rates == pytest.approx([0.1, 0.2, 0.2, 0.2 * 5 / 6, 0.2 * 4 / 6, 0.1, 0.2 * 2 / 6, 0.2 / 6])


def test_a_plateau_lowers_the_rate():
    it = trainer("sgd", lr=0.1, schedule="plateau", epochs=12)
    it.validate = lambda valid: {"valid_loss": 1.0}
    it.fit(data(), data(40))
    assert it.plateau.factor == 0.5**3
    assert it.optimizer.param_groups[0]["lr"] == 0.1 * 0.5**3


def test_l1_makes_weights_small():
    def size(l1):
        it = trainer("sgd", lr=0.05, l1=l1, epochs=20)
        it.fit(data())
        return float(it.model.layers[1][0].weight.detach().abs().sum())

    assert size(0.05) < 0.5 * size(0.0)


def test_sixteen_bits_train_about_as_well():
    def loss(precision):
        it = images(precision=precision, epochs=6)
        it.mix = it.augment = None
        return it.fit(data(shape=(1, 8, 8)))[-1]["loss"]

    assert loss("bfloat16") == pytest.approx(loss("float32"), rel=0.1)
    assert loss("bfloat16") != loss("float32")


def test_channels_last_changes_the_memory_and_hardly_the_numbers():
    x = torch.randn(5, 1, 8, 8)
    outs = [images(channels_last=last).predict(x) for last in (False, True)]
    torch.testing.assert_close(*outs)


def test_several_inputs_and_a_regression():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = MLP(8, 1, depth=0)

        def forward(self, a, b):
            return self.net(a + b)

    model, (x, _) = Sum(), data()
    it = Trainer(model, make_optimizer(model, lr=0.1), Regression(), settings=Settings(epochs=30), score=regression)
    curve = it.fit(((x, x), x[:, 0]), ((x, x), x[:, 0]))
    assert curve[-1]["r2"] > 0.95
    assert it.predict((x, x)).shape == (120, 1)


def test_divergence_is_noticed_within_an_epoch():
    it = trainer("sgd", lr=1e30, batch_size=1, epochs=5)
    curve = it.fit(data(), data(40))
    assert it.diverged
    assert len(curve) == 1
    assert it.step < 60
    assert all(math.isnan(value) for value in curve[0].values())


@pytest.mark.parametrize("rows", [(5, 4), (0, 0)])
def test_inputs_and_targets_that_do_not_match_are_told(rows):
    with pytest.raises(SettingError, match="same number of rows"):
        trainer().fit((torch.zeros(rows[0], 8), torch.zeros(rows[1], dtype=torch.long)))


def test_predictions_do_not_depend_on_the_batch():
    it = trainer()
    x, _ = data(1100)
    torch.testing.assert_close(it.predict(x)[600:700], it.predict(x[600:700]))


# -- ending early --------------------------------------------------------------------------------------------------


def test_without_a_better_epoch_for_long_training_ends_with_the_best_weights():
    losses = iter([0.9, 0.5, 0.7, 0.6, 0.1])
    it, kept = trainer(epochs=5, patience=2), []
    it.validate = lambda valid: (kept.append(weights(it)), {"valid_loss": next(losses)})[1]
    assert len(it.fit(data(), data(40))) == 4
    assert it.ended == "no better epoch in 2 since epoch 2"
    assert torch.equal(weights(it), kept[1])


def test_patience_keeps_the_best_weights_of_a_training_that_reaches_its_end():
    losses = iter([0.9, 0.5, 0.7])
    it, kept = trainer(epochs=3, patience=5), []
    it.validate = lambda valid: (kept.append(weights(it)), {"valid_loss": next(losses)})[1]
    it.fit(data(), data(40))
    assert not it.ended
    assert torch.equal(weights(it), kept[1])


def test_patience_outlives_a_pause(tmp_path):
    def make():
        it = trainer(epochs=6, patience=2, lr=0.03)
        it.validate = lambda valid: {"acc": 0.5, "valid_loss": abs(len(it.curve) - 1.0)}
        return it

    _, whole, reports = play(tmp_path / "whole", make=make, shape=(8,))
    _, _, first = play(tmp_path / "parts", at=3, make=make, shape=(8,))
    done, resumed, second = play(tmp_path / "parts", step=3, make=make, shape=(8,))
    assert done.kind == "done"
    assert len(reports) == 4
    assert first + second == reports
    assert torch.equal(weights(whole), weights(resumed))


def test_a_loss_that_stays_far_above_its_start_ends_training():
    it = trainer("sgd", lr=3.0, epochs=12)
    curve = it.fit((5 * data()[0], data()[1]))
    assert not it.diverged
    assert len(curve) < 12
    assert "times what it began with" in it.ended
    assert all(math.isfinite(found["loss"]) for found in curve)


# -- what the machine can do ---------------------------------------------------------------------------------------


class Hungry(nn.Module):
    """Has memory for so many rows, and no more."""

    def __init__(self, rows):
        super().__init__()
        self.net, self.rows = MLP(8, 2, width=16).double(), rows

    def forward(self, x):
        if len(x) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.net(x)


def test_a_batch_that_does_not_fit_is_cut_until_it_does_and_that_is_told():
    def trained(rows):
        torch.manual_seed(1)
        it = trainer("momentum", model=Hungry(rows), epochs=2)
        x, y = data(118)
        it.fit((x.double(), y), (x.double(), y))
        return it

    whole, cut = trained(1000), trained(5)
    torch.testing.assert_close(weights(cut), weights(whole), rtol=1e-6, atol=1e-7)
    assert cut.accumulate == 4
    assert cut.notes[0] == "out of memory at step 0: batches are cut into 2 parts from here"
    assert cut.state_dict()["accumulate"] == 4
    assert not whole.notes


def test_a_row_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        trainer(model=Hungry(0)).fit((data()[0].double(), data()[1]))


def test_automatic_precision_is_for_convolutions_on_processors_with_16_bits_and_is_told():
    from luthier.training.hardware import suits_bfloat16

    assert trainer(precision="auto").precision == "float32"
    it = images(precision="auto")
    assert it.precision == ("bfloat16" if suits_bfloat16(it.model) else "float32")
    assert bool(it.notes) == (it.precision == "bfloat16")


@pytest.mark.parametrize(("gain", "precision"), [(0.6, "float32"), (1.1, "float32"), (1.9, "bfloat16")])
def test_16_bits_are_used_on_a_processor_that_gains_by_them(gain, precision, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr("luthier.training.hardware.bfloat16_gain", lambda: gain)
    assert images(precision="auto").precision == precision


def test_the_gain_of_16_bits_is_measured():
    from luthier.training.hardware import bfloat16_gain

    before = torch.get_rng_state()
    assert 0.05 < bfloat16_gain() < 50.0
    assert torch.equal(before, torch.get_rng_state())


def test_a_resumed_training_keeps_the_precision_that_was_chosen():
    state = images(precision="bfloat16").state_dict()
    it = images(precision="auto")
    it.precision = "float32"
    it.load_state_dict(state)
    assert it.precision == "bfloat16"


def test_networks_of_images_lie_channels_last_by_themselves():
    lies = [images(channels_last=how).model.layers[4].weight for how in ("auto", False)]
    assert [w.is_contiguous(memory_format=torch.channels_last) for w in lies] == [True, False]


def test_a_network_that_cannot_be_compiled_is_trained_as_it_is_and_that_is_told(monkeypatch):
    def broken(model, dynamic):
        def call(*x):
            raise RuntimeError("no compiler found\nlong story")

        return call

    plain = trainer()
    plain.fit(data())
    monkeypatch.setattr(torch, "compile", broken)
    it = trainer(compile=True)
    it.fit(data())
    assert it.notes == ["the network is not compiled: no compiler found"]
    assert torch.equal(weights(it), weights(plain))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, while it compiles
def test_a_compiled_training_resumes_to_the_bit():
    def made():
        torch.manual_seed(1)
        return trainer(compile=True, model=MLP(8, 2, width=16, norm="batch"), epochs=3)

    whole = made()
    whole.fit(data())
    assert not whole.notes
    first = made()
    first.curve.append(first.epoch(data(), 0))
    second = made()
    second.load_state_dict(first.state_dict())
    second.fit(data())
    assert torch.equal(weights(whole), weights(second))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"accumulate": 65},
        {"warmup": 1.0},
        {"clip": 0.0},
        {"l1": -1.0},
        {"patience": 0},
        {"precision": "float16"},
        {"schedule": "cos"},
    ],
)
def test_settings_out_of_range_are_told(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        Settings(**wrong)


def test_the_epoch_in_which_patience_ends_is_kept_if_it_was_the_best():
    def objective(lr, run):
        made = trainer(lr=lr, epochs=9, patience=1)
        made.validate = lambda _: {"valid_loss": float(len(made.curve)), "acc": float(len(made.curve))}
        made.fit(data(), data(), run=run)

    space = lt.Space(lr=lt.Float(0.01, 0.1))
    study = lt.tune(objective, space, maximize="acc", budget=1, schedule="full", workers=0, view="none")
    assert study.trials[0].steps == 2
    assert checkpoint.read(study.checkpoint())["step"] == 2
