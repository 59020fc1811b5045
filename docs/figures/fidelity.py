"""Draws the pictures of docs/fidelity.md: run `python docs/figures/fidelity.py`; needs matplotlib.

A small network is really trained by gradient descent (NumPy, a second a training); freeze-thaw tunes its learning rate,
width and weight decay, and says what it expects of each curve when it has seen only the beginning.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

import luthier as lt
from luthier.search.freeze import FreezeSearch
from luthier.simulate import simulate

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
EPOCHS = 40
BUDGET = 4  # in trainings
SPACE = lt.Space(
    rate=lt.Float(1e-3, 3.0, log=True), width=lt.Int(2, 64, log=True), decay=lt.Float(1e-6, 1e-1, log=True)
)


def train(config: dict[str, float]) -> list[float]:
    """Validation error of one hidden layer on a noisy wave, by epoch."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (240, 1))
    y = np.sin(5 * x) + 0.2 * rng.standard_normal(x.shape)
    hidden, out = (
        rng.standard_normal((2, int(config["width"]))) * 2.0,
        rng.standard_normal((int(config["width"]), 1)) * 0.1,
    )
    losses = []
    for _ in range(EPOCHS):
        for start in range(0, 160, 20):
            inputs = np.hstack([x[start : start + 20], np.ones((20, 1))])
            act = np.tanh(inputs @ hidden)
            error = act @ out - y[start : start + 20]
            back = (error @ out.T) * (1 - act**2)
            step = config["rate"] / 20
            out = np.clip(out - step * (act.T @ error) - config["decay"] * step * out, -10, 10)
            hidden = np.clip(hidden - step * (inputs.T @ back), -10, 10)
        inputs = np.hstack([x[160:], np.ones((80, 1))])
        losses.append(float(np.mean((np.tanh(inputs @ hidden) @ out - y[160:]) ** 2)))
    return losses


def main() -> None:
    """Draw what was forecast after a budget of a few trainings, and what really came."""
    search = FreezeSearch()
    run = simulate(
        train, SPACE, minimize="error", budget=f"{BUDGET * EPOCHS} steps", search=search, schedule="full", seed=2
    )
    history = run.study.history
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained", sharey=True)
    for trial in history.trials:
        axes[0].plot(trial.curve.steps, trial.curve.values("error"), linewidth=1, marker=".", markersize=2)
    axes[0].set(
        title=f"{len(history.trials)} trials for the price of {BUDGET}", xlabel="epoch", ylabel="validation error"
    )
    paused = sorted((t for t in history.live if t.steps <= 20), key=lambda t: t.metrics["error"])
    paused = [t for t in paused if t.metrics["error"] < 0.6]
    chosen = [paused[round(k * (len(paused) - 1))] for k in (0.0, 0.5, 1.0)]
    for trial, color in zip(chosen, ("tab:blue", "tab:orange", "tab:green"), strict=True):
        steps = np.arange(trial.steps, EPOCHS + 1)
        forecast = search.forecast(history, trial.number, steps)
        assert forecast is not None
        axes[1].fill_between(steps, forecast.low, forecast.high, color=color, alpha=0.2, linewidth=0)
        axes[1].plot(steps, forecast.middle, color=color, linestyle="--", linewidth=1)
        axes[1].plot(range(1, EPOCHS + 1), train(trial.config), color=color, alpha=0.5, linewidth=1)
        axes[1].plot(trial.curve.steps, trial.curve.values("error"), ".-", color=color, label=f"trial {trial.number}")
    axes[1].set(title="forecasts with 90 % intervals, and what came", xlabel="epoch")
    axes[1].set(yscale="log", ylim=(0.05, 2.0))
    axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(HERE / "fidelity-forecast.png", dpi=110)


if __name__ == "__main__":
    main()
