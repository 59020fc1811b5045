"""Draws docs/figures/fit.png: what `luthier fit` draws for scikit-learn's digits under noise, side by side.

python docs/figures/fit.py
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from luthier.estimators import fit

NAMES = ("learning_curves", "confusion_matrix", "reliability")
NOISE = 5.0  # of a range of 16: without it there is nothing to see


def main():
    """Fit, and put the pictures of the summary next to each other."""
    x, y = load_digits(return_X_y=True)
    x = x + NOISE * np.random.default_rng(0).normal(size=x.shape)
    with tempfile.TemporaryDirectory() as place:
        net = fit(x.reshape(-1, 8, 8), y, budget=10, epochs=20, workers=0, dir=place, seed=0)
        print(net.summary_)
        pictures = [Image.open(Path(place) / "pictures" / f"{name}.png").convert("RGB") for name in NAMES]
    height = max(picture.height for picture in pictures)
    whole = Image.new("RGB", (sum(picture.width for picture in pictures), height), "white")
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, (height - picture.height) // 2))
        left += picture.width
    whole.quantize(128).save(Path(__file__).with_name("fit.png"), optimize=True)


if __name__ == "__main__":
    main()
