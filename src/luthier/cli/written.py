"""How the commands write: tables for people, CSV and JSON for programs, all on standard output."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

import click

from luthier.view.text import number_text

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 400  # columns where nobody's terminal sets a width


def console() -> Console:
    """Return a rich console on standard output: without color and of any width where that is no terminal."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, width=None if terminal else _WIDE, highlight=False, soft_wrap=not terminal)


def write(*renderables: Any) -> None:
    """Print what rich can render, a broken pipe being an error as with any other output."""
    out = console()
    with out.capture() as captured:
        for renderable in renderables:
            out.print(renderable)
    click.echo(captured.get(), nl=False, color=True)


def write_json(content: Any, file: TextIO | None = None) -> None:
    """Write one JSON document."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=list)
    click.echo(text, file=file)


def write_csv(rows: Iterable[dict[str, Any]], file: TextIO | None = None) -> None:
    """Write rows that have the same columns, with a head line; what is missing stays empty."""
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(file or sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)


def write_table(rows: list[dict[str, Any]]) -> None:
    """Write rows as a table; columns in which nothing is known are left out."""
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo("nothing", err=True)
        return
    columns = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in columns:
        numeric = all(isinstance(row[name], (int, float, type(None))) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", no_wrap=numeric, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text("" if row[name] is None else number_text(row[name])) for name in columns))
    write(table)
