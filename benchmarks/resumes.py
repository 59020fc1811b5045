"""What it brings that freeze-thaw measures what resumes cost: simulated studies on recorded curves that pay for them.

    python benchmarks/resumes.py --bench DIR                           # two tasks with curves, 3 seeds
    python benchmarks/resumes.py --bench DIR --seeds 12 --start-free   # resumes cost something, starts do not

Every step takes a second; starting a trial and going on with one take a share of a full training. The budget is ten
full trainings in seconds, what is loaded included. Figures are geometric mean regrets of the incumbent, as in
`benchmarks/fidelity.py`, of freeze-thaw that measures and of the same search that is told that a resume is free.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fidelity import regret, space_of

from luthier.search.freeze import FreezeSearch
from luthier.simulate import Simulation, simulate

TASKS = ("lcbench/3945", "taskset/patch32_GRU64_avg_bs128")
COSTS = (1 / 16, 1 / 4, 1.0)  # of a full training
TRAININGS = 10


def run(task: Any, search: FreezeSearch, cost: float, seed: int, *, start_free: bool) -> Simulation:
    """Simulate one study."""
    length = int(task.fidelity[2])

    def curve(config: dict[str, Any]) -> list[float]:
        return [task.evaluate(config, step)["loss"] for step in range(1, length + 1)]

    return simulate(
        curve, space_of(task), minimize="loss", budget=f"{TRAININGS * length}s", search=search, schedule="full",
        start_s=0.0 if start_free else cost * length, resume_s=cost * length, seed=seed,
    )  # fmt: skip


def reached(task: Any, done: Simulation) -> float:
    """Regret of the incumbent at the end."""
    best = done.log[-1].best if done.log else None
    return regret(task, None if best is None else task.evaluate(done.study.history.trial(best).config)["loss"])


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--start-free", action="store_true", help="starting a trial costs nothing")
    parser.add_argument("--bench", type=Path, required=True, help="folder with hpotasks/")
    args = parser.parse_args()
    sys.path.insert(0, str(args.bench))
    import hpotasks

    tasks = [hpotasks.get(name) for name in args.tasks.split(",")]
    for cost in COSTS:
        logs: dict[str, list[float]] = {"free": [], "measured": []}
        resumes: dict[str, list[int]] = {"free": [], "measured": []}
        for task in tasks:
            for seed in range(args.seeds):
                for name, steps in (("free", 0.0), ("measured", None)):
                    done = run(task, FreezeSearch(resume_steps=steps), cost, seed, start_free=args.start_free)
                    logs[name].append(np.log(reached(task, done)))
                    resumes[name].append(done.study.history.resumes.checkpoint)
        free, told = (float(np.exp(np.mean(logs[name]))) for name in ("free", "measured"))
        print(
            f"a resume costs {cost:.3g} of a training: regret {told:.4f} measured, {free:.4f} if thought free, ratio "
            f"{told / free:.2f}; resumes {np.mean(resumes['measured']):.1f} and {np.mean(resumes['free']):.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
