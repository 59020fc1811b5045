"""Calibration, ensembles, confidence filter and hierarchical softmax on real data, several seeds, in one run.

OMP_NUM_THREADS=1 python benchmarks/classifiers.py FASHION [FOODS] [--seeds 2] [--parts image,text,tree,time]

FASHION is the folder of the Fashion-MNIST files (Debian: dataset-fashion-mnist), FOODS a CSV file of reviews with the
columns review, score and split (small_fine_foods of R's modeldata).
"""

import argparse
import collections
import csv
import re
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from luthier.classifiers import Review, Temperature, VectorScaling, calibration_error, log_loss, select, softmax
from luthier.data.idx import read_idx
from luthier.nets import MLP, VGG, TextNet
from luthier.nets.hierarchical import HierarchicalSoftmax, class_means
from luthier.training import CrossEntropy, Settings, Trainer, augment, make_optimizer

TRAINED, HELD = 50_000, 10_000
PRICES = ((5.0, 1.0), (10.0, 1.0), (30.0, 1.0))


# -- data ------------------------------------------------------------------------------------------------------------


def fashion(folder):
    """Images in (n, 1, 28, 28) and classes of both parts."""
    files = {name: next(Path(folder).glob(f"{name}-ubyte*")) for name in (
        "train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1",
    )}  # fmt: skip
    images = {name: torch.tensor(np.array(read_idx(path))) for name, path in files.items()}
    return [
        (images[f"{part}-images-idx3"][:, None].float() / 255, images[f"{part}-labels-idx1"].long())
        for part in ("train", "t10k")
    ]


def drawn(data, seed, sizes):
    """Disjoint random parts of the data."""
    order = torch.randperm(len(data[1]), generator=torch.Generator().manual_seed(seed))
    return [(data[0][rows], data[1][rows]) for rows in order[: sum(sizes)].split(list(sizes))]


