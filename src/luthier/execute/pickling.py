"""Sending objectives to workers: functions from scripts, notebooks and closures go by value."""

from __future__ import annotations

import functools
import inspect
import io
import pickle
import sys
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from luthier.errors import ObjectiveError
from luthier.objective import Objective


def dumps(objective: Objective) -> bytes:
    """Serialize an objective with cloudpickle.

    Raises
    ------
    ObjectiveError
        If it refers to something that cannot be sent; the message says which name.
    """
    import cloudpickle

    module = inspect.getmodule(objective.function)
    by_value = module is not None and _loose(module)
    if by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        return _pickled(objective)
    except Exception as error:  # noqa: BLE001 - pickling runs anybody's __reduce__
        culprit = _culprit(objective.function)
        named = f"{culprit}, which cannot be sent" if culprit else "something that cannot be sent"
        raise ObjectiveError(
            f"the objective uses {named} to a worker process ({type(error).__name__}: {error}): "
            "make it inside the objective, or use workers=0"
        ) from None
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)


def _pickled(value: Any) -> bytes:
    """Pickle by value; functions under ``functools.cache``, which cloudpickle takes for importable, included.

    Code keeps the name of its file, which cloudpickle 3.1.3 leaves out: tracebacks show its lines.
    """
    import cloudpickle

    class Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
        def reducer_override(self, given: Any) -> Any:
            if isinstance(given, functools._lru_cache_wrapper):
                return _cached, (given.__wrapped__, given.cache_parameters())
            if isinstance(given, CodeType):
                return _located, (given.co_filename, *self.dispatch_table[CodeType](given))
            return super().reducer_override(given)

    buffer = io.BytesIO()
    Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def _cached(function: Any, parameters: dict[str, Any]) -> Any:
    """Put a cache, empty, around a function again."""
    return functools.lru_cache(**parameters)(function)


def _located(file: str, make: Any, args: tuple[Any, ...]) -> Any:
    """Give code the name of its file again."""
    return make(*args).replace(co_filename=file)


def _loose(module: ModuleType) -> bool:
    """Whether a worker could not import the module by its name."""
    file = getattr(module, "__file__", None)
    if module.__name__ == "__main__" or file is None:
        return False  # cloudpickle sends __main__ by value by itself
    folder = Path(file).resolve().parent
    for _ in range(module.__name__.count(".")):
        folder = folder.parent
    return not any(Path(entry or ".").resolve() == folder for entry in sys.path) and "site-packages" not in str(file)


def _culprit(function: Any) -> str:
    """Find the name in the objective's closure, globals or attributes that cannot be pickled."""
    function = inspect.unwrap(function)
    function = getattr(function, "__func__", function)
    names: dict[str, Any] = {}
    if inspect.isfunction(function):
        variables = inspect.getclosurevars(function)
        names = {**variables.globals, **variables.nonlocals}
    names.update(getattr(function, "__dict__", {}))
    for name, value in names.items():
        try:
            _pickled(value)
        except Exception:  # noqa: BLE001 - this is the search for it
            return f"{name!r} (of type {type(value).__name__})"
    return ""
