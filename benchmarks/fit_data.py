"""Make the data sets of benchmarks/fit.py from Debian packages: nothing is downloaded.

python benchmarks/fit_data.py DIR

Needs dataset-fashion-mnist, r-cran-modeldata, r-cran-mlbench (with Rscript) and espeak-ng. For each set, DIR/SET holds
what Luthier reads, ``train*`` and ``test*``, and ``plain.npz`` with rows of numbers for tools that read no files.
"""

import gzip
import io
import random
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np

FASHION = Path("/usr/share/datasets/fashion-mnist")
TABLES = {  # R package, name, target
    "letters": ("mlbench", "LetterRecognition", "lettr"),
    "satellite": ("mlbench", "Satellite", "classes"),
    "ames": ("modeldata", "ames", "Sale_Price"),
}
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ACCENTS = ["en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp", "en-gb-x-gbclan"]
VOICES = {
    "train": [
        "m1", "m2", "m3", "m4", "f1", "f2", "f3", "Alex", "Alicia", "Andy", "Annie", "Denis", "Gene", "Jacky", "Lee",
        "Mario", "Michael", "adam", "anika", "belinda", "benjamin", "caleb", "david", "linda",
    ],
    "test": ["m5", "m7", "f4", "f5", "Andrea", "Hugo", "edward", "john", "steph"],
}  # fmt: skip


def fashion(folder):
    """10,000 images to train on, 10,000 to test on."""

    def content(name, skip):
        with gzip.open(FASHION / name) as file:
            return np.frombuffer(file.read()[skip:], np.uint8)

    x = content("train-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    y = content("train-labels-idx1-ubyte.gz", 8).astype(np.int64)
    rows = np.random.default_rng(0).permutation(len(y))[:10_000]
    x_test = content("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    y_test = content("t10k-labels-idx1-ubyte.gz", 8).astype(np.int64)
    np.savez(folder / "train.npz", x=x[rows], y=y[rows])
    np.savez(folder / "test.npz", x=x_test, y=y_test)
    np.savez(folder / "plain.npz", x=x[rows], y=y[rows], x_test=x_test, y_test=y_test)


def table(folder, package, name, target):
    """Four fifths to train on; categories are one-hot in the plain form."""
    import pandas

    whole = from_r(folder, package, name)
    rows = np.random.default_rng(0).permutation(len(whole))
    cut = len(whole) // 5
    parts = {"test": whole.iloc[rows[:cut]], "train": whole.iloc[rows[cut:]]}
    for part, rows_of in parts.items():
        rows_of.to_csv(folder / f"{part}.csv", index=False)
    numbers = pandas.get_dummies(whole.drop(columns=target), dtype=float).to_numpy(float)
    y = whole[target]
    regression = pandas.api.types.is_numeric_dtype(y)
    values = y.to_numpy(float) if regression else np.unique(y.astype(str), return_inverse=True)[1]
    plain(folder, numbers[rows[cut:]], values[rows[cut:]], numbers[rows[:cut]], values[rows[:cut]], regression)


def text(folder):
    """Reviews of food: five stars or fewer; the split is the package's. Plain: words weighted by rarity."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    train, test = (from_r(folder, "modeldata", name) for name in ("training_data", "testing_data"))
    for part, rows in (("train", train), ("test", test)):
        rows[["review", "score"]].to_csv(folder / f"{part}.csv", index=False)
    weigh = TfidfVectorizer(max_features=1000, sublinear_tf=True)
    x, x_test = weigh.fit_transform(train["review"]).toarray(), weigh.transform(test["review"]).toarray()
    names = np.unique(train["score"])
    plain(folder, x, np.searchsorted(names, train["score"]), x_test, np.searchsorted(names, test["score"]))


def from_r(folder, package, name):
    """Read a data frame of an R package."""
    import pandas

    path = folder / f"{name}.csv"
    holder = {"training_data": "small_fine_foods", "testing_data": "small_fine_foods"}.get(name, name)
    script = f"data({holder}, package='{package}'); write.csv(as.data.frame({name}), '{path}', row.names=FALSE)"
    subprocess.run(["Rscript", "-e", script], check=True, capture_output=True)
    frame = pandas.read_csv(path, keep_default_na=False, na_values=["NA"])
    path.unlink()
    return frame


def audio(folder):
    """Spoken digits; the voices of the test are not those of the training. Plain: mean and deviation of each band."""
    rng, noise = random.Random(0), np.random.default_rng(0)
    plain_rows = {}
    for part, each in (("train", 80), ("test", 24)):
        waves, labels = [], []
        for label, word in enumerate(WORDS):
            (folder / part / word).mkdir(parents=True, exist_ok=True)
            for k in range(each):
                voice = f"{rng.choice(ACCENTS)}+{VOICES[part][k % len(VOICES[part])]}"
                waves.append(spoken(word, voice, rng.randrange(110, 230, 5), rng.randrange(20, 85, 5), noise))
                labels.append(label)
                write(folder / part / word / f"{k:03d}.wav", waves[-1])
        plain_rows[part] = np.stack([bands(x) for x in waves]), np.array(labels)
    plain(folder, *plain_rows["train"], *plain_rows["test"])


def spoken(word, voice, speed, pitch, noise):
    """One word at 16 kHz, some silence before it, a little noise over it."""
    from scipy.signal import resample_poly

    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    out = subprocess.run(command, capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(out)) as file:
        rate, x = file.getframerate(), np.frombuffer(file.readframes(10**7), "<i2") / 32768
    x = resample_poly(x, 320, 441) if rate == 22050 else x
    x = np.concatenate([np.zeros(noise.integers(0, 1600)), x]) * noise.uniform(0.4, 1)
    return np.clip(x + noise.normal(0, noise.uniform(0.001, 0.01), len(x)), -1, 1)


def write(path, x):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((x * 32767).astype("<i2").tobytes())


def bands(x):
    """Mean and deviation over time of 40 log-mel bands."""
    import torch

    from luthier.nets import LogMel

    with torch.inference_mode():
        mel = LogMel(16_000, mels=40)(torch.tensor(x, dtype=torch.float32)[None])[0].numpy()
    return np.concatenate([mel.mean(1), mel.std(1)])


def plain(folder, x, y, x_test, y_test, regression=False):
    np.savez(folder / "plain.npz", x=x, y=y, x_test=x_test, y_test=y_test, regression=regression)


def main(place):
    for name in ("fashion", "text", "audio", *TABLES):
        folder = Path(place).resolve() / name
        if (folder / "plain.npz").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        {"fashion": fashion, "text": text, "audio": audio}.get(name, lambda f, n=name: table(f, *TABLES[n]))(folder)
        with np.load(folder / "plain.npz") as file:
            print(name, {part: file[part].shape for part in ("x", "x_test")})


if __name__ == "__main__":
    main(sys.argv[1])
