"""How trials, configurations and curves are written in one line."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from luthier.budget import clock
from luthier.history import History
from luthier.trial import Resumes, Trial

_BARS = "▁▂▃▄▅▆▇█"


def number_text(value: Any) -> str:
    """Write a value with four significant digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def config_text(config: Mapping[str, Any]) -> str:
    """Write a configuration, such as ``lr=0.001 opt=adam``."""
    return " ".join(f"{name}={number_text(value)}" for name, value in config.items())


def metrics_text(history: History, trial: Trial) -> str:
    """Write the metrics that the study tunes, such as ``acc 0.9312``."""
    parts = [f"{m.name} {number_text(trial.metrics[m.name])}" for m in history.metrics if m.name in trial.metrics]
    return ", ".join(parts) or "no result yet"


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """Draw a curve with block characters, its latest `width` points."""
    recent = np.asarray(values, dtype=float)[-width:]
    finite = recent[np.isfinite(recent)]
    if not len(finite):
        return ""
    low, span = finite.min(), np.ptp(finite) or 1.0
    return "".join(_BARS[int((v - low) / span * 7)] if np.isfinite(v) else " " for v in recent)


def size_text(size_bytes: float) -> str:
    """Write a size for people, such as ``1.5 GB``."""
    for unit in ("KB", "MB"):
        size_bytes /= 1024
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
    return f"{size_bytes / 1024:,.1f} GB"


def resumes_text(resumes: Resumes) -> str:
    """Write how often trials were gone on with, and what that cost; empty if none was."""
    counts = {"in memory": resumes.memory, "from checkpoints": resumes.checkpoint}
    parts = [f"{n:,} time{'s' if n > 1 else ''} {where}" for where, n in counts.items() if n]
    if resumes.checkpoint:
        parts.append(f"which took {clock(resumes.seconds)} to load")
    if resumes.repeated:
        parts.append(f"and {resumes.repeated:,} step{'s were' if resumes.repeated > 1 else ' was'} done again")
    return f"resumed {', '.join(parts)}" if parts else ""


def ending_text(history: History, trial: Trial) -> str:
    """Write how a trial ended, in one line."""
    head = f"trial {trial.number} {trial.state}"
    if trial.failure is not None and trial.state == "failed":
        return f"{head} ({trial.failure.kind}): {trial.failure.message}"
    return f"{head}: {metrics_text(history, trial)}   {config_text(trial.config)}"


def program_text(name: str) -> str:
    """Write a program of this environment as it can be typed here: its name, or its path if the name is not found."""
    import shutil

    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if not beside.exists() or (found is not None and Path(found).parent.resolve() == beside.parent.resolve()):
        return name
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)


def summary_text(history: History, directory: Path | None, checkpoint: Path | None, outlook: str = "") -> str:
    """Write what was found, where the trained model is, what more would bring, and what to type next."""
    best = history.best
    if best is None:
        failed = next((t.failure for t in reversed(history.ended) if t.failure is not None), None)
        why = f" The last failure: {failed.message}" if failed is not None else ""
        return f"No trial has a result yet, of {len(history)}.{why}"
    width = max(map(len, best.config))
    lines = [f"Best of {len(history)} trials: trial {best.number} with {metrics_text(history, best)}"]
    lines += [f"  {name:<{width}}  {number_text(value)}" for name, value in best.config.items()]
    if checkpoint is not None:
        lines.append(f"Trained model: {checkpoint}")
    if outlook:
        lines.append(f"Outlook: {outlook}")
    if directory is not None:
        luthier = program_text("luthier")
        lines.append(f"Next: {luthier} show {directory}    {luthier} best {directory} --as python")
    return "\n".join(lines)
