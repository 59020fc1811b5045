"""Draws docs/figures/data-split.png: what stratified splits, and copies kept on one side, are good for.

python docs/figures/data.py
"""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from luthier.data import from_arrays, split

SEEDS = 400
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def rare(axes, x, y):
    """Test rows of a class of 20, over many splits."""
    rows = np.concatenate([np.flatnonzero(y != 9), np.flatnonzero(y == 9)[:20]])
    dataset = from_arrays(x[rows], y[rows])
    ours = [int((y[rows][split(dataset, seed=seed).test] == 9).sum()) for seed in range(SEEDS)]
    random = []
    for seed in range(SEEDS):
        test = np.random.default_rng(seed).permutation(len(rows))[: round(0.15 * len(rows))]
        random.append(int((y[rows][test] == 9).sum()))
    bins = np.arange(9) - 0.5
    axes.hist([random, ours], bins, label=["at random", "stratified"], weights=[np.full(SEEDS, 1 / SEEDS)] * 2)
    axes.set(title="a class of 20 rows", xlabel="of them in the test set", ylabel=f"share of {SEEDS} splits")
    axes.legend(fontsize=8, frameon=False)
    print("at random from", min(random), "to", max(random), "- stratified from", min(ours), "to", max(ours))


def copies(axes, x, y):
    """Test accuracy of the nearest neighbor where a share of the rows is copied once."""
    rng = np.random.default_rng(0)
    scores = {"copies on both sides": [], "copies on one side": []}
    for share in SHARES:
        repeats = []
        for seed in range(5):
            some = rng.permutation(len(x))[:600]
            rows = np.concatenate([some, some[: round(share * len(some))]])
            parts = split(from_arrays(x[rows], y[rows]), seed=seed, shares={"test": 0.3})
            order = rng.permutation(len(rows))
            cut = round(0.7 * len(rows))
            repeats.append(
                [score(x[rows], y[rows], order[:cut], order[cut:]), score(x[rows], y[rows], parts.train, parts.test)]
            )
        for name, mean in zip(scores, np.mean(repeats, 0), strict=True):
            scores[name].append(mean)
    for name, values in scores.items():
        axes.plot(SHARES, values, marker=".", label=name)
    axes.set(title="nearest neighbor", xlabel="share of rows copied once", ylabel="test accuracy")
    axes.legend(fontsize=8, frameon=False)
    print(scores)


def score(x, y, train, test):
    """Accuracy on noisy digits, where the nearest neighbor is often wrong."""
    return KNeighborsClassifier(1).fit(x[train], y[train]).score(x[test], y[test])


def main():
    """Draw and save."""
    x, y = load_digits(return_X_y=True)
    noisy = x + np.random.default_rng(1).normal(scale=6.0, size=x.shape)
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    rare(axes[0], x, y)
    copies(axes[1], noisy, y)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    image = Image.open(buffer).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    image.save(Path(__file__).with_name("data-split.png"), optimize=True)


if __name__ == "__main__":
    main()
