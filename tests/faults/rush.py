"""One of several processes that start on the same new study at the same instant.

Run as ``python rush.py DIRECTORY GO OTHERS``; the one that drives goes on until so many others were told that it does.
"""

import os
import sys
import time
from pathlib import Path

import luthier as lt
from luthier.errors import StudyBusy
from luthier.store import sqlite  # noqa: F401 - loaded before the start, not after it

_PATIENCE_S = 40.0


def main():
    """Wait for the start, then tune."""
    directory, go, others = sys.argv[1:]
    print("ready", flush=True)
    while not Path(go).exists():
        time.sleep(0.0005)
    ends = time.monotonic() + _PATIENCE_S

    def objective(x):
        while len(list(Path(go).parent.glob("busy-*"))) < int(others) and time.monotonic() < ends:
            time.sleep(0.01)
        return x

    space = lt.Space(x=lt.Float(0, 1))
    try:
        study = lt.tune(objective, space, minimize=True, budget=25, workers=0, dir=directory, seed=1, view="none")
        print("drove", len(study.trials))
    except StudyBusy as busy:
        Path(go).with_name(f"busy-{os.getpid()}").touch()
        print("busy", busy)


if __name__ == "__main__":
    main()
