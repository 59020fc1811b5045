"""The encoder-decoder on a task that needs its attention: write the source backwards."""

import torch

from luthier.nets import Seq2Seq
from luthier.training import CrossEntropy, Settings, Trainer, make_optimizer


def pairs(n, seed):
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(3, 9, (n, 5), generator=generator)
    ends = torch.full((n, 1), 2)
    target = torch.cat([torch.ones(n, 1, dtype=torch.long), source.flip(1), ends], 1)
    return torch.cat([source, ends], 1), target


def test_it_learns_to_write_backwards():
    torch.manual_seed(0)
    net = Seq2Seq(9, 9, depth=1, heads=2, width=32, embedding=16)
    source, target = pairs(1500, 0)
    settings = Settings(epochs=7, batch_size=32, schedule="one_cycle")
    optimizer = make_optimizer(net, "adam", lr=0.01)
    trainer = Trainer(net, optimizer, CrossEntropy(ignore=0), settings=settings)
    trainer.fit(((source, target[:, :-1]), target[:, 1:]))
    source, target = pairs(100, 1)
    written = net.eval().write(source, 6)
    assert float((written == target[:, 1:]).all(1).float().mean()) > 0.9
