"""An autoregressive policy over categorical sequences, and its gradient (Williams 1992; Zoph and Le 2017).

The logits of each position are linear in the one-hot choices of those before it, a network without hidden layers:
enough for pairs of choices that suit each other, and trained within some hundred samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Choices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Policy:
    """Probabilities of sequences of choices.

    Parameters
    ----------
    sizes : (d,) int array
        How many choices each position has.
    weights : (f + 1, f) float array
        From all one-hot choices, and a constant, to all logits; only those from earlier positions are used.
        ``f = sum(sizes)``.
    """

    sizes: Choices
    weights: Array

    @classmethod
    def uniform(cls, sizes: Choices) -> Policy:
        """Make the policy under which all sequences are alike."""
        total = int(np.sum(sizes))
        return cls(sizes, np.zeros((total + 1, total)))

    def sample(self, n: int, rng: np.random.Generator) -> Choices:
        """Draw sequences, (n, d)."""
        choices = np.zeros((n, len(self.sizes)), dtype=np.int64)
        features = np.zeros((n, len(self.weights)))
        features[:, -1] = 1.0
        for j, (start, stop) in enumerate(self._spans()):
            shares = _softmax(features @ self.weights[:, start:stop])  # (n, k)
            drawn = (np.cumsum(shares, axis=1) < rng.random((n, 1))).sum(axis=1)
            choices[:, j] = np.minimum(drawn, stop - start - 1)
            features[np.arange(n), start + choices[:, j]] = 1.0
        return choices

    def gradient(self, choices: Choices) -> tuple[float, Choices, Array, Array]:
        """Differentiate the log probability and the entropy of one sequence.

        Parameters
        ----------
        choices : (d,) int array
            -1 where a position was not used.

        Returns
        -------
        float
            Log probability.
        (r,) int array
            Rows of the weights that matter: the constant and the choices made; the gradient is zero in all others.
        (r, f) float array, (r, f) float array
            In these rows, the gradients of the log probability, and of the entropies of the positions given those
            before, summed.
        """
        used = np.flatnonzero(choices >= 0)
        starts = np.cumsum(self.sizes) - self.sizes
        rows = np.concatenate([[len(self.weights) - 1], starts[used] + choices[used]])
        pull, spread = np.zeros((2, len(rows), self.weights.shape[1]))
        total, spans = 0.0, self._spans()
        for place, position in enumerate(used.tolist()):
            start, stop = spans[position]
            shares = _softmax(self.weights[rows[: place + 1], start:stop].sum(axis=0)[None])[0]
            logs = np.log(np.maximum(shares, 1e-300))
            total += float(logs[choices[position]])
            pull[: place + 1, start:stop] = -shares
            pull[: place + 1, start + choices[position]] += 1.0
            spread[: place + 1, start:stop] = -shares * (logs - shares @ logs)
        return total, rows, pull, spread

    def moved(self, rows: Choices, step: Array) -> Policy:
        """Return the policy with some rows of its weights moved, (r,) and (r, f)."""
        weights = self.weights.copy()
        weights[rows] += step
        return Policy(self.sizes, weights)

    def _spans(self) -> list[tuple[int, int]]:
        ends = np.cumsum(self.sizes).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))


def _softmax(logits: Array) -> Array:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
