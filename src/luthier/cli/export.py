"""``luthier export``: a whole study in one file, or its best model."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TextIO

import click

from luthier.cli.app import NoResult
from luthier.cli.records import report_rows, study_dict
from luthier.cli.written import write_csv, write_json
from luthier.errors import SettingError
from luthier.reader import StudyReader, load

_EXAMPLES = """\b
For example:
  luthier export runs/train -o study.json
  luthier export runs/train --as csv > curves.csv
  luthier export runs/train --model best.ckpt"""


@click.command("export", epilog=_EXAMPLES, short_help="Write a whole study, or its best model, to a file.")
@click.argument("directory", metavar="DIR")
@click.option("--as", "form", type=click.Choice(["json", "csv"]), help="The form.  [default: by the file's name]")
@click.option("-o", "--output", metavar="FILE", help="Where to write.  [default: standard output]")
@click.option("--model", metavar="FILE", help="Copy the best trial's best checkpoint to this file instead.")
@click.option("--trial", "number", type=int, help="The checkpoint of another trial than the best.")
def command(directory: str, form: str | None, output: str | None, model: str | None, number: int | None) -> None:
    """Write the study in DIR to one file: JSON has everything; CSV has one line per report."""
    if number is not None and model is None:
        raise SettingError("--trial says which model to copy: it needs --model FILE")
    with load(directory) as study:
        if model is not None:
            _copy_model(study, Path(model), number)
            return
        form = form or ("csv" if output is not None and output.endswith(".csv") else "json")
        if output is None:
            _write(study, form)
            return
        beside = Path(f"{output}.{os.getpid()}.part")
        try:
            with open(beside, "w", encoding="utf-8", newline="") as file:
                _write(study, form, file)
            os.replace(beside, output)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise SettingError(f"cannot write {output}: {error.strerror}") from None
        click.echo(f"wrote {len(study.history)} trials to {output}", err=True)


def _write(study: StudyReader, form: str, file: TextIO | None = None) -> None:
    if form == "csv":
        write_csv(report_rows(study), file or sys.stdout)
    else:
        write_json(study_dict(study), file)


def _copy_model(study: StudyReader, target: Path, number: int | None) -> None:
    """Copy the best checkpoint of the best trial, or of another."""
    try:
        found = study.checkpoint(number)
    except KeyError:
        raise SettingError(f"the study has no trial {number}") from None
    if found is None:
        which = "the best trial" if number is None else f"trial {number}"
        raise NoResult(f"{which} has no checkpoint: an objective makes them with run.keep(model=...)")
    try:
        shutil.copyfile(found, target)
    except OSError as error:
        raise SettingError(f"cannot write {target}: {error.strerror}") from None
    click.echo(f"copied {found} to {target}", err=True)
