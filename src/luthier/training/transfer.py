"""Transfer: the weights of a network trained elsewhere into a new one, then frozen, fine-tuned, or thawed bit by bit.

What fits by name and shape is taken, a layer as a whole or not at all, and everything that was left is told with its
reason. Yosinski et al. 2014 on what transfers; Howard & Ruder 2018 (ULMFiT) on smaller rates below and gradual
unfreezing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from luthier.errors import SettingError, did_you_mean

Weights = Mapping[str, Tensor]
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # what data parallel, compiled and Lightning models put before names
_HOLDERS = ("model", "state_dict", "model_state_dict", "trainer", "objects", "net", "weights")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of the weights.

    Attributes
    ----------
    taken : tuple of str
        Parameters and buffers of the network that were loaded.
    adapted : dict
        Those of them that were changed to fit, and how.
    left : dict
        Those that stayed as they were, and why.
    unused : tuple of str
        Weights of the source that have no place in the network.
    """

    taken: tuple[str, ...]
    adapted: dict[str, str]
    left: dict[str, str]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.taken)} weights taken, {len(self.left)} left, {len(self.unused)} of the source not used"]
        lines += [f"  {name} adapted: {how}" for name, how in self.adapted.items()]
        lines += [f"  {name} left: {why}" for name, why in self.left.items()]
        return "\n".join(lines)


def transfer(
    model: nn.Module,
    source: nn.Module | Mapping[str, Any] | str | os.PathLike[str],
    *,
    leave: Sequence[str] = (),
    channels: str = "leave",
) -> Transfer:
    """Load the weights of a trained network into another, where they fit.

    Parameters
    ----------
    model
        Changed in place.
    source
        A network, its ``state_dict()``, or a file of weights from ``torch.save``; weights inside a checkpoint under
        a usual name are found. A file is read without running code that is in it.
    leave
        Layers that stay as they are although they fit, such as ``["head"]`` when as many classes mean something else.
    channels
        What to do with a first convolution for other input channels: ``"leave"`` it, or ``"spread"`` the sum of its
        weights over the new channels, which for gray images in color, or the reverse, changes nothing.

    Returns
    -------
    Transfer

    Raises
    ------
    SettingError
        If nothing fits, since the source is of another architecture, or it holds no weights.
    """
    if channels not in ("leave", "spread"):
        raise SettingError(f"channels is 'leave' or 'spread', got {channels!r}")
    theirs, ours = _weights(source), model.state_dict()
    _known(ours, leave)
    adapted: dict[str, str] = {}
    left: dict[str, str] = {}
    fitting: dict[str, Tensor] = {}
    for name, here in ours.items():
        there = theirs.get(name)
        if _below(name, leave):
            left[name] = "as asked"
        elif there is None:
            left[name] = "the source has no such weight"
        elif there.shape == here.shape:
            fitting[name] = there
        elif channels == "spread" and _other_channels(there, here):
            fitting[name] = (there.sum(1, keepdim=True) / here.shape[1]).expand_as(here)
            adapted[name] = f"from {there.shape[1]} to {here.shape[1]} input channels"
        else:
            left[name] = f"{tuple(there.shape)} there, {tuple(here.shape)} here"
    layers = {_layer(name) for name in left if not left[name].startswith("as")}
    for name in [name for name in fitting if _layer(name) in layers]:
        left[name] = "the rest of its layer does not fit"
        fitting.pop(name)
    if not any(ours[name].dim() > 1 for name in fitting):
        raise SettingError(_stranger(theirs, ours))
    with torch.no_grad():
        for name, value in fitting.items():
            ours[name].copy_(value)
    unused = tuple(name for name in theirs if name not in ours)
    return Transfer(tuple(fitting), {n: how for n, how in adapted.items() if n in fitting}, left, unused)


def freeze(model: nn.Module, names: Iterable[str] = ("",)) -> None:
    """Keep layers as they are in training: no gradients, and normalization by what was accumulated before.

    Parameters
    ----------
    model
        Changed in place. It may still be copied, saved and moved.
    names
        Of layers or parameters, such as ``["layers.0"]`` or ``transfer(...).taken``; by default all.

    Raises
    ------
    SettingError
        If there is no such layer.
    """
    chosen = _known(model.state_dict(), names)
    for name, parameter in model.named_parameters():
        if _below(name, chosen):
            parameter.requires_grad_(False)
            parameter.grad = None
    for name, module in _normalizations(model):
        if _below(f"{name}.running_mean", chosen):
            _melt(module)
            module.register_forward_pre_hook(_stay_in_evaluation)


def unfreeze(model: nn.Module, names: Iterable[str] = ("",)) -> None:
    """Undo `freeze` for these layers, by default for all."""
    chosen = _known(model.state_dict(), names)
    for name, parameter in model.named_parameters():
        if _below(name, chosen):
            parameter.requires_grad_(True)
    for name, module in _normalizations(model):
        if _below(f"{name}.running_mean", chosen):
            _melt(module)


