"""Sounds as tensors: cut or padded with silence to a length that nearly all of them have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from luthier.data import Dataset

_SHARE = 0.95  # of the sounds that are kept whole
_LONGEST_S = 10.0


@dataclass(frozen=True, slots=True)
class SoundEncoder:
    """Turn sounds into (n, samples) float tensors.

    Parameters
    ----------
    rate
        Samples a second.
    samples
        Length of every sound.
    notes
        What was done and has to be told.
    """

    rate: int
    samples: int
    notes: tuple[str, ...] = ()

    @classmethod
    def learn(cls, dataset: Dataset) -> Self:
        """Choose the length."""
        rate = int(dataset.rate or 16000)
        lengths = np.array([len(wave) for wave in dataset.inputs])
        samples = min(int(np.quantile(lengths, _SHARE, method="higher")), int(_LONGEST_S * rate))
        samples = max(samples, math.ceil(0.2 * rate))
        longer = int((lengths > samples).sum())
        notes = [f"sounds were brought to one length, {samples / rate:.2f} s: shorter ones end in silence"]
        if longer:
            notes = [f"{notes[0]}, {longer} longer ones were cut (the loudest part is kept)"]
        return cls(rate, samples, tuple(notes) if len(set(lengths.tolist())) > 1 else ())

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Make it again from its state."""
        return cls(state["rate"], state["samples"])

    @property
    def constants(self) -> dict[str, Any]:
        """The rate."""
        return {"rate": self.rate}

    def encode(self, dataset: Dataset) -> Tensor:
        """Return (n, samples) float32."""
        waves = torch.zeros(len(dataset), self.samples)
        for row, wave in enumerate(dataset.inputs):
            part = _loudest(np.asarray(wave, np.float32), self.samples)
            waves[row, : len(part)] = torch.from_numpy(part)
        return waves

    def state(self) -> dict[str, Any]:
        """Return the rate and the length."""
        return {"rate": self.rate, "samples": self.samples}

    def example(self, rows: int) -> Tensor:
        """Return a batch of the right shape."""
        return torch.linspace(-1.0, 1.0, rows * self.samples).view(rows, self.samples)


def _loudest(wave: np.ndarray[Any, Any], samples: int) -> np.ndarray[Any, Any]:
    """Cut a sound to the window of most energy."""
    if len(wave) <= samples:
        return np.ascontiguousarray(wave)
    total = np.concatenate([[0.0], np.cumsum(wave.astype(np.float64) ** 2)])
    start = int(np.argmax(total[samples:] - total[:-samples]))
    return np.ascontiguousarray(wave[start : start + samples])