def foods(path, *, words=4000, length=80):
    """Reviews as tokens (n, length), 0 for padding and 1 for rare words, and whether they are great; train and test."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts = [re.findall(r"[a-z']+", row["review"].lower())[:length] for row in rows]
    known = collections.Counter(
        word for text, row in zip(texts, rows, strict=True) if row["split"] == "train" for word in text
    )
    place = {word: k + 2 for k, (word, _) in enumerate(known.most_common(words))}
    tokens = torch.zeros(len(rows), length, dtype=torch.long)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = torch.tensor([place.get(word, 1) for word in text], dtype=torch.long)
    great = torch.tensor([int(row["score"] == "great") for row in rows])
    train = torch.tensor([row["split"] == "train" for row in rows])
    return (tokens[train], great[train]), (tokens[~train], great[~train])


# -- training --------------------------------------------------------------------------------------------------------


def image_models(seed):
    """What a small study would try: name, network, rate, epochs."""
    torch.manual_seed(seed)
    shape = (1, 28, 28)
    return [
        ("vgg 3 stages", VGG(shape, 10, depth=3, width=16), 3e-3, 14),
        ("vgg 2 stages", VGG(shape, 10, depth=2, width=16, dropout=0.3), 3e-3, 8),
        ("mlp", MLP(784, 10, depth=2, width=256, norm="batch"), 1e-3, 15),
    ]


def shifted(x, generator):
    """Images mirrored by chance, and moved by a pixel."""
    return augment.flip(augment.crop(x, 1, generator), generator)


def careful(seed):
    """A larger network for the images, to be trained on shifted and mirrored ones."""
    torch.manual_seed(seed)
    return [("vgg, augmented", VGG((1, 28, 28), 10, depth=3, convs=2, width=20, dropout=0.3), 3e-3, 14)]


def text_models(seed):
    torch.manual_seed(seed)
    return [
        ("pool", TextNet(4002, 2, kind="pool", dropout=0.2), 2e-3, 12),
        ("gru", TextNet(4002, 2, kind="gru", width=32, dropout=0.2), 3e-3, 4),
        ("pool, wide", TextNet(4002, 2, kind="pool", embedding=128, depth=2), 2e-3, 10),
    ]


def scores(models, train, sets, *, seed, batch=64, change=None):
    """Train each network and return its scores on each set: list of (m, n, C)."""
    found = []
    for name, model, rate, epochs in models:
        begun = time.perf_counter()
        images = train[0].dim() == 4 and not isinstance(model, MLP)
        fast = {"channels_last": True, "precision": "bfloat16"} if images else {}
        settings = Settings(epochs=epochs, batch_size=batch, schedule="cosine", seed=seed, **fast)
        trainer = Trainer(
            model, make_optimizer(model, "adamw", lr=rate, weight_decay=1e-2), CrossEntropy(), settings=settings,
            augment=change,
        )  # fmt: skip
        trainer.fit(train)
        found.append([trainer.predict(x).numpy() for x, _ in sets])
        said = found[-1][0].argmax(1) == sets[0][1].numpy()
        print(f"    {name}: {said.mean():.4f} held out, {time.perf_counter() - begun:.0f} s", flush=True)
    return [np.stack(each) for each in zip(*found, strict=True)]


# -- what is measured ------------------------------------------------------------------------------------------------


def calibrated(held, y_held, test, y_test):
    """Calibration errors on the test rows: as trained, by temperature, by vector scaling; and log losses."""
    temperature, vector = Temperature.fit(held, y_held), VectorScaling.fit(held, y_held)
    tables = softmax(test), temperature.probabilities(test), vector.probabilities(test)
    return temperature, [calibration_error(t, y_test) for t in tables], [log_loss(t, y_test) for t in tables]


def cost_of(threshold, sure, right, error, look):
    return float(np.where(sure < threshold, look, error * ~right).mean())


def filtered(held, y_held, test, y_test):
    """Error on the kept rows at a review rate of 10 %, and the cost against the best threshold in hindsight."""
    sure, right = test.max(1), test.argmax(1) == y_test
    tenth = Review.at_rate(held, y_held, rate=0.1)
    kept = sure >= tenth.threshold
    yield "rate", 1 - kept.mean(), 1 - right.mean(), 1 - right[kept].mean(), tenth.error
    candidates = np.concatenate([[0.0], np.unique(sure), [2.0]])
    for error, look in PRICES:
        review = Review.choose(held, y_held, error=error, look=look)
        best = min(cost_of(t, sure, right, error, look) for t in candidates)
        ours = cost_of(review.threshold, sure, right, error, look)
        chow = cost_of(1 - look / error, sure, right, error, look)
        yield "cost", error, ours / best, chow / best, review.cost.low <= ours <= review.cost.high


def report(held, y_held, test, y_test):
    """Everything for one data set and seed: the best single network, chosen by held-out accuracy, and the ensemble."""
    y_held, y_test = y_held.numpy(), y_test.numpy()
    best = int((held.argmax(2) == y_held).mean(1).argmax())
    one("single", held[best], y_held, test[best], y_test)
    for metric in ("log_loss", "accuracy"):
        mixed = ensemble(held, y_held, test, y_test, metric)
    one("ensemble", np.log(mixed[0]), y_held, np.log(mixed[1]), y_test)


def one(name, held, y_held, test, y_test):
    temperature, errors, losses = calibrated(held, y_held, test, y_test)
    print(f"  {name}: accuracy {(test.argmax(1) == y_test).mean():.4f}, temperature {temperature.value:.2f}")
    print("    calibration error: as trained, temperature, vector: " + ", ".join(f"{e:.4f}" for e in errors))
    print("    log loss:          as trained, temperature, vector: " + ", ".join(f"{e:.4f}" for e in losses))
    for what, *numbers in filtered(temperature.probabilities(held), y_held, temperature.probabilities(test), y_test):
        if what == "rate":
            said = "    filter at 10 %: reviewed {:.3f}, error before {:.4f}, on kept {:.4f}, expected {}"
        else:
            said = "    error {:g}, look 1: cost / best in hindsight {:.3f}, Chow's rule {:.3f}, in the interval {}"
        print(said.format(*numbers))


def ensemble(held, y_held, test, y_test, metric):
    """Print what selection brings, and return the mean probabilities of both sets."""
    held, test = np.stack([softmax(s) for s in held]), np.stack([softmax(s) for s in test])
    found = select(held, y_held, metric=metric)
    mixed, single = found.probabilities(test), test[found.single]
    print(
        f"  ensemble by {metric}: {len(found.members)} members; "
        f"held out {found.single_score:.4f} -> {found.score:.4f}; "
        f"test accuracy {(single.argmax(1) == y_test).mean():.4f} -> {(mixed.argmax(1) == y_test).mean():.4f}, "
        f"log loss {log_loss(single, y_test):.4f} -> {log_loss(mixed, y_test):.4f}"
    )
    return found.probabilities(held), mixed


def image_part(folder, seeds):
    train, test = fashion(folder)
    for seed in seeds:
        print(f"Fashion-MNIST, seed {seed}", flush=True)
        known, held = drawn(train, seed, (TRAINED, HELD))
        tables = scores(image_models(seed), known, [held, test], seed=seed, batch=128)
        report(tables[0], held[1], tables[1], test[1])
        held_scores, test_scores = scores(careful(seed), known, [held, test], seed=seed, batch=128, change=shifted)
        one("with augmentation", held_scores[0], held[1].numpy(), test_scores[0], test[1].numpy())


def text_part(path, seeds):
    train, test = foods(path)
    for seed in seeds:
        print(f"fine foods, seed {seed}", flush=True)
        known, held = drawn(train, seed, (len(train[1]) - 1000, 1000))
        tables = scores(text_models(seed), known, [held, test], seed=seed, batch=32)
        report(tables[0], held[1], tables[1], test[1])


# -- hierarchical softmax --------------------------------------------------------------------------------------------


class Flat(nn.Module):
    """The ordinary last layer, with the hierarchical one's methods."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.layer = nn.Linear(inputs, classes)

    def loss(self, features, y):
        return nn.functional.cross_entropy(self.layer(features), y)

    def predict(self, features):
        return self.layer(features).argmax(1)


