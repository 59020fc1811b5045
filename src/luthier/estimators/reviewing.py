"""What a person looks at, in a job: what the user asks for, and the queue of a saved model.

The threshold is chosen by how the network of the search did on the validation rows, since the model itself may have
been trained on them. Its temperature comes from there too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from luthier.classifiers import Review, TrackRecord
from luthier.classifiers.review import FEWEST, Estimate, prices_of
from luthier.data import Dataset
from luthier.errors import DataError, SettingError

_LONGEST = 300  # letters of a text that a person sees
_COLUMNS = 12  # of a table that a person sees


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """By what the threshold is to be chosen: by prices, or by the share that a person can look at.

    Parameters
    ----------
    error_cost
        Price of an error.
    look_cost
        Price of a person's look, in the same unit; 1 if only `error_cost` is given.
    review_rate
        Share of the rows, from 0 to 1.

    Raises
    ------
    SettingError
        If neither or both ways are given, or a number is out of range.
    """

    error_cost: float | None = None
    look_cost: float | None = None
    review_rate: float | None = None

    def __post_init__(self) -> None:
        if self.review_rate is not None and (self.error_cost is not None or self.look_cost is not None):
            raise SettingError("a review goes by prices or by a rate: give error_cost and look_cost, or review_rate")
        if self.review_rate is None and self.error_cost is None:
            raise SettingError("a review needs the price of an error: give error_cost, or review_rate instead")
        for name in ("error_cost", "look_cost"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise SettingError(f"{name} is a number of at least 0, got {value!r}")
        if self.review_rate is not None and not 0 <= self.review_rate <= 1:
            raise SettingError(f"review_rate is a share from 0 to 1, got {self.review_rate!r}: 0.1 is a tenth")
        if self.error_cost is not None and self.look_cost is None:
            object.__setattr__(self, "look_cost", 1.0)

    @classmethod
    def of(cls, **given: float | None) -> Asked | None:
        """Make it of what was given; None if that is nothing."""
        return cls(**given) if any(value is not None for value in given.values()) else None

    def check(self, rows: int) -> None:
        """Check that there are enough validation rows.

        Raises
        ------
        DataError
            If there are not.
        """
        if rows < FEWEST:
            raise DataError(
                f"what a person looks at is chosen by {FEWEST} validation rows at least, and there are {rows}: give "
                "more data, or leave the review out"
            )

    def choose(self, record: TrackRecord) -> Review:
        """Choose the threshold by a track record on validation rows."""
        if self.review_rate is not None:
            return record.at_rate(self.review_rate)
        assert self.error_cost is not None
        assert self.look_cost is not None
        return record.choose(error=self.error_cost, look=self.look_cost)

    def state(self) -> dict[str, float]:
        """Return what was given, as plain values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        if self.review_rate is not None:
            return f"a person can look at {100 * self.review_rate:g} % of the rows"
        return f"an error costs {self.error_cost:g}, a look {self.look_cost:g}"


def write_review(model: Any, path: str | os.PathLike[str], dataset: Dataset, outputs: Any) -> int:
    """Write the rows that a person is to look at as a CSV file; see `luthier.classifiers.Review.queue`.

    Parameters
    ----------
    model : SavedModel
        With a review. (Any: it imports this module.)
    path
        Of the file.
    dataset, outputs
        The rows, and what the model said of them.

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    SettingError
        If the model has no review.
    """
    if model.classes is None:
        raise SettingError("only what a classifier says can be sorted by how sure it is")
    if model.review is None:
        raise SettingError(
            "nobody said what an error and a look cost: give error_cost and look_cost, or review_rate, to fit, or to "
            "the model: luthier predict has --error-cost, --look-cost and --review-rate, and a model reviewing(...)"
        )
    classes = [str(label) for label in model.classes]
    found: int = model.review.queue(
        path, outputs, classes=classes, origins=dataset.origins, contents=contents(dataset)
    )  # fmt: skip
    return found


def contents(dataset: Dataset) -> list[str] | None:
    """Return what a person sees of each row: its text, or its columns; None for images and sounds, which are files."""
    if dataset.task in ("text", "seq2seq"):
        return [_short(" ".join(str(text).split())) for text in dataset.inputs]
    if not isinstance(dataset.inputs, dict):
        return None
    columns = list(dataset.inputs.items())[:_COLUMNS]
    more = ", ..." if len(dataset.inputs) > _COLUMNS else ""
    rows = [", ".join(f"{name}={_plain(column[row])}" for name, column in columns) for row in range(len(dataset))]
    return [_short(row + more) for row in rows]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _plain(value: Any) -> str:
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "?" if missing else f"{value:.6g}" if isinstance(value, float) else str(value)


# -- kept with a model -------------------------------------------------------------------------------------------------


def review_state(review: Review | None) -> dict[str, Any] | None:
    """Return a review as plain values."""
    if review is None:
        return None
    apart = review.prices[~np.eye(len(review.prices), dtype=bool)]
    single = np.ptp(apart) == 0.0 and not review.prices.diagonal().any()
    return {
        "threshold": review.threshold, "error_price": float(apart[0]) if single else review.prices.tolist(),
        "look": review.look, "cost_kept": review.cost_kept, "cost_looked": review.cost_looked,
        **{name: list(asdict(getattr(review, name)).values()) for name in ("rate", "error", "cost")},
    }  # fmt: skip


def review_of(state: Mapping[str, Any] | None, classes: int | None) -> Review | None:
    """Make a review again from its state."""
    if state is None or classes is None:
        return None
    return Review(
        threshold=state["threshold"], prices=prices_of(state["error_price"], classes), look=state["look"],
        cost_kept=state["cost_kept"], cost_looked=state["cost_looked"],
        **{name: Estimate(*state[name]) for name in ("rate", "error", "cost")},
    )  # fmt: skip
