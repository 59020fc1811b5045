"""``luthier trials``: the trials of a study as a table, CSV or JSON."""

from __future__ import annotations

import math

import click

from luthier.cli.records import names_in, trial_dict, trial_row
from luthier.cli.written import write_csv, write_json, write_table
from luthier.errors import SettingError, did_you_mean
from luthier.reader import StudyReader, load
from luthier.trial import State, Trial

_EXAMPLES = """\b
For example:
  luthier trials runs/train --sort acc --limit 10
  luthier trials runs/train --as csv > trials.csv"""


@click.command("trials", epilog=_EXAMPLES, short_help="List the trials of a study.")
@click.argument("directory", metavar="DIR")
@click.option(
    "--as", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True, help="The form."
)
@click.option("--sort", metavar="NAME", help="By a metric (best first), a parameter, number, seconds or steps.")
@click.option("--state", type=click.Choice([s.value for s in State]), multiple=True, help="Only these.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
def command(directory: str, form: str, sort: str | None, state: tuple[str, ...], limit: int | None) -> None:
    """List the trials of the study in DIR, by number."""
    with load(directory) as study:
        parameters, metrics = names_in(study)
        trials = [t for t in study.trials if not state or t.state.value in state]
        trials = _sorted(study, trials, sort, [*parameters, *metrics])[:limit]
        if form == "json":
            write_json([trial_dict(t) for t in trials])
            return
        rows = [trial_row(t, parameters=parameters, metrics=metrics) for t in trials]
        write_csv(rows) if form == "csv" else write_table(rows)


def _sorted(study: StudyReader, trials: list[Trial], sort: str | None, names: list[str]) -> list[Trial]:
    """Sort by a name; trials without it come last, ties by number."""
    if sort is None:
        return trials
    if sort not in (*names, "number", "seconds", "steps"):
        raise SettingError(f"there is nothing called {sort!r} to sort by{did_you_mean(sort, names)}")
    sign = next((m.sign for m in study.metrics if m.name == sort), 1.0)

    def key(trial: Trial) -> tuple[bool, bool, float, str]:
        value = trial.metrics.get(sort, trial.config.get(sort, getattr(trial, sort, None)))
        if isinstance(value, (int, float)) and not math.isnan(value):
            return False, False, sign * value, ""
        return value is None or isinstance(value, float), True, 0.0, str(value)

    return sorted(trials, key=key)
