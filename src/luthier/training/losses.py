"""Losses: cross-entropy with label smoothing, class weights and focus; regression; penalties on weights.

Every loss is a mean over rows, weights and focus included, so the mean over a large batch is the mean over its parts
and gradients can be accumulated exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from luthier.errors import SettingError, did_you_mean


@dataclass(frozen=True, slots=True, eq=False)
class CrossEntropy:
    """Softmax cross-entropy, in one function.

    Parameters
    ----------
    smoothing
        Share of the target that is spread over all classes (Szegedy et al. 2016).
    weights : (C,) float tensor, optional
        Weight of each class, such as from `class_weights`.
    focus
        Gamma of the focal loss (Lin et al. 2017): each class's term is multiplied by ``(1 - p) ** focus``, so that
        rows that are right already count less; 0 is cross-entropy.
    ignore
        A class whose rows do not count, such as 0 for padding in sequences; the mean is over the others.

    Examples
    --------
    >>> import torch
    >>> logits, y = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    >>> round(float(CrossEntropy()(logits, y)), 4)
    0.7201
    """

    smoothing: float = 0.0
    weights: Tensor | None = None
    focus: float = 0.0
    ignore: int | None = None

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the loss.

        Parameters
        ----------
        logits : (..., C) float tensor
        y : (...) int tensor of classes, or (..., C) float tensor of shares
            Shares come from mixing examples (`luthier.training.mixing`).

        Returns
        -------
        () float tensor
        """
        if logits.dim() != 2:  # each call counts: a step of a small network takes as long as thirty of them
            logits = logits.flatten(0, -2)  # (N, C)
            y = y.flatten() if not y.is_floating_point() else y.flatten(0, -2)
        if self.ignore is not None:
            kept = y != self.ignore
            logits, y = logits[kept], y[kept]
        if self.focus:
            return self._focal(logits, y)
        if self.weights is None:
            return functional.cross_entropy(logits, y, label_smoothing=self.smoothing)
        weights = self.weights.to(logits)
        total = functional.cross_entropy(logits, y, weights, label_smoothing=self.smoothing, reduction="sum")
        return total / len(logits)

    def _focal(self, logits: Tensor, y: Tensor) -> Tensor:
        classes = logits.shape[-1]
        shares = y if y.is_floating_point() else functional.one_hot(y, classes)
        shares = shares * (1.0 - self.smoothing) + self.smoothing / classes  # (N, C)
        logp = logits.log_softmax(-1)
        terms = shares * (1.0 - logp.exp()) ** self.focus * logp
        return -(terms if self.weights is None else terms * self.weights.to(logits)).sum() / len(logits)


@dataclass(frozen=True, slots=True)
class Regression:
    """Squared, absolute or Huber error.

    Parameters
    ----------
    kind
        ``"squared"``; ``"absolute"``; ``"huber"``, squared up to an error of 1 and absolute beyond.

    Raises
    ------
    SettingError
        If the kind is unknown.
    """

    kind: Literal["squared", "absolute", "huber"] = "squared"

    def __post_init__(self) -> None:
        known = ("squared", "absolute", "huber")
        if self.kind not in known:
            raise SettingError(f"no error {self.kind!r}{did_you_mean(self.kind, known)}: use {', '.join(known)}")

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the loss; a last axis of size 1 may be missing in `y`."""
        outputs = outputs.reshape(y.shape)
        if self.kind == "squared":
            return functional.mse_loss(outputs, y)
        if self.kind == "absolute":
            return functional.l1_loss(outputs, y)
        return functional.huber_loss(outputs, y)


def class_weights(y: Tensor, classes: int, *, rule: Literal["balanced", "sqrt"] = "balanced") -> Tensor:
    """Weigh classes against their frequency; the mean weight of a row is 1.

    Parameters
    ----------
    y : (n,) int tensor
        Classes of the training data.
    classes
        How many there are; one that does not occur gets weight 0.
    rule
        ``"balanced"``: all classes count the same in sum; ``"sqrt"``: half-way there.

    Returns
    -------
    (classes,) float tensor

    Examples
    --------
    >>> import torch
    >>> class_weights(torch.tensor([0, 0, 0, 1]), 2)
    tensor([0.6667, 2.0000])
    """
    if rule not in ("balanced", "sqrt"):
        raise SettingError(f"rule is 'balanced' or 'sqrt', got {rule!r}")
    counts = torch.bincount(y, minlength=classes).double()
    power = 1.0 if rule == "balanced" else 0.5
    weights = torch.where(counts > 0, counts.clamp(min=1.0) ** -power, 0.0)
    return (weights * counts.sum() / (weights * counts).sum()).float()


def penalty(model: nn.Module, *, l1: float = 0.0, l2: float = 0.0) -> Tensor:
    """Return ``l1 * sum |w| + l2 / 2 * sum w ** 2`` over the matrices and kernels of a model.

    The gradient of the second term is ``l2 * w``: with plain descent it is the same as weight decay. Adam divides it by
    the size of past gradients, so weights with large gradients hardly decay, which is why AdamW takes it out.

    Parameters
    ----------
    model
        Biases and normalization are left out.
    l1, l2
        Strengths.

    Returns
    -------
    () float tensor
    """
    weights = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    total = torch.zeros((), device=weights[0].device)
    if l1:
        total = total + l1 * torch.stack([w.abs().sum() for w in weights]).sum()
    if l2:
        total = total + 0.5 * l2 * torch.stack([w.square().sum() for w in weights]).sum()
    return total
