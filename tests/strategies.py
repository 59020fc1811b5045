"""Hypothesis strategies: parameters, spaces with conditions and forbidden combinations, curves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from luthier import Choice, Float, Int, Ordinal, Parameter, Space
from luthier.errors import SpaceError

words = st.text("abcdefgxyz_", min_size=1, max_size=5)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
scalars = st.one_of(
    texts, words, st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6, allow_nan=False), st.booleans(), st.none()
)
options = st.one_of(scalars, st.tuples(st.integers(-9, 9), st.integers(-9, 9)))


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same type: True is not 1."""
    return type(a) is type(b) and a == b


@st.composite
def floats(draw: st.DrawFn, **extra: Any) -> Float:
    log = draw(st.booleans())
    if log:
        low = draw(st.floats(1e-12, 1e3))
        return Float(low, low * draw(st.floats(1.001, 1e9)), log=True, **extra)
    low = draw(st.floats(-1e6, 1e6))
    width = draw(st.floats(1e-3, 1e6)) + 1e-3 * abs(low)
    if draw(st.booleans()):
        return Float(low, low + width, **extra)
    return Float(low, low + width, step=width / draw(st.floats(1.0, 30.0)), **extra)


@st.composite
def ints(draw: st.DrawFn, *, most: int = 10**6, **extra: Any) -> Int:
    form = draw(st.sampled_from(["linear", "log", "pow2", "step"]))
    if form == "pow2":
        k = draw(st.integers(0, 10))
        return Int(1 << k, 1 << (k + draw(st.integers(1, 10))), pow2=True, **extra)
    if form == "log":
        low = draw(st.integers(1, 100))
        return Int(low, low + draw(st.integers(1, most)), log=True, **extra)
    low, width = draw(st.integers(-(10**6), 10**6)), draw(st.integers(1, most))
    return Int(low, low + width, step=draw(st.integers(1, width)) if form == "step" else 1, **extra)


@st.composite
def choices(draw: st.DrawFn, *, most: int = 6, **extra: Any) -> Choice | Ordinal:
    values = draw(st.lists(options, min_size=1, max_size=most, unique_by=lambda v: v))
    kind = draw(st.sampled_from([Choice, Ordinal]))
    return kind(values, **extra)


parameters = st.one_of(floats(), ints(), choices())
finite_parameters = st.one_of(ints(most=6), choices(most=4))


@st.composite
def believed_parameters(draw: st.DrawFn) -> Parameter:
    """A parameter with a prior that is one of its values."""
    bare = draw(parameters)
    value = bare.from_unit(draw(st.floats(0, 1)))
    given = {n: getattr(bare, n) for n in ("low", "high", "log", "step", "pow2") if hasattr(bare, n)}
    sure = draw(st.floats(0.01, 1.0))
    if isinstance(bare, Choice | Ordinal):
        return type(bare)(list(bare.options), prior=value, sure=sure)
    return type(bare)(**given, prior=value, sure=sure)


@st.composite
def spaces(draw: st.DrawFn, *, finite: bool = False, forbid: bool = True) -> Space:
    """A space of one to four parameters and constants, some with conditions on earlier ones."""
    given: dict[str, Any] = {}
    for i in range(draw(st.integers(1, 4))):
        when = None
        if given and draw(st.booleans()):
            when = draw(conditions(given))
        one = draw(finite_parameters if finite else st.one_of(parameters, finite_parameters))
        if when is not None:
            kept = {n: getattr(one, n) for n in ("low", "high", "log", "step", "pow2") if hasattr(one, n)}
            cls = type(one)
            one = cls(list(one.options), when=when) if isinstance(one, Choice | Ordinal) else cls(**kept, when=when)
        given[f"p{i}"] = one
    if draw(st.booleans()):
        given["fixed"] = draw(scalars)
    bans = [draw(conditions(given))] if forbid and draw(st.booleans()) else []
    try:
        return Space(given, forbid=bans)
    except SpaceError:  # forbids all, or leaves a parameter nowhere to be active: the same without conditions
        plain = {}
        for name, one in given.items():
            if isinstance(one, Parameter) and one.when is not None:
                kept = {n: getattr(one, n) for n in ("low", "high", "log", "step", "pow2") if hasattr(one, n)}
                many = isinstance(one, Choice | Ordinal)
                one = type(one)(list(one.options)) if many else type(one)(**kept)
            plain[name] = one
        return Space(plain)


@st.composite
def conditions(draw: st.DrawFn, given: dict[str, Any]) -> str:
    """A condition over these parameters that holds somewhere when taken alone."""
    parts = []
    for name in draw(st.lists(st.sampled_from(sorted(given)), min_size=1, max_size=2, unique=True)):
        one = given[name]
        if not isinstance(one, Parameter):
            parts.append(f"{name} == {one!r}")
        elif isinstance(one, Choice | Ordinal):
            some = draw(st.lists(st.sampled_from(one.options), min_size=1, max_size=2, unique=True))
            parts.append(f"{name} in {tuple(some)!r}" if draw(st.booleans()) else f"{name} == {some[0]!r}")
        else:
            middle = one.from_unit(draw(st.floats(0.2, 0.8)))
            parts.append(f"{name} {draw(st.sampled_from(['<=', '>=']))} {middle!r}")
    return draw(st.sampled_from([" and ", " or "])).join(parts)


def points(space: Space, n: int, seed: int) -> np.ndarray:
    """Uniform points of the unit cube, (n, d), with some on its corners."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, len(space.columns)))
    return np.where(rng.random(x.shape) < 0.1, np.round(x), x)


def close(space: Space, a: dict[str, Any], b: dict[str, Any]) -> bool:
    """The same configuration, continuous values to the last digits that an exponential keeps."""
    if a.keys() != b.keys():
        return False
    for name, value in a.items():
        if math.isinf(getattr(space.parameters.get(name), "size", 1)):
            one = space.parameters[name]
            width = abs(value) if one.scale_log else max(abs(one.low), abs(one.high), abs(value))
            if abs(value - b[name]) > 1e-11 * width:
                return False
        elif not same(value, b[name]):
            return False
    return True
