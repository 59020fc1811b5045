"""A driver to be killed: short trials that keep, step and report, and side logs of what happened and what was told.

Run as ``python storm.py DIRECTORY CHECKPOINTS SECONDS_A_STEP BUDGET [WORKERS [OBJECTIVE_STEPS [deaf]]]``; a deaf one
hears of Ctrl-C only while `luthier.tune` does.
"""

import os
import signal
import sys
import time
from pathlib import Path

import luthier as lt
from luthier.trial import ENDED

SPACE = lt.Space(x=lt.Float(1, 2))


def append(path, line):
    """Write a line that survives the death of this process."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, line.encode() + b"\n")
    os.fsync(file)
    os.close(file)


def loss_at(x, step):
    """What the objective reports after `step` steps: the sum of x, 2x, 3x, ..., so that no step can be left out."""
    return sum(x * (i + 1) for i in range(step))


class Objective:
    """Keeps its sum, steps, reports; logs where it begins, each step, and its process."""

    def __init__(self, log, wait_s, steps):
        self.log, self.wait_s, self.steps = log, wait_s, steps

    def __call__(self, x, run):
        """Run one trial."""
        there = sorted(p.name for p in (run.path / "checkpoints").glob("*.ckpt"))
        append(self.log, f"begin {run.number} {int(there[-1][:8]) if there else 0} {os.getpid()}")
        state = run.keep(state={"total": 0.0})
        for step in run.steps(self.steps):
            append(self.log, f"step {run.number} {step} {os.getpid()}")
            time.sleep(self.wait_s)
            state["total"] += x * (step + 1)
            run.report(loss=state["total"])


def main():
    """Drive the study to its budget, writing down each result when it is acknowledged."""
    directory, checkpoints, wait_s, budget, *rest = sys.argv[1:]
    workers, steps = (int(rest[0]) if rest else 2), (int(rest[1]) if len(rest) > 1 else 6)
    root = Path(directory)
    if rest[2:]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def acknowledged(trial):
        if trial.state in ENDED:
            append(root / "told.log", f"{trial.number} {trial.state} {trial.metrics.get('loss')!r}")

    append(root / "driver.log", str(os.getpid()))
    objective = Objective(str(root / "steps.log"), float(wait_s), steps)
    study = lt.tune(
        objective,
        SPACE,
        minimize="loss",
        budget=int(budget),
        search="random",
        workers=workers,
        dir=root / "study",
        seed=3,
        retries=99,
        checkpoints=checkpoints,
        observers=[acknowledged],
        view="plain",
    )
    print("ended", len(study.trials), flush=True)


if __name__ == "__main__":
    main()
