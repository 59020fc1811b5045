"""What pausing and thawing save, on recorded learning curves, against the rivals' recorded runs; and the CPU.

    python benchmarks/fidelity.py                                  # freeze-thaw on 6 clean tasks with curves, 12 seeds
    python benchmarks/fidelity.py --policy freeze,bayes --guard    # by task, against our own search without fidelity
    python benchmarks/fidelity.py --workers 8                      # and 100: the same epochs in all
    python benchmarks/fidelity.py --cpu                            # CPU per decision at 200 and at 2,000 trials

R is one full training (all epochs). Regret is 0 at the best known loss and 1 at that of the median random
configuration, clipped to [0.001, 1]; it is that of the incumbent, the configuration with the lowest loss seen at any
step, scored at full length. Tables show geometric means over tasks of the mean over seeds, with 90 % bootstrap
intervals over seeds. A policy is SEARCH or SEARCH+SCHEDULE, such as random+asha.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # figures are for one thread
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import luthier as lt
from luthier.contracts import Proposal
from luthier.history import History
from luthier.objective import Metric
from luthier.search import search_of
from luthier.simulate import simulate
from luthier.trial import Curve, State, Trial

CLEAN = (
    "lcbench/3945", "lcbench/34539", "lcbench/146212", "taskset/patch128_LSTM128_bs64",
    "taskset/patch32_GRU64_avg_bs128", "taskset/patch32_VRNN64_tanh_avg_bs128",
)  # fmt: skip
APART = ("lcbench/7593", "lcbench/167104", "lcbench/168331", "lcbench/126029", "lcbench/167161", "synthetic/curves")
AT = (1, 2, 5, 10, 20)
FLOOR = 1e-3
Table = dict[str, dict[str, dict[int, dict[str, Any]]]]  # peer -> task -> seed -> run


def space_of(task: Any) -> lt.Space:
    """Translate a task's parameters."""
    given: dict[str, Any] = {}
    for p in task.params:
        when = {p.condition[0]: list(p.condition[1])} if p.condition else None
        if p.kind == "float":
            given[p.name] = lt.Float(p.low, p.high, log=p.log, when=when)
        elif p.kind == "int":
            given[p.name] = lt.Int(int(p.low), int(p.high), log=p.log, when=when)
        else:
            given[p.name] = (lt.Ordinal if p.kind == "ord" else lt.Choice)(*p.choices, when=when)
    return lt.Space(given)


class Timed:
    """A search whose CPU is measured."""

    def __init__(self, name: str) -> None:
        self.search, self.times = search_of(name), list[float]()
        self.paced = getattr(self.search, "paced", False)

    def describe(self, history: History) -> str:
        """Say what the search says."""
        return self.search.describe(history)

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Let the search propose."""
        start = time.process_time()
        found = self.search.propose(history, n, rng)
        self.times.append(1e3 * (time.process_time() - start))
        return found


def run(policy: str, task: Any, seed: int, *, workers: int, budget: int) -> dict[str, Any]:
    """Return the incumbent's loss at full length by budget, and what the run cost."""
    name, _, schedule = policy.partition("+")
    search, length = Timed(name), int(task.fidelity[2])
    batch = getattr(task._fn, "batch", None)

    def curve(config: dict[str, Any]) -> list[float]:
        if batch is None:
            return [task.evaluate(config, step)["loss"] for step in range(1, length + 1)]
        found: list[float] = batch([config] * length, list(range(1, length + 1)))[0].tolist()
        return found

    done = simulate(
        curve, space_of(task), minimize="loss", budget=f"{budget * length} steps", search=search,
        schedule=schedule or "full", workers=workers, seed=seed,
    )  # fmt: skip
    inc = {}
    for full in AT:
        moment = done.at_steps(full * length)
        if full <= budget:
            best = None if moment is None else moment.best
            inc[str(full)] = None if best is None else task.evaluate(done.study.history.trial(best).config)["loss"]
    trials = done.study.trials
    return {
        "peer": f"luthier-{policy}" + (f"-w{workers}" if workers > 1 else ""), "task": task.name, "seed": seed,
        "kind": "mf", "inc": inc, "cpu_ms": float(np.mean(search.times)), "cpu_max_ms": float(np.max(search.times)),
        "trials": len(trials), "whole": sum(t.steps == length for t in trials), "waited": done.waited,
        "idle": round(done.idle_share, 4),
    }  # fmt: skip


