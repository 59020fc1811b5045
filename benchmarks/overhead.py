"""What a trial, a report and an import cost, against Optuna in the same run, in turn. Prints CPU times and ratios.

python benchmarks/overhead.py [trials] [rounds]
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import luthier as lt

SPACE = lt.Space(
    lr=lt.Float(1e-5, 1e-1, log=True), width=lt.Int(16, 512), drop=lt.Float(0, 0.6), opt=lt.Choice("adam", "sgd")
)


def luthier_study(folder):
    return lt.Study(SPACE, minimize="loss", search="random", seed=1, dir=folder)


def luthier_trial(study):
    trial = study.ask()
    study.tell(trial, {"loss": trial.config["drop"]})


def optuna_study(storage):
    sampler = optuna.samplers.RandomSampler(seed=1)
    return optuna.create_study(storage=storage, sampler=sampler)


def optuna_trial(study):
    trial = study.ask()
    trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    trial.suggest_int("width", 16, 512)
    drop = trial.suggest_float("drop", 0, 0.6)
    trial.suggest_categorical("opt", ["adam", "sgd"])
    study.tell(trial, drop)


def cpu_ms(act, times):
    """Median over the calls of the CPU time of one, in milliseconds."""
    spent = []
    for _ in range(times):
        begun = time.process_time()
        act()
        spent.append(time.process_time() - begun)
    return statistics.median(spent) * 1e3


def trials(folder, count, rounds):
    """One trial, durable and in memory, both libraries in turn."""
    peers = {
        "Luthier, memory": (luthier_study(None), luthier_trial),
        "Optuna, memory": (optuna_study(None), optuna_trial),
        "Luthier, SQLite": (luthier_study(folder / "luthier"), luthier_trial),
        "Optuna, journal": (optuna_study(JournalStorage(JournalFileBackend(str(folder / "journal")))), optuna_trial),
        "Optuna, SQLite": (optuna_study(f"sqlite:///{folder / 'optuna.db'}"), optuna_trial),
    }
    spent = {name: [] for name in peers}
    for _ in range(rounds):
        for name, (study, act) in peers.items():
            spent[name].append(cpu_ms(lambda act=act, study=study: act(study), count))
    medians = {name: statistics.median(values) for name, values in spent.items()}
    print(f"\none trial (ask to tell, 4 parameters), CPU ms, median of {count * rounds}")
    for name, value in medians.items():
        print(f"  {name:18s} {value:8.3f}")
    for ours, theirs, bar in (
        ("Luthier, memory", "Optuna, memory", 1),
        ("Luthier, SQLite", "Optuna, journal", 1 / 5),
        ("Luthier, SQLite", "Optuna, SQLite", 1 / 50),
    ):
        ratio = medians[ours] / medians[theirs]
        print(f"  {ours} / {theirs}: 1/{1 / ratio:.1f} (at most 1/{1 / bar:.0f})")


def growth(folder):
    """One trial with 100, 1,000 and 10,000 stored."""
    print("\none trial by stored trials, CPU ms")
    for name, place in (("memory", None), ("SQLite", folder / "growth")):
        study, row = luthier_study(place), {}
        for stored in (100, 1_000, 10_000):
            while len(study.history) < stored:
                luthier_trial(study)
            row[stored] = cpu_ms(lambda study=study: luthier_trial(study), 300)
        print(f"  {name}: " + ", ".join(f"{n:,}: {ms:.3f}" for n, ms in row.items()), end="; ")
        print(f"growth {row[10_000] / row[100]:.2f} (at most 1.2)")
        study.close()


def reports(folder):
    """A report with its decision by the median rule, in this process and through a worker."""
    study = lt.Study(SPACE, minimize="loss", search="random", schedule="median", seed=1, dir=folder / "reports")
    for _ in range(20):
        trial = study.ask()
        for step in range(20):
            study.report(trial, {"loss": 1 / (step + 1)})
        study.tell(trial)
    trial = study.ask()
    here = cpu_ms(lambda: study.report(trial, {"loss": 1e-9}), 2_000)
    study.close()

    def objective(lr, run):
        begun = time.perf_counter()
        for _ in run.steps(500):
            run.report(loss=lr)
        run.report(loss=lr, ms=(time.perf_counter() - begun) * 2)

    done = lt.tune(
        objective, lt.Space(lr=lt.Float(0, 1)), minimize="loss", budget=3, workers=1, dir=folder / "w", view="none"
    )
    wall = statistics.median(t.metrics["ms"] if "ms" in t.metrics else dict(t.curve)[501]["ms"] for t in done.trials)
    print("\na report with its decision")
    print(f"  in this process, SQLite, median rule: {here:.3f} ms CPU (at most 0.2)")
    print(f"  through a worker, SQLite: {wall:.3f} ms wall, both processes (at most 1)")


def imports():
    """CPU of an import beyond NumPy's."""
    code = "import time, numpy; t = time.process_time(); import {}; print((time.process_time() - t) * 1e3)"
    spent = {"luthier": [], "optuna": []}
    for _ in range(7):
        for name, values in spent.items():
            run = subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True)
            values.append(float(run.stdout))
    print("\nimport, CPU ms beyond NumPy's")
    for name, values in spent.items():
        print(f"  {name}: {statistics.median(values):.0f}" + (" (at most 60)" if name == "luthier" else ""))


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    count, rounds = (int(a) for a in [*sys.argv[1:], *("60", "5")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as name:
        trials(Path(name), count, rounds)
        growth(Path(name))
        reports(Path(name))
        imports()
