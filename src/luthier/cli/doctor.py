"""``luthier doctor``: whether all is well with this machine and with a study, and saving what can be saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from luthier.cli.written import write

if TYPE_CHECKING:
    from luthier.cli.checks import Finding

_MARKS = {"ok": ("ok   ", "green"), "note": ("note ", "yellow"), "error": ("ERROR", "bold red")}


@click.command("doctor", short_help="Check this machine and a study.")
@click.argument("directory", metavar="[DIR]", required=False)
@click.option("--repair", is_flag=True, help="Rebuild a damaged study file, and remove torn checkpoints.")
@click.pass_context
def command(context: click.Context, /, directory: str | None, repair: bool) -> None:
    """Check this machine and, with DIR, the study there: its file, its driver and every checkpoint.

    The exit code is 4 if something is broken. --repair rebuilds the file from every row that can still be read, keeps
    the damaged one beside it as study.db.damaged-DATE, and removes torn checkpoints and unfinished files.
    """
    from luthier.cli import checks

    if directory is None and repair:
        raise click.UsageError("--repair needs the DIR of a study", context)
    place = Path(directory or ".")
    if directory is not None and not place.is_dir():
        raise click.UsageError(f"there is no directory {directory}", context)
    found = list(checks.environment(place))
    if directory is not None:
        if repair:
            found += _repaired(place)
        found += [*checks.study_file(place), checks.driver(place), *checks.checkpoints(place)]
    _print(found)
    broken = sum(finding.level == "error" for finding in found)
    if broken:
        hint = "" if repair or directory is None else f": luthier doctor {directory} --repair saves what can be saved"
        click.echo(f"luthier: {broken} broken{hint}", err=True)
        context.exit(4)


def _print(found: list[Finding]) -> None:
    from rich.text import Text

    width = max(len(finding.about) for finding in found)
    lines = []
    for finding in found:
        mark, style = _MARKS[finding.level]
        lines.append(Text.assemble((mark, style), f"  {finding.about:<{width}}  {finding.text}"))
    write(*lines)


def _repaired(directory: Path) -> list[Finding]:
    """Repair what is broken, as the study's driver; tell what was done."""
    from luthier.cli import checks
    from luthier.cli.checks import Finding
    from luthier.store.lock import DriverLock

    lock = DriverLock(directory)
    try:
        done = [*_rebuilt(directory)]
        for path in (*checks.torn_checkpoints(directory), *checks.unfinished_files(directory)):
            path.unlink()
            done.append(Finding("note", "repair", f"removed {path}"))
    finally:
        lock.release()
    return done


def _rebuilt(directory: Path) -> list[Finding]:
    from luthier.cli import checks
    from luthier.cli.checks import Finding

    if not (directory / "study.db").exists() or not any(f.level == "error" for f in checks.study_file(directory)):
        return []
    from luthier.cli.repair import repair

    saved = repair(directory)
    text = f"rebuilt study.db with {saved.trials} trials and {saved.reports} reports; the damaged file is {saved.kept}"
    done = [Finding("note", "repair", text)]
    if saved.lost:
        shown = ", ".join(map(str, saved.lost[:10])) + (", ..." if len(saved.lost) > 10 else "")
        done.append(Finding("note", "repair", f"{len(saved.lost)} trials could not be read: {shown}"))
    if not saved.record:
        text = "the study's own record could not be read: run the command that made the study, it writes it anew"
        done.append(Finding("note", "repair", text))
    return done
