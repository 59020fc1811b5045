"""Parameters: what one hyperparameter may be, and its scale from the unit interval to values and back.

A finite parameter of k values owns k cells of the unit interval; its code is the middle of its cell. Only a
logarithmic `Int` has cells of unequal width, so that sampling is uniform in the logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from luthier.condition import Condition
from luthier.errors import ConfigError, SpaceError, did_you_mean

Array = NDArray[np.float64]
Kind = Literal["float", "int", "ordinal", "choice"]

_WIDEST = 2**40  # codes of an Int of so many values can still be told apart, on a logarithmic scale too
_BELIEF_WIDTH = 0.1  # standard deviation of a belief, in unit-interval units
_TABLE = np.linspace(0.0, 1.0, 257)


@dataclass(frozen=True, kw_only=True, repr=False)
class Parameter:
    """What every parameter has; use `Float`, `Int`, `Choice` or `Ordinal`.

    Parameters
    ----------
    prior
        The value you believe in; the first trial of a study tries it.
    sure
        How sure you are, from 0 to 1: the share of the draws that fall near the prior.
    when
        The parameter exists only where this condition holds (`luthier.Condition`).
    """

    prior: Any = None
    sure: float = 0.5
    when: Condition | None = None
    kind: Kind = field(init=False, repr=False, default="float")
    size: float = field(init=False, repr=False, default=math.inf)
    cells: Sequence[Any] | None = field(init=False, repr=False, compare=False, default=None)
    edges: tuple[float, float] = field(init=False, repr=False, compare=False, default=(0.0, 1.0))

    def check(self, value: Any) -> Any:
        """Return `value` in its canonical type, or raise `ConfigError`."""
        raise NotImplementedError  # pragma: no cover - abstract

    def to_unit(self, value: Any) -> float:
        """Return the code in [0, 1] of a checked value."""
        if self.cells is not None:
            return (self.cells.index(value) + 0.5) / self.size
        bottom, top = self.edges
        return float(((math.log(value) if self.scale_log else value) - bottom) / (top - bottom))

    def from_unit(self, u: float) -> Any:
        """Return the value whose cell holds `u`."""
        if self.cells is not None:
            return self.cells[min(max(int(u * self.size), 0), int(self.size) - 1)]
        bottom, top = self.edges
        value = bottom + u * (top - bottom)
        value = math.exp(value) if self.scale_log else value
        low, high = self.bounds
        return min(max(round(value) if self.kind == "int" else value, low), high)

    @property
    def scale_log(self) -> bool:
        """Whether its unit interval is logarithmic."""
        return bool(getattr(self, "log", False))

    @property
    def bounds(self) -> tuple[Any, Any]:
        """Its lowest and highest value; only of numbers."""
        return getattr(self, "low", None), getattr(self, "high", None)

    def values(self, points: int | None = None) -> Iterator[Any]:
        """Yield every value in order; a continuous parameter yields `points` values evenly spaced on its scale."""
        if self.cells is not None:
            yield from self.cells
        elif self.kind == "int":
            yield from range(self.bounds[0], self.bounds[1] + 1)
        elif not points:
            raise SpaceError(
                f"{self!r} is continuous and cannot be enumerated: give it step=, "
                "or take points of it: search=GridSearch(points=5)"
            )
        else:
            yield from (self.from_unit(i / max(points - 1, 1)) for i in range(points))

    def snap(self, u: Array) -> Array:
        """Move codes, an (n,) array, to the middle of their cells."""
        u = np.clip(u, 0.0, 1.0)
        if self.cells is not None:
            return (np.minimum(np.floor(u * self.size), self.size - 1) + 0.5) / self.size
        if self.kind == "float":
            return u
        bottom, top = self.edges
        value = np.clip(np.rint(np.exp(bottom + u * (top - bottom))), *self.bounds)
        return np.asarray((np.log(value) - bottom) / (top - bottom))

    def column(self, u: Array) -> NDArray[Any]:
        """Decode codes, an (n,) array, into an (n,) array of values."""
        number = self.kind in ("float", "int")
        column = np.empty(len(u), dtype=(np.int64 if self.kind == "int" else float) if number else object)
        column[:] = [self.from_unit(x) for x in u.tolist()]
        return column

    def belief(self) -> tuple[Array, Array] | None:
        """Return the cumulative distribution of the prior.

        Returns
        -------
        (m,) float array, (m,) float array, or None
            Points of the unit interval and the probability below each; None without a prior.
        """
        if self.prior is None:
            return None
        center = self.to_unit(self.prior)
        if self.kind == "choice":
            edges = np.arange(self.size + 1) / self.size
            mass = np.full(int(self.size), (1.0 - self.sure) / self.size)
            mass[min(int(center * self.size), int(self.size) - 1)] += self.sure
            return edges, np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum()
        normal = np.array([0.5 * math.erf((x - center) / (_BELIEF_WIDTH * math.sqrt(2.0))) for x in _TABLE])
        normal = (normal - normal[0]) / (normal[-1] - normal[0])
        return _TABLE, self.sure * normal + (1.0 - self.sure) * _TABLE

    def __repr__(self) -> str:
        options = getattr(self, "options", None)
        shown = [repr(getattr(self, n)) for n in ("low", "high")] if options is None else list(map(repr, options))
        shown = [f"[{options[0]!r}]"] if options and len(options) == 1 and isinstance(options[0], tuple) else shown
        step = 1 if self.kind == "int" else None
        for name, default in (("log", False), ("step", step), ("pow2", False), ("prior", None), ("sure", 0.5)):
            value = getattr(self, name, default)
            shown += [f"{name}={value!r}"] if value != default else []
        shown += [f"when={self.when.source!r}"] if isinstance(self.when, Condition) else []
        return f"{type(self).__name__}({', '.join(shown)})"

    def _settle(
        self,
        kind: Kind,
        *,
        cells: Sequence[Any] | None = None,
        edges: tuple[float, float] = (0.0, 1.0),
        size: float | None = None,
    ) -> None:
        """Fix the derived fields and check what all parameters share."""
        count = math.inf if cells is None else len(cells)
        derived = {"kind": kind, "cells": cells, "edges": edges, "size": count if size is None else size}
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        if self.when is not None:
            object.__setattr__(self, "when", Condition(self.when))
        if not 0.0 < self.sure <= 1.0:
            raise SpaceError(f"sure= is a share above 0 and up to 1, got {self.sure!r}")
        if self.prior is not None:
            try:
                object.__setattr__(self, "prior", self.check(self.prior))
            except ConfigError as error:
                raise SpaceError(f"the prior of {self!r} is outside of it: {error}") from None


@dataclass(frozen=True, repr=False)
class Float(Parameter):
    """A real number between two bounds, both included.

    Parameters
    ----------
    low, high
        The bounds, ``low < high``.
    log
        Search on a logarithmic scale; needs ``low > 0``.
    step
        Only ``low, low + step, ...`` up to `high`.
    prior, sure, when
        See `Parameter`.

    Raises
    ------
    SpaceError
        If the bounds are not finite and ordered, or the options contradict each other.
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        low, high = _bounds("Float", self.low, self.high, self.log)
        object.__setattr__(self, "low", float(low))
        object.__setattr__(self, "high", float(high))
        if self.step is None:
            if not math.isfinite(self.high - self.low):
                raise SpaceError(f"Float({low!r}, {high!r}) is wider than a float can hold: narrow it, or use log=True")
            self._settle("float", edges=(math.log(low), math.log(high)) if self.log else (self.low, self.high))
            return
        if self.log:
            raise SpaceError(f"Float({low!r}, {high!r}) cannot have log=True and step=: list the values in an Ordinal")
        if 0 < self.step < 1e-9 * max(abs(self.low), abs(self.high)):
            raise SpaceError(f"Float({low!r}, {high!r}) cannot tell values apart that differ by step={self.step!r}")
        self._settle(
            "float", cells=_Steps(self.low, self.high, float(self.step), _count("Float", low, high, self.step))
        )

    def check(self, value: Any) -> float:
        number = float(_number(value))
        if not self.low <= number <= self.high:
            raise ConfigError(f"{value!r} is outside {self.low!r}..{self.high!r}")
        if self.cells is None:
            return number
        near = float(self.cells[self.cells.index(number)])
        if abs(near - number) > 1e-9 * max(1.0, abs(number)):
            raise ConfigError(f"{value!r} is not on the grid of step {self.step!r}; the nearest value is {near!r}")
        return near


