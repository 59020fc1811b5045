"""How many trials a search needs, on recorded deep-learning tasks, against the rivals' recorded runs; and its CPU.

    python benchmarks/search.py --bench ../shared/bench                     # 10 clean tasks, 12 seeds, 50 trials
    python benchmarks/search.py --bench ../shared/bench --kind batch8       # 8 trials pending
    python benchmarks/search.py --bench ../shared/bench --cpu 50 200 1000   # ask+tell against Optuna in the same run

Regret is 0 at the best known loss and 1 at that of the median random configuration, clipped to [0.001, 1]. Tables show
geometric means over tasks of the mean over seeds, with 90 % bootstrap intervals over seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # figures are for one thread
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import luthier as lt
from luthier.history import History
from luthier.objective import Metric
from luthier.search import search_of
from luthier.trial import State, Trial

CLEAN = (
    "lcbench/3945", "lcbench/34539", "lcbench/146212", "fcnet/parkinsons", "hpobench_mlp/car", "hpobench_mlp/vehicle",
    "nb201/cifar10", "taskset/patch128_LSTM128_bs64", "taskset/patch32_GRU64_avg_bs128",
    "taskset/patch32_VRNN64_tanh_avg_bs128",
)  # fmt: skip
AT = {"seq": (5, 10, 20, 30, 50), "batch8": (16, 32, 48, 96)}
FLOOR = 1e-3
Table = dict[str, dict[str, dict[int, list[float]]]]  # peer -> task -> seed -> losses


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


class Asker:
    """One run of one search: ask and tell over a history, without store or loop."""

    def __init__(self, name: str, space: lt.Space, seed: int) -> None:
        self.search, self.seed = search_of(name), seed
        self.history = History(space, (Metric("loss"),), seed=seed)

    def ask(self) -> Trial:
        """Begin the next trial."""
        rng = np.random.default_rng((self.seed, self.history.began))
        (new,) = self.search.propose(self.history, 1, rng)
        trial = Trial(self.history.began, new.config, state=State.RUNNING, reason=new.reason)
        self.history = self.history.record(trial)
        return trial

    def tell(self, trial: Trial, loss: float) -> None:
        """End it."""
        done = Trial(trial.number, trial.config, state=State.DONE, metrics={"loss": loss}, reason=trial.reason)
        self.history = self.history.record(done)


def run(name: str, task: Any, seed: int, *, trials: int, pending: int) -> tuple[list[float], float]:
    """Return the losses in order of completion, and the mean CPU of ask and tell in milliseconds."""
    asker = Asker(name, space_of(task), seed)
    losses: list[float] = []
    alive: list[Trial] = []
    spent = 0.0
    while len(losses) < trials:
        start = time.process_time()
        while len(alive) < pending:
            alive.append(asker.ask())
        spent += time.process_time() - start
        trial = alive.pop(0)
        loss = task.evaluate(trial.config)["loss"]
        start = time.process_time()
        asker.tell(trial, loss)
        spent += time.process_time() - start
        losses.append(loss)
    return losses, 1e3 * spent / trials


def regrets(task: Any, losses: list[float], at: Iterable[int]) -> list[float]:
    """Clipped regrets of the best so far at the budgets that the run reached, NaN beyond."""
    best = np.minimum.accumulate(losses)
    return [min(1.0, max(FLOOR, task.regret(best[n - 1]))) if n <= len(best) else math.nan for n in at]


def geometric(by_task: list[np.ndarray]) -> np.ndarray:
    """Geometric mean over tasks of means over seeds; each array is (seeds, budgets)."""
    return np.exp(np.mean([np.log(np.nanmean(r, axis=0)) for r in by_task], axis=0))


def interval(by_task: list[np.ndarray], draws: int = 500) -> np.ndarray:
    """Bootstrap over seeds: 5 % and 95 % quantiles, (2, budgets)."""
    rng = np.random.default_rng(0)
    drawn = [geometric([r[rng.integers(0, len(r), len(r))] for r in by_task]) for _ in range(draws)]
    return np.quantile(drawn, [0.05, 0.95], axis=0)


def recorded(bench: Path, kind: str) -> Table:
    """The rivals' runs."""
    table: Table = defaultdict(lambda: defaultdict(dict))
    with (bench / "rivals.jsonl").open() as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["kind"] == kind:
                table[entry["peer"]][entry["task"]][entry["seed"]] = entry["losses"]
    return table


