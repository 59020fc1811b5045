"""Any program as an objective: parameters become its flags, and what it prints or writes becomes its reports."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from luthier.errors import ObjectiveError, SettingError, did_you_mean
from luthier.execute.run import Run
from luthier.integrations.child import Child
from luthier.integrations.lines import Reports, numbers
from luthier.objective import RunEnded, missing
from luthier.trial import Failure

Booleans = Literal["no", "flag", "value"]

_BOOLEANS = ("no", "flag", "value")
_PLACE = re.compile(r"\{([^{}\s]+)\}")


class ScriptObjective:
    """Runs a program once per trial, in any language.

    Every parameter is passed as ``--name value``, in the order of the space; inactive ones and those that are None are
    left out. A list of values becomes several arguments. A value that begins with a minus sign is joined,
    ``--name=-1``, so that it is not taken for a flag.

    The program says how it does on standard output, in lines that hold a metric of the study: ``acc=0.91 loss=0.3``,
    ``acc: 0.91``, or a JSON object; ``epoch`` or ``step`` in the same line give the step. Or it writes JSON, one object
    or one a line, to the file named by ``LUTHIER_METRICS``; once that has content, standard output no longer counts.
    Each such line is a report, at which the program may be held (SIGSTOP) or ended (SIGTERM, after `grace_s` seconds
    SIGKILL) by the schedule. An exit code other than 0 is a failed trial.

    Its environment has ``LUTHIER_TRIAL`` (the number), ``LUTHIER_TRIAL_DIR`` (a directory of its own, which also keeps
    ``log.txt``), ``LUTHIER_SEED``, ``LUTHIER_CONFIG`` (a JSON file with the configuration) and ``LUTHIER_METRICS``.

    Parameters
    ----------
    command
        The program and what comes before the parameters, such as ``["train.py"]`` or ``["Rscript", "train.R"]``. A
        file ``.py`` runs with this interpreter.
    fixed
        Arguments after the parameters. ``{name}`` in them stands for a parameter, which is then passed nowhere else, or
        for ``{seed}``, ``{trial}`` or ``{trial_dir}``.
    booleans
        How true and false are passed: ``"no"`` is ``--name`` and ``--no-name`` (argparse.BooleanOptionalAction, click);
        ``"flag"`` is ``--name`` and nothing (``action="store_true"``); ``"value"`` is ``--name true`` and
        ``--name false``.
    names
        All parameters of the space, so that an argument of `fixed` with an inactive one is left out.
    environment
        Environment variables to add.
    cwd
        The directory it runs in; by default that of the study's process.
    grace_s
        Seconds between asking the program to end and killing it.

    Raises
    ------
    ObjectiveError
        If there is no such program.
    SettingError
        If `booleans` is none of these.

    Examples
    --------
    >>> import sys
    >>> objective = ScriptObjective([sys.executable], fixed=["--epochs", "10"])
    >>> objective.arguments({"lr": 0.01, "augment": False})[1:]
    ['--lr', '0.01', '--no-augment', '--epochs', '10']
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        fixed: Iterable[str] = (),
        booleans: Booleans = "no",
        names: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        grace_s: float = 5.0,
    ) -> None:
        if booleans not in _BOOLEANS:
            hint = did_you_mean(str(booleans), _BOOLEANS)
            raise SettingError(f"booleans= is 'no', 'flag' or 'value', got {booleans!r}{hint}")
        self.command = program([os.fspath(part) for part in command])
        self.fixed = tuple(map(str, fixed))
        self.booleans = booleans
        self.names = frozenset(names)
        self.environment = dict(environment or {})
        self.cwd = None if cwd is None else os.fspath(cwd)
        self.grace_s = grace_s
        self.__name__ = Path(command[0]).name

    def arguments(self, config: Mapping[str, Any], **more: Any) -> list[str]:
        """Return the command line of one configuration; `more` may fill places in `fixed`."""
        known = {**more, **config}
        placed: set[str] = set()
        last: list[str] = []
        for argument in self.fixed:
            places = {name for name in _PLACE.findall(argument) if name in known or name in self.names}
            placed |= places
            if any(known.get(name) is None for name in places):
                continue  # it belongs to a parameter that is inactive
            last.append(_PLACE.sub(lambda m: _written(known[m[1]]) if m[1] in places else m[0], argument))  # noqa: B023
        tuned = [(name, value) for name, value in config.items() if name not in placed]
        passed = [part for name, value in tuned for part in flags(name, value, self.booleans)]
        return [*self.command, *passed, *last]

    def __call__(self, _: Mapping[str, Any], /, run: Run) -> None:
        """Run the program for one trial, with the configuration of `run`."""
        directory = run.path.resolve()
        written = directory / "metrics.json"
        written.unlink(missing_ok=True)  # of an attempt before
        child = self._start(run, directory, written)
        reports = Reports(metric.name for metric in run.metrics)
        try:
            if self._follow(child, reports, run):
                return
            self._read_whole(written, reports, run)
        finally:
            child.end(self.grace_s)
        if child.status:
            raise RunEnded(self._failure(child.status, child.error_tail))
        if not reports.count:
            lost = missing(run.metrics[0].name, reports.seen)
            raise RunEnded(Failure(lost.kind, lost.message, child.error_tail))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _start(self, run: Run, directory: Path, metrics: Path) -> Child:
        place = {"seed": run.seed, "trial": run.number, "trial_dir": str(directory)}
        (directory / "config.json").write_text(json.dumps(run.config, indent=2) + "\n", encoding="utf-8")
        environment = {
            "PYTHONUNBUFFERED": "1",  # reports must come when they are made
            **os.environ,
            **self.environment,
            "LUTHIER_SEED": str(run.seed),
            "LUTHIER_TRIAL": str(run.number),
            "LUTHIER_TRIAL_DIR": str(directory),
            "LUTHIER_CONFIG": str(directory / "config.json"),
            "LUTHIER_METRICS": str(metrics),
        }
        arguments = self.arguments(run.config, **place)
        try:
            return Child(arguments, environment=environment, log=directory / "log.txt", metrics=metrics, cwd=self.cwd)
        except OSError as error:
            raise RunEnded(Failure("exit", f"cannot start {arguments[0]}: {error.strerror}")) from None

    def _follow(self, child: Child, reports: Reports, run: Run) -> bool:
        """Report what the program says; True if it is to end before its time."""
        from_file = False
        for source, line in child.lines():
            from_file |= source == "file"
            report = reports.read(line) if source == "file" or not from_file else None
            if report is None:
                continue
            run.report(report.metrics, step=report.step)
            with child.standing_still():
                if run.should_stop:
                    return True
        return False

    def _read_whole(self, metrics: Path, reports: Reports, run: Run) -> None:
        """Read a metrics file that is one JSON document over several lines."""
        if reports.count or not metrics.exists():
            return
        try:
            content = json.loads(metrics.read_text(encoding="utf-8"))
        except ValueError:
            return
        for entry in content if isinstance(content, list) else [content]:
            report = reports.take(numbers(entry))
            if report is not None:
                run.report(report.metrics, step=report.step)
                if run.should_stop:
                    return

    def _failure(self, status: int, errors: str) -> Failure:
        if status < 0:
            name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
            guess = ", probably because the machine ran out of memory" if name == "SIGKILL" else ""
            return Failure("signal", f"{self.__name__} was killed by {name}{guess}", errors)
        said = next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "")
        hint = " (for flags without a --no- twin: --booleans flag)" if "--no-" in said else ""
        text = f"{self.__name__} ended with exit code {status}" + (f": {said[:200]}{hint}" if said else "")
        short = said.startswith("MemoryError") or "out of memory" in said.lower()
        return Failure("memory" if short else "exit", text, errors)


