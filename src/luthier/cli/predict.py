"""``luthier predict``: use a model that ``luthier fit`` has made."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import click

from luthier.cli.options import review_options

_EXAMPLES = """\b
For example:
  luthier predict runs/photos new_photos/ --out predictions.csv
  luthier predict runs/houses new.csv | head
  luthier predict runs/photos new_photos/ --queue queue.csv --review-rate 0.1"""


@click.command("predict", epilog=_EXAMPLES, short_help="Use a model that fit has made.")
@click.argument("directory", metavar="MODEL_DIR")
@click.argument("data", metavar="DATA")
@click.option("--out", metavar="FILE", help="A CSV file for the predictions.  [default: standard output]")
@click.option("--proba", is_flag=True, help="Also the probability of each class.")
@click.option("--queue", metavar="FILE", help="A CSV file for the rows that a person is to look at.")
@review_options
@click.option("--device", default="cpu", show_default=True, help="Where to compute.")
def command(
    directory: str, data: str, out: str | None, proba: bool, queue: str | None, device: str, **prices: float | None
) -> None:
    """Predict the targets of DATA, which has the form of the data that the model in MODEL_DIR was made for.

    Writes a CSV table: where each row came from, its prediction and, for classes, how probable it is. With --queue, a
    column says which rows wait for a person; fill the column answer of the queue, and give it to luthier fit --answers.
    """
    if queue is None and any(price is not None for price in prices.values()):
        raise click.UsageError("prices and rates choose what goes into a queue: say --queue FILE too")
    if not Path(data).exists():  # told before the seconds that PyTorch takes to load
        from luthier.data import read

        read(data)
    from luthier.estimators import load

    model = load(directory, device=device)
    if any(price is not None for price in prices.values()):
        model = model.reviewing(**prices)
    dataset = model.dataset(data)
    for note in dataset.notes:
        click.echo(note, err=True)
    outputs = model.outputs(model.encoder.encode(dataset))
    if queue is not None:
        _queue(model, dataset, outputs, queue)
    table = _table(model, dataset, outputs, proba=proba, reviewed=queue is not None)
    if out is None:
        sys.stdout.write(table)
        return
    from luthier.durable import write_whole

    write_whole(Path(out), table.encode())
    click.echo(f"{len(dataset):,} predictions: {out}", err=True)


def _queue(model: Any, dataset: Any, outputs: Any, path: str) -> None:
    """Write the rows for a person, and say how many that are."""
    from luthier.estimators.reviewing import write_review

    count = write_review(model, path, dataset, outputs)
    share, found = count / max(len(dataset), 1), model.review
    told = f"{count:,} of {len(dataset):,} rows for a person: {path} ({share:.1%}, {found.rate.value:.1%} expected"
    told += f"; of the others, {found.error.value:.1%} wrong expected)" if count < len(dataset) else ")"
    click.echo(told, err=True)


def _table(model: Any, dataset: Any, outputs: Any, *, proba: bool, reviewed: bool) -> str:
    """Predictions as CSV (Any: no torch up here)."""
    said, waits = model.decoded(outputs), None
    places: Any = outputs.argmax(1) if model.classes is not None else None
    if reviewed:  # where prices differ by class, the cheapest is said and not the likeliest
        waits, places = model.review.looks(outputs), model.review.predicted(outputs)
        said = model.classes[places]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    labels = [] if model.classes is None else [str(label) for label in model.classes]
    head = ["row", "prediction", *(["probability"] if labels else [])]
    head += ["review"] if waits is not None else []
    writer.writerow(head + ([f"p({label})" for label in labels] if proba else []))
    for place, origin in enumerate(dataset.origins):
        row = [origin, said[place]]
        if labels:
            row += [f"{outputs[place, places[place]]:.4f}"]
            row += ["yes" if waits[place] else ""] if waits is not None else []
            row += [f"{p:.4f}" for p in outputs[place]] if proba else []
        writer.writerow(row)
    return buffer.getvalue()
