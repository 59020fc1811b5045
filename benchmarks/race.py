"""How many folds a race saves and what it costs: the same random configurations with and without it, on real data.

OMP_NUM_THREADS=1 python benchmarks/race.py [repeats]

Every configuration is trained on every fold once, beforehand; the studies then look the results up.
"""

import sys
import time

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import luthier as lt
from luthier.folds import CrossValidation
from luthier.schedule.race import Race

CONFIGS, TRIALS = 60, 30


def jobs():
    """Name, data, folds, estimator, space."""
    wide = lt.Float(1e-4, 1e0, log=True)
    svm = lt.Space(svc__C=lt.Float(1e-2, 1e3, log=True), svc__gamma=wide)
    yield "digits, SVM", load_digits(return_X_y=True), 10, make_pipeline(StandardScaler(), SVC()), svm
    boosting = lt.Space(
        learning_rate=lt.Float(0.01, 1.0, log=True), max_leaf_nodes=lt.Int(2, 63, log=True),
        l2_regularization=lt.Float(1e-3, 10.0, log=True), min_samples_leaf=lt.Int(1, 60, log=True),
    )  # fmt: skip
    trees = HistGradientBoostingClassifier(max_iter=15, random_state=0)
    yield "breast cancer, boosting", load_breast_cancer(return_X_y=True), 10, trees, boosting
    ridge = lt.Space(alpha=lt.Float(1e-4, 1e2, log=True), gamma=wide)
    yield "diabetes, kernel ridge", load_diabetes(return_X_y=True), 5, KernelRidge(kernel="rbf"), ridge


def table(data, folds, estimator, space):
    """Scores of all configurations on all folds, (CONFIGS, folds), and the objective that trained them."""
    x, y = data
    x, y = x[:600], y[:600]
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-9)

    def fit(config, train, valid):
        return clone(estimator).set_params(**config).fit(x[train], y[train]).score(x[valid], y[valid])

    trained = CrossValidation(fit, y, folds)
    rng = np.random.default_rng(0)
    configs = [space.sample(rng) for _ in range(CONFIGS)]
    rows = [[trained.fold(config, fold)["value"] for fold in range(folds)] for config in configs]
    return np.array(rows), trained


def study(scores, trained, schedule, seed):
    """Thirty trials over rows of the table."""
    fold_of = {valid.tobytes(): fold for fold, (_, valid) in enumerate(trained.pairs)}

    def look_up(row, train, valid):
        return scores[row, fold_of[valid.tobytes()]]

    objective = CrossValidation.__new__(CrossValidation)
    objective.__dict__.update(trained.__dict__, function=look_up, _whole=False)
    space = lt.Space(row=lt.Int(0, CONFIGS - 1))
    return lt.tune(
        objective, space, maximize="score", budget=TRIALS, search="random", schedule=schedule, workers=0,
        view="none", seed=seed,
    )  # fmt: skip


def main(repeats):
    print(f"{TRIALS} random trials, {repeats} studies each; regret: score of the best of all minus score of the chosen")
    print(f"{'':26}{'sure':>8}{'folds':>8}{'same best':>11}{'mean regret':>13}{'largest':>9}{'sd of a fold':>14}")
    for name, data, folds, estimator, space in jobs():
        begun = time.process_time()
        scores, trained = table(data, folds, estimator, space)
        print(f"{name}, {folds} folds ({time.process_time() - begun:.0f} s)")
        for sure in (0.9, 0.95, 0.99):
            used, regrets = [], []
            for seed in range(repeats):
                whole = study(scores, trained, "full", seed)
                raced = study(scores, trained, Race(sure), seed)
                used.append(raced.spent.steps / whole.spent.steps)
                means = scores.mean(1)
                regrets.append(means[whole.best.config["row"]] - means[raced.best.config["row"]])
            same = np.mean([regret == 0.0 for regret in regrets])
            spread = np.median(scores.std(1, ddof=1))
            print(
                f"{'':26}{sure:8}{np.mean(used):8.0%}{same:11.0%}{np.mean(regrets):13.5f}{max(regrets):9.5f}{spread:14.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 20)
