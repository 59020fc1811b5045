"""A person's word to a training that runs: lines appended to a file, and signals.

Commands, one a line, plain or as JSON:

    lower [by]       divide the rate, by 4 unless told      {"do": "lower", "by": 2}
    raise [by]       multiply it                            {"do": "raise"}
    rate VALUE       set it                                 {"do": "rate", "by": 0.01}
    rollback [by]    go back to the last good checkpoint with the rate divided, by 10 unless told
    branch           try a higher, the same and a lower rate now
    stop             end the training here
"""

from __future__ import annotations

import json
import math
import os
import signal
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import SettingError, did_you_mean

COMMANDS = {"lower": 4.0, "raise": 4.0, "rate": None, "rollback": 10.0, "branch": 0.0, "stop": 0.0}  # and their numbers
CONTROL = "control"  # the usual name of the file
_LONGEST = 200  # characters of a line


class Command(NamedTuple):
    """What a person wants."""

    do: str
    by: float

    def __str__(self) -> str:
        return self.do if self.do in ("branch", "stop") else f"{self.do} {self.by:g}"


def read_command(line: str) -> Command:
    """Read one line.

    Raises
    ------
    SettingError
        If it is none; the message says what is allowed.

    Examples
    --------
    >>> read_command("rate 0.01"), str(read_command('{"do": "lower"}'))
    (Command(do='rate', by=0.01), 'lower 4')
    """
    do, by = _json_parts(line) if line.lstrip().startswith("{") else _plain_parts(line)
    if do not in COMMANDS:
        raise SettingError(f"no command {do!r}{did_you_mean(str(do), COMMANDS)}: use {', '.join(COMMANDS)}")
    usual = COMMANDS[do]
    if usual == 0.0:
        return Command(do, 0.0)
    if by is None and usual is None:
        raise SettingError(f"{do} needs a number, such as: {do} 0.01")
    try:
        number = float(usual if by is None else by)  # type: ignore[arg-type] # of the two, one is there
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 < number < math.inf:
        raise SettingError(f"{do} takes a positive number, got {by!r}")
    return Command(do, number)


def nudge(path: str | os.PathLike[str], command: str) -> Command:
    """Append a command to a control file, for a training that watches it.

    Raises
    ------
    SettingError
        If it is no command; nothing is written then.
    """
    told = read_command(command)
    line = str(told) if told.do in ("branch", "stop") else f"{told.do} {told.by!r}"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())  # one write: lines of two writers do not mix
    finally:
        os.close(handle)
    return told


class ControlFile:
    """Reads the lines that were appended to a file since the last look; those that were there before do not count.

    Parameters
    ----------
    path
        Need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._offset = self.path.stat().st_size if self.path.exists() else 0

    def read(self) -> tuple[list[Command], list[str]]:
        """Return new commands, and complaints about lines that are none; a line without its end is waited for."""
        try:
            size = self.path.stat().st_size
            if size < self._offset:
                self._offset = 0  # the file was written anew
            if size == self._offset:
                return [], []
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            self._offset = 0
            return [], []
        except OSError as error:
            return [], [f"{self.path} cannot be read: {error.strerror}"]
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        commands, complaints = [], []
        for line in whole.decode(errors="replace").splitlines():
            if text := line.strip():
                try:
                    commands.append(read_command(text))
                except SettingError as error:
                    complaints.append(f"ignored {_short(text)!r}: {error}")
        return commands, complaints


class Signals:
    """Turns signals into commands while it is open; what they did before is put back.

    Parameters
    ----------
    meaning
        Name of a signal to a command, such as ``{"SIGUSR1": "lower"}``.

    Raises
    ------
    SettingError
        If there is no such signal or command, or this is not the main thread.
    """

    def __init__(self, meaning: Mapping[str, str]) -> None:
        self._told: deque[Command] = deque()
        self._before: dict[int, Any] = {}
        commands = {_number_of(name): read_command(command) for name, command in meaning.items()}
        if commands and threading.current_thread() is not threading.main_thread():
            raise SettingError("signals reach only the main thread of Python: use a control file here")
        for number, command in commands.items():
            self._before[number] = signal.signal(number, lambda *_, told=command: self._told.append(told))

    def read(self) -> list[Command]:
        """Return what was told since the last look."""
        return [self._told.popleft() for _ in range(len(self._told))]

    def close(self) -> None:
        """Put back what the signals did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def _number_of(name: str) -> int:
    names = [s.name for s in signal.Signals]
    if name not in names:
        raise SettingError(f"no signal {name!r}{did_you_mean(name, names)}: such as SIGUSR1, SIGUSR2")
    return int(signal.Signals[name])


def _json_parts(line: str) -> tuple[Any, Any]:
    try:
        given = json.loads(line)
    except ValueError as error:
        raise SettingError(f"this is no JSON: {error}") from None
    if set(given) - {"do", "by"} or not isinstance(given.get("do"), str):
        raise SettingError('a command in JSON is such as {"do": "lower", "by": 2}')
    return given["do"], given.get("by")


def _plain_parts(line: str) -> tuple[str, str | None]:
    words = line.split()
    if len(words) > 2 or len(line) > _LONGEST:
        raise SettingError("a command is a word and perhaps a number, such as: lower 2")
    return words[0].lower() if words else "", words[1] if len(words) > 1 else None


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
