"""One tool on one data set, in a process of its own: trains within a budget, prints its test score as JSON.

python benchmarks/fit_one.py TOOL SET MINUTES SEED

SET is a folder that benchmarks/fit_data.py has made; the score is accuracy, or R2. The tools: `luthier` reads the files
as they are, `ensemble` is the same with ``--ensemble``; `optuna` is Optuna 5 with TPE, its Hyperband pruner and two
worker processes, on the same recipe, default first, and trainer as Luthier's; `keras` is Keras Tuner's Hyperband on a
family of convolutional networks like the recipe's; `autokeras` (images) and `autogluon` (tables) choose by themselves;
`network` is an untuned network, `boosting` scikit-learn's gradient boosting as it comes; where inputs are no numbers,
these two see those of ``plain.npz``.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

EPOCHS = 12
OPTUNA_EPOCHS = 24  # Luthier chooses 16 to 24 in ten minutes
SHARE = 0.85  # of the budget for the search; the rest is for training the best on all rows
OPTUNA_SHARE = 0.65  # about Luthier's; with 0.85 training the best again took Optuna to 760 s of 600


def main(tool, folder, minutes, seed):
    began = time.perf_counter()
    with np.load(Path(folder) / "plain.npz") as file:
        data = {name: file[name] for name in file.files}
    data["folder"] = Path(folder)
    score, told = TOOLS[tool](data, float(minutes) * 60, int(seed))
    print(json.dumps({"tool": tool, "score": score, "seconds": round(time.perf_counter() - began), **told}))


def accuracy(predicted, truth):
    return float(np.mean(np.asarray(predicted) == np.asarray(truth)))


def cut(data, seed):
    """A fifth of the training rows for validation."""
    order = np.random.default_rng(seed).permutation(len(data["y"]))
    return order[len(order) // 5 :], order[: len(order) // 5]


# -- Luthier -----------------------------------------------------------------------------------------------------------


def luthier_fit(data, seconds, seed, *, ensemble=False):
    import torch
    from sklearn.metrics import accuracy_score, r2_score

    import luthier as lt
    from luthier.data import read

    torch.set_num_threads(2)  # as the others, where nothing else runs: OMP_NUM_THREADS is for the workers
    folder, regression = data["folder"], bool(data.get("regression", False))
    train = next(path for name in ("train", "train.npz", "train.csv") if (path := folder / name).exists())
    found = read(train, target=TARGETS.get(folder.name))
    test = read(train.with_name(train.name.replace("train", "test")), target=TARGETS.get(folder.name))
    with tempfile.TemporaryDirectory() as place:
        net = lt.fit(
            found, budget=f"{round(seconds)}s", dir=Path(place) / "job", seed=seed, ensemble=ensemble, test=False,
            view="none",
        )  # fmt: skip
        trials = len(net.study_.trials)
        predicted, facts = net.model_.predict(test), net.model_.facts
    score = r2_score if regression else accuracy_score
    return float(score(test.targets, predicted)), {
        "trials": trials, "valid": net.validation_score_, "epochs": facts.get("again"), "config": net.config_,
    }  # fmt: skip


# -- Optuna: the same recipe, the same trainer -------------------------------------------------------------------------


def suggested(trial, space):
    """A configuration of a Luthier space from Optuna's suggestions, conditions as in its documentation: by if."""
    import luthier as lt

    config = dict(space.constants)
    for name, p in space.parameters.items():
        if p.when is not None and not p.when.holds(config):
            continue
        if isinstance(p, lt.Float):
            config[name] = trial.suggest_float(name, p.low, p.high, log=p.log)
        elif isinstance(p, lt.Int) and p.pow2:
            config[name] = 2 ** trial.suggest_int(f"{name}_log2", int(math.log2(p.low)), int(math.log2(p.high)))
        elif isinstance(p, lt.Int):
            config[name] = trial.suggest_int(name, p.low, p.high, log=p.log, **({"step": p.step} if p.step else {}))
        else:
            values = list(p.values())
            config[name] = values[trial.suggest_categorical(name, range(len(values)))]
    return config


def same_recipe():
    import luthier as lt
    from luthier.recipes import recipe

    return recipe("image", epochs=OPTUNA_EPOCHS, mirror=lt.Choice(False, True, prior=False))


