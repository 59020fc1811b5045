"""``luthier show``: where a study stands, while it is driven or after."""

from __future__ import annotations

import math
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luthier.budget import clock
from luthier.cli.written import console, write
from luthier.reader import StudyReader, load
from luthier.trial import ENDED, State, Trial
from luthier.view.text import config_text, metrics_text, resumes_text, size_text, sparkline

if TYPE_CHECKING:
    from rich.text import Text

_TOP = 5
_RUNNING = 16
_EVERY_S = 1.0


@click.command("show", short_help="Show where a study stands.")
@click.argument("directory", metavar="DIR")
@click.option("--follow", is_flag=True, help="Show it again every second, until nobody drives it any more.")
@click.option("--effects", is_flag=True, help="Show which parameters matter, and which go together.")
def command(directory: str, follow: bool, effects: bool) -> None:
    """Show the study in DIR: budget, states, who drives it, the best trials, what runs, and what failed.

    It only reads: a study that is being driven is not disturbed.
    """
    if effects:
        with load(directory) as study:
            click.echo(str(study.effects()))
        return
    if not follow:
        with load(directory) as study:
            write(report(study))
        return
    try:
        _follow(directory)
    except KeyboardInterrupt:
        pass  # the way to leave


def _follow(directory: str) -> None:
    from rich.live import Live

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            with load(directory) as study:
                live.update(report(study), refresh=True)
                if _driver(study) is None:
                    return
            time.sleep(_EVERY_S)


def report(study: StudyReader) -> Text:
    """Write where a study stands, in a few lines."""
    from rich.text import Text

    return Text("\n").join([*_head(study), *_best(study), *_running(study), *_failures(study), *_next(study)])


def _head(study: StudyReader) -> Iterator[Text]:
    from rich.text import Text

    metrics = " and ".join(f"{'maximize' if m.maximize else 'minimize'} {m.name}" for m in study.metrics)
    yield Text.assemble("study ", (study.name, "bold"), f" in {study.dir}: {metrics}")
    spent, budget = study.spent, study.budget
    share = (
        f" ({budget.share(spent):.0%})"
        if not all(map(math.isinf, (budget.trials, budget.steps, budget.seconds)))
        else ""
    )
    yield Text(f"spent {spent.trials} trials, {spent.steps:,} steps and {clock(spent.seconds)} of {budget}{share}")
    counts = Counter(trial.state for trial in study.trials)
    states = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    outside = f"; {len(study.history.outside)} outside of the present space" if study.history.outside else ""
    yield Text(f"{len(study.history)} trials: {states or 'none yet'}{outside}")
    yield from map(Text, filter(None, (resumes_text(study.history.resumes), _disk(study))))
    driver = _driver(study)
    if driver is None:
        left = sum(trial.state is State.RUNNING for trial in study.trials)
        yield Text(
            "nobody drives it now" + (f"; {left} trials were cut off and go on when it is resumed" if left else "")
        )
    else:
        since = time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(driver["since"])) if "since" in driver else ""
        yield Text(f"driven by process {driver.get('pid', '?')} on {driver.get('host', '?')}{since}", "cyan")
    ahead = study.outlook()
    if ahead is not None:
        yield Text(f"outlook: {ahead}")


def _best(study: StudyReader) -> Iterator[Text]:
    from rich.text import Text

    best = study.best
    if best is None:
        return
    yield Text("")
    yield Text("best trials", "bold")
    if len(study.metrics) > 1:
        top = study.best_trials[:_TOP]
    else:
        scored = [t for t in study.history.ended if not math.isnan(study.history.losses_of(t)[0])]
        top = sorted({t.number: t for t in [best, *scored]}.values(), key=lambda t: study.history.losses_of(t)[0])[
            :_TOP
        ]
    for trial in top:
        style = "green" if trial.number == best.number else ""
        yield Text(f"  {_line(study, trial)}", style)


def _running(study: StudyReader) -> Iterator[Text]:
    from rich.text import Text

    alive = [t for t in study.history.live if t.state in (State.RUNNING, State.PAUSED) or t.metrics]
    if not alive:
        return
    yield Text("")
    yield Text("running and paused", "bold")
    for trial in alive[:_RUNNING]:
        _, losses = study.history.loss_curve(trial)
        curve = sparkline((study.history.metrics[0].sign * losses).tolist())
        yield Text(f"  {_line(study, trial)}  {curve}")
    if len(alive) > _RUNNING:
        yield Text(f"  and {len(alive) - _RUNNING} more: luthier trials {study.dir} --state running")


def _failures(study: StudyReader) -> Iterator[Text]:
    """Tell each kind of failure once, with the log of its latest trial."""
    from rich.text import Text

    failed = [t for t in study.trials if t.state is State.FAILED and t.failure is not None]
    if not failed:
        return
    yield Text("")
    yield Text("failures", "bold red")
    kinds: dict[tuple[str, str], list[Trial]] = {}
    for trial in failed:
        assert trial.failure is not None
        kinds.setdefault((trial.failure.kind, trial.failure.message), []).append(trial)
    for (kind, message), trials in sorted(kinds.items(), key=lambda entry: -len(entry[1]))[:_TOP]:
        log = study.path(trials[-1]) / "log.txt"
        where = f"  ({log})" if log.exists() else ""
        yield Text(f"  {len(trials)} x {kind}: {message}{where}")


def _next(study: StudyReader) -> Iterator[Text]:
    from rich.text import Text

    place = shlex.quote(str(study.dir))
    yield Text("")
    if any(t.state in ENDED for t in study.trials):
        yield Text(f"next: luthier best {place}    luthier trials {place}", "dim")
    if _driver(study) is None and study.budget.left(study.spent).used_up:
        yield Text(f"a larger budget: luthier resume {place} --budget ...", "dim")
    elif _driver(study) is None:
        yield Text(f"to go on: luthier resume {place}", "dim")


def _line(study: StudyReader, trial: Trial) -> str:
    steps = f"  step {trial.steps}" if trial.steps else ""
    state = "" if trial.state is State.DONE else f" {trial.state}"
    if len(trial.curve) and not trial.metrics:  # it runs: the store has its result when it ends
        trial = replace(trial, metrics=trial.curve.at(trial.steps))
    shown = f"{metrics_text(study.history, trial)}{steps}"
    return f"trial {trial.number}{state}: {shown}  {config_text(trial.config)}"


def _disk(study: StudyReader) -> str:
    """Say how much the checkpoints take, and what is free."""
    sizes = list[int]()
    for file in Path(study.dir or ".").glob("trials/*/checkpoints/*.ckpt"):
        with suppress(FileNotFoundError):  # the trial runs, and has replaced it
            sizes.append(file.stat().st_size)
    free = shutil.disk_usage(study.dir or ".").free
    return f"{len(sizes)} checkpoints take {size_text(sum(sizes))}; {size_text(free)} are free" if sizes else ""


def _driver(study: StudyReader) -> dict[str, Any] | None:
    from luthier.store.lock import driver_of

    return driver_of(Path(study.dir)) if study.dir is not None else None
