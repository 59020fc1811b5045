"""The confidence filter: which predictions go to a person, at a given price of an error and of a look.

A prediction that is kept costs the price of an error if it is wrong, one that is looked at costs the look. With
probabilities that mean what they say (`luthier.classifiers.Temperature`), keeping costs ``error * (1 - confidence)`` on
average, so a person should look where confidence is below ``1 - look / error`` (Chow 1970, "On optimum recognition
error and reject tradeoff"). Probabilities mean that only nearly, so the threshold is taken from validation data. What
to expect of it is estimated on rows that it was not chosen on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luthier.classifiers.queue import write_queue
from luthier.errors import SettingError
from luthier.maths.scores import Array, Places, places_of, probabilities_of, share_interval

Rule = Callable[[Array, Array], float]  # confidence and price of keeping, both (k,), to a threshold
_FOLDS = 5
FEWEST = 10  # rows that a threshold is chosen by
_NORMAL = 1.96  # standard errors of 95 %
_ALWAYS = float(np.nextafter(1.0, 2.0))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that is to be expected on new data, with the 95 % interval of it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True, slots=True, eq=False)
class Review:
    """Which predictions a person looks at.

    Attributes
    ----------
    threshold
        A person looks where confidence is below it; 0 for never, above 1 for always.
    rate
        Share of the rows that a person looks at.
    error
        Share of wrong ones among those that are kept; its interval is Clopper and Pearson's.
    cost
        Mean price of a row.
    cost_kept, cost_looked : float
        Mean price of a row if nobody looks, and if a person looks at every row.
    prices : (C, C) float array
        Of saying the column's class where the row's is true.
    look : float
        Price of a person's look.
    """

    threshold: float
    rate: Estimate
    error: Estimate
    cost: Estimate
    cost_kept: float
    cost_looked: float
    prices: Array
    look: float

    @classmethod
    def choose(cls, probabilities: ArrayLike, truth: ArrayLike, *, error: ArrayLike, look: float) -> Review:
        """Find the threshold with the least cost on validation data.

        Parameters
        ----------
        probabilities : (n, C) array-like
            Calibrated, of rows that neither network nor calibration was fitted on, or at least not the network.
        truth : (n,) int array-like
            Columns of the true classes.
        error : float, (C,) or (C, C) array-like
            Price of an error: one for all; by true class; or of saying the column's class where the row's is true.
        look
            Price of a person's look, in the same unit. The person is taken to be right.

        Returns
        -------
        Review

        Raises
        ------
        SettingError
            If a price is negative or not a number, or the data are wrong.
        """
        table, places = _checked(probabilities, truth)
        prices = prices_of(error, table.shape[1])
        said, sure = decided(table, prices)
        return cheapest(sure, prices[places, said], said != places, prices=prices, look=look)

    @classmethod
    def at_rate(cls, probabilities: ArrayLike, truth: ArrayLike, *, rate: float) -> Review:
        """Find the threshold by which a person looks at a share of the rows, at most.

        Parameters
        ----------
        probabilities, truth
            As in `choose`.
        rate
            From 0 to 1. Where many rows are equally sure, fewer may be looked at: equals are treated alike.

        Raises
        ------
        SettingError
            If the rate is no share, or the data are wrong.
        """
        table, places = _checked(probabilities, truth)
        prices = prices_of(1.0, table.shape[1])
        said, sure = decided(table, prices)
        return at_rate(sure, said != places, prices=prices, rate=rate)

    def looks(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Tell at which rows a person looks, (n,), of calibrated probabilities (n, C)."""
        return np.asarray(decided(probabilities_of(probabilities), self.prices)[1] < self.threshold)

    def predicted(self, probabilities: ArrayLike) -> Places:
        """Return the columns that are said, (n,): the likeliest class, or the cheapest where prices differ."""
        return decided(probabilities_of(probabilities), self.prices)[0]

    def queue(
        self,
        path: str | os.PathLike[str],
        probabilities: ArrayLike,
        *,
        classes: Sequence[Any] | None = None,
        origins: Sequence[str] | None = None,
        contents: Sequence[str] | None = None,
    ) -> int:
        """Write the rows that a person looks at as a CSV file, the least sure first, with a column for the answers.

        Parameters
        ----------
        path
            A file there is replaced, whole or not at all; fill the column ``answer`` and give it to `read_answers`.
        probabilities : (n, C) array-like
            Calibrated, of new rows.
        classes, origins
            Names of the columns and of the rows.
        contents
            What is in each row, such as its text, for the person; left out if not given.

        Returns
        -------
        int
            How many rows were written.
        """
        table = probabilities_of(probabilities)
        said, confidence = decided(table, self.prices)
        rows = np.flatnonzero(confidence < self.threshold)
        rows = rows[np.argsort(confidence[rows], kind="stable")]
        write_queue(path, table, rows=rows, said=said, classes=classes, origins=origins, contents=contents)
        return len(rows)

    def __str__(self) -> str:
        where = (
            "a person looks at every row" if self.threshold >= _ALWAYS
            else "nobody looks" if self.threshold <= 0
            else f"a person looks where confidence is below {self.threshold:.4g}"
        )  # fmt: skip
        return (
            f"{where}\n  looked at: {self.rate} of the rows\n  wrong:     {self.error} of the kept ones\n"
            f"  cost:      {self.cost} a row; {self.cost_kept:.4g} if nobody looks, {self.cost_looked:.4g} if always"
        )


