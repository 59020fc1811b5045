"""How much of the ideal speed-up workers reach, and how much memory a large study takes.

python benchmarks/parallel.py
"""

import subprocess
import sys
import time

import luthier as lt

SPACE = lt.Space(x=lt.Float(0, 1))


def sleeping(x, seconds=0.05):
    time.sleep(seconds)
    return x


def second(x):
    time.sleep(1.0)
    return x


def efficiency(objective, seconds, workers, trials):
    """Ideal over real wall time, from the first trial's start to the last one's end."""
    study = lt.tune(objective, SPACE, minimize=True, budget=trials, workers=workers, search="random", view="none")
    ended = sorted(t.ended for t in study.trials)
    begun = min(t.started for t in study.trials)
    return seconds * trials / workers / (ended[-1] - begun)


MEMORY = """
import resource
import luthier as lt
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
study = lt.Study(lt.Space(x=lt.Float(0, 1), y=lt.Float(0, 1)), minimize="loss", search="random", dir=None)
before = peak()
for _ in range(10_000):
    trial = study.ask()
    for step in range(20):
        study.report(trial, {"loss": 1 / (step + 1), "acc": 0.5})
    study.tell(trial)
print(peak() - before)
"""

if __name__ == "__main__":
    for objective, seconds, workers, trials in ((sleeping, 0.05, 2, 400), (second, 1.0, 32, 640)):
        share = efficiency(objective, seconds, workers, trials)
        print(f"{workers} workers, {seconds * 1e3:.0f} ms a trial: {share:.1%} of ideal (at least 95 %)")
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    print(f"10,000 trials x 20 reports of 2 metrics: {float(run.stdout):.0f} MB above import (under 150)")
