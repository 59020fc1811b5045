"""The command ``luthier``: its subcommands, loaded when they are called, and what its exit codes mean.

======  ==================================================================
code    meaning
======  ==================================================================
0       done as asked
1       the study has no result: its first trials all failed, the disk is full, or nothing has ended yet
2       the command or a setting is wrong, or there is no such study
3       another process drives the study
4       the study's file is damaged, or was written by a newer Luthier
130     interrupted by Ctrl-C (143 by SIGTERM); the study is safe and can be resumed
141     whoever read the output has gone away, as ``head`` does
======  ==================================================================
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from luthier import __version__
from luthier.errors import (
    AllTrialsFailed,
    LuthierError,
    StoreDamaged,
    StoreFull,
    StoreTooNew,
    StudyBusy,
    did_you_mean,
)

_COMMANDS = (
    "fit", "predict", "tune", "run", "resume", "show", "best", "trials", "export", "space", "nudge", "doctor",
)  # fmt: skip
BEGUN = "luthier.begun"  # in a context's meta: a function that says when the command began, by time.monotonic
_CODES: tuple[tuple[type[LuthierError], int], ...] = (
    (AllTrialsFailed, 1),
    (StoreFull, 1),
    (StudyBusy, 3),
    (StoreDamaged, 4),
    (StoreTooNew, 4),
    (LuthierError, 2),
)


class NoResult(click.ClickException):
    """There is nothing to answer with: exit code 1."""

    exit_code = 1


class Luthier(click.Group):
    """The group of commands; errors become one line on standard error and an exit code."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        now = time.monotonic()
        begun = extra.pop(BEGUN, lambda: now)
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[BEGUN] = begun
        return context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"luthier.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.obj = list(args)  # for the record: the command as it was typed
        if args and args[0] not in _COMMANDS:
            known = "" if did_you_mean(args[0], _COMMANDS) else f": there are {', '.join(_COMMANDS)}"
            raise click.UsageError(f"there is no command {args[0]!r}{did_you_mean(args[0], _COMMANDS)}{known}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return _gone()

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and leave with its exit code."""
        try:
            code = super().main(args, prog_name or "luthier", complete_var, False, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            code = _gone()
        except OSError as error:
            code = _told(str(error), 1)
        except click.ClickException as error:
            context = error.ctx if isinstance(error, click.UsageError) else None
            hint = f" (see {context.command_path} --help)" if context else ""
            code = _told(error.format_message().replace("\n", " ") + hint, error.exit_code)
        except LuthierError as error:
            code = _told(str(error), next(number for kind, number in _CODES if isinstance(error, kind)))
        except (KeyboardInterrupt, click.Abort):
            code = _told("interrupted", 130)
        sys.exit(code if isinstance(code, int) else 0)


def _told(message: str, code: int) -> int:
    click.echo(f"luthier: error: {message}", err=True)
    return code


def _gone() -> int:
    """Nobody reads standard output any more: be quiet about it, also when Python closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


@click.group("luthier", cls=Luthier, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="luthier", message="%(prog)s %(version)s")
@click.option("-C", "directory", metavar="DIR", help="Change to this directory first.")
def cli(directory: str | None) -> None:
    """Tune deep-learning models: find the best configuration within a budget.

    A study is a directory. Running the same command again goes on with it.
    """
    if directory is not None:
        try:
            os.chdir(directory)
        except OSError as error:
            raise click.UsageError(f"cannot change to {directory}: {error.strerror}") from None


def main() -> None:
    """Be the program ``luthier``; its clock runs since the process began."""
    cli(**{BEGUN: _process_began})


def _process_began() -> float:
    import psutil  # only for the commands that ask

    return time.monotonic() - (time.time() - psutil.Process().create_time())
