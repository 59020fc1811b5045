"""``luthier predict``: use a model that ``luthier fit`` has made."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import click

_EXAMPLES = """\b
For example:
  luthier predict runs/photos new_photos/ --out predictions.csv
  luthier predict runs/houses new.csv | head"""


@click.command("predict", epilog=_EXAMPLES, short_help="Use a model that fit has made.")
@click.argument("directory", metavar="MODEL_DIR")
@click.argument("data", metavar="DATA")
@click.option("--out", metavar="FILE", help="A CSV file for the predictions.  [default: standard output]")
@click.option("--proba", is_flag=True, help="Also the probability of each class.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute.")
def command(directory: str, data: str, out: str | None, proba: bool, device: str) -> None:
    """Predict the targets of DATA, which has the form of the data that the model in MODEL_DIR was made for.

    Writes a CSV table: where each row came from, its prediction and, for classes, how probable it is.
    """
    if not Path(data).exists():  # told before the seconds that PyTorch takes to load
        from luthier.data import read

        read(data)
    from luthier.estimators import load

    model = load(directory, device=device)
    dataset = model.dataset(data)
    table = _table(model, dataset, proba=proba)
    if out is None:
        sys.stdout.write(table)
        return
    from luthier.durable import write_whole

    write_whole(Path(out), table.encode())
    click.echo(f"{len(dataset):,} predictions: {out}", err=True)


def _table(model: Any, dataset: Any, *, proba: bool) -> str:
    """Predictions as CSV (Any: no torch up here)."""
    outputs = model.outputs(model.encoder.encode(dataset))
    said = model.decoded(outputs)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    labels = [] if model.classes is None else [str(label) for label in model.classes]
    head = ["row", "prediction", *(["probability"] if labels else [])]
    writer.writerow(head + ([f"p({label})" for label in labels] if proba else []))
    for place, origin in enumerate(dataset.origins):
        row = [origin, said[place]]
        if labels:
            row += [f"{outputs[place].max():.4f}", *([f"{p:.4f}" for p in outputs[place]] if proba else [])]
        writer.writerow(row)
    return buffer.getvalue()
