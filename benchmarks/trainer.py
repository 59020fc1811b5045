"""Steps per second of the trainer against a naive DataLoader loop and a loop written by hand, in one run, in turn.

OMP_NUM_THREADS=1 python benchmarks/trainer.py [rounds]
"""

import statistics
import sys
import time

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from luthier.nets import MLP, VGG
from luthier.training import Settings, Trainer, make_optimizer

ROWS = 4096


def naive(model, x, y, batch):
    """What tutorials show: rows one by one through a DataLoader, the optimizer as it comes, the loss read each step."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True)

    def epoch():
        model.train()
        total = 0.0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()

    return epoch


def by_hand(model, x, y, batch, **options):
    """The shortest fast loop: tensors in memory, a fused optimizer, nothing else."""
    model = model.to(**options)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    def epoch():
        model.train()
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()

    return epoch


def ours(model, x, y, batch, **options):
    trainer = Trainer(model, make_optimizer(model, "adam"), settings=Settings(batch_size=batch, **options))
    passed = iter(range(10**9))
    return lambda: trainer.epoch((x, y), next(passed))


def networks():
    """Network, input shape, batch size, name."""

    def small():
        return MLP(64, 10, depth=2, width=64)

    def wide():
        return MLP(784, 10, depth=2, width=128)

    def cnn():
        return VGG((1, 28, 28), 10, depth=2, width=16)

    return [
        (small, (64,), 64, "MLP 64-64-64-10"),
        (small, (64,), 256, "MLP 64-64-64-10"),
        (wide, (784,), 64, "MLP 784-128-128-10"),
        (cnn, (1, 28, 28), 64, "CNN 28x28, 2 stages"),
    ]


def measured(loops, rounds):
    """Median seconds of an epoch of each loop, the loops taking turns."""
    for loop in loops.values():
        loop()
    times = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            begun = time.process_time()
            loop()
            times[name].append(time.process_time() - begun)
    return {name: statistics.median(values) for name, values in times.items()}


def main(rounds):
    torch.set_num_threads(1)
    print(f"steps per second of CPU time, median of {rounds} epochs; ratios: trainer / other loop")
    heads = ("trainer", "by hand", "ratio", "naive", "ratio", "bfloat16", "/ naive")
    print(f"{'':20}{'batch':>6}" + "".join(f"{head:>9}" for head in heads))
    for make, shape, batch, name in networks():
        x, y, images = torch.rand(ROWS, *shape), torch.randint(10, (ROWS,)), len(shape) > 1
        best = {"channels_last": True} if images else {}
        loops = {
            "trainer": ours(make(), x, y, batch, **best),
            "by hand": by_hand(make(), x, y, batch, **({"memory_format": torch.channels_last} if images else {})),
            "naive": naive(make(), x, y, batch),
        }
        if images:
            loops["bfloat16"] = ours(make(), x, y, batch, precision="bfloat16", **best)
        speed = {loop: ROWS / batch / seconds for loop, seconds in measured(loops, rounds).items()}
        line = f"{name:20}{batch:6}{speed['trainer']:9.0f}"
        for other in ("by hand", "naive"):
            line += f"{speed[other]:9.0f}{speed['trainer'] / speed[other]:9.2f}"
        if images:
            line += f"{speed['bfloat16']:9.0f}{speed['bfloat16'] / speed['naive']:9.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 15)
