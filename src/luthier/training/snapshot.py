"""The whole state of a training in memory, to go back to: weights, optimizer, data order, random generators."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.errors import SettingError

State = dict[str, Any]


def take(objects: Mapping[str, Any], *, device: str | None = None) -> State:
    """Copy the state of a training.

    Parameters
    ----------
    objects
        By name: anything with ``state_dict`` and ``load_state_dict``, and generators of torch.
    device
        Where the copy is held; None leaves every tensor where it is. ``"cpu"`` spares the memory of a GPU.

    Returns
    -------
    dict
        What `put_back` takes; can be saved with ``torch.save`` or pickled.
    """
    kept = {name: _copied(_state_of(thing), device) for name, thing in objects.items()}
    return {"objects": kept, "random": _random_state()}


def put_back(state: State, objects: Mapping[str, Any], *, order: bool = True) -> None:
    """Bring a training back to where it was copied; what follows is the same to the bit.

    Parameters
    ----------
    state
        What `take` gave.
    objects
        The same as there.
    order
        Whether what decides the order of the data goes back too: generators, whatever can be iterated over (loaders,
        samplers), and the global random states.

    Raises
    ------
    SettingError
        If the state is one of other objects, such as of another architecture; nothing has been changed then but,
        possibly, the object that is named.
    """
    if set(state["objects"]) != set(objects):
        raise SettingError(f"the checkpoint holds {', '.join(state['objects'])}; here are {', '.join(objects)}")
    for name, thing in objects.items():
        kept = state["objects"][name]
        if not order and _orders_data(thing):
            continue
        if isinstance(thing, torch.nn.Module):
            same_architecture(kept, thing)
        if isinstance(thing, torch.Generator):
            thing.set_state(kept)
        else:
            _load(name, thing, kept)
    if order:
        _restore_random_state(state["random"])


def same_architecture(kept: Mapping[str, Any], model: torch.nn.Module) -> None:
    """Check that a model's state dict fits it.

    Raises
    ------
    SettingError
        If it does not; the message names the first difference.
    """
    now = model.state_dict()
    for key in [*kept, *now]:
        ours, theirs = _shape(now.get(key)), _shape(kept.get(key))
        if ours != theirs:
            raise SettingError(
                f"the checkpoint is of another architecture: {key} is {theirs} there and {ours} here; make the model "
                "that it was taken from, or start without it"
            )


def has_state(thing: Any) -> bool:
    """Whether a thing can be part of a snapshot."""
    return isinstance(thing, torch.Generator) or (hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict"))


def _orders_data(thing: Any) -> bool:
    iterable = hasattr(thing, "__iter__") and not isinstance(thing, torch.nn.Module)  # nn.Sequential is, too
    return iterable or isinstance(thing, torch.Generator)


def _state_of(thing: Any) -> Any:
    return thing.get_state() if isinstance(thing, torch.Generator) else thing.state_dict()


def _load(name: str, thing: Any, kept: Any) -> None:
    """Load a copy: an optimizer makes the state it is given its own, and would change ours."""
    own = kept if isinstance(thing, torch.nn.Module) else copy.deepcopy(kept)
    try:
        thing.load_state_dict(own)
    except (ValueError, KeyError, RuntimeError) as error:
        raise SettingError(f"the checkpoint does not fit {name!r}: {error}") from error


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else "missing" if value is None else type(value).__name__


def _copied(value: Any, device: str | None) -> Any:
    """Copy a state through and through, tensors detached."""
    if isinstance(value, Tensor):
        value = value.detach()
        return value.clone() if device is None else value.to(device, copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(part, device) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(part, device) for part in value)
    return copy.deepcopy(value)


def _random_state() -> State:
    state: State = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}  # noqa: NPY002
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _restore_random_state(state: State) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
