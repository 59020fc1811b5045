"""A driver to be killed whose trials are paused and resumed, and have to leave memory now and then.

Run as ``python thaw.py DIRECTORY BUDGET``. Side logs as `storm` has them.
"""

import sys
from pathlib import Path

from storm import SPACE, Objective, append

import luthier as lt
from luthier.contracts import CONTINUE, Resume
from luthier.execute import local
from luthier.trial import ENDED, State

STEPS = 6


class Relay:
    """Pause after 2 and after 4 steps; go on with the best of five."""

    def grant(self, history):
        """Return the first stop."""
        return 2

    def promote(self, history):
        """Return the best paused trial of five, or of the last ones."""
        held = [t for t in history.live if t.state is State.PAUSED]
        if not held or (len(held) < 5 and history.began < history.planned):
            return None
        best = min(held, key=lambda t: (history.losses_of(t)[0], t.number))
        return Resume(best.number, "the best so far", best.steps + 2 if best.steps < 4 else None)

    def judge(self, history, trial):
        """Let it go on."""
        return CONTINUE


def main():
    """Drive the study to its budget; every third look at memory finds it short."""
    root, budget = Path(sys.argv[1]), int(sys.argv[2])
    looks = iter(range(10**9))
    local._TICK_S = 0.02
    local.memory_bytes = lambda: 2**60 if next(looks) % 3 else 0

    def acknowledged(trial):
        if trial.state in ENDED:
            append(root / "told.log", f"{trial.number} {trial.state} {trial.metrics.get('loss')!r}")

    study = lt.tune(
        Objective(str(root / "steps.log"), 0.01, STEPS),
        SPACE,
        minimize="loss",
        budget=budget,
        search="random",
        schedule=Relay(),
        workers=2,
        dir=root / "study",
        seed=3,
        retries=99,
        observers=[acknowledged],
        view="plain",
    )
    print("ended", len(study.trials), flush=True)


if __name__ == "__main__":
    main()
