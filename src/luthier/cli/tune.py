"""``luthier tune``: tune a Python function."""

from __future__ import annotations

from typing import Any

import click

from luthier.cli.drive import drive
from luthier.cli.options import as_space, driving_options, space_file
from luthier.cli.target import load_target, space_in, stem_of

_EXAMPLES = """\b
For example:
  luthier tune train.py:train --space space.toml --maximize acc --budget 20m
  luthier tune train.py:train --param lr=1e-5..1e-1:log --minimize loss --budget 50"""


@click.command("tune", epilog=_EXAMPLES, short_help="Tune a Python function.")
@click.argument("target", metavar="FILE.py:FUNCTION")
@driving_options
@click.pass_context
def command(context: click.Context, /, target: str, **given: Any) -> None:
    """Tune the function FUNCTION of FILE.py, or of a module that can be imported (package.module:FUNCTION).

    The space is --space, or the attribute `space` of the module; --param adds to it or replaces a part of it.
    """
    function, module = load_target(target)
    base = space_file(given["space"]) or as_space(space_in(module), target.rpartition(":")[0])
    drive(context, lambda _: function, base, given, name=stem_of(target))
