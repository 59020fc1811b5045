"""Draws the pictures of docs/search.md: run `python docs/figures/searches.py`; needs matplotlib.

Every search plays the same landscape, a valley across both axes; the color of a point is its number.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

import luthier as lt
from luthier.search import search_of
from luthier.search.staged import Stage, StagedSearch
from luthier.search.zoom import ZoomSearch

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
SPACE = lt.Space(x=lt.Float(0, 1), y=lt.Float(0, 1))
TRIALS = 60


def valley(x: Any, y: Any) -> Any:
    """A valley that runs across both axes, lowest at (0.7, 0.35)."""
    return np.log1p(((x - 0.7) / 0.3) ** 2 + ((y - 0.35 + 0.6 * (x - 0.7)) / 0.1) ** 2)


def picture(name: str, search: Any, seed: int = 1) -> None:
    """Draw where a search went."""
    study = lt.Study(SPACE, minimize="loss", search=search, seed=seed, budget=TRIALS)
    for _ in range(TRIALS):
        trial = study.ask()
        if trial is None:
            break
        study.tell(trial, {"loss": float(valley(**trial.config))})
    figure, axes = plt.subplots(figsize=(3.4, 3.0), layout="constrained")
    grid = np.linspace(0, 1, 120)
    axes.contour(grid, grid, valley(*np.meshgrid(grid, grid)), levels=8, colors="0.75", linewidths=0.7)
    x = np.array([list(trial.config.values()) for trial in study.trials])
    points = axes.scatter(x[:, 0], x[:, 1], c=np.arange(len(x)), s=16, cmap="viridis_r", zorder=3)
    axes.plot(0.7, 0.35, "*", color="crimson", markersize=11, zorder=2)
    figure.colorbar(points, label="trial", shrink=0.8)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=[0, 1], yticks=[0, 1], xlabel="x", ylabel="y")
    save(figure, name)


def front() -> None:
    """Draw the trials of NSGA-II and of random search on two metrics."""
    figure, axes = plt.subplots(figsize=(3.4, 3.0), layout="constrained")
    for search, color in (("random", "0.7"), ("genetic", "tab:blue")):
        space = lt.Space({f"x{i}": lt.Float(0, 1) for i in range(4)})
        study = lt.Study(space, minimize=("loss", "size"), search=search, seed=1, budget=150)
        for _ in range(150):
            trial = study.ask()
            assert trial is not None
            x = list(trial.config.values())
            slope = 1 + 3 * sum(x[1:])
            study.tell(trial, {"loss": slope * (1 - (x[0] / slope) ** 0.5), "size": x[0]})
        ends = np.array([[t.metrics["size"], t.metrics["loss"]] for t in study.trials])
        axes.scatter(*ends.T, s=9, color=color, label=search)
    grid = np.linspace(0, 1, 100)
    axes.plot(grid, 1 - np.sqrt(grid), color="crimson", linewidth=1, label="the best there is")
    axes.set(xlabel="size", ylabel="loss", ylim=(0, 8))
    axes.legend(frameon=False, fontsize=8)
    save(figure, "search-genetic-two-metrics")


def chain() -> None:
    """Draw how REINFORCE and random search get on with a sequence of ten operations."""
    space = lt.Space({f"op{i}": lt.Choice("skip", "conv", "pool", "none") for i in range(10)})
    figure, axes = plt.subplots(figsize=(3.4, 3.0), layout="constrained")
    for search, color in (("random", "0.7"), ("reinforce", "tab:blue")):
        runs = []
        for seed in range(8):
            study = lt.Study(space, minimize="loss", search=search, seed=seed, budget=200)
            for _ in range(200):
                trial = study.ask()
                assert trial is not None
                ops = list(trial.config.values())
                loss = sum(a == b for a, b in pairwise(ops)) + ops.count("none")
                study.tell(trial, {"loss": float(loss)})
            runs.append(np.minimum.accumulate([t.metrics["loss"] for t in study.trials]))
        axes.plot(np.mean(runs, axis=0), color=color, label=search)
    axes.set(xlabel="trial", ylabel="lowest loss so far, mean of 8 seeds")
    axes.legend(frameon=False, fontsize=8)
    save(figure, "search-reinforce")


def save(figure: Any, name: str) -> None:
    """Write a PNG of some 20 KB."""
    figure.savefig(HERE / f"{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    for name in ("random", "sobol", "bayes", "tpe", "genetic", "cmaes", "differential"):
        picture(f"search-{name}", search_of(name))
    picture("search-zoom", ZoomSearch("sobol"))
    stages = [Stage(("x",), 0.3, "tpe"), Stage(("y",), 0.3, "tpe")]
    picture("search-staged", StagedSearch(stages))
    front()
    chain()
