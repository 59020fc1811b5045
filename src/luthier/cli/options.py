"""What ``tune`` and ``run`` may be told on the command line, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from luthier.budget import Budget
from luthier.errors import SettingError
from luthier.notation import parse
from luthier.parameter import Parameter
from luthier.space import Space
from luthier.spacefile import load_space, space_from_dict, space_to_dict
from luthier.store.base import StudyRecord

_OPTIONS = (
    click.option("--space", metavar="FILE", help="The space: a .toml, .json or .yaml file."),
    click.option("--param", metavar="NAME=RANGE", multiple=True, help="One parameter, as in lr=1e-5..1e-1:log."),
    click.option("--maximize", metavar="METRIC", multiple=True, help="A metric to make as large as possible."),
    click.option("--minimize", metavar="METRIC", multiple=True, help="A metric to make as small as possible."),
    click.option(
        "--budget", metavar="TOTAL", multiple=True,
        help="What to spend in all, such as 20m, 50 (trials) or '500 steps'; several: the first reached ends it.",
    ),
    click.option("--search", default="auto", show_default=True, help="What to try next."),
    click.option("--schedule", default="auto", show_default=True, help="How far trials run; several as in a+b."),
    click.option("--workers", default="auto", show_default=True, help="Worker processes; 0 runs in this process."),
    click.option("--dir", "dir", metavar="DIR", help="Where the study is kept.  [default: runs/NAME]"),
    click.option("--name", help="A name for people."),
    click.option("--seed", type=click.IntRange(min=0), help="What all randomness derives from."),
    click.option(
        "--start", metavar="CONFIG", multiple=True,
        help="A configuration to try first, complete or not: 'lr=0.001 opt=adam', or a JSON object.",
    ),
    click.option("--retries", type=click.IntRange(min=0), default=0, help="How often a failed trial is tried again."),
    click.option("--timeout", metavar="TIME", help="The most one trial may take, such as 10m."),
    click.option("--memory", metavar="SIZE", help="The most one trial may use, such as 4GB."),
    click.option(
        "--checkpoints", type=click.Choice(["best", "latest", "all"]), default="best", show_default=True,
        help="Which checkpoints of a trial stay, besides the latest.",
    ),
    click.option(
        "--stop-below", metavar="GAIN",
        help="End once what is left of the budget is expected to bring less than this: 0.001, or '0.1 %'.",
    ),
    click.option("--ordered", is_flag=True, help="Same seed and workers: the same results, whatever the timing."),
    click.option(
        "--view", type=click.Choice(["auto", "live", "plain", "none"]), default="auto", show_default=True,
        help="What to show meanwhile, on standard error.",
    ),
    click.option("--tensorboard", metavar="LOGDIR", help="Write every trial for TensorBoard."),
)  # fmt: skip


def driving_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `luthier.tune`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def space_of(base: Space | None, params: Iterable[str]) -> Space | None:
    """Return the space with the parameters of ``--param`` added or replaced; None if there is neither.

    Raises
    ------
    SpaceError
        If a parameter cannot be read or the whole contradicts itself.
    """
    params = list(params)
    if not params:
        return base
    data = {"parameters": {}} if base is None else space_to_dict(base)
    for text in params:
        name, equals, notation = text.partition("=")
        if not equals or not name or not notation:
            raise SettingError(f"--param is NAME=RANGE, such as lr=1e-5..1e-1:log, got {text!r}")
        data["parameters"].pop(name, None)
        data["parameters"][name] = notation
    return space_from_dict(data)


def space_file(path: str | None) -> Space | None:
    """Read the file of ``--space``, if it was given."""
    return None if path is None else load_space(path)


def as_space(given: Any, where: str) -> Space | None:
    """Read the attribute ``space`` of a module: a Space, a mapping of parameters, or nothing."""
    if given is None or isinstance(given, Space):
        return given
    if isinstance(given, Mapping):
        return Space(dict(given))
    raise SettingError(f"'space' in {where} is a luthier.Space or a dict of parameters, got {type(given).__name__}")


def review_options(command: Any) -> Any:
    """Add the options by which it is chosen what a person looks at."""
    options = (
        click.option(
            "--error-cost", metavar="PRICE", type=float,
            help="Price of a wrong prediction: chooses, with --look-cost, which ones a person looks at.",
        ),
        click.option(
            "--look-cost", metavar="PRICE", type=float, help="Price of a person's look, in the same unit.  [default: 1]"
        ),
        click.option(
            "--review-rate", metavar="SHARE", type=float,
            help="Instead of prices: the share that a person can look at, such as 0.1.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def budget_of(given: Iterable[Any]) -> Any:
    """Read the budgets of ``--budget`` in the form that `luthier.tune` takes."""
    totals = list(given)
    if len(totals) <= 1:
        return totals[0] if totals else None
    merged: dict[str, float] = {}
    for total in map(Budget.of, totals):
        for name in ("trials", "steps", "seconds"):
            value = getattr(total, name)
            if value != float("inf"):
                merged[name] = min(value, merged.get(name, value))
    return merged


def workers_of(given: str) -> Any:
    """Read ``--workers``."""
    return int(given) if given.isdigit() else given


def config_of(text: str) -> dict[str, Any]:
    """Read a configuration: ``lr=0.001 opt=adam``, or a JSON object.

    Raises
    ------
    SettingError
        If it cannot be read.
    """
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise SettingError(f"--start {text!r} is not JSON: {error}") from None
    config: dict[str, Any] = {}
    for part in text.replace(",", " ").split():
        name, equals, value = part.partition("=")
        config[name] = parse(value) if equals else None
        if not equals or not name or isinstance(config[name], Parameter):
            raise SettingError(f"--start is a configuration such as 'lr=0.001 opt=adam', got {part!r}")
    return config


def record_in(directory: Path) -> StudyRecord | None:
    """Return the record of the study in a directory, None if there is none."""
    if not (directory / "study.db").exists():
        return None
    from luthier.errors import StoreDamaged, StoreError, StoreTooNew
    from luthier.store.sqlite import SqliteStore

    try:
        store = SqliteStore(directory, readonly=True)
    except (StoreDamaged, StoreTooNew):
        raise
    except StoreError:  # it was cut off before it had a record: begin it anew
        return None
    try:
        return store.load()
    finally:
        store.close()
