"""Metrics of classifiers and regressions; checked against scikit-learn in the tests.

Those that count right and wrong answers are functions of the confusion matrix. `classification`, `regression` and
`sequences` put the usual ones into a dict for ``run.report``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.errors import SettingError

AVERAGES = ("macro", "micro", "none")


def classification(logits: Tensor, y: Tensor) -> dict[str, float]:
    """Return accuracy, balanced accuracy, macro F1, log loss and calibration error, and the AUC where it exists.

    Parameters
    ----------
    logits : (n, C) float tensor
    y : (n,) int tensor
        The true classes.
    """
    probabilities = logits.double().softmax(-1)
    table = confusion(logits.argmax(-1), y, logits.shape[-1])
    found = {
        "acc": accuracy(table),
        "balanced_acc": balanced_accuracy(table),
        "f1": float(f1(table)),
        "log_loss": log_loss(probabilities, y),
        "calibration_error": calibration_error(probabilities, y),
    }
    if int((table.sum(1) > 0).sum()) > 1:
        found["auc"] = auc(probabilities[:, 1], y) if logits.shape[-1] == 2 else auc_one_vs_rest(probabilities, y)
    return found


def regression(outputs: Tensor, y: Tensor) -> dict[str, float]:
    """Return R2, mean absolute error and root mean squared error; `outputs` is (n,) or (n, 1) like `y`, or (n, k)."""
    outputs, y = outputs.reshape(y.shape).double(), y.double()
    error = outputs - y
    return {
        "r2": r2(outputs, y),
        "mae": float(error.abs().mean()),
        "rmse": float(error.square().mean().sqrt()),
    }


def sequences(logits: Tensor, y: Tensor, *, padding: int = 0) -> dict[str, float]:
    """Return the share of right tokens and of sequences that are right from the first token to the last.

    The logits are those of a decoder that reads the true tokens so far. A sequence that is right then is the one that
    greedy writing gives, and the other way round, so ``exact_match`` is that of `luthier.nets.Seq2Seq.write`.

    Parameters
    ----------
    logits : (n, T, C) float tensor
    y : (n, T) int tensor
        The true tokens.
    padding
        The token that does not count.
    """
    counts = y != padding  # (n, T)
    right = (logits.argmax(-1) == y) & counts
    return {
        "token_acc": float(right.sum().double() / counts.sum().clamp(min=1)),
        "exact_match": float((right == counts).all(1).double().mean()),
    }


def confusion(predicted: Tensor, y: Tensor, classes: int) -> Tensor:
    """Count how often each true class was taken for each.

    Parameters
    ----------
    predicted, y : (n,) int tensors
        Classes said and true.
    classes
        How many there are.

    Returns
    -------
    (classes, classes) int tensor
        Row: true class; column: predicted.
    """
    return torch.bincount(y * classes + predicted, minlength=classes * classes).view(classes, classes)


def accuracy(table: Tensor) -> float:
    """Return the share of right answers, from a confusion matrix (C, C)."""
    return float(table.trace().double() / table.sum())


def balanced_accuracy(table: Tensor) -> float:
    """Return the mean recall of the classes that occur, from a confusion matrix (C, C)."""
    occurs = table.sum(1) > 0
    return float((table.diagonal()[occurs].double() / table.sum(1)[occurs]).mean())


def precision(table: Tensor, *, average: str = "macro") -> Tensor:
    """Return which share of what was called a class is of it.

    Parameters
    ----------
    table : (C, C) int tensor
        A confusion matrix.
    average
        ``"macro"``, the mean over classes that occur or were predicted; ``"micro"``, over rows; ``"none"``, (C,).

    Returns
    -------
    () or (C,) float tensor
        0 where a class was never predicted.
    """
    return _averaged(table, table.diagonal(), table.sum(0), average)


def recall(table: Tensor, *, average: str = "macro") -> Tensor:
    """Return which share of a class was called so; arguments as in `precision`, 0 where a class does not occur."""
    return _averaged(table, table.diagonal(), table.sum(1), average)


def f1(table: Tensor, *, average: str = "macro") -> Tensor:
    """Return the harmonic mean of precision and recall; arguments as in `precision`."""
    return _averaged(table, 2 * table.diagonal(), table.sum(0) + table.sum(1), average)


def _averaged(table: Tensor, right: Tensor, of: Tensor, average: str) -> Tensor:
    if average not in AVERAGES:
        raise SettingError(f"average is one of {', '.join(AVERAGES)}, got {average!r}")
    if average == "micro":
        return right.sum().double() / of.sum()
    each = right.double() / of.clamp(min=1)
    return each if average == "none" else each[(table.sum(0) + table.sum(1)) > 0].mean()


def auc(scores: Tensor, y: Tensor) -> float:
    """Return the probability that a positive row scores higher than a negative one, ties counting half.

    Parameters
    ----------
    scores : (n,) float tensor
    y : (n,) int or bool tensor
        Whether positive.

    Returns
    -------
    float
        NaN if only one class occurs.
    """
    positive = y.bool()
    below, count = _ranked(scores)
    mean_rank = below + 0.5 * (count + 1.0)  # from 1
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return float("nan")
    return float((mean_rank[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _ranked(scores: Tensor) -> tuple[Tensor, Tensor]:
    """For each row how many score lower and how many the same, (n,) each."""
    _, place, count = scores.unique(return_inverse=True, return_counts=True)
    below = count.cumsum(0) - count
    return below[place].double(), count[place].double()


def auc_one_vs_rest(probabilities: Tensor, y: Tensor) -> float:
    """Return the mean over the classes that occur of the AUC of that class against all others; (n, C) and (n,)."""
    classes = [c for c in range(probabilities.shape[1]) if bool((y == c).any())]
    return sum(auc(probabilities[:, c], y == c) for c in classes) / len(classes)


def log_loss(probabilities: Tensor, y: Tensor) -> float:
    """Return the mean of minus the logarithm of the true class's probability; (n, C) and (n,)."""
    true = probabilities.gather(1, y[:, None]).double()
    return float(-true.clamp(min=torch.finfo(torch.float64).eps).log().mean())


def calibration_error(probabilities: Tensor, y: Tensor, *, bins: int = 15) -> float:
    """Return how far confidence and accuracy are apart, on average over equal bins of confidence (Guo et al. 2017).

    Parameters
    ----------
    probabilities : (n, C) float tensor
    y : (n,) int tensor
    bins
        Of the interval from 0 to 1.
    """
    confidence, predicted = probabilities.double().max(1)
    place = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)  # bins are open below, closed above
    gap = (predicted == y).double() - confidence
    return float(torch.zeros(bins, dtype=torch.float64, device=y.device).index_add_(0, place, gap).abs().sum() / len(y))


def r2(outputs: Tensor, y: Tensor) -> float:
    """Return the share of the variance that is explained, of (n,) or the mean over columns of (n, k)."""
    left = (outputs - y).square().sum(0)
    total = (y - y.mean(0)).square().sum(0)
    constant = torch.where(left > 0, 0.0, 1.0)  # scikit-learn's convention for targets that do not vary
    return float(torch.where(total > 0, 1.0 - left / torch.where(total > 0, total, 1.0), constant).mean())
