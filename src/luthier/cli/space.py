"""``luthier space``: look at a space, or write it in another form."""

from __future__ import annotations

import click
import numpy as np

from luthier.cli.options import space_file, space_of
from luthier.cli.written import write_table
from luthier.spacefile import dumps_space

_EXAMPLES = """\b
For example:
  luthier space space.toml
  luthier space --param lr=1e-5..1e-1:log --param opt=adam,sgd --as toml > space.toml"""


@click.command("space", epilog=_EXAMPLES, short_help="Look at a space.")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--param", metavar="NAME=RANGE", multiple=True, help="A parameter to add or replace.")
@click.option("--samples", type=click.IntRange(min=0), default=5, show_default=True, help="How many to draw.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="What they derive from.")
@click.option("--as", "form", type=click.Choice(["text", "toml", "json", "yaml"]), default="text", help="The form.")
def command(file: str | None, param: tuple[str, ...], samples: int, seed: int, form: str) -> None:
    """Show the space in FILE (.toml, .json or .yaml): its parameters, its size and a few samples."""
    space = space_of(space_file(file), param)
    if space is None:
        raise click.UsageError("give a FILE, or --param NAME=RANGE")
    if form != "text":
        click.echo(dumps_space(space, form).rstrip("\n"))
        return
    click.echo(repr(space))
    if samples:
        rng = np.random.default_rng(seed)
        drawn = [space.sample(rng) for _ in range(samples)]
        click.echo(f"\n{samples} samples (seed {seed}):")
        write_table([{name: config.get(name) for name in space.names} for config in drawn])