def parameters(config, space):
    """The other way: Optuna's parameters of a configuration."""
    import luthier as lt

    found = {}
    for name in config.keys() & space.parameters.keys():
        p, value = space.parameters[name], config[name]
        if isinstance(p, lt.Int) and p.pow2:
            found[f"{name}_log2"] = int(math.log2(value))
        elif isinstance(p, (lt.Float, lt.Int)):
            found[name] = value
        else:
            found[name] = list(p.values()).index(value)
    return found


class Pruning:
    """Optuna's trial in the place of a Luthier run: what a trainer needs of it."""

    device, seed = "cpu", 0

    def __init__(self, trial, deadline):
        self.trial, self.deadline, self.epoch = trial, deadline, 0

    def keep(self, **kept):
        pass

    def steps(self, total):
        for self.epoch in range(total):
            yield self.epoch

    def report(self, found):
        import optuna

        self.trial.report(found["acc"], self.epoch)
        if self.trial.should_prune() or time.time() > self.deadline:
            raise optuna.TrialPruned


def optuna_worker(path, url, deadline, seed):
    import optuna
    import torch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with np.load(path) as file:
        x, y = torch.tensor(file["x"]).float() / 255, torch.tensor(file["y"])
    train, valid = (torch.tensor(part) for part in cut({"y": y}, 0))
    images = same_recipe()
    study = optuna.load_study(
        study_name="fit", storage=storage(url), sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=OPTUNA_EPOCHS),
    )  # fmt: skip

    def objective(trial):
        plan = images.plan(suggested(trial, images.space), (x[train], y[train]), classes=int(y.max()) + 1)
        curve = plan.fit((x[valid], y[valid]), run=Pruning(trial, deadline))
        return curve[-1]["acc"]

    study.optimize(objective, timeout=max(1.0, deadline - time.time()))


def storage(url):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(url))


def optuna_search(data, seconds, seed):
    import optuna
    import torch

    from luthier.estimators.retraining import Retraining

    end, deadline = time.monotonic() + seconds, time.time() + OPTUNA_SHARE * seconds
    with tempfile.TemporaryDirectory() as folder:
        path, url = Path(folder) / "data.npz", str(Path(folder) / "journal.log")
        np.savez(path, x=data["x"], y=data["y"])
        study = optuna.create_study(study_name="fit", storage=storage(url), direction="maximize")
        images = same_recipe()
        study.enqueue_trial(parameters(images.default, images.space))
        workers = [
            subprocess.Popen([sys.executable, __file__, "worker", path, url, str(deadline), str(100 * seed + k)])
            for k in range(2)
        ]
        for worker in workers:
            worker.wait()
        trials = study.get_trials()
        done = [t for t in trials if t.state.name == "COMPLETE"]
        if not done:
            raise SystemExit(f"none of {len(trials)} trials was finished: a longer budget is needed")
        best = max(done, key=lambda trial: trial.value)
        config = suggested(optuna.trial.FixedTrial(best.params), images.space)
    torch.set_num_threads(2)
    x, y = torch.tensor(data["x"]).float() / 255, torch.tensor(data["y"])
    plan = images.plan(config, (x, y), classes=int(y.max()) + 1, seed=seed)
    loop = Retraining(OPTUNA_EPOCHS, until=end - 10.0)  # fewer, with a schedule of their own, if it is late
    plan.fit(None, run=loop)
    predicted = plan.predict(torch.tensor(data["x_test"]).float() / 255).argmax(1).numpy()
    return accuracy(predicted, data["y_test"]), {
        "trials": len(trials), "complete": len(done), "valid": best.value, "epochs": loop.epochs, "config": config,
    }  # fmt: skip


# -- Keras Tuner -------------------------------------------------------------------------------------------------------


