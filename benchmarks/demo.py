"""The real thing: `make demo` in turn with random search, Optuna with Hyperband and Ray Tune's ASHA, same minutes.

    python benchmarks/demo.py --rivals-python RIVALS/bin/python            # three minutes each, five repeats
    python benchmarks/demo.py --seconds 20 --repeats 1 --tools luthier,random

The training function and the space are those of `examples/mnist_cnn.py`; each tool has two processes of one thread. Of
the 5,000 images one fifth, another in each repeat, is held apart; the others are split 3,000 to 1,000 for training and
validation. The best of many validation results on 1,000 images is flattered by chance, so the configuration that a tool
chose is also trained anew, on all 4,000 images and with some seeds (--scored), and scored on those held apart.

A rival's time begins when it is imported and its processes stand; ours includes starting the workers. What a rival's
trial has reported counts even if the trial was pruned or cut off at the end. The rivals' environment needs optuna,
ray[tune], torch and mlxtend; the Ray part listens on the loopback only.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EPOCHS, PROCESSES, FOLDS = 12, 2, 5
TOOLS = {
    "luthier": "Luthier",
    "random": "random search",
    "optuna": "Optuna 5: TPE, HyperbandPruner",
    "ray": "Ray Tune: ASHA",
}
Report = Callable[[int, float], None]


def example(fold: int, whole: bool = False) -> Any:
    """Load the example with other rows: one fifth held apart, the rest for training and validation."""
    import torch

    spec = importlib.util.spec_from_file_location("mnist_cnn", ROOT / "examples" / "mnist_cnn.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    x, y = map(torch.cat, zip(*((a, b) for a, b in (module.data()[:2], module.data()[2:])), strict=True))
    apart, rest = fold_rows(len(x), fold)
    train, score = (rest, apart) if whole else (rest[: 3 * len(rest) // 4], rest[3 * len(rest) // 4 :])
    given = x[train], y[train], x[score], y[score]
    module.data = lambda: given
    return module


def fold_rows(n: int, fold: int) -> tuple[Any, Any]:
    """Rows held apart, and the others."""
    import torch

    order = torch.randperm(n, generator=torch.Generator().manual_seed(1)).chunk(FOLDS)
    return order[fold % FOLDS], torch.cat([part for i, part in enumerate(order) if i != fold % FOLDS])


class Run:
    """What the training function sees of a run, for tools that have none: reports go to the tool, nothing is kept."""

    def __init__(self, report: Report) -> None:
        self.tell, self.step = report, 0

    def keep(self, **named: Any) -> Any:
        """Hand back what is kept."""
        return next(iter(named.values()))

    def steps(self, n: int) -> Iterator[int]:
        """Count the epochs."""
        for self.step in range(1, n + 1):
            yield self.step

    def report(self, acc: Any) -> None:
        """Tell the tool."""
        self.tell(self.step, float(acc))


_loaded: dict[int, Any] = {}


def objective(config: dict[str, Any], run: Any) -> None:
    """Train the example's network; the fold is in the environment, so that worker processes find it."""
    fold = int(os.environ["DEMO_FOLD"])
    if fold not in _loaded:
        _loaded[fold] = example(fold)
    _loaded[fold].train(**config, run=run)


# -- the tools: each returns the best accuracy seen, its configuration, how many trials and epochs -------------------


def run_ours(seed: int, seconds: float, search: str) -> dict[str, Any]:
    """Tune with Luthier: its defaults, or random search without early stopping."""
    import luthier as lt

    schedule = "auto" if search == "auto" else "full"
    with tempfile.TemporaryDirectory() as place:
        study = lt.tune(
            objective, example(0).space, maximize="acc", budget=f"{seconds:g}s", search=search, schedule=schedule,
            workers=PROCESSES, dir=Path(place) / "study", seed=seed, view="none",
        )  # fmt: skip
        best = study.best
        if best is None:
            raise SystemExit(f"no trial reported anything in {seconds:g} seconds: is the machine busy?")
        return {
            "acc": best.metrics["acc"], "config": best.config, "trials": len(study.trials), "epochs": study.steps,
        }  # fmt: skip


def suggest(trial: Any) -> dict[str, Any]:
    """Draw the example's space from an Optuna trial."""
    config = {
        "lr": trial.suggest_float("lr", 1e-4, 1.0, log=True),
        "batch_size": 2 ** trial.suggest_int("batch_power", 4, 8),
        "depth": trial.suggest_int("depth", 1, 3),
        "width": trial.suggest_int("width", 4, 32, log=True),
        "kernel": trial.suggest_categorical("kernel", [3, 5, 7]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6),
        "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam", "adamw"]),
    }
    if config["optimizer"] == "sgd":
        config["momentum"] = trial.suggest_float("momentum", 0.0, 0.99)
    return config


