"""Budgets: how much a study may spend in all, in trials, steps or seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luthier.errors import SettingError, did_you_mean

_UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
_MONEY = re.compile(r"\s*([$€£])?\s*(\d+(?:\.\d+)?)\s*([$€£]|[A-Z]{3})?\s*")
_SIZES = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "k": 2**10, "m": 2**20, "g": 2**30}


@dataclass(frozen=True, slots=True)
class Spent:
    """What a study has spent so far."""

    trials: int = 0
    steps: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """A total; the first limit that is reached ends the study. Continuing a study counts what it spent before.

    Parameters
    ----------
    trials
        Trials begun, failed ones included.
    steps
        Reported steps, all trials together; a fork's are those since it was forked, and a trial that reports nothing
        counts as one.
    seconds
        Wall-clock seconds during which the study was driven.
    """

    trials: float = math.inf
    steps: float = math.inf
    seconds: float = math.inf

    @classmethod
    def of(cls, given: Any) -> Budget:
        """Read a budget.

        Parameters
        ----------
        given
            A number of trials; a text such as ``"20m"``, ``"1h30m"``, ``"50 trials"`` or ``"500 steps"``; a mapping
            of several such as ``{"trials": 100, "seconds": "20m"}``; a `Budget`; or None for no limit.

        Raises
        ------
        SettingError
            If it cannot be read or is not above zero.

        Examples
        --------
        >>> Budget.of("1h30m").seconds
        5400.0
        """
        if given is None or isinstance(given, Budget):
            return given or cls()
        if isinstance(given, Mapping):
            given = {"steps" if name == "epochs" else name: value for name, value in given.items()}
            for name in given:
                if name not in cls.__slots__:
                    raise SettingError(
                        f"a budget has trials, steps and seconds, not {name!r}{did_you_mean(name, cls.__slots__)}"
                    )
            return cls(**{n: duration_s(v) if n == "seconds" else _positive(v, n) for n, v in given.items()})
        if isinstance(given, str):
            match = re.fullmatch(r"\s*(\d+)\s*(trials?|steps?|epochs?)?\s*", given)
            if match:
                unit = {"s": "steps", "e": "steps"}.get((match[2] or "t")[0], "trials")
                return cls(**{unit: _positive(int(match[1]), unit)})
            return cls(seconds=duration_s(given))
        return cls(trials=_positive(given, "trials"))

    def left(self, spent: Spent) -> Budget:
        """Return what remains; a limit that is used up is zero or below."""
        return Budget(self.trials - spent.trials, self.steps - spent.steps, self.seconds - spent.seconds)

    @property
    def used_up(self) -> str:
        """Which limit is at zero, or an empty string."""
        return next((name for name in self.__slots__ if getattr(self, name) <= 0), "")

    def share(self, spent: Spent) -> float:
        """Return the share of the budget that is spent, in [0, 1]."""
        pairs = ((spent.trials, self.trials), (spent.steps, self.steps), (spent.seconds, self.seconds))
        return min(1.0, max(used / total for used, total in pairs))

    def __str__(self) -> str:
        known = {n: value for n in ("trials", "steps") if math.isfinite(value := getattr(self, n))}
        parts = [f"{value:,.0f} {n if value != 1 else n[:-1]}" for n, value in known.items()]
        parts += [clock(self.seconds)] if math.isfinite(self.seconds) else []
        return " or ".join(parts) or "no limit"


def priced(given: Any, price_per_hour: float | None) -> Any:
    """Turn a budget in money into one in seconds of a machine; any other budget stays as it is.

    Parameters
    ----------
    given
        A budget, see `Budget.of`; in money it is a text such as ``"5 USD"``, ``"$5"`` or ``"2.50 €"``.
    price_per_hour
        What an hour costs, all workers together, in the same money.

    Raises
    ------
    SettingError
        If there is money and no price, a price and no money, or the price is not above zero.

    Examples
    --------
    >>> priced("5 USD", 2.5), priced("20m", None)
    ('7200s', '20m')
    """
    if price_per_hour is not None and not 0.0 < price_per_hour < math.inf:
        raise SettingError(f"price_per_hour= is a number above zero, got {price_per_hour!r}")
    match = _MONEY.fullmatch(given) if isinstance(given, str) else None
    sign = (match[1] or "") + (match[3] or "") if match else ""
    if not match or len(sign) not in (1, 3) or sign.lower() in _UNITS:
        if price_per_hour is not None:
            raise SettingError(f"price_per_hour= goes with a budget in money, such as '5 USD', got {given!r}")
        return given
    if price_per_hour is None:
        raise SettingError(f"say what an hour costs for a budget of {given}: price_per_hour=2.50")
    seconds = _positive(float(match[2]), "money") / price_per_hour * 3600
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def duration_s(given: Any) -> float:
    """Read a duration in seconds from a number, or from text such as ``"90s"``, ``"1h30m"`` or ``"2 days"``.

    Raises
    ------
    SettingError
        If it cannot be read or is not above zero.
    """
    if not isinstance(given, str):
        return _positive(given, "seconds")
    total, end = 0.0, 0
    for part in _PART.finditer(given):
        unit = part[2].lower()
        unit = unit[:-1] if unit not in _UNITS and len(unit) > 3 else unit  # a plural
        if part.start() != end or unit not in _UNITS:
            break
        total, end = total + float(part[1]) * _UNITS[unit], part.end()
    if end != len(given) or not total:
        raise SettingError(f"cannot read {given!r} as a time: write it like '90s', '20m' or '1h30m'")
    return total


def size_bytes(given: Any) -> int:
    """Read a size in bytes from a number, or from text such as ``"4GB"`` or ``"512 MB"``.

    Raises
    ------
    SettingError
        If it cannot be read or is not above zero.
    """
    if isinstance(given, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?i?b?)\s*", given.lower())
        if not match:
            raise SettingError(f"cannot read {given!r} as a size: write it like '4GB' or '512MB'")
        given = float(match[1]) * _SIZES[(match[2] or "b").replace("i", "")]
    if _positive(given, "bytes") < 1:
        raise SettingError(f"a size is at least one byte, got {given!r}")
    return int(given)


def clock(seconds: float) -> str:
    """Write a duration for people, such as ``1h 30m`` or ``45s``."""
    if not math.isfinite(seconds):
        return "no limit"
    seconds = max(0.0, seconds)
    whole = round(seconds)
    for unit, size, below, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}" + (f" {rest}{below}" if rest else "")
    return f"{whole}s" if seconds >= 10 or seconds == whole else f"{seconds:.1f}s"


def _positive(given: Any, unit: str) -> float:
    if isinstance(given, (bool, str)) or not hasattr(given, "__float__") or not given > 0:
        raise SettingError(f"a budget in {unit} is a number above zero, got {given!r}")
    return float(given)
