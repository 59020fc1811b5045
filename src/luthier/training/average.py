"""An exponential moving average of a network's weights (Polyak and Juditsky 1992; warm-up as in TensorFlow's)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """The average of a network's weights over its last steps, which can take their place.

    After step t it moves towards the weights by ``1 - min(decay, (1 + t) / (10 + t))``: at first quickly, so that the
    random weights of the start are soon forgotten. The running statistics of batch normalization are averaged alike, so
    that they go with the averaged weights; what counts (whole numbers) is the network's own.

    Parameters
    ----------
    model
        On its device, in its memory format.
    decay
        What stays of the average in a step, from 0 to below 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        tensors = [*model.parameters(), *model.buffers()]
        self._own = [tensor for tensor in tensors if tensor.is_floating_point()]
        self._mean = [tensor.detach().clone() for tensor in self._own]
        self._swapped = False

    def update(self) -> None:
        """Move towards the present weights."""
        self.steps += 1
        kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._mean, [tensor.detach() for tensor in self._own], 1.0 - kept)

    def use(self, wanted: bool) -> bool:
        """Put the average into the network in place of its weights, or take it out again.

        Returns
        -------
        bool
            Whether it was there before.
        """
        before = self._swapped
        if before != wanted:
            for place, tensor in enumerate(self._own):
                tensor.data, self._mean[place] = self._mean[place], tensor.data
            self._swapped = wanted
        return before

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on; the average must not be in use."""
        return {"steps": self.steps, "mean": list(self._mean)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`; the average must not be in use."""
        self.steps = int(state["steps"])
        mean: list[Tensor] = state["mean"]
        for own, kept in zip(self._mean, mean, strict=True):
            own.copy_(kept)
