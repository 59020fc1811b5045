"""A classifier's track record: how sure it was of rows that it was not trained on, and whether it was right.

That is all it takes to choose what a person looks at, at any price and at any time later: a saved model carries it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luthier.classifiers import review
from luthier.classifiers.review import Review
from luthier.errors import SettingError
from luthier.maths.scores import Array, places_of, probabilities_of


@dataclass(frozen=True, slots=True, eq=False)
class TrackRecord:
    """How a classifier has done on validation rows.

    Attributes
    ----------
    confidence : (n,) float array
        The probability of the class that was said.
    right : (n,) bool array
        Whether it was right.
    classes : int
        How many there are.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = rng.dirichlet([0.3, 0.3, 0.3], 1000)
    >>> truth = (table.cumsum(1) > rng.random((1000, 1))).argmax(1)
    >>> record = TrackRecord.of(table, truth)
    >>> record.choose(error=5.0, look=1.0).threshold == Review.choose(table, truth, error=5.0, look=1.0).threshold
    True
    """

    confidence: Array
    right: NDArray[np.bool_]
    classes: int

    def __post_init__(self) -> None:
        if self.confidence.shape != self.right.shape or self.confidence.ndim != 1 or self.classes < 2:
            raise SettingError(
                "a track record has a confidence and a right or wrong for each row, and two classes at least, got "
                f"{self.confidence.shape}, {self.right.shape} and {self.classes} classes"
            )

    @classmethod
    def of(cls, probabilities: ArrayLike, truth: ArrayLike) -> TrackRecord:
        """Make it of probabilities.

        Parameters
        ----------
        probabilities : (n, C) array-like
            Calibrated, of rows that the network was not trained on.
        truth : (n,) int array-like
            Columns of the true classes.

        Raises
        ------
        SettingError
            If the data are wrong.
        """
        table = probabilities_of(probabilities)
        places = places_of(truth, table.shape[1], rows=len(table))
        return cls(table.max(1), table.argmax(1) == places, table.shape[1])

    def choose(self, *, error: float, look: float) -> Review:
        """Find the threshold with the least cost, as `Review.choose` does at one price of all errors.

        Raises
        ------
        SettingError
            If a price is negative or not a number, or there are too few rows.
        """
        prices = review.prices_of(float(error), self.classes)
        return review.cheapest(self.confidence, np.where(self.right, 0.0, error), ~self.right, prices=prices, look=look)

    def at_rate(self, rate: float) -> Review:
        """Find the threshold by which a person looks at a share of the rows, as `Review.at_rate` does.

        Raises
        ------
        SettingError
            If the rate is no share, or there are too few rows.
        """
        return review.at_rate(self.confidence, ~self.right, prices=review.prices_of(1.0, self.classes), rate=rate)

    def __len__(self) -> int:
        return len(self.confidence)
