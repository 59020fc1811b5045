"""Training once more on all rows, with the configuration and the number of epochs that did best; it survives a kill."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from luthier.errors import LuthierError
from luthier.execute import checkpoint

_EVERY_S = 2.0
_SEEN = 3  # epochs by which the others are judged: the first is slower


class Diverged(LuthierError):
    """The loss of the retraining was no longer finite."""


class Retraining:
    """Stands in for a `luthier.Run`: counts epochs up to where the best trial was best, and keeps checkpoints.

    Parameters
    ----------
    epochs
        After which it ends; the learning rate follows the schedule of the full training.
    until
        By the clock: where the epochs turn out not to fit, there are fewer, with a schedule that ends with them.
    least
        Epochs: where not even these fit, it ends at once.
    directory
        Of the checkpoints; None keeps none.
    what
        What is trained, as plain values: checkpoints of something else are not used.
    every_s
        Seconds between two checkpoints.
    clock
        In seconds.
    """

    def __init__(
        self,
        epochs: int,
        *,
        until: float = math.inf,
        least: float = 0.0,
        directory: Path | None = None,
        what: Mapping[str, Any] | None = None,
        every_s: float = _EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.epochs, self.directory, self.what, self._every_s = epochs, directory, dict(what or {}), every_s
        self._until, self._least, self._shortened, self._clock = until, least, 0, clock
        self._kept: dict[str, Any] = {}
        self._done, self._planned = 0, epochs
        self.epoch_s = 0.0  # seconds of an epoch, of those that were trained here
        self.note = ""  # what has to be told

    def keep(self, **objects: Any) -> Any:
        """Keep trainers; give them back the state of the last checkpoint."""
        self._kept |= objects
        saved = None if self.directory is None else checkpoint.latest(self.directory)
        if saved is not None and saved["what"] == self.what:
            for name, state in saved["objects"].items():
                self._kept[name].load_state_dict(state)
            self._done = int(saved["step"])
            self._shorten(saved.get("shortened") or self.epochs)
        values = tuple(objects.values())
        return values[0] if len(values) == 1 else values

    def steps(self, n: int) -> Iterator[int]:
        """Count the epochs, and see after each how many more fit."""
        written = begun = self._clock()
        first = self._done
        while self._done < min(n, self.epochs):
            yield self._done
            self._done += 1
            now = self._clock()
            self.epoch_s = epoch_s = max((now - begun) / (self._done - first), 1e-9)
            seen = self._done - first >= _SEEN or now + _SEEN * epoch_s > self._until
            if seen and now + epoch_s * (self.epochs - self._done) > self._until:
                self._shorten(self._done + max(0, int((self._until - now) / epoch_s)))
                if self.epochs < self._least:
                    return
            if self.directory is not None and now - written >= self._every_s:
                self._write(self.directory)
                written = self._clock()

    def report(self, metrics: Mapping[str, float]) -> None:
        """Look whether the loss is still finite.

        Raises
        ------
        Diverged
            If it is not.
        """
        if metrics["loss"] != metrics["loss"]:
            raise Diverged("the loss of the retraining was no longer finite")

    def _shorten(self, epochs: int) -> None:
        if epochs < self.epochs:
            self.epochs = self._shortened = epochs
            for kept in self._kept.values():
                kept.shorten(epochs)

    def finish(self) -> None:
        """Keep the end, too: of several networks, those that are trained are not trained anew after a kill."""
        if self.directory is not None:
            self._write(self.directory)

    def discard(self) -> None:
        """Delete the checkpoints: what was trained is not taken."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _write(self, directory: Path) -> None:
        states = {name: kept.state_dict() for name, kept in self._kept.items()}
        content = {
            "step": self._done,
            "epochs": self._planned,
            "shortened": self._shortened,
            "what": self.what,
            "objects": states,
        }
        try:
            checkpoint.write(directory, self._done, checkpoint.dumps(content))
            checkpoint.prune(directory, {self._done})
        except OSError as error:  # a full disk: the network that is trained is worth more than going on after a kill
            self.directory, self.note = None, f"retraining keeps no checkpoints any more: {error.strerror}"


def retrainings(directory: Path) -> Path:
    """Return where a job keeps the checkpoints of its retrainings, until its model is written."""
    return directory / "retraining"


def begun(directory: Path | None, what: Mapping[str, Any]) -> int:
    """Return for how many epochs a retraining was begun that was interrupted; 0 if there is none.

    Parameters
    ----------
    directory
        Of its checkpoints.
    what
        What is trained, see `Retraining`.
    """
    saved = None if directory is None else checkpoint.latest(directory)
    return int(saved["epochs"]) if saved is not None and saved["what"] == dict(what) else 0