def optuna_worker(journal: str, seed: int, seconds: float, gate: Any) -> None:
    """Be one of Optuna's processes."""
    import optuna
    import torch

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(
        study_name="demo",
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(journal)),
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=3),
    )
    example(int(os.environ["DEMO_FOLD"]))
    gate.wait()
    end = time.monotonic() + seconds

    def train(trial: Any) -> float:
        config, seen = suggest(trial), [0.0]
        trial.set_user_attr("config", config)

        def report(step: int, acc: float) -> None:
            if time.monotonic() >= end:
                raise optuna.TrialPruned
            seen.append(acc)
            trial.report(acc, step)
            if trial.should_prune():
                raise optuna.TrialPruned

        objective(config, Run(report))
        return max(seen)

    study.optimize(train, timeout=seconds)


def run_optuna(seed: int, seconds: float) -> dict[str, Any]:
    """Tune with Optuna: TPE and Hyperband, two processes over one journal."""
    import multiprocessing

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as place:
        journal = f"{place}/journal"
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(journal))
        study = optuna.create_study(study_name="demo", storage=storage, direction="maximize")
        spawn = multiprocessing.get_context("spawn")
        gate = spawn.Barrier(PROCESSES)
        given = [(journal, PROCESSES * seed + k, seconds, gate) for k in range(PROCESSES)]
        workers = [spawn.Process(target=optuna_worker, args=each) for each in given]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        trials = [t for t in study.get_trials() if t.intermediate_values]
    return best_of([(t.user_attrs["config"], list(t.intermediate_values.values())) for t in trials])


def run_ray(seed: int, seconds: float) -> dict[str, Any]:
    """Tune with Ray's ASHA over random configurations."""
    import numpy as np
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    fold, rng = os.environ["DEMO_FOLD"], np.random.default_rng(seed)

    def momentum(spec: Any) -> float | None:
        drawn: float | None = rng.uniform(0.0, 0.99) if spec["optimizer"] == "sgd" else None
        return drawn

    def train(config: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        sys.path.insert(0, str(ROOT / "benchmarks"))
        os.environ["DEMO_FOLD"] = fold
        import demo

        given = {name: value for name, value in config.items() if value is not None}
        demo.objective(given, demo.Run(lambda step, acc: tune.report({"acc": acc})))

    space = {
        "lr": tune.loguniform(1e-4, 1.0), "batch_size": tune.choice([16, 32, 64, 128, 256]),
        "depth": tune.randint(1, 4), "width": tune.lograndint(4, 33), "kernel": tune.choice([3, 5, 7]),
        "dropout": tune.uniform(0.0, 0.6), "optimizer": tune.choice(["sgd", "adam", "adamw"]),
        "momentum": tune.sample_from(momentum),
    }  # fmt: skip
    np.random.seed(seed)  # noqa: NPY002 - Ray draws from the global generator
    ray.init(
        num_cpus=PROCESSES, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False,
        configure_logging=False,
    )  # fmt: skip
    try:
        with tempfile.TemporaryDirectory() as place:
            asha = ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=3)
            config = tune.TuneConfig(
                metric="acc", mode="max", scheduler=asha, num_samples=-1, time_budget_s=seconds,
                max_concurrent_trials=PROCESSES,
            )  # fmt: skip
            tuner = tune.Tuner(
                train, param_space=space, tune_config=config, run_config=tune.RunConfig(storage_path=place, verbose=0)
            )
            results = tuner.fit()
            for error in results.errors:
                print(error, file=sys.stderr)
            told = [
                (
                    {name: value for name, value in r.config.items() if value is not None},
                    list(r.metrics_dataframe["acc"]),
                )
                for r in results
                if r.config is not None and r.metrics_dataframe is not None and "acc" in r.metrics_dataframe
            ]
            return best_of(told)
    finally:
        ray.shutdown()


def best_of(trials: list[tuple[dict[str, Any], list[float]]]) -> dict[str, Any]:
    """The best accuracy that any trial reported, and its configuration."""
    if not trials:
        raise SystemExit("no trial reported anything: is the machine busy?")
    config, curve = max(trials, key=lambda trial: max(trial[1]))
    return {"acc": max(curve), "config": config, "trials": len(trials), "epochs": sum(len(c) for _, c in trials)}


def run_one(tool: str, seed: int, seconds: float) -> dict[str, Any]:
    """Tune once."""
    if tool in ("luthier", "random"):
        return run_ours(seed, seconds, "auto" if tool == "luthier" else "random")
    return run_optuna(seed, seconds) if tool == "optuna" else run_ray(seed, seconds)


