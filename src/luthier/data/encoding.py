"""Bytes to text: which encoding a file is in, and what has to be told about it."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from luthier.errors import DataError

_MARKS = (  # byte order marks; those of UTF-32 begin with those of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
PLAIN = ("utf-8", "utf-8-sig")  # what nobody has to be told about


def read_bytes(path: Path) -> bytes:
    """Return what is in a file, unpacked if it is gzip, whatever its name says.

    Raises
    ------
    DataError
        If it cannot be read, or the packed data is damaged.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}") from error


def decode(raw: bytes, name: str) -> tuple[str, str]:
    """Return the text of a file and the encoding it was in.

    A byte order mark decides; then UTF-8, if the bytes are valid; then UTF-16 without a mark, by its zero bytes; then
    Windows-1252, or Latin-1 where that has no letter for a byte.

    Parameters
    ----------
    raw
        What is in the file.
    name
        The file, for messages.

    Raises
    ------
    DataError
        If it is no text.
    """
    for encoding in _candidates(raw):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text, encoding
    raise DataError(f"{name} is no text file: it holds zero bytes or broken characters")


def told(encodings: dict[str, list[str]]) -> tuple[str, ...]:
    """Say which files were not in UTF-8.

    Parameters
    ----------
    encodings
        The names of the files by encoding.
    """
    notes = []
    for encoding, names in sorted(encodings.items()):
        if encoding not in PLAIN:
            which = names[0] if len(names) == 1 else f"{len(names)} files ({names[0]}, ...)"
            hint = "; if letters look wrong, save it as UTF-8" if encoding in ("cp1252", "latin-1") else ""
            notes.append(f"{which}: not UTF-8, read as {encoding}{hint}")
    return tuple(notes)


def _candidates(raw: bytes) -> list[str]:
    """The encodings to try, in order."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return [encoding]
    head = raw[:4000]
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) // 8:
        return ["utf-16-le" if odd > even else "utf-16-be"]
    return ["utf-8", "cp1252", "latin-1"]
