"""Schedules: how far trials run. Each file but this one is one schedule, found by its name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from luthier.contracts import Schedule
from luthier.errors import SettingError, did_you_mean


def schedule_of(given: str | Schedule | Iterable[Any] | None) -> Schedule | None:
    """Return a schedule by its name, None for ``"full"``, where every trial runs to its end.

    ``"median+patience"`` or a list asks several; the first objection counts.

    Raises
    ------
    SettingError
        If there is none of this name.
    """
    if isinstance(given, str) and "+" in given:
        given = given.split("+")
    if isinstance(given, (list, tuple)):
        from luthier.schedule.chain import Chain

        parts = [part for part in map(schedule_of, given) if part is not None]
        return Chain(parts) if parts else None
    if given is None:
        return None
    if not isinstance(given, str):
        if isinstance(given, type) or not isinstance(given, Schedule):
            raise SettingError(f"schedule= is a name or an object with grant(), promote() and judge(), got {given!r}")
        return given
    names = sorted(file.stem for folder in __path__ for file in Path(folder).glob("[a-z]*.py"))
    if given in names:
        module = importlib.import_module(f"{__name__}.{given}")
        if hasattr(module, "SCHEDULE"):
            schedule: Schedule | None = module.SCHEDULE()
            return schedule
    known = [name for name in names if hasattr(importlib.import_module(f"{__name__}.{name}"), "SCHEDULE")]
    raise SettingError(f"there is no schedule {given!r}{did_you_mean(given, known)}: use {', '.join(known)}")
