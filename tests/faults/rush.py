"""One of several processes that start on the same new study at the same instant: ``python rush.py DIRECTORY GO``."""

import sys
import time
from pathlib import Path

import luthier as lt
from luthier.errors import StudyBusy
from luthier.store import sqlite  # noqa: F401 - loaded before the start, not after it


def objective(x):
    """Take a moment."""
    time.sleep(0.1)
    return x


def main():
    """Wait for the start, then tune."""
    directory, go = sys.argv[1:]
    print("ready", flush=True)
    while not Path(go).exists():
        time.sleep(0.0005)
    space = lt.Space(x=lt.Float(0, 1))
    try:
        study = lt.tune(objective, space, minimize=True, budget=25, workers=0, dir=directory, seed=1, view="none")
        print("drove", len(study.trials))
    except StudyBusy as busy:
        print("busy", busy)


if __name__ == "__main__":
    main()