def regret(task: Any, loss: float | None) -> float:
    """Clipped regret; 1 where there is no incumbent."""
    return 1.0 if loss is None else min(1.0, max(FLOOR, task.regret(loss)))


def geometric(by_task: list[np.ndarray]) -> np.ndarray:
    """Geometric mean over tasks of means over seeds; each array is (seeds, budgets)."""
    return np.exp(np.mean([np.log(r.mean(axis=0)) for r in by_task], axis=0))


def interval(by_task: list[np.ndarray], draws: int = 500) -> np.ndarray:
    """Bootstrap over seeds: 5 % and 95 % quantiles, (2, budgets)."""
    rng = np.random.default_rng(0)
    drawn = [geometric([r[rng.integers(0, len(r), len(r))] for r in by_task]) for _ in range(draws)]
    return np.quantile(drawn, [0.05, 0.95], axis=0)


def read(path: Path, table: Table) -> None:
    """Add recorded runs to a table."""
    with path.open() as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["kind"] == "mf":
                table[entry["peer"]][entry["task"]][entry["seed"]] = entry


def regrets(table: Table, peer: str, task: Any) -> np.ndarray:
    """Regrets of a peer's runs on a task, (seeds, budgets)."""
    runs = table[peer][task.name].values()
    return np.array([[regret(task, r["inc"].get(str(full))) for full in AT] for r in runs])


def compare(table: Table, tasks: dict[str, Any]) -> None:
    """Print all peers that ran at least two thirds of the tasks, and what of the best rival each of ours has."""
    print(f"\n{len(tasks)} tasks; geometric mean regret at {', '.join(f'{full}R' for full in AT)}")
    rows = {}
    for peer, runs in table.items():
        seen = [task for name, task in tasks.items() if name in runs]
        if len(seen) >= 2 / 3 * len(tasks):
            rows[peer] = ([regrets(table, peer, task) for task in seen], len(seen))
    rivals = [geometric(by_task) for peer, (by_task, _) in rows.items() if not peer.startswith("luthier")]
    best = np.min(rivals, axis=0) if rivals else np.full(len(AT), np.nan)
    for peer, (by_task, count) in sorted(rows.items(), key=lambda row: geometric(row[1][0])[-1]):
        middle, (low, high) = geometric(by_task), interval(by_task)
        cells = "  ".join(f"{m:.4f} [{a:.3f}, {b:.3f}]" for m, a, b in zip(middle, low, high, strict=True))
        print(f"  {peer:28s} tasks {count} seeds {min(len(r) for r in by_task):2d}  {cells}")
        if peer.startswith("luthier"):
            print(f"  {'':28s} of the best rival     " + "  ".join(f"{share:20.2f}" for share in middle / best))


def guard(table: Table, tasks: dict[str, Any], mine: str, own: str) -> None:
    """Print mean regrets by task of a policy and of our search without fidelity, and their ratios."""
    print(f"\n{mine} over {own} by task, at {', '.join(f'{full}R' for full in AT)}; the guard is 1.2")
    for name, task in tasks.items():
        if name in table[mine] and name in table[own]:
            a, b = (regrets(table, peer, task).mean(axis=0) for peer in (mine, own))
            cells = "  ".join(f"{x:.4f}/{y:.4f} = {x / y:5.2f}" for x, y in zip(a, b, strict=True))
            print(f"  {name:40s} {cells}")


