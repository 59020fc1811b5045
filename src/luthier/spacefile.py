"""Spaces as files: JSON, TOML and YAML, read and written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.errors import SpaceError, did_you_mean
from luthier.notation import lists, parse, to_dict
from luthier.parameter import Choice, Float, Int, Ordinal, Parameter
from luthier.space import Space

_EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+")
_TYPES: dict[str, type[Parameter]] = {"float": Float, "int": Int, "choice": Choice, "ordinal": Ordinal}


def space_to_dict(space: Space) -> dict[str, Any]:
    """Describe a space as plain JSON types; `space_from_dict` reads it back."""
    entries = {n: to_dict(space.parameters[n]) if n in space.parameters else space.constants[n] for n in space.names}
    entries = {n: {"constant": lists(v)} if isinstance(v, (str, tuple)) else v for n, v in entries.items()}
    return {"parameters": entries, **({"forbid": [f.source for f in space.forbid]} if space.forbid else {})}


def space_from_dict(data: Mapping[str, Any]) -> Space:
    """Build a space from a mapping with ``parameters`` and, optionally, ``forbid``.

    Each parameter is a mapping (``{"type": "float", "low": 1e-5, ...}``), a string in short notation, or a constant.

    Raises
    ------
    SpaceError
        If something in it cannot be read.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("parameters"), Mapping):
        raise SpaceError("a space file has a table 'parameters', and optionally a list 'forbid'")
    for name in data:
        if name not in ("parameters", "forbid"):
            raise SpaceError(f"unknown entry {name!r} in a space{did_you_mean(name, ('parameters', 'forbid'))}")
    return Space({n: _entry(n, e) for n, e in data["parameters"].items()}, forbid=data.get("forbid", ()))


def load_space(path: str | Path) -> Space:
    """Read a space from a ``.json``, ``.toml``, ``.yaml`` or ``.yml`` file.

    Raises
    ------
    SpaceError
        If the file is missing, of another kind, or cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpaceError(f"cannot read the space {path}: {error.strerror}") from None
    return loads_space(text, path.suffix.lstrip("."))


def loads_space(text: str, form: str) -> Space:
    """Read a space from text in the form ``json``, ``toml``, ``yaml`` or ``yml``."""
    try:
        if form == "json":
            data = json.loads(text)
        elif form == "toml":
            import tomllib

            data = tomllib.loads(text)
        elif form in ("yaml", "yml"):
            data = _yaml(text)
        else:
            raise SpaceError(f"a space is .json, .toml, .yaml or .yml, got {form!r}")
    except SpaceError:
        raise
    except Exception as error:  # noqa: BLE001 - each reader has its own exceptions
        raise SpaceError(f"cannot read the space as {form}: {error}") from None
    return space_from_dict(data)


def dumps_space(space: Space, form: str) -> str:
    """Write a space as text in the form ``json``, ``toml``, ``yaml`` or ``yml``."""
    data = space_to_dict(space)
    if form == "json":
        return json.dumps(data, indent=2)
    if form == "toml":
        return _toml(data)
    if form in ("yaml", "yml"):
        return _yaml_text(data)
    raise SpaceError(f"a space is written as json, toml or yaml, got {form!r}")


def _entry(name: str, entry: Any) -> Any:
    if isinstance(entry, str):
        return parse(entry)
    if not isinstance(entry, Mapping):
        return entry
    if "constant" in entry:
        return entry["constant"]
    options = dict(entry)
    kind = options.pop("type", None)
    if kind not in _TYPES:
        raise SpaceError(f"{name}: type is one of {', '.join(_TYPES)}, got {kind!r}{did_you_mean(str(kind), _TYPES)}")
    values = options.pop("options", None)
    if values is not None and not isinstance(values, (list, tuple)):
        raise SpaceError(f"{name}: options is a list of values, got {values!r}")
    try:
        return _TYPES[kind](*([] if values is None else [values]), **options)
    except TypeError as error:
        raise SpaceError(f"{name}: {error}") from None


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads ``1e-5`` as a number, as YAML 1.2, JSON and TOML do; YAML 1.1 takes it for a string."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    return yaml.load(text, Loader)  # noqa: S506 - a safe loader


def _yaml_text(data: Mapping[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes strings that the loader above would read as numbers."""

    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    legible = not re.search("[\x85\u2028\u2029]", json.dumps(data, ensure_ascii=False))  # PyYAML folds these three
    return str(yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=legible))


def _toml(data: Mapping[str, Any]) -> str:
    """Write the little TOML a space needs: a list of strings and one inline table or value per parameter."""
    lines = [f"forbid = {_toml_value(data['forbid'])}", ""] if "forbid" in data else []
    lines.append("[parameters]")
    lines += [f"{_toml_value(name)} = {_toml_value(entry)}" for name, entry in data["parameters"].items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if value is None:
        raise SpaceError("TOML has no null: write this space as JSON or YAML")
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, str):  # JSON's escapes are TOML's, but for surrogate pairs and DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value) if not isinstance(value, float) else repr(value)
