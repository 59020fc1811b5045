"""Metrics in what a program prints: ``acc=0.91 loss=0.3``, ``acc: 0.91``, and JSON objects on a line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

_NUMBER = r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf(?:inity)?)"
_PAIR = re.compile(rf"""(?<!\w)([^\W\d][\w./-]{{0,99}})["']?\s*[=:]\s*({_NUMBER})(?!\w|\.\d)""", re.IGNORECASE)
_STEPS = ("epoch", "global_step", "step")  # in order of preference


class Report(NamedTuple):
    """The metrics of one line, and the step that it names, if it does."""

    step: int | None
    metrics: dict[str, float]


class Reports:
    """Finds the lines that report a wanted metric.

    A line counts as a report if it holds at least one of the wanted metrics; all numbers of that line are taken. A key
    ``epoch`` (else ``global_step`` or ``step``) with a whole number is the step; a program that counts from 0 has all
    its steps raised by one.

    Parameters
    ----------
    wanted
        The names of the metrics that are tuned.

    Attributes
    ----------
    seen : dict
        The latest value of every name that looked like a metric, wanted or not.

    Examples
    --------
    >>> Reports(["acc"]).read("epoch 3 | acc: 0.91, loss=0.3")
    Report(step=None, metrics={'acc': 0.91, 'loss': 0.3})
    >>> Reports(["acc"]).read('{"epoch": 3, "acc": 0.91}')
    Report(step=3, metrics={'acc': 0.91})
    """

    def __init__(self, wanted: Iterable[str]) -> None:
        self._wanted = frozenset(wanted)
        self._shift: int | None = None
        self.count = 0
        self.seen: dict[str, float] = {}

    def read(self, line: str) -> Report | None:
        """Return what a line reports, None if it holds no wanted metric."""
        return self.take(metrics_in(line))

    def take(self, values: dict[str, float]) -> Report | None:
        """Return the report that these numbers make, None if none of them is wanted."""
        self.seen.update(values)
        if not self._wanted & values.keys():
            return None
        self.count += 1
        named = next((name for wish in _STEPS for name in values if name.lower() == wish), None)
        metrics = {name: v for name, v in values.items() if name.lower() not in _STEPS or name in self._wanted}
        if named is None or not math.isfinite(values[named]) or values[named] != int(values[named]):
            return Report(None, metrics)
        step = int(values[named])
        if self._shift is None:
            self._shift = 1 if step == 0 else 0
        return Report(step + self._shift, metrics)


def metrics_in(line: str) -> dict[str, float]:
    """Return the numbers by name in one line of output.

    Of a line that was overwritten with carriage returns, as progress bars do, the last state counts.
    """
    text = line.rstrip("\r\n").rpartition("\r")[2].strip()
    if text.startswith("{"):
        try:
            return numbers(json.loads(text))
        except ValueError:  # not JSON: a Python dict, such as those that transformers prints, or a table
            pass
    return {name: float(value) for name, value in _PAIR.findall(text)}


def numbers(content: Any) -> dict[str, float]:
    """Return the entries of a JSON object that are numbers."""
    if not isinstance(content, dict):
        return {}
    return {str(n): float(v) for n, v in content.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