class Adaptive(nn.Module):
    """PyTorch's peer: frequent classes in a small softmax, the others in clusters of smaller features."""

    def __init__(self, inputs, classes):
        super().__init__()
        cutoffs = [max(1, classes // 10), max(2, classes // 3)] if classes > 10 else [5]
        self.layer = nn.AdaptiveLogSoftmaxWithLoss(inputs, classes, cutoffs, div_value=2.0)

    def loss(self, features, y):
        return self.layer(features, y).loss

    def predict(self, features):
        return self.layer.predict(features)


def updater(head, body, rate):
    """A function that makes one step of Adam with both parts; a sparse head has an Adam of its own."""
    sparse = getattr(head, "sparse", False)
    dense = [*body.parameters(), *([] if sparse else head.parameters())]
    optimizers = [torch.optim.Adam(dense, rate, fused=True)]
    if sparse:
        optimizers.append(torch.optim.SparseAdam(head.parameters(), rate))

    def step(x, y):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = head.loss(body(x), y)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return float(loss.detach())

    return step


def time_part(rounds=5, steps=10, *, inputs=128, batch=64):
    """Milliseconds of CPU time of a step of a small network, the optimizer included, each head in turn."""
    print(f"milliseconds of a step, {batch} rows, {inputs} features, median of {rounds} rounds of {steps} steps")
    print(
        f"{'classes':>8}"
        + "".join(f"{name:>14}" for name in ("tree, sparse", "tree, dense", "flat", "adaptive", "predict tree", "flat"))
    )
    for classes in (10, 100, 1_000, 10_000):
        torch.manual_seed(0)
        heads = {
            "sparse": HierarchicalSoftmax(inputs, classes, sparse=True), "dense": HierarchicalSoftmax(inputs, classes),
            "flat": Flat(inputs, classes), "adaptive": Adaptive(inputs, classes),
        }  # fmt: skip
        steppers = {
            name: updater(head, nn.Sequential(nn.Linear(inputs, inputs), nn.ReLU()), 1e-3)
            for name, head in heads.items()
        }
        x, y = torch.randn(batch, inputs), torch.randint(classes, (batch,))
        calls = {name: (lambda step=step, x=x, y=y: step(x, y)) for name, step in steppers.items()}
        with torch.no_grad():
            for head in (heads["sparse"].weight, heads["flat"].layer.weight):
                head.mul_(8.0)  # as sure as a trained one
            calls |= {f"predict {name}": (lambda head=heads[name], x=x: head.predict(x)) for name in ("sparse", "flat")}
        times = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                call()
                begun = time.process_time()
                for _ in range(steps):
                    call()
                times[name].append((time.process_time() - begun) / steps * 1e3)
        print(f"{classes:8}" + "".join(f"{statistics.median(found):14.2f}" for found in times.values()), flush=True)


def pairs(data, rows, seed):
    """Two garments side by side at half size, (n, 1, 14, 28), and which of 100 pairs, numbered at random."""
    rng = torch.Generator().manual_seed(seed)
    left, right = torch.randint(len(data[1]), (2, rows), generator=rng)
    small = nn.functional.avg_pool2d(data[0], 2)
    numbers = torch.randperm(100, generator=torch.Generator().manual_seed(77))
    return torch.cat([small[left], small[right]], 3), numbers[data[1][left] * 10 + data[1][right]]


def tree_part(folder, seeds, *, rows=15_000, epochs=5, batch=128):
    """Test accuracy at 100 classes of the same network with each head."""
    train, test = fashion(folder)
    found = collections.defaultdict(list)
    for seed in seeds:
        known, asked = pairs(train, rows, seed), pairs(test, 10_000, 99)
        means = class_means(known[0], known[1], 100)
        heads = {
            "flat": lambda: Flat(64, 100),
            "similarity": lambda means=means: HierarchicalSoftmax(64, 100, tree="similarity", guide=means, sparse=True),
            "balanced": lambda: HierarchicalSoftmax(64, 100, sparse=True),
            "balanced, two branches": lambda: HierarchicalSoftmax(64, 100, branching=2, sparse=True),
            "balanced, ten branches": lambda: HierarchicalSoftmax(64, 100, branching=10, sparse=True),
            "similarity, ten branches": lambda means=means: HierarchicalSoftmax(
                64, 100, tree="similarity", guide=means, branching=10, sparse=True
            ),
            "adaptive": lambda: Adaptive(64, 100),
        }
        for name, make in heads.items():
            torch.manual_seed(seed)
            body = nn.Sequential(VGG((1, 14, 28), 64, depth=2, width=12), nn.BatchNorm1d(64), nn.ReLU())
            body, head = body.to(memory_format=torch.channels_last), make()
            step = updater(head, body, 3e-3)
            for epoch in range(epochs):
                order = torch.randperm(rows, generator=torch.Generator().manual_seed(1000 * seed + epoch))
                for index in order.split(batch):
                    step(known[0][index], known[1][index])
            body.eval(), head.eval()
            with torch.inference_mode():
                said = torch.cat([head.predict(body(part)) for part in asked[0].split(1000)])
            found[name].append(float((said == asked[1]).double().mean()))
            print(f"  seed {seed}, {name}: {found[name][-1]:.4f}", flush=True)
    print("100 classes, mean test accuracy: " + ", ".join(f"{k} {statistics.mean(v):.4f}" for k, v in found.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fashion")
    parser.add_argument("foods", nargs="?")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--parts", default="image,text,tree,time")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(given.first, given.first + given.seeds)
    for part in given.parts.split(","):
        if part == "image":
            image_part(given.fashion, seeds)
        elif part == "text" and given.foods:
            text_part(given.foods, seeds)
        elif part == "tree":
            tree_part(given.fashion, seeds)
        elif part == "time":
            time_part()


if __name__ == "__main__":
    main()