def held_apart(config: dict[str, Any], fold: int, seeds: int) -> list[float]:
    """Train a configuration anew on all but the images held apart; the last accuracy on those, for some seeds."""
    import torch

    module, found = example(fold, whole=True), []
    torch.set_num_threads(PROCESSES)
    for seed in range(seeds):
        torch.manual_seed(seed)
        curve: list[float] = []
        module.train(**config, run=Run(lambda step, acc, curve=curve: curve.append(acc)))
        found.append(curve[-1])
    return found


# -- the outer program: one subprocess after the other ---------------------------------------------------------------


def child(python: str, arguments: list[str], fold: int, limit_s: float) -> dict[str, Any] | None:
    """Run this file in a process of its own, in a group of its own; returns what it says in its last line."""
    mark = f"demo-{os.getpid()}-{time.monotonic_ns()}"
    env = os.environ | {
        "DEMO_MARK": mark,
        "PYTHONPATH": str(ROOT / "src"), "DEMO_FOLD": str(fold), "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0",
    }  # fmt: skip
    process = subprocess.Popen(
        [python, __file__, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, errors = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, errors = process.communicate()
    finally:
        end_all(mark)
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        print(f"  {' '.join(arguments)} failed with {process.returncode}:\n{errors[-2000:]}", file=sys.stderr)
        return None
    said: dict[str, Any] = json.loads(lines[-1])
    return said


def end_all(mark: str) -> None:
    """End what a tool left running: processes, found by the mark in their environment, that are in no way others'."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"DEMO_MARK={mark}".encode() in (place / "environ").read_bytes().split(b"\0"):
                os.kill(int(place.name), signal.SIGKILL)
        except OSError:  # it has ended, or is not ours
            continue


def compete(args: argparse.Namespace, done: list[dict[str, Any]]) -> None:
    """Run what is not done yet, the tools in turn, each repeat beginning with another."""
    tools = args.tools.split(",")
    for repeat in range(args.repeats):
        for place in range(len(tools)):
            tool = tools[(place + repeat) % len(tools)]
            if any(r["tool"] == tool and r["repeat"] == repeat and r["asked_s"] == args.seconds for r in done):
                continue
            python = args.rivals_python if tool in ("optuna", "ray") else sys.executable
            begun = time.monotonic()
            found = child(
                python, ["--one", tool, "--seed", str(repeat), "--seconds", str(args.seconds)], repeat,
                2 * args.seconds + 120,
            )  # fmt: skip
            if found is None:
                continue
            entry = {"tool": tool, "repeat": repeat, "asked_s": args.seconds, **found}
            entry["wall_s"] = round(time.monotonic() - begun, 1)
            scored = ["--scored", str(args.scored), "--score", json.dumps(found["config"])]
            scores = child(sys.executable, scored, repeat, 3600)
            entry["apart"] = [] if scores is None else scores["apart"]
            print(f"  {json.dumps(entry)}", flush=True)
            done.append(entry)
            if args.out is not None:
                with args.out.open("a") as out:
                    out.write(json.dumps(entry) + "\n")


def table(done: list[dict[str, Any]], tools: list[str]) -> str:
    """Write the table: means over repeats, the lowest and the highest."""
    lines = ["| | repeats | best validation accuracy | held apart, trained anew | trials | epochs |"]
    lines += ["|---|---|---|---|---|---|"]
    for tool in tools:
        runs = [r for r in done if r["tool"] == tool]
        if runs:
            apart = [sum(r["apart"]) / len(r["apart"]) for r in runs if r["apart"]]
            counts = [f"{sum(r[key] for r in runs) / len(runs):.0f}" for key in ("trials", "epochs")]
            cells = [TOOLS[tool], str(len(runs)), spread([r["acc"] for r in runs]), spread(apart), *counts]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Mean, and lowest to highest, in percent."""
    if not values:
        return "-"
    mean = sum(values) / len(values)
    return f"{100 * mean:.2f} % ({100 * min(values):.1f} to {100 * max(values):.1f})"


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scored", type=int, default=3, help="seeds that a configuration is trained anew with")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--rivals-python", default=sys.executable, help="an interpreter that has optuna and ray[tune]")
    parser.add_argument("--out", type=Path, help="add the runs to this file of JSON lines; runs there are not repeated")
    parser.add_argument("--one", choices=list(TOOLS), help=argparse.SUPPRESS)
    parser.add_argument("--score", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run_one(args.one, args.seed, args.seconds)), flush=True)
    elif args.score:
        fold = int(os.environ["DEMO_FOLD"])
        print(json.dumps({"apart": held_apart(json.loads(args.score), fold, args.scored)}), flush=True)
    else:
        done: list[dict[str, Any]] = []
        if args.out is not None and args.out.exists():
            done = [json.loads(line) for line in args.out.read_text().splitlines()]
        compete(args, done)
        print(table(done, args.tools.split(",")))


if __name__ == "__main__":
    main()
