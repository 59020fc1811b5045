"""``luthier run``: tune any program that takes flags and prints its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from luthier.cli.drive import drive
from luthier.cli.options import driving_options, space_file
from luthier.errors import did_you_mean
from luthier.space import Space

_FIXED = "luthier.fixed"  # in the context's meta: what stands after --


class _Run(click.Command):
    """Takes unknown options as parameters, and what follows ``--`` as it is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            cut = args.index("--")
            args, ctx.meta[_FIXED] = args[:cut], args[cut + 1 :]
        return super().parse_args(ctx, args)


_EXAMPLES = """\b
For example:
  luthier run train.py --lr 1e-5..1e-1:log --layers 1..4 --opt adam,sgd --maximize acc --budget 20m -- --epochs 10"""


@click.command(
    "run", epilog=_EXAMPLES, cls=_Run, short_help="Tune any program that takes flags.",
    context_settings={"ignore_unknown_options": True}, options_metavar="",
)  # fmt: skip
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="PROGRAM --NAME RANGE ... [OPTIONS] [-- ARGUMENTS]")
@driving_options
@click.option(
    "--booleans", type=click.Choice(["no", "flag", "value"]), default="no", show_default=True,
    help="How true and false are passed: --x and --no-x; --x and nothing; --x true and --x false.",
)  # fmt: skip
@click.pass_context
def command(context: click.Context, /, words: tuple[str, ...], booleans: str, **given: Any) -> None:
    """Tune PROGRAM: a .py file, an executable, or a program and its first arguments, such as `Rscript train.R`.

    Every --NAME RANGE that is no option below is a parameter; PROGRAM gets it as --NAME VALUE. A parameter that has the
    name of an option is written --param NAME=RANGE. ARGUMENTS are passed as they are, with {NAME} replaced.

    Ranges: 1e-5..1e-1:log  1..4  16..256:pow2  0..1:step=0.1  adam,sgd  16,24,48:ordered  3 (a constant)

    PROGRAM prints its metrics (`epoch=3 acc=0.91`, `acc: 0.91`, or JSON) or writes JSON to the file $LUTHIER_METRICS.
    """
    from luthier.integrations.script import ScriptObjective, program

    program_words, params = split_words(words, [p.opts[0] for p in context.command.params if p.opts])
    if not program_words:
        raise click.UsageError(
            "say which program to run, before the parameters: luthier run train.py --lr ...", context
        )
    program(program_words)  # an error here comes before anything is made
    fixed = context.meta.get(_FIXED, [])
    given["param"] = (*params, *given["param"])

    def objective(space: Space) -> ScriptObjective:
        return ScriptObjective(program_words, fixed=fixed, booleans=booleans, names=space.names)  # type: ignore[arg-type]

    file = next((w for w in program_words if Path(w).is_file()), program_words[0])
    drive(context, objective, space_file(given["space"]), given, name=Path(file).stem)


def split_words(words: tuple[str, ...], known: list[str]) -> tuple[list[str], list[str]]:
    """Split what is no option of ours into the program and the parameters, ``NAME=RANGE`` each.

    Raises
    ------
    UsageError
        If a parameter has no range, or something stands alone.

    Examples
    --------
    >>> split_words(("train.py", "--lr", "0..1", "--opt=adam,sgd"), [])
    (['train.py'], ['lr=0..1', 'opt=adam,sgd'])
    """
    first = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
    params: list[str] = []
    rest = list(words[first:])
    while rest:
        word = rest.pop(0)
        name, equals, notation = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            raise click.UsageError(f"{word!r} stands alone: arguments that are not tuned come after --")
        if not equals:
            if not rest or rest[0].startswith("--"):
                hint = did_you_mean(word, known)
                raise click.UsageError(f"{word} needs a range, such as {word} 1..4 or {word} true,false{hint}")
            notation = rest.pop(0)
        params.append(f"{name}={notation}")
    return list(words[:first]), params
