"""``luthier best``: the best configuration, in the form that the next program wants."""

from __future__ import annotations

import json
import shlex
from typing import Any

import click

from luthier.cli.app import NoResult
from luthier.errors import SettingError
from luthier.reader import StudyReader, load
from luthier.trial import Trial
from luthier.view.text import metrics_text

_FORMS = ("yaml", "json", "python", "flags")


_EXAMPLES = """\b
For example:
  luthier best runs/train --as json > best.json
  python train.py $(luthier best runs/train --as flags) --epochs 100"""


@click.command("best", epilog=_EXAMPLES, short_help="Print the best configuration.")
@click.argument("directory", metavar="DIR")
@click.option("--as", "form", type=click.Choice(_FORMS), default="yaml", show_default=True, help="The form.")
@click.option("--trial", "number", type=int, help="Another trial than the best.")
@click.option("--front", is_flag=True, help="All trials that no other beats in every metric: one configuration a line.")
def command(directory: str, form: str, number: int | None, front: bool) -> None:
    """Print the best configuration of the study in DIR on standard output, and how good it is on standard error."""
    with load(directory) as study:
        trials = study.best_trials if front else [_chosen(study, number)]
        if not trials:
            raise NoResult(f"no trial has a result yet, of {len(study.history)}")
        for trial in trials:
            click.echo(f"trial {trial.number}: {metrics_text(study.history, trial)}", err=True)
            text = written(trial.config, form)
            click.echo(text if not front or form not in ("yaml", "json") else json.dumps(trial.config))


def _chosen(study: StudyReader, number: int | None) -> Trial:
    if number is None:
        if study.best is None:
            raise NoResult(f"no trial has a result yet, of {len(study.history)}")
        return study.best
    try:
        return study.history.trial(number)
    except KeyError:
        raise SettingError(f"the study has no trial {number}: they go up to {study.history.began - 1}") from None


def written(config: dict[str, Any], form: str) -> str:
    """Write a configuration as YAML, JSON, a Python dict, or command-line flags.

    Examples
    --------
    >>> written({"lr": 0.01, "augment": True, "name": "a b"}, "flags")
    "--lr 0.01 --augment --name 'a b'"
    """
    if form == "json":
        return json.dumps(config, indent=2, ensure_ascii=False)
    if form == "python":
        return repr(config)
    if form == "flags":
        from luthier.integrations.script import flags

        return shlex.join(part for name, value in config.items() for part in flags(name, value, "no"))
    import yaml

    plain = json.loads(json.dumps(config))  # tuples become lists
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)).rstrip()