def compare(table: Table, mine: str, tasks: dict[str, Any], kind: str, trials: int) -> None:
    """Print the regrets of all peers that ran two thirds of the tasks, and the share of pairs that `mine` won."""
    at = [n for n in AT[kind] if n <= trials]
    print(f"\n{kind}: {len(tasks)} tasks; geometric mean regret at {', '.join(map(str, at))} trials")
    ours = {(t, s): regrets(tasks[t], losses, at) for t in tasks for s, losses in table[mine][t].items()}
    for peer, runs in sorted(table.items(), key=lambda entry: entry[0] != mine):
        seen = [t for t in tasks if t in runs]
        if len(seen) < 2 / 3 * len(tasks):
            continue
        theirs = {(t, s): regrets(tasks[t], losses, at) for t in seen for s, losses in runs[t].items()}
        by_task = [np.array([r for (name, _), r in theirs.items() if name == t]) for t in seen]
        low, high = interval(by_task)
        cells = "  ".join(f"{m:.4f} [{a:.3f}, {b:.3f}]" for m, a, b in zip(geometric(by_task), low, high, strict=True))
        pairs = [(ours[k], theirs[k]) for k in theirs if k in ours]
        won = ""
        if peer != mine and pairs:
            a, b = np.array(pairs).transpose(1, 0, 2)
            shares = ((a < b) + 0.5 * (a == b)).mean(axis=0)
            won = "  pairs won " + " ".join(f"{100 * share:.0f}%" for share in shares)
        print(f"  {peer:16s} tasks {len(seen):2d} seeds {min(len(r) for r in by_task):2d}  {cells}{won}")


def to_reach(table: Table, mine: str, peer: str, tasks: dict[str, Any], trials: int = 50) -> None:
    """Print how many trials `mine` needs for what `peer` has after 50 (its mean regret), by task and seed."""
    needed = []
    for name, task in tasks.items():
        if name not in table[peer]:
            continue
        goal = np.mean([regrets(task, losses, [trials])[0] for losses in table[peer][name].values()])
        for losses in table[mine][name].values():
            regret = np.array(regrets(task, losses, range(1, len(losses) + 1)))
            needed.append(int(np.argmax(regret <= goal)) + 1 if (regret <= goal).any() else len(losses) + 1)
    if needed:
        quarters = np.quantile(needed, [0.25, 0.5, 0.75])
        print(
            f"\ntrials to reach what {peer} has after {trials}: "
            + ", ".join(f"{q:.0f}" for q in quarters)
            + " (quartiles)"
        )


def measure_cpu(names: list[str], sizes: list[int], optuna_up_to: int) -> None:
    """Print CPU milliseconds per ask+tell at a number of stored trials, against Optuna's samplers in the same run."""
    space = lt.Space(
        lr=lt.Float(1e-5, 1e-1, log=True), dropout=lt.Float(0.0, 0.8), batch=lt.Int(16, 512, log=True),
        width=lt.Int(16, 1024, log=True), depth=lt.Int(1, 6), decay=lt.Float(1e-7, 1e-1, log=True),
        activation=lt.Choice("relu", "gelu", "tanh"),
    )  # fmt: skip
    print(f"\nCPU of ask+tell, milliseconds, {len(space.columns)} parameters")
    for size in sizes:
        cells = [f"{name} {_timed(name, space, size):.1f}" for name in names]
        cells += [
            f"optuna {s} {_timed_optuna(s, space, size):.1f}"
            for s in ("GPSampler", "TPESampler")
            if size <= optuna_up_to
        ]
        print(f"  {size:6d} stored: " + ", ".join(cells))


