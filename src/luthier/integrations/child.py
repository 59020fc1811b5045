"""One program as a child process: its lines as they come, its metrics file, and its end with everything it started.

In a worker the program stays in the worker's process group, so that a worker that is killed takes it along; elsewhere
it gets a group of its own, out of reach of the terminal's Ctrl-C. To hold and to end it, its family of processes is
signalled, not the group.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

_TICK_S = 0.2  # how often the metrics file is looked at
_TAIL = 4000  # bytes of the error output kept
_CHUNK = 65536
_POLL_S = 0.02

Source = Literal["stdout", "file"]


class Child:
    """Start a program and read what it says.

    Parameters
    ----------
    arguments
        The program and its arguments.
    environment
        Its whole environment.
    log
        A file that gets all it prints, appended.
    metrics
        A file that it may write metrics to.
    cwd
        The directory it runs in; None for this process's own.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        metrics: Path,
        cwd: str | None = None,
    ) -> None:
        in_worker = "LUTHIER_WORKER" in os.environ
        self._process = subprocess.Popen(  # noqa: S603 - the user's own program is what is to run
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=cwd,
            process_group=None if in_worker else 0,
        )
        self._log = open(log, "ab", buffering=0)  # noqa: SIM115 - closed in end()
        self._metrics = metrics
        self._read = 0  # bytes of the metrics file
        self._rest = {"stdout": b"", "file": b""}
        self._errors = b""

    def lines(self) -> Iterator[tuple[Source, str]]:
        """Yield each line of its standard output and of its metrics file, until it ends."""
        pipes = selectors.DefaultSelector()
        assert self._process.stdout
        assert self._process.stderr
        pipes.register(self._process.stdout, selectors.EVENT_READ, "stdout")
        pipes.register(self._process.stderr, selectors.EVENT_READ, "stderr")
        with pipes:
            ready: list[Any] = [None]
            over = False
            while ready or not over:  # all that was written before its end is read
                over = self._over(0.0 if pipes.get_map() else _TICK_S)
                ready = pipes.select(0.0 if over else _TICK_S) if pipes.get_map() else []
                yield from self._news(b"")
                for key, _ in ready:
                    data = os.read(key.fd, _CHUNK)
                    if not data:
                        pipes.unregister(key.fileobj)
                    self._log.write(data)
                    if key.data == "stderr":
                        self._errors = (self._errors + data)[-_TAIL:]
                    else:
                        yield from self._split("stdout", data)
        yield from self._split("stdout", b"\n")
        yield from self._news(b"\n")

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Hold the program and what it has started while the block runs."""
        family = self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT, family)

    def end(self, grace_s: float) -> None:
        """End the program and what it has started: politely first, then by force after `grace_s` seconds."""
        family: list[Any] = []
        try:
            if self._process.poll() is None:
                family = self._signal(signal.SIGTERM)
                deadline = time.monotonic() + grace_s
                while any(map(_alive, family)) and time.monotonic() < deadline:
                    time.sleep(_POLL_S)
        finally:  # the budget's alarm may break the wait off
            self._signal(signal.SIGKILL, [process for process in family if _alive(process)])
            self._process.wait()
            for pipe in (self._process.stdout, self._process.stderr, self._log):
                pipe.close()  # type: ignore[union-attr]

    @property
    def status(self) -> int | None:
        """Its exit code, or minus the number of the signal that killed it; None while it runs."""
        return self._process.poll()

    @property
    def error_tail(self) -> str:
        """The last of what it wrote to standard error."""
        return self._errors.decode("utf-8", errors="replace")

    # -- inside ------------------------------------------------------------------------------------------------------

    def _over(self, patience_s: float) -> bool:
        """Whether it has ended; what it leaves running in the background may hold the pipes open."""
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _split(self, source: Source, data: bytes) -> Iterator[tuple[Source, str]]:
        *whole, self._rest[source] = (self._rest[source] + data).split(b"\n")
        for line in whole:
            if line:
                yield source, line.decode("utf-8", errors="replace")

    def _news(self, end: bytes) -> Iterator[tuple[Source, str]]:
        """Yield what was added to the metrics file."""
        try:
            with open(self._metrics, "rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return
        self._read += len(data)
        yield from self._split("file", data + end)

    def _signal(self, number: signal.Signals, family: list[Any] | None = None) -> list[Any]:
        """Signal the program first, then what it has started; return them all."""
        import psutil

        if family is None:
            try:
                root = psutil.Process(self._process.pid)
                if number is signal.SIGSTOP:
                    root.send_signal(number)  # before it starts more
                family = [root, *root.children(recursive=True)]
            except psutil.Error:
                return []
        for process in family:
            try:
                process.send_signal(number)
            except psutil.Error:
                continue  # it has ended by itself
        return family


def _alive(process: Any) -> bool:
    """Whether a process still runs; one that has ended may wait for somebody to take note."""
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
