"""The files of a job: one process at a time, JSON, and tensors."""

from __future__ import annotations

import fcntl
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from luthier.durable import write_whole
from luthier.errors import DataError, StudyBusy
from luthier.store.lock import busy_message


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold a job's directory against other processes; the kernel lets go of it when this one dies, however it dies.

    Raises
    ------
    StudyBusy
        If another process holds it; the message says who.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "job.lock", "a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StudyBusy(busy_message(directory)) from None
        yield


def write_json(path: Path, content: Any) -> Path:
    """Write plain values as JSON, durably."""
    return write_whole(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    DataError
        If it is no JSON; the message names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged, it is no JSON: {error}") from None


def write_tensors(path: Path, content: dict[str, Any]) -> Path:
    """Write a dict of tensors by ``torch.save``, durably."""
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    return write_whole(path, buffer.getbuffer())  # no second copy of what may be large


def read_tensors(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a dict of tensors; nothing but tensors can be in it, so no code is run. `mapped` leaves them on the disk.

    Raises
    ------
    DataError
        If it cannot be read; the message names the file.
    """
    import pickle

    import torch

    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True, mmap=mapped))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(f"{path} is damaged: {str(error).splitlines()[0]}") from None