def keras_search(data, seconds, seed):
    os.environ["KERAS_BACKEND"] = "torch"
    os.environ.setdefault("KERAS_TORCH_DEVICE", "cpu")
    import keras
    import keras_tuner
    import torch

    torch.set_num_threads(2)
    keras.utils.set_random_seed(seed)
    deadline = time.time() + SHARE * seconds
    x, x_test = (data[name].transpose(0, 2, 3, 1).astype("float32") / 255 for name in ("x", "x_test"))
    y, classes = data["y"], int(data["y"].max()) + 1
    train, valid = cut(data, 0)

    class Moved(keras.layers.Layer):
        """Shifts, turns and mirrors each image in PyTorch: Keras's own layers took 34 s an epoch on this backend."""

        def __init__(self, strength, mirror):
            super().__init__()
            self.strength, self.mirror = strength, mirror

        def call(self, images, training=False):
            if not training:
                return images
            images, n = images.permute(0, 3, 1, 2), len(images)
            turn = (torch.rand(n) * 2 - 1) * self.strength / 3 * 2 * math.pi
            shift = (torch.rand(2, n) * 2 - 1) * 2 * self.strength
            side = torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if self.mirror else torch.ones(n)
            rows = torch.stack([side * turn.cos(), -turn.sin(), shift[0], side * turn.sin(), turn.cos(), shift[1]], 1)
            grid = torch.nn.functional.affine_grid(rows.reshape(n, 2, 3), images.shape, align_corners=False)
            return torch.nn.functional.grid_sample(images, grid, align_corners=False).permute(0, 2, 3, 1)

        def compute_output_shape(self, shape):
            return shape

    class TimeIsUp(BaseException):
        """No Exception: Keras Tuner would take it for a failing trial."""

    class Deadline(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if time.time() > deadline:
                raise TimeIsUp

    class Family(keras_tuner.HyperModel):
        def build(self, hp):
            layers = keras.layers
            width, kernel = hp.Int("width", 8, 64, sampling="log", default=24), hp.Choice("kernel", [3, 5, 7])
            activation = hp.Choice("activation", ["relu", "leaky_relu", "gelu", "silu", "tanh"])
            net = [layers.Input(x.shape[1:]), layers.Normalization(mean=x.mean(), variance=x.var())]
            net.append(Moved(hp.Float("augment", 0.0, 0.15), hp.Boolean("mirror")))
            for stage in range(hp.Int("depth", 1, 4, default=3)):
                for _ in range(hp.Int("blocks", 1, 2)):
                    net.append(layers.Conv2D(width * 2**stage, kernel, padding="same", use_bias=False))
                    if hp.Boolean("batch_norm", default=True):
                        net.append(layers.BatchNormalization())
                    net.append(layers.Activation(activation))
                net.append(layers.MaxPooling2D(2, padding="same"))
            net += [layers.GlobalAveragePooling2D(), layers.Dropout(hp.Float("dropout", 0.0, 0.6, default=0.2))]
            model = keras.Sequential([*net, layers.Dense(classes, activation="softmax")])
            rate = hp.Float("lr", 1e-4, 3e-2, sampling="log", default=2e-3)
            optimizer = {
                "adam": keras.optimizers.Adam(rate),
                "adamw": keras.optimizers.AdamW(rate, weight_decay=hp.Float("decay", 1e-5, 0.3, sampling="log")),
                "rmsprop": keras.optimizers.RMSprop(rate),
            }[hp.Choice("optimizer", ["adam", "adamw", "rmsprop"])]
            model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

        def fit(self, hp, model, *args, **options):
            return model.fit(*args, batch_size=hp.Choice("batch", [16, 32, 64, 128, 256], default=64), **options)

    with tempfile.TemporaryDirectory() as folder:
        family = Family()
        tuner = keras_tuner.Hyperband(
            family, objective="val_accuracy", max_epochs=EPOCHS, factor=3, hyperband_iterations=100, seed=seed,
            directory=folder, project_name="fit", max_consecutive_failed_trials=100,
        )  # fmt: skip
        try:
            tuner.search(x[train], y[train], validation_data=(x[valid], y[valid]), callbacks=[Deadline()], verbose=0)
        except TimeIsUp:
            pass
        best = tuner.get_best_hyperparameters(1)[0]
        trials = len(tuner.oracle.trials)
    model = family.build(best)
    family.fit(best, model, x, y, epochs=EPOCHS, verbose=0)
    return accuracy(model.predict(x_test, verbose=0).argmax(1), data["y_test"]), {"trials": trials}


# -- tools that choose by themselves -----------------------------------------------------------------------------------


def autokeras_search(data, seconds, seed):
    os.environ["KERAS_BACKEND"] = "torch"
    import autokeras
    import keras
    import torch

    torch.set_num_threads(2)
    deadline = time.time() + SHARE * seconds

    class TimeIsUp(BaseException):
        """No Exception: the tuner would take it for a failing trial."""

    class Deadline(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if time.time() > deadline:
                raise TimeIsUp

    x, x_test = (data[name].transpose(0, 2, 3, 1).astype("float32") for name in ("x", "x_test"))
    train, valid = cut(data, 0)
    with tempfile.TemporaryDirectory() as folder:
        classifier = autokeras.ImageClassifier(directory=folder, seed=seed, max_trials=1000, overwrite=True)
        try:
            classifier.fit(
                x[train], data["y"][train], validation_data=(x[valid], data["y"][valid]), epochs=EPOCHS,
                callbacks=[Deadline()], verbose=0,
            )  # fmt: skip
        except TimeIsUp:
            pass
        trials = len(classifier.tuner.oracle.trials)
        predicted = classifier.tuner.get_best_model().predict(x_test, verbose=0).argmax(1)
    return accuracy(predicted, data["y_test"]), {"trials": trials}


def autogluon_search(data, seconds, seed):
    import pandas
    from autogluon.tabular import TabularPredictor

    train, test = (pandas.read_csv(data["folder"] / f"{part}.csv") for part in ("train", "test"))
    kind = "regression" if data.get("regression", False) else "multiclass"
    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor(TARGETS[data["folder"].name], path=folder, problem_type=kind, verbosity=0)
        predictor.fit(train, time_limit=seconds, num_cpus=2)
        found = predictor.evaluate(test, silent=True)
        best = predictor.model_best
    return float(found["r2" if kind == "regression" else "accuracy"]), {"model": best}


# -- without tuning ----------------------------------------------------------------------------------------------------


def network(data, seconds, seed):
    """Two hidden layers of 128, Adam at 1e-3, 30 epochs; a small plain convolutional network for images."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    regression = bool(data.get("regression", False))
    x, x_test = (torch.tensor(data[name]).float() for name in ("x", "x_test"))
    y = torch.tensor(data["y"]).float()[:, None] if regression else torch.tensor(data["y"]).long()
    outputs = 1 if regression else int(y.max()) + 1
    mean, std = x.mean(0), x.std(0)
    std[std == 0] = 1.0
    shift, scale = (y.mean(), y.std()) if regression else (0.0, 1.0)
    if x.ndim == 4:
        mean, std = x.mean(), x.std()
        model = nn.Sequential(
            nn.Conv2d(x.shape[1], 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, outputs),
        )  # fmt: skip
        model(x[:2])
    else:
        model = nn.Sequential(
            nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, outputs)
        )
    x, x_test = (x - mean) / std, (x_test - mean) / std
    target = (y - shift) / scale if regression else y
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loss = nn.MSELoss() if regression else nn.CrossEntropyLoss()
    for _ in range(EPOCHS if x.ndim == 4 else 30):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss(model(x[rows]), target[rows]).backward()
            optimizer.step()
    model.eval()
    with torch.inference_mode():
        out = torch.cat([model(part) for part in x_test.split(1000)])
    if regression:
        from sklearn.metrics import r2_score

        return float(r2_score(data["y_test"], (out[:, 0] * scale + shift).numpy())), {}
    return accuracy(out.argmax(1), data["y_test"]), {}


def boosting(data, seconds, seed):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if data.get("regression", False) else HistGradientBoostingClassifier
    flat = [data[name].reshape(len(data[name]), -1) for name in ("x", "x_test")]
    model = kind(random_state=seed).fit(flat[0], data["y"])
    return float(model.score(flat[1], data["y_test"])), {}


TARGETS = {"letters": "lettr", "satellite": "classes", "ames": "Sale_Price", "text": "score"}
TOOLS = {
    "luthier": luthier_fit,
    "ensemble": partial(luthier_fit, ensemble=True),
    "optuna": optuna_search,
    "keras": keras_search,
    "autokeras": autokeras_search,
    "autogluon": autogluon_search,
    "network": network,
    "boosting": boosting,
}

if __name__ == "__main__":
    if sys.argv[1] == "worker":
        optuna_worker(*sys.argv[2:4], float(sys.argv[4]), int(sys.argv[5]))
    else:
        main(*sys.argv[1:])