def decided(probabilities: Array, prices: Array) -> tuple[Places, Array]:
    """Return what is said, (n,), and how sure it is, (n,): 1 less the expected share of the largest price.

    With one price for all errors that is the likeliest class and its probability.

    Parameters
    ----------
    probabilities : (n, C) float array
    prices : (C, C) float array
        Of saying the column's class where the row's is true.
    """
    wrong = prices[~np.eye(len(prices), dtype=bool)]
    if np.ptp(wrong) == 0.0 and not prices.diagonal().any():
        return probabilities.argmax(1), probabilities.max(1)
    expected = probabilities @ prices  # (n, C)
    return expected.argmin(1), 1.0 - expected.min(1) / prices.max()


def cheapest(sure: Array, paid: Array, wrong: NDArray[np.bool_], *, prices: Array, look: float) -> Review:
    """Return the review with the least cost on validation rows.

    Parameters
    ----------
    sure, paid, wrong : (n,) arrays
        How sure each prediction is, what keeping it costs, and whether it is wrong.
    prices : (C, C) float array
        Of errors.
    look
        Price of a look.

    Raises
    ------
    SettingError
        If the price of a look is no number of at least 0, or there are too few rows.
    """
    if not (np.isfinite(look) and look >= 0):
        raise SettingError(f"the price of a look is a number of at least 0, got {look!r}")
    return _judged(sure, paid, wrong, prices, look, lambda sure, paid: _cheapest(sure, paid, look))


def at_rate(sure: Array, wrong: NDArray[np.bool_], *, prices: Array, rate: float) -> Review:
    """Return the review of a share of the rows; `sure`, `wrong` and `prices` as for `cheapest`, every price 1.

    Raises
    ------
    SettingError
        If the rate is no share, or there are too few rows.
    """
    if not 0 <= rate <= 1:
        raise SettingError(f"a review rate is a share from 0 to 1, got {rate!r}")
    return _judged(sure, wrong.astype(np.float64), wrong, prices, 0.0, lambda sure, _: _ranked(sure, rate))


def _checked(probabilities: ArrayLike, truth: ArrayLike) -> tuple[Array, Places]:
    table = probabilities_of(probabilities)
    return table, places_of(truth, table.shape[1], rows=len(table))


def _judged(sure: Array, paid: Array, wrong: NDArray[np.bool_], prices: Array, look: float, rule: Rule) -> Review:
    """The rule's threshold on all rows; what to expect from thresholds on four fifths, at the other fifth."""
    if len(sure) < FEWEST:
        raise SettingError(f"a threshold needs {FEWEST} validation rows at least, got {len(sure)}")
    fold = np.argsort(np.argsort(sure, kind="stable")) % _FOLDS  # each with the same spread of confidence
    looked = np.zeros(len(sure), bool)
    for part in range(_FOLDS):
        looked[fold == part] = sure[fold == part] < rule(sure[fold != part], paid[fold != part])
    cost = np.where(looked, look, paid)
    spread = _NORMAL * float(cost.std()) / np.sqrt(len(cost))
    mean = float(cost.mean())
    return Review(
        threshold=rule(sure, paid),
        rate=_share(looked.sum(), len(looked)),
        error=_share(wrong[~looked].sum(), (~looked).sum()),
        cost=Estimate(mean, max(0.0, mean - spread), mean + spread),
        cost_kept=float(paid.mean()), cost_looked=float(look), prices=prices, look=float(look),
    )  # fmt: skip


def _share(hits: int, rows: int) -> Estimate:
    low, high = share_interval([hits], [rows])
    return Estimate(float(hits / rows) if rows else float("nan"), float(low[0]), float(high[0]))


def prices_of(error: ArrayLike, count: int) -> Array:
    """Return the price of saying each class where each is true, (C, C), of one price, (C,) by true class, or a table.

    Raises
    ------
    SettingError
        If a price is negative or not a number, or the shape fits none of these.
    """
    given = np.asarray(error, dtype=np.float64)
    if not (np.isfinite(given).all() and (given >= 0).all()) or given.shape not in ((), (count,), (count, count)):
        raise SettingError(
            f"prices of errors are numbers of at least 0: one, one for each of {count} true classes, or "
            f"({count}, {count}), got {error!r}"
        )
    if given.ndim == 2:
        return given
    return np.broadcast_to(given[..., None] if given.ndim else given, (count, count)) * (1.0 - np.eye(count))


def _cheapest(sure: Array, paid: Array, look: float) -> float:
    """Threshold with the least cost, half-way between two rows; of equals the one with the fewest looks."""
    order = np.argsort(sure, kind="stable")
    sure, paid = sure[order], paid[order]
    cost = look * np.arange(len(sure) + 1) + np.concatenate([paid[::-1].cumsum()[::-1], [0.0]])
    possible = np.concatenate([[True], np.diff(sure) > 0, [True]])  # equals are treated alike
    place = int(np.where(possible, np.round(cost, 9), np.inf).argmin())
    if place in (0, len(sure)):
        return _ALWAYS if place else 0.0
    return float(0.5 * (sure[place - 1] + sure[place]))


def _ranked(sure: Array, rate: float) -> float:
    """Largest threshold below which there is no more than this share."""
    order = np.sort(sure)
    allowed = int(np.floor(rate * len(order) + 1e-9))
    if allowed == len(order):
        return _ALWAYS
    return float(order[allowed]) if allowed else 0.0