def _loss(space: lt.Space, config: dict[str, Any]) -> float:
    code = space.encode(config)
    return float(((code - 0.4) ** 2).sum() + 0.3 * np.sin(9.0 * code).sum())


def _timed(name: str, space: lt.Space, size: int, repeats: int = 20) -> float:
    asker, rng = Asker(name, space, 0), np.random.default_rng(0)
    for number in range(size):
        config = space.sample(rng)
        asker.tell(Trial(number, config), _loss(space, config))

    def once() -> None:
        trial = asker.ask()
        asker.tell(trial, _loss(space, trial.config))

    once()  # the cache of a running study
    return _mean_ms(once, repeats)


def _timed_optuna(sampler: str, space: lt.Space, size: int, repeats: int = 20) -> float:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = {"float": optuna.distributions.FloatDistribution, "int": optuna.distributions.IntDistribution}
    given = {
        n: optuna.distributions.CategoricalDistribution(p.options) if p.kind == "choice"
        else kinds[p.kind](p.low, p.high, log=p.log)
        for n, p in space.parameters.items()
    }  # fmt: skip
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=0))
    rng = np.random.default_rng(0)
    for _ in range(size):
        config = space.sample(rng)
        study.add_trial(optuna.trial.create_trial(params=config, distributions=given, value=_loss(space, config)))

    def once() -> None:
        trial = study.ask(given)
        study.tell(trial, _loss(space, trial.params))

    once()
    return _mean_ms(once, repeats)


def _mean_ms(action: Callable[[], Any], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        action()
    return 1e3 * (time.process_time() - start) / repeats


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, help="folder with hpotasks/ and rivals.jsonl")
    parser.add_argument("--search", default="bayes", help="name of one of our searches")
    parser.add_argument("--tasks", default="clean", help="clean, or names with commas between")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=None)
    parser.add_argument("--kind", choices=sorted(AT), default="seq")
    parser.add_argument("--out", type=Path, help="write the runs as JSON lines, in the form of rivals.jsonl")
    parser.add_argument("--cpu", type=int, nargs="+", metavar="STORED", help="only measure CPU at these sizes")
    parser.add_argument("--optuna-up-to", type=int, default=200, help="sizes beyond are not measured for Optuna")
    args = parser.parse_args()
    if args.cpu:
        measure_cpu(args.search.split(","), args.cpu, args.optuna_up_to)
        return
    if args.bench is None:
        parser.error("--bench is the folder with hpotasks/ and rivals.jsonl")
    sys.path.insert(0, str(args.bench))
    import hpotasks

    trials = args.trials or max(n for n in AT[args.kind] if args.kind == "seq" or n <= 48)
    pending = 8 if args.kind == "batch8" else 1
    tasks = {name: hpotasks.get(name) for name in (CLEAN if args.tasks == "clean" else args.tasks.split(","))}
    table, mine = recorded(args.bench, args.kind), f"luthier-{args.search}"
    for name, task in tasks.items():
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            losses, cpu_ms = run(args.search, task, seed, trials=trials, pending=pending)
            table[mine][name][seed] = losses
            if args.out:
                entry = {
                    "peer": mine,
                    "task": name,
                    "seed": seed,
                    "kind": args.kind,
                    "losses": losses,
                    "cpu_ms": cpu_ms,
                }
                with args.out.open("a") as lines:
                    lines.write(json.dumps(entry) + "\n")
        mean = np.mean([regrets(task, losses, AT[args.kind]) for losses in table[mine][name].values()], axis=0)
        print(f"{name:40s} {np.round(mean, 4)}  {cpu_ms:.1f} ms CPU", flush=True)
    compare(table, mine, tasks, args.kind, trials)
    if args.kind == "seq" and trials >= 50:
        to_reach(table, mine, "optuna", tasks)


if __name__ == "__main__":
    main()
