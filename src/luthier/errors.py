"""Every exception a caller may want to catch.

LuthierError
├── SpaceError            a search space that contradicts itself        (also ValueError)
├── ConfigError           a configuration that its space does not hold  (also ValueError)
├── SettingError          an argument outside what is allowed           (also ValueError)
├── ObjectiveError        an objective that cannot be called or sent    (also TypeError)
├── MetricError       a metric is no number, not finite, or missing    (also ValueError)
├── TrialStateError       a step that the state of a trial does not allow
├── AllTrialsFailed       the first trials failed one after the other
├── DataError             a data set that cannot be read or used        (also ValueError)
├── MissingExtra          an optional package is not installed          (also ImportError)
└── StoreError            the study's file
    ├── StudyBusy         another process drives this study
    ├── StudyMismatch     the study was made for other metrics
    ├── StoreDamaged      the file is torn or is not a study
    ├── StoreTooNew       a newer Luthier wrote it
    └── StoreFull         no space left, or not writable

A failing trial is none of these: it is recorded as a `luthier.Failure` and the study goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class LuthierError(Exception):
    """Root of all errors that Luthier raises on purpose."""


class SpaceError(LuthierError, ValueError):
    """A search space contradicts itself, or holds nothing."""


class ConfigError(LuthierError, ValueError):
    """A configuration is not in its space."""


class SettingError(LuthierError, ValueError):
    """An argument is outside what is allowed."""


class ObjectiveError(LuthierError, TypeError):
    """An objective cannot be called with this space, or cannot be sent to a worker."""


class MetricError(LuthierError, ValueError):
    """What an objective gave back cannot be used.

    Attributes
    ----------
    failure
        The `luthier.Failure` that a trial is recorded with.
    """

    def __init__(self, failure: Any) -> None:
        super().__init__(failure.message)
        self.failure = failure


class DataError(LuthierError, ValueError):
    """A data set cannot be read, or cannot be used."""


class TrialStateError(LuthierError):
    """A trial cannot make this step from the state it is in."""


class AllTrialsFailed(LuthierError):
    """The first trials failed one after the other; the message carries the last traceback."""


class MissingExtra(LuthierError, ImportError):
    """An optional package is not installed; the message has the line to type."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'this needs {package}: pip install "luthier[{extra}]"')


class StoreError(LuthierError):
    """Something is wrong with a study's file."""


class StudyBusy(StoreError):
    """Another process drives this study."""


class StudyMismatch(StoreError):
    """The study on disk was made for other metrics."""


class StoreDamaged(StoreError):
    """The study's file is torn, or is not a study."""


class StoreTooNew(StoreError):
    """The study's file was written by a newer Luthier."""


class StoreFull(StoreError):
    """The study's file cannot be written: no space left, or no permission."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest of the known words, or an empty string.

    Parameters
    ----------
    word
        What was given.
    known
        What is allowed.
    """
    import difflib  # only where something went wrong

    by_letters = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(word).lower(), by_letters, n=1, cutoff=0.6)
    return f"; did you mean {by_letters[near[0]]!r}?" if near else ""
