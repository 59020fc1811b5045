"""A study's record: made for a new study, or checked against the one that is there."""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from luthier.budget import Budget
from luthier.errors import StoreError, StudyMismatch
from luthier.objective import Metric
from luthier.space import Space
from luthier.spacefile import space_to_dict
from luthier.store.base import Store, StudyRecord
from luthier.store.memory import MemoryStore


def open_store(place: Path | None) -> Store:
    """Open the store of a study to drive, in memory where there is no place."""
    if place is None:
        return MemoryStore()
    from luthier.store.sqlite import SqliteStore  # sqlite3 is loaded only where it is needed

    return SqliteStore(place)


def settle(
    store: Store,
    place: Path | None,
    space: Space | None,
    wanted: tuple[Metric, ...],
    *,
    seed: int | None,
    name: str | None,
    told: dict[str, Any],
) -> tuple[StudyRecord, list[str]]:
    """Create the record of a new study, or check the arguments against the study that is there; with notices."""
    there, notices = store.load(), []
    pairs = tuple((m.name, "maximize" if m.maximize else "minimize") for m in wanted)
    if there is None:
        if space is None or not wanted:
            raise StoreError(f"there is no study in {place} to continue: give it a space and a metric")
        seed = int.from_bytes(os.urandom(4), "big") if seed is None else int(seed)
        name = name or (place.name if place else "study")
        record = StudyRecord(name, space_to_dict(space), pairs, seed, time.time(), command_line(), told)
    else:
        if pairs and pairs != there.metrics:
            said = [" and ".join(f"{way} {metric}" for metric, way in p) for p in (there.metrics, pairs)]
            raise StudyMismatch(f"the study in {place} is to {said[0]}, not to {said[1]}: use another dir=")
        if seed is not None and seed != there.seed:
            notices.append(f"seed={seed} is ignored: the study began with seed {there.seed}")
        new_space = there.space if space is None else space_to_dict(space)
        record = replace(there, space=new_space, settings={**there.settings, **told})
        if new_space != there.space:
            notices.append("the space has changed: earlier trials are read in the new one")
    if record != there:
        store.save(record)
    return record, notices


def command_line() -> tuple[str, ...]:
    """Return the command that is running, as ``sys.argv`` has it; nothing where it cannot be run again.

    That is in a notebook, whose ``sys.argv`` is the kernel's, and in an interactive session: no file is run there.
    """
    by_luthier = Path(sys.argv[0]).name == "luthier" if sys.argv else False
    return tuple(sys.argv) if by_luthier or hasattr(sys.modules.get("__main__"), "__file__") else ()


def told_settings(search: Any, schedule: Any, budget: Any) -> dict[str, Any]:
    """Describe the settings for the record, as far as they are plain; a budget of several kinds as numbers."""
    if not isinstance(budget, (str, int, float, type(None))):
        total = Budget.of(budget)
        budget = {n: float(v) for n in Budget.__slots__ if math.isfinite(v := getattr(total, n))}
    told = {"search": search, "schedule": schedule, "budget": budget, "cwd": os.getcwd()}
    return {n: v for n, v in told.items() if isinstance(v, (str, int, float, dict)) and not isinstance(v, bool)}
