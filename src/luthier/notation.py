"""Parameters as text: the short notation of the command line, and plain JSON types.

``1e-5..1e-1:log`` is a Float, ``16..256:pow2`` an Int, ``adam,sgd`` a Choice, ``16,24,48:ordered`` an Ordinal and a
single value a constant; ``:prior=1e-3``, ``:sure=0.8`` and ``:step=0.1`` add to it.
"""

from __future__ import annotations

import math
from typing import Any

from luthier.errors import SpaceError, did_you_mean
from luthier.parameter import Choice, Float, Int, Ordinal, Parameter

_OPTIONS = ("log", "pow2", "ordered", "prior", "sure", "step", "float")


def parse(text: str, *, when: str | None = None) -> Any:
    """Read one parameter or constant in short notation.

    Parameters
    ----------
    text
        Such as ``1e-5..1e-1:log:prior=1e-3``, ``1..4`` or ``adam,sgd``.
    when
        Its condition.

    Returns
    -------
    Parameter or a plain value

    Raises
    ------
    SpaceError
        If the text cannot be read.

    Examples
    --------
    >>> parse("1e-5..1e-1:log")
    Float(1e-05, 0.1, log=True)
    >>> parse("16,24,48:ordered")
    Ordinal(16, 24, 48)
    """
    body, *parts = text.split(":")
    options: dict[str, Any] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if name not in _OPTIONS:
            raise SpaceError(
                f"cannot read {part!r} in {text!r}{did_you_mean(name, _OPTIONS)}: use {', '.join(_OPTIONS)}"
            )
        options[name] = _scalar(value) if equals else True
    ordered, real = options.pop("ordered", False), options.pop("float", False)
    extra = options if when is None else {**options, "when": when}
    try:
        if ".." in body:
            if ordered:
                raise SpaceError(f"{text!r} is a range, which has its order: leave :ordered out")
            low, high = (_scalar(end) for end in body.split("..", 1))
            whole = all(type(end) is int for end in (low, high, options.get("step", 1))) and not real
            return Int(low, high, **extra) if whole else Float(low, high, **extra)
        if "," in body or ordered:
            if real:
                raise SpaceError(f"{text!r} is a list of values: leave :float out")
            values = [_scalar(value) for value in body.split(",")]
            return Ordinal(*values, **extra) if ordered else Choice(*values, **extra)
    except TypeError as error:
        raise SpaceError(f"cannot read {text!r}: {error}") from None
    if extra:
        raise SpaceError(f"{text!r} is a single value, a constant: options need a range low..high or a list a,b")
    return _scalar(body)


def written(parameter: Any) -> str:
    """Write a parameter or constant for people, such as ``1e-05..0.1 log, prior 0.001``."""
    if not isinstance(parameter, Parameter):
        return f"{parameter!r} (constant)"
    data = to_dict(parameter)
    if "options" in data:
        text = " | ".join(map(str, data["options"])) + (" (ordered)" if data["type"] == "ordinal" else "")
    else:
        text = f"{data['low']!r}..{data['high']!r}"
    for name in ("log", "pow2"):
        text += f" {name}" if data.get(name) else ""
    text += f", step {data['step']!r}" if "step" in data else ""
    text += f", prior {data['prior']!r}" if "prior" in data else ""
    return text + (f"   when {data['when']}" if "when" in data else "")


def to_dict(parameter: Parameter) -> dict[str, Any]:
    """Describe a parameter as plain JSON types, without what is at its default."""
    data: dict[str, Any] = {"type": parameter.kind}
    for name in ("low", "high", "log", "step", "pow2", "options", "prior", "sure", "when"):
        value = getattr(parameter, name, None)
        if value is None or (value is False and name != "prior") or (name == "sure" and value == 0.5):
            continue
        if name == "step" and value == 1 and parameter.kind == "int":
            continue
        data[name] = value.source if name == "when" else lists(value)
    return data


def _scalar(text: str) -> Any:
    text = text.strip()
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return {"true": True, "false": False, "none": None, "null": None}.get(text.lower(), text)


def lists(value: Any) -> Any:
    """Turn tuples into lists, at any depth: JSON has no tuples."""
    return [lists(part) for part in value] if isinstance(value, tuple) else value


def plural(count: float, word: str) -> str:
    """Write a count and its word, such as ``1 parameter`` or ``12 parameters``."""
    return f"{count:,.0f} {word}{'' if count == 1 else 's'}"