def flags(name: str, value: Any, booleans: Booleans = "no") -> list[str]:
    """Write one parameter as command-line arguments; see `ScriptObjective`."""
    if value is None:
        return []
    if isinstance(value, bool) and booleans != "value":
        return [f"--{name}"] if value else [f"--no-{name}"] if booleans == "no" else []
    if isinstance(value, (tuple, list)):
        return [f"--{name}", *map(_written, value)]
    text = _written(value)
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]


def program(command: Sequence[str]) -> tuple[str, ...]:
    """Return what to start: Python files with this interpreter, other files and programs directly.

    Raises
    ------
    ObjectiveError
        If there is no such program, or it may not be executed.
    """
    if not command:
        raise ObjectiveError("say which program to run, such as train.py")
    first, *rest = command
    if first.endswith(".py") and Path(first).is_file():
        return (sys.executable, str(Path(first).resolve()), *rest)
    if Path(first).is_file() and (os.sep in first or not shutil.which(first)):
        path = Path(first).resolve()
        if not os.access(path, os.X_OK):
            raise ObjectiveError(
                f"{first} is not executable: chmod +x {first}, or write its interpreter before it, as in bash {first}"
            )
        return (str(path), *rest)
    found = shutil.which(first)
    if found is None:
        raise ObjectiveError(f"there is no program {first!r}: no such file, and nothing of this name in PATH")
    return (found, *rest)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return ",".join(map(_written, value))
    return repr(value) if isinstance(value, float) else str(value)