class _Steps(Sequence[float]):
    """The values ``low + i * step``, computed when asked for; `index` finds the nearest."""

    __slots__ = ("_high", "_low", "_size", "_step")

    def __init__(self, low: float, high: float, step: float, size: int) -> None:
        self._low, self._high, self._step, self._size = low, high, step, size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, i: Any) -> Any:
        if not 0 <= i < self._size:
            raise IndexError(i)
        value = float(f"{self._low + i * self._step:.12g}")  # so that 3 * 0.1 is 0.3
        return min(max(value, self._low), self._high)

    def index(self, value: Any, *_: Any) -> int:
        return int(min(max(round((value - self._low) / self._step), 0), self._size - 1))


@dataclass(frozen=True, repr=False)
class Int(Parameter):
    """A whole number between two bounds, both included.

    Parameters
    ----------
    low, high
        The bounds, ``low < high``.
    log
        Search on a logarithmic scale; needs ``low >= 1``.
    step
        Only ``low, low + step, ...`` up to `high`.
    pow2
        Only powers of two; both bounds must be powers of two.
    prior, sure, when
        See `Parameter`.

    Raises
    ------
    SpaceError
        If the bounds are not whole and ordered, or the options contradict each other.
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)
    pow2: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        low, high = _bounds("Int", self.low, self.high, self.log or self.pow2)
        if low != int(low) or high != int(high):
            raise SpaceError(f"Int({low!r}, {high!r}) needs whole bounds: use Float")
        low, high = int(low), int(high)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        if self.log + self.pow2 + (self.step != 1) > 1:
            raise SpaceError(f"Int({low}, {high}) can have one of log=, step= and pow2=, not several")
        if not isinstance(self.step, (int, float, np.number)) or self.step != int(self.step):
            raise SpaceError(f"Int({low}, {high}) needs a whole step, got {self.step!r}: use Float")
        object.__setattr__(self, "step", int(self.step))
        if (high if self.log else high - low) > _WIDEST:
            raise SpaceError(f"Int({low}, {high}) is too wide to tell its values apart: narrow it, or use Float")
        if self.pow2:
            if low & (low - 1) or high & (high - 1):
                raise SpaceError(
                    f"Int({low}, {high}, pow2=True) needs bounds that are powers of two, such as 16 and 256"
                )
            self._settle("int", cells=tuple(low << i for i in range(high.bit_length() - low.bit_length() + 1)))
        elif self.log:
            self._settle("int", edges=(math.log(low - 0.5), math.log(high + 0.5)), size=high - low + 1)
        else:
            count = _count("Int", low, high, self.step)
            self._settle("int", cells=range(low, low + count * self.step, self.step))

    def check(self, value: Any) -> int:
        number = _number(value)
        whole = int(number)
        if whole != number:
            raise ConfigError(f"{value!r} is not a whole number")
        if not self.low <= whole <= self.high:
            raise ConfigError(f"{value!r} is outside {self.low}..{self.high}")
        if self.cells is not None and whole not in self.cells:
            index = whole.bit_length() - self.low.bit_length() if self.pow2 else round((whole - self.low) / self.step)
            near = self.cells[min(index, len(self.cells) - 1)]
            raise ConfigError(f"{value!r} is not on its grid; the nearest value is {near}")
        return whole


class _Options(Parameter):
    """What `Choice` and `Ordinal` share: a list of values, a cell each."""

    options: tuple[Any, ...]

    def _take(self, options: tuple[Any, ...], kind: Kind, prior: Any, sure: float, when: Any) -> None:
        if len(options) == 1 and isinstance(options[0], (list, tuple, set, frozenset, range)):
            options = tuple(sorted(options[0], key=repr) if isinstance(options[0], (set, frozenset)) else options[0])
        name = type(self).__name__
        if not options:
            raise SpaceError(f"{name}() needs at least one option")
        options = tuple(plain(option, name) for option in options)
        for i, option in enumerate(options):
            if option in options[:i]:
                other = options[options.index(option)]
                raise SpaceError(f"{name} lists {option!r} twice (Python takes {other!r} for the same): leave one out")
        for field_name, value in (("prior", prior), ("sure", sure), ("when", when), ("options", options)):
            object.__setattr__(self, field_name, value)
        self._settle(kind, cells=options)

    def check(self, value: Any) -> Any:
        value = tupled(value)
        if value in self.options:
            return self.options[self.options.index(value)]
        listed = ", ".join(map(repr, self.options))
        raise ConfigError(f"{value!r} is not one of {listed}{did_you_mean(str(value), map(str, self.options))}")


@dataclass(frozen=True, init=False, repr=False)
class Choice(_Options):
    """One of several values without an order.

    Parameters
    ----------
    *options
        Strings, numbers, booleans, None, or tuples of them; or one list of these.
    prior, sure, when
        See `Parameter`.

    Raises
    ------
    SpaceError
        If there are no options, one is listed twice, or one is of another type.
    """

    options: tuple[Any, ...]

    def __init__(self, *options: Any, prior: Any = None, sure: float = 0.5, when: Any = None) -> None:
        self._take(options, "choice", prior, sure, when)


@dataclass(frozen=True, init=False, repr=False)
class Ordinal(_Options):
    """One of several values in an order that matters, such as ``Ordinal(16, 24, 48, 96)``.

    Parameters
    ----------
    *options
        The values, in order; or one list of them.
    prior, sure, when
        See `Parameter`.

    Raises
    ------
    SpaceError
        If there are no options, one is listed twice, or one is of another type.
    """

    options: tuple[Any, ...]

    def __init__(self, *options: Any, prior: Any = None, sure: float = 0.5, when: Any = None) -> None:
        self._take(options, "ordinal", prior, sure, when)


def _bounds(name: str, low: Any, high: Any, positive: bool) -> tuple[Any, Any]:
    for bound in (low, high):
        if isinstance(bound, bool) or not hasattr(bound, "__float__") or not _finite(bound):
            raise SpaceError(f"{name}({low!r}, {high!r}) needs two finite numbers")
    if low == high:
        raise SpaceError(f"{name}({low!r}, {high!r}) holds one value: write the value itself instead")
    if low > high:
        raise SpaceError(f"{name}({low!r}, {high!r}) needs low < high, got low={low!r}, high={high!r}: swap them")
    if positive and low <= (0 if name == "Float" else 0.5):
        raise SpaceError(f"{name}({low!r}, {high!r}) needs low > 0 for a logarithmic scale or powers of two")
    return low, high


def _count(name: str, low: float, high: float, step: float) -> int:
    if isinstance(step, bool) or not math.isfinite(step) or step <= 0 or step > (high - low) * (1 + 1e-9):
        raise SpaceError(f"{name}({low!r}, {high!r}) needs 0 < step <= {high - low!r}, got step={step!r}")
    return math.floor((high - low) / step + 1e-9) + 1


def _number(value: Any) -> float:
    if isinstance(value, (bool, str, np.bool_)) or not hasattr(value, "__float__"):
        raise ConfigError(f"{value!r} is not a number")
    if not _finite(value):
        raise ConfigError(f"{value!r} is not finite")
    return value if isinstance(value, int) else float(value)


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):  # an array; a whole number that no float can hold
        return False


def tupled(value: Any) -> Any:
    """Turn lists into tuples, at any depth: JSON knows lists only."""
    return tuple(tupled(part) for part in value) if isinstance(value, (list, tuple)) else value


def plain(option: Any, name: str) -> Any:
    """Turn numpy scalars into Python ones and lists into tuples; refuse what JSON cannot hold."""
    if isinstance(option, np.generic):
        option = option.item()
    if isinstance(option, (list, tuple)):
        return tuple(plain(part, name) for part in option)
    if option is not None and not isinstance(option, (bool, int, float, str)):
        raise SpaceError(
            f"{name} cannot hold {option!r} of type {type(option).__name__}: "
            "use its name, and look it up inside the objective"
        )
    if isinstance(option, float) and not math.isfinite(option):
        raise SpaceError(f"{name} cannot hold {option!r}: use a finite number, None or a string")
    return option
