"""Draws the pictures of docs/classifiers.md and docs/basics.md from a network that is really trained on Fashion-MNIST.

python docs/figures/classifiers.py FASHION, the folder of the four files (Debian: dataset-fashion-mnist); two minutes.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from luthier import pictures
from luthier.classifiers import Review, Temperature, softmax
from luthier.data.idx import read_idx
from luthier.nets import MLP, VGG
from luthier.training import Settings, Trainer, make_optimizer

HERE = Path(__file__).parent
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def part(folder, name, rows):
    """The first rows of a part: images (n, 1, 28, 28) and classes."""
    images, labels = (
        torch.tensor(np.array(read_idx(next(Path(folder).glob(f"{name}-{kind}-ubyte*"))))[:rows])
        for kind in ("images-idx3", "labels-idx1")
    )
    return images[:, None].float() / 255, labels.long()


def fashion(folder):
    """Train, and draw what a person looks at afterwards."""
    x, y = part(folder, "train", 16_000)
    test = part(folder, "t10k", 10_000)
    torch.manual_seed(0)
    model = VGG((1, 28, 28), 10, depth=2, width=16, kernel=5)
    settings = Settings(epochs=10, batch_size=64, schedule="cosine", channels_last=True)
    trainer = Trainer(model, make_optimizer(model, "adamw", lr=3e-3), settings=settings)
    curve = trainer.fit((x[:12_000], y[:12_000]), (x[12_000:], y[12_000:]))
    held, y_held = trainer.predict(x[12_000:]).numpy(), y[12_000:].numpy()
    scores, truth = trainer.predict(test[0]).numpy(), test[1].numpy()
    temperature = Temperature.fit(held, y_held)
    table = temperature.probabilities(scores)
    wanted = [{k: epoch[k] for k in ("loss", "valid_loss", "acc", "calibration_error")} for epoch in curve]
    draw(pictures.learning_curves(wanted, title="Fashion-MNIST, 12,000 images"), "curves")
    draw(pictures.confusion_matrix(truth, table.argmax(1), classes=CLASSES), "matrix")
    draw(pictures.reliability(softmax(scores), truth, title="As trained"), "before")
    draw(pictures.reliability(table, truth, title=f"Temperature {temperature.value:.2f}"), "after")
    draw(pictures.filters(model.layers[0].weight.detach(), title="First layer"), "filters")
    draw(pictures.worst_mistakes(test[0], truth, table, classes=CLASSES), "mistakes")
    review = Review.choose(temperature.probabilities(held), y_held, error=10.0, look=1.0)
    right = table.argmax(1) == truth
    draw(pictures.review_curve(table.max(1), right, error=10, look=1, threshold=review.threshold), "review")
    print(review)


def moons():
    """Two half moons, and what a small perceptron makes of them with and without batch normalization."""
    rng = np.random.default_rng(0)
    angle, side = rng.uniform(0, np.pi, 400), rng.integers(0, 2, 400)
    points = np.stack([np.cos(angle) + side, np.sin(angle) * (1 - 2 * side) + 0.5 * side], 1)
    points += 0.2 * rng.standard_normal(points.shape)
    torch.manual_seed(0)
    model = MLP(2, 2, width=32, norm="batch")
    trainer = Trainer(model, make_optimizer(model, "adam", lr=0.01), settings=Settings(epochs=40, batch_size=32))
    trainer.fit((torch.tensor(points).float(), torch.tensor(side)))

    def probabilities(x):
        return trainer.predict(torch.tensor(x).float()).softmax(1).numpy()

    draw(pictures.decision_boundary(probabilities, points, side, classes=("upper", "lower")), "boundary")


def draw(figure, name):
    """Save in 96 dots an inch."""
    print(pictures.save(figure, HERE / f"classifiers-{name}.png", dpi=96).name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    moons()
    fashion(sys.argv[1])