def measure_cpu(policy: str, sizes: tuple[int, ...] = (200, 2000), steps: int = 50) -> None:
    """Print CPU milliseconds per decision with so many trials, half of them paused early, the others at any step."""
    space = lt.Space(
        lr=lt.Float(1e-5, 1e-1, log=True), dropout=lt.Float(0.0, 0.8), batch=lt.Int(16, 512, log=True),
        width=lt.Int(16, 1024, log=True), depth=lt.Int(1, 6), decay=lt.Float(1e-7, 1e-1, log=True),
        activation=lt.Choice("relu", "gelu", "tanh"),
    )  # fmt: skip
    for size in sizes:
        rng = np.random.default_rng(0)
        history = History(space, (Metric("loss"),))
        for number in range(size):
            history = history.record(_paused(space, number, steps, rng))
        search, times = search_of(policy), []
        for k in range(40):
            start = time.process_time()
            (proposal,) = search.propose(history, 1, np.random.default_rng(k))
            times.append(1e3 * (time.process_time() - start))
            number = getattr(proposal, "number", history.began)
            before = None if number == history.began else history.trial(number)
            config = proposal.config if before is None else before.config
            trial = _paused(space, number, steps, rng, config=config, last=3 if before is None else before.steps + 3)
            history = history.record(trial)
        print(
            f"{policy} at {size} trials x {steps} steps: first decision {times[0]:.0f} ms, then mean "
            f"{np.mean(times[1:]):.1f}, median {np.median(times[1:]):.1f}, most {np.max(times[1:]):.1f} ms"
        )


def _paused(
    space: lt.Space, number: int, steps: int, rng: np.random.Generator, config: Any = None, last: int | None = None
) -> Trial:
    config = space.sample(rng) if config is None else config
    code = space.encode(config)
    end = float(((code - 0.4) ** 2).sum())
    last = min(steps, int(rng.integers(3, steps + 1)) if last is None and number % 2 else last or 3)
    curve = Curve()
    for step in range(1, last + 1):
        curve = curve.append(step, {"loss": end + 2.0 / (1 + 5 * step * code[0])})
    state = State.DONE if last == steps else State.PAUSED
    metrics = {"loss": float(curve.values("loss").min())}
    return Trial(number, config, state, curve=curve, metrics=metrics, grant=last, total_steps=steps)


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("LUTHIER_BENCH", Path(__file__).parents[2] / "shared" / "bench"))
    parser.add_argument("--bench", type=Path, default=default, help="folder with hpotasks/ and rivals.jsonl")
    parser.add_argument("--policy", default="freeze", help="policies with commas between")
    parser.add_argument("--tasks", default="clean", help="clean, apart, or names with commas between")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--budget", type=int, default=20, help="in full trainings")
    parser.add_argument("--out", type=Path, help="add the runs to this file of JSON lines; runs there are not repeated")
    parser.add_argument("--guard", action="store_true", help="compare the first policy with the second by task")
    parser.add_argument("--cpu", action="store_true", help="only measure the CPU per decision")
    args = parser.parse_args()
    policies = args.policy.split(",")
    if args.cpu:
        for policy in policies:
            measure_cpu(policy)
        return
    sys.path.insert(0, str(args.bench))
    import hpotasks

    names = {"clean": CLEAN, "apart": APART}.get(args.tasks) or args.tasks.split(",")
    tasks = {name: hpotasks.get(name) for name in names}
    table: Table = defaultdict(lambda: defaultdict(dict))
    read(args.bench / "rivals.jsonl", table)
    if args.out is not None and args.out.exists():
        read(args.out, table)
    suffix = f"-w{args.workers}" if args.workers > 1 else ""
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for policy in policies:
            for name, task in tasks.items():
                peer = f"luthier-{policy}{suffix}"
                if seed not in table[peer][name]:
                    entry = table[peer][name][seed] = run(policy, task, seed, workers=args.workers, budget=args.budget)
                    if args.out is not None:
                        with args.out.open("a") as out:
                            out.write(json.dumps(entry) + "\n")
    compare(table, tasks)
    for policy in policies:
        mine = [r for name in tasks for r in table[f"luthier-{policy}{suffix}"][name].values()]
        if mine and "waited" in mine[0]:
            keys = ("cpu_ms", "cpu_max_ms", "trials", "whole", "waited", "idle")
            means = {key: float(np.mean([r[key] for r in mine])) for key in keys if all(key in r for r in mine)}
            print(f"  {policy}: " + ", ".join(f"{key} {value:.3g}" for key, value in means.items()))
    if args.guard and len(policies) > 1:
        guard(table, tasks, f"luthier-{policies[0]}{suffix}", f"luthier-{policies[1]}{suffix}")


if __name__ == "__main__":
    main()
