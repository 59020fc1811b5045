"""``luthier nudge``: a person's word to a training that runs in panda mode."""

from __future__ import annotations

from pathlib import Path

import click

_EXAMPLES = """\b
For example:
  luthier nudge runs/photos lower      # a job of `luthier fit --mode panda`
  luthier nudge control rate 0.01      # a file that a training of your own listens to"""


@click.command("nudge", epilog=_EXAMPLES, short_help="Step in while a training is watched over.")
@click.argument("place", metavar="PLACE", type=click.Path(path_type=Path))
@click.argument("command", nargs=-1, required=True)
def command(place: Path, command: tuple[str, ...]) -> None:
    """Tell a training that runs in panda mode what to do.

    COMMAND is one of: lower [BY], raise [BY], rate VALUE, rollback [BY], branch, stop. It is appended to the control
    file PLACE, or to the one in the directory PLACE; the training reads it within a few steps and notes it in its log.
    """
    from luthier.store.lock import driver_of
    from luthier.training.intervention import CONTROL, nudge

    path = place / CONTROL if place.is_dir() else place
    if not path.parent.is_dir():
        raise click.UsageError(f"there is no {path.parent}")
    if path.is_dir():
        raise click.UsageError(f"{path} is a directory")
    if (place / "study.db").exists() and driver_of(place) is None:
        raise click.UsageError(f"no training runs in {place}: there is nobody to tell")
    new = not path.exists()
    told = nudge(path, " ".join(command))
    click.echo(f"{path}: {told}")
    if new and not place.is_dir():
        click.echo(f"luthier: {path} is a new file: only a training that already listens to it hears this", err=True)
