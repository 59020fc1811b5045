"""``luthier resume``: go on with a study as it was started."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from luthier.cli.drive import RESUMED
from luthier.cli.options import record_in
from luthier.errors import SettingError
from luthier.store.base import StudyRecord

_EXAMPLES = """\b
For example:
  luthier resume runs/train --budget 40m"""


@click.command("resume", epilog=_EXAMPLES, short_help="Go on with a study.")
@click.argument("directory", metavar="DIR")
@click.option("--budget", metavar="TOTAL", multiple=True, help="A new total; what was spent before counts.")
@click.option("--search", help="Another search.")
@click.option("--schedule", help="Another schedule.")
@click.option("--workers", help="Another number of worker processes.")
@click.option("--retries", type=click.IntRange(min=0), help="How often a failed trial is tried again.")
@click.option("--timeout", metavar="TIME", help="The most one trial may take.")
@click.option("--memory", metavar="SIZE", help="The most one trial may use.")
@click.option("--view", type=click.Choice(["auto", "live", "plain", "none"]), help="What to show meanwhile.")
@click.option("--tensorboard", metavar="LOGDIR", help="Write every trial for TensorBoard.")
@click.pass_context
def command(context: click.Context, /, directory: str, **changes: Any) -> None:
    """Go on with the study in DIR, with the command that made it, its present space, and any change given here.

    A study that a Python script made goes on by running that script again.
    """
    path = Path(directory).resolve()
    record = record_in(path)
    if record is None:
        raise click.UsageError(f"there is no study in {directory}", context)
    words = list(record.command)
    if len(words) < 4 or (words[0], words[1]) != ("luthier", "-C"):
        _run_again(directory, record, {n: v for n, v in changes.items() if v not in (None, ())})
        return
    if changes["tensorboard"]:
        changes["tensorboard"] = str(Path(changes["tensorboard"]).resolve())
    _enter(words[2])
    changes["budget"] = changes["budget"] or _recorded(record, "budget")
    for setting in ("search", "schedule"):
        changes[setting] = changes[setting] or _recorded(record, setting)
    group = context.find_root().command
    assert isinstance(group, click.Group)
    inner = group.get_command(context, words[3])
    assert inner is not None
    with inner.make_context(words[3], words[4:], parent=context) as again:
        again.params.update({n: v for n, v in changes.items() if v not in (None, ())}, dir=str(path), space=None)
        again.meta[RESUMED] = True
        inner.invoke(again)


def _recorded(record: StudyRecord, setting: str) -> Any:
    """Return a setting as it was last told, in the form of the option's values."""
    value = record.settings.get(setting)
    return (value,) if setting == "budget" and value is not None else value


def _enter(directory: str) -> None:
    try:
        os.chdir(directory)
    except OSError as error:
        raise SettingError(
            f"the study was started in {directory}, which cannot be entered: {error.strerror}; "
            "give the command again where its files are now, with --dir"
        ) from None


def _run_again(directory: str, record: StudyRecord, changes: dict[str, Any]) -> None:
    """Run the script that made a study, or say how."""
    script = record.command[0] if record.command else ""
    line = shlex.join(["python", *record.command])
    if not script or script == "-c":
        raise SettingError(f"the study in {directory} was made in an interactive session: go on with it there")
    if changes:
        names = ", ".join(f"{name}=" for name in changes)
        raise SettingError(f"the study in {directory} was made by a script: change {names} there, and run {line}")
    if not Path(script).is_file():
        raise SettingError(f"the study in {directory} was made by {line}: run it where {script} is")
    click.echo(f"luthier: running {line}", err=True)
    os.execv(sys.executable, [sys.executable, *record.command])  # noqa: S606 - the user's own script
