"""Checkpoints: files named by their step and a digest of their content, written beside and then renamed.

A file whose content does not match its name is torn and is passed over; the one before is used. Where torch is loaded
they are written by ``torch.save`` and can be read by ``torch.load``, otherwise by pickle.
"""

from __future__ import annotations

import io
import pickle
import re
import sys
from pathlib import Path
from typing import Any

from luthier.durable import write_whole

_NAME = re.compile(r"(\d{8})-([0-9a-f]{16})\.ckpt")


def dumps(content: dict[str, Any]) -> bytes:
    """Serialize a checkpoint's content."""
    if torch := sys.modules.get("torch"):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()
    return pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)


def write(directory: Path, step: int, data: bytes) -> Path:
    """Write a checkpoint durably and return its path.

    Parameters
    ----------
    directory
        Where checkpoints of this trial are kept; made if it is not there.
    step
        Steps done.
    data
        From `dumps`.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind then.
    """
    return write_whole(directory / f"{step:08d}-{_digest(data)}.ckpt", data)


def _digest(data: bytes) -> str:
    from hashlib import blake2b  # three milliseconds that `import luthier` need not pay

    return blake2b(data, digest_size=8).hexdigest()


def files(directory: Path) -> dict[int, Path]:
    """Return the checkpoints in a directory by step, lowest first, torn ones included."""
    if not directory.is_dir():
        return {}
    found = {int(m[1]): p for p in sorted(directory.iterdir()) if (m := _NAME.fullmatch(p.name))}
    return dict(sorted(found.items()))


def whole(path: Path) -> bool:
    """Tell whether a checkpoint's content matches its name."""
    match = _NAME.fullmatch(path.name)
    return bool(match) and _digest(path.read_bytes()) == match[2]  # type: ignore[index]


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint.

    Raises
    ------
    ValueError
        If it is torn.
    """
    if not whole(path):
        raise ValueError(f"{path} is torn: its content does not match its name")
    data = path.read_bytes()
    if data[:2] == b"PK":  # torch.save writes a zip file
        import torch

        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    else:
        content = pickle.loads(data)  # noqa: S301 - our own file
    return dict(content)


def latest(directory: Path) -> dict[str, Any] | None:
    """Read the last checkpoint that is whole, None if there is none."""
    for path in reversed(files(directory).values()):
        if whole(path):
            return read(path)
    return None


def discard_torn(directory: Path) -> list[int]:
    """Delete the torn checkpoints, which would hide a later one of the same step; return the steps of the others."""
    found = files(directory)
    torn = [step for step, path in found.items() if not whole(path)]
    for step in torn:
        found.pop(step).unlink(missing_ok=True)
    return list(found)


def prune(directory: Path, keep: set[int]) -> None:
    """Delete the checkpoints of other steps, and what a killed writer left behind."""
    for step, path in files(directory).items():
        if step not in keep:
            path.unlink(missing_ok=True)
    for part in directory.glob("*.part"):
        part.unlink(missing_ok=True)
