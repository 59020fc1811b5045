"""Searches: what to try next. A file with a `SEARCH` is one search, found by its name; the others are their parts."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from luthier.contracts import Search
from luthier.errors import SettingError, did_you_mean


def search_of(given: str | Search) -> Search:
    """Return a search by its name, such as ``"random"``, or the search itself.

    Raises
    ------
    SettingError
        If there is none of this name.
    """
    if not isinstance(given, str):
        if isinstance(given, type) or not isinstance(given, Search):
            raise SettingError(f"search= is a name or an object with propose() and describe(), got {given!r}")
        return given
    names = sorted(file.stem for folder in __path__ for file in Path(folder).glob("[a-z]*.py"))
    if given in names:
        made: Any = getattr(importlib.import_module(f"{__name__}.{given}"), "SEARCH", None)
        if made is not None:
            search: Search = made()
            return search
    known = [name for name in names if hasattr(importlib.import_module(f"{__name__}.{name}"), "SEARCH")]
    raise SettingError(f"there is no search {given!r}{did_you_mean(given, known)}: use {', '.join(known)}")
