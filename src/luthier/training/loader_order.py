"""A data loader that can be put back to an earlier batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from luthier.errors import SettingError


class LoaderOrder:
    """Goes round a loader for ever, and back to a batch it gave before.

    A pass is remembered by the state of torch's generator, and of the loader's own if it has one, at its beginning. To
    go back, the pass is begun again from there and the batches before the wanted one are read and dropped; so the order
    is the same to the bit if nothing else decides it.

    Parameters
    ----------
    loader
        Such as a ``torch.utils.data.DataLoader``.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self._loader = loader
        self._batches: Iterator[Any] | None = None
        self._start: dict[str, Any] = {}
        self._place = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._batches is None:
            self._begin()
        assert self._batches is not None
        self._place += 1
        try:
            return next(self._batches)
        except StopIteration:
            self._begin()
            self._place = 1
        try:
            return next(self._batches)
        except StopIteration:
            raise SettingError("the loader gives no batches: an iterator is used up after one pass, so give a loader "
                               "that can be gone through again, and data") from None  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return where it is."""
        begun = self._batches is not None
        return {"begun": begun, "start": self._start if begun else self._random_state(), "place": self._place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back, or on, to where a `state_dict` was taken; torch's generator is left as it is."""
        self._batches, self._place = None, 0
        now = torch.get_rng_state()
        torch.set_rng_state(state["start"]["torch"])
        if (own := getattr(self._loader, "generator", None)) is not None:
            own.set_state(state["start"]["own"])
        if state["begun"]:
            self._begin()
            for _ in range(state["place"]):
                next(self)
        torch.set_rng_state(now)

    def _begin(self) -> None:
        self._start = self._random_state()
        self._batches, self._place = iter(self._loader), 0

    def _random_state(self) -> dict[str, Any]:
        own = getattr(self._loader, "generator", None)
        return {"torch": torch.get_rng_state()} | ({} if own is None else {"own": own.get_state()})
