"""What the summary says of a review: where a person looks, what to expect of it, and what it did on the test rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from luthier.classifiers import Review
from luthier.classifiers.review import Estimate
from luthier.estimators.job import Fitted


def review_line(fitted: Fitted) -> list[str]:
    """Say in a sentence what a person looks at, and what is left; nothing where that was not asked for."""
    review = fitted.model.review
    if review is None or fitted.asked is None:
        return []
    if np.isnan(review.error.value):
        return [f"A person looks at every row: {fitted.asked}, and nothing is sure enough to be kept."]
    return [
        f"{_where(review)}, about {_percent(review.rate.value)} of the rows; of what is kept, "
        f"expect {_percent(review.error.value)} to be wrong ({_percent(review.error.low)} to "
        f"{_percent(review.error.high)})."
    ]


def review_section(fitted: Fitted, drawn: Mapping[str, str]) -> list[str]:
    """Return the section of the summary."""
    review = fitted.model.review
    if review is None or fitted.asked is None:
        return []
    priced = fitted.asked.review_rate is None
    tested = _tested(fitted, review)
    lines = [
        "## What a person should look at", "", f"{_where(review)}: {fitted.asked}.", "",
        "| | to expect | test |" if tested else "| | to expect |", "|---|---|---|" if tested else "|---|---|",
    ]  # fmt: skip
    rows: list[tuple[str, Estimate, Callable[[float], str]]] = [
        ("share that a person looks at", review.rate, _percent),
        ("wrong among what is kept", review.error, _percent),
    ]
    rows += [("cost a row", review.cost, _number)] if priced else []
    for place, (name, estimate, words) in enumerate(rows):
        row = f"| {name} | {words(estimate.value)} ({words(estimate.low)} to {words(estimate.high)}) |"
        lines.append(f"{row} {words(tested[place])} |" if tested else row)
    if priced:
        lines += ["", f"If nobody looked, a row would cost {review.cost_kept:.3g}; if a person looked at every row, "
                  f"{review.cost_looked:.3g}."]  # fmt: skip
    lines += [
        "", "To expect: on the validation rows, by thresholds from four fifths of them at the other fifth, with 95 % "
        "intervals, of the network that was trained without them. `luthier predict ... --queue queue.csv` writes the "
        "rows for the person; other prices can be given there.",
    ]  # fmt: skip
    return lines + (
        ["", f"![What looking costs and gains]({drawn['review_curve']})"] if "review_curve" in drawn else []
    )


def judged(fitted: Fitted) -> tuple[Any, Any] | None:
    """Return how sure the model was, (n,), and whether it was right, (n,), of the test rows; of validation without."""
    if "test" in fitted.outputs:
        y = fitted.model.targets.encode(fitted.prepared.part("test")).numpy()
        return fitted.outputs["test"].max(1), fitted.outputs["test"].argmax(1) == y
    track = fitted.model.track
    return None if track is None else (track.confidence, track.right)


def _tested(fitted: Fitted, review: Review) -> list[float] | None:
    """Share looked at, error and cost on the test rows, in the order of the table; None without them."""
    if "test" not in fitted.outputs:
        return None
    found = judged(fitted)
    assert found is not None
    sure, right = found
    kept = sure >= review.threshold
    cost = np.where(kept, review.prices.max() * ~right, review.look)
    error = float((~right)[kept].mean()) if kept.any() else float("nan")
    return [float((~kept).mean()), error, float(cost.mean())]


def _where(review: Review) -> str:
    if review.threshold > 1.0:
        return "A person looks at every row"
    if review.threshold <= 0.0:
        return "Nobody looks"
    return f"A person looks where the model is less than {100 * review.threshold:.1f} % sure"


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f} %"


def _number(cost: float) -> str:
    return f"{cost:.3g}"