def stages(model: nn.Module) -> list[list[str]]:
    """Return the layers with weights from the last to the first, each with the normalization after it, for `thaw`."""
    found: list[list[str]] = []
    for name, parameter in model.named_parameters():
        layer = _layer(name)
        if not found or (parameter.dim() > 1 and layer not in found[-1]):
            found.append([layer])
        elif layer not in found[-1]:
            found[-1].append(layer)
    return found[::-1]


def thaw(model: nn.Module, epoch: int, *, order: Sequence[Sequence[str]] | None = None, every: int = 1) -> None:
    """Freeze all but the layers whose turn has come: at first the last one, then one more after each few epochs.

    Parameters
    ----------
    model
        Changed in place. Make the optimizer before, with all parameters; those without gradients are passed over.
    epoch
        From 0.
    order
        Groups of layers, first to be trained first; by default `stages`.
    every
        Epochs until the next.
    """
    groups = stages(model) if order is None else order
    turn = epoch // every + 1
    for place, names in enumerate(groups):
        (unfreeze if place < turn else freeze)(model, names)


def fine_tuning_groups(
    model: nn.Module, body: Iterable[str], *, lr: float, factor: float = 0.1, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Return parameter groups for an optimizer, with a smaller rate for what was trained before.

    Parameters
    ----------
    model
        Whose parameters, frozen ones included: they may be thawed.
    body
        Names of what was trained before, such as ``transfer(...).taken``.
    lr
        Rate of the rest.
    factor
        Of the body's rate to it.
    weight_decay
        Of matrices and kernels; biases and normalization do not decay.

    Returns
    -------
    list of dict
        Such as for ``torch.optim.AdamW``.
    """
    chosen = _known(model.state_dict(), body)
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault((_below(name, chosen), parameter.dim() > 1), []).append(parameter)
    return [
        {"params": held, "lr": lr * (factor if old else 1.0), "weight_decay": weight_decay if decays else 0.0}
        for (old, decays), held in groups.items()
    ]


def _weights(source: Any) -> dict[str, Tensor]:
    """The weights in a network, a dict or a file, under the names of the bare network."""
    if isinstance(source, (str, os.PathLike)):
        source = _loaded(Path(source))
    found = source.state_dict() if isinstance(source, nn.Module) else _inside(source)
    if not found:
        raise SettingError(f"there are no weights in this {type(source).__name__}: give a network or its state_dict()")
    weights = dict(found)
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in weights):
            weights = {name.removeprefix(wrapper): value for name, value in weights.items()}
    return weights


def _loaded(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise SettingError(f"the checkpoint cannot be read: {error}") from None
    except Exception as error:  # noqa: BLE001 - a file that is something else fails in many ways
        reason = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
        raise SettingError(
            f"{path.name} is no file of weights ({reason}): write it with torch.save(model.state_dict(), path)"
        ) from None


def _inside(content: Any) -> Weights | None:
    """The first dict of tensors, here or under a usual name."""
    if not isinstance(content, Mapping):
        return content.state_dict() if isinstance(content, nn.Module) else None
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return content
    for name in (*_HOLDERS, *content):
        if name in content and (found := _inside(content[name])) is not None:
            return found
    return None


def _stranger(theirs: Weights, ours: Weights) -> str:
    def listed(weights: Weights) -> str:
        shown = [f"{name} {tuple(value.shape)}" for name, value in weights.items() if value.dim() > 1]
        return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")

    return (
        f"nothing in the source fits this network: it holds {listed(theirs) or 'no matrices'}; the network has "
        f"{listed(ours) or 'no matrices'}. Build the network with the settings that the source was trained with"
    )


def _other_channels(there: Tensor, here: Tensor) -> bool:
    return (
        there.dim() == here.dim() > 2
        and there.shape[0] == here.shape[0]
        and there.shape[2:] == here.shape[2:]
        and 1 in (there.shape[1], here.shape[1])
    )


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _below(name: str, prefixes: Iterable[str]) -> bool:
    return any(not prefix or name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _known(weights: Mapping[str, Any], names: Iterable[str]) -> tuple[str, ...]:
    """The names, each of which has to be that of a layer or weight."""
    chosen = (names,) if isinstance(names, str) else tuple(names)
    for wanted in chosen:
        if not any(_below(name, [wanted]) for name in weights):
            layers = list(dict.fromkeys(_layer(name) for name in weights))
            raise SettingError(f"no layer {wanted!r}{did_you_mean(wanted, layers)}: there are {', '.join(layers[:12])}")
    return chosen


def _normalizations(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Modules that accumulate statistics, and their names."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(getattr(module, "running_mean", None), Tensor)
    ]


def _stay_in_evaluation(module: nn.Module, _: Any) -> None:
    module.eval()  # before each pass, since model.train() puts every module into training


def _melt(module: nn.Module) -> None:
    hooks = module._forward_pre_hooks  # no handle to keep: a frozen network stays one that can be copied and pickled
    for key in [key for key, hook in hooks.items() if hook is _stay_in_evaluation]:
        del hooks[key]
