"""The function to tune, found by name: ``train.py:train`` or ``package.module:train``."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from luthier.errors import ObjectiveError, did_you_mean


def load_target(text: str) -> tuple[Any, ModuleType]:
    """Import what ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION`` names.

    A file is imported under its stem, with its directory first in the path, so that it finds its neighbors and a worker
    process finds it.

    Returns
    -------
    object, module

    Raises
    ------
    ObjectiveError
        If the file, the module or the function is not there, or importing it fails.
    """
    place, _, name = text.rpartition(":")
    if not place:
        place, name = name, ""
    module = _from_file(Path(place)) if place.endswith(".py") else _from_module(place)
    if not name:
        raise ObjectiveError(f"say which function of {place} to tune: {_suggestion(place, module)}")
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, _functions(module))
            raise ObjectiveError(f"{place} has no {name!r}{hint or ': ' + _suggestion(place, module)}")
        found = getattr(found, part)
    if not callable(found):
        raise ObjectiveError(f"{text} is no function, but of type {type(found).__name__}")
    return found, module


def stem_of(text: str) -> str:
    """Return the name of a file or module, for the directory of its study."""
    place = text.rpartition(":")[0] or text
    return Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ObjectiveError(f"there is no file {path}")
    path = path.resolve()
    if not path.stem.isidentifier():
        raise ObjectiveError(f"{path.name} cannot be imported as a module: give it a name of letters, digits and _")
    sys.path.insert(0, str(path.parent))
    module = _imported(path.stem, str(path))
    if Path(getattr(module, "__file__", None) or "").resolve() != path:
        raise ObjectiveError(f"{path.name} has the name of another module, {module.__name__}: rename the file")
    return module


def _from_module(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())
    return _imported(name, name)


def _imported(name: str, shown: str) -> ModuleType:
    """Import a module; whatever its code raises is told with its own traceback."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ObjectiveError(f"there is no module {name!r}: is it a file? then write {name}.py") from None
        raise ObjectiveError(f"importing {shown} failed: {error}{_where(error)}") from None
    except Exception as error:  # noqa: BLE001 - importing runs anything
        raise ObjectiveError(f"importing {shown} failed: {type(error).__name__}: {error}{_where(error)}") from None
    except SystemExit as error:
        raise ObjectiveError(
            f"importing {shown} called exit({error.code!r}): put what it runs under if __name__ == '__main__', "
            "or tune it as a script with luthier run"
        ) from None


def _where(error: BaseException) -> str:
    """Say the file and line of the module's own code that raised."""
    line = None
    frames = error.__traceback__
    while frames is not None:
        name = frames.tb_frame.f_code.co_filename
        line = (
            line if name.startswith("<frozen") or name in (__file__, importlib.__file__) else (name, frames.tb_lineno)
        )
        frames = frames.tb_next
    return f" ({line[0]}, line {line[1]})" if line else ""


def _functions(module: ModuleType) -> list[str]:
    """Return the functions that a module itself defines."""
    own = inspect.getmembers(module, inspect.isfunction)
    return [name for name, function in own if function.__module__ == module.__name__ and not name.startswith("_")]


def _suggestion(place: str, module: ModuleType) -> str:
    names = _functions(module)
    return " or ".join(f"{place}:{name}" for name in names[:4]) if names else "it defines no function"


def space_in(module: ModuleType) -> Any:
    """Return the module's attribute ``space``, None if it has none."""
    found = getattr(module, "space", None)
    return None if isinstance(found, (ModuleType, click.Command)) else found
