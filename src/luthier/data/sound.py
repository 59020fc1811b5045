"""Sound in memory: one channel, one rate, float32 in [-1, 1]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.columns import counted
from luthier.data.dataset import Dataset
from luthier.data.targets import keep_rows
from luthier.data.wanted import Wanted
from luthier.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A recording: (samples,) or (samples, channels), whole numbers or floats, at `rate` samples a second."""

    samples: NDArray[Any]
    rate: int


def sound_dataset(
    clips: Sequence[Clip], wanted: Wanted, *, source: str = "arrays", origins: Sequence[str] = ()
) -> Dataset:
    """Bring recordings to one channel and one rate.

    The rate is the most common one, or that of ``wanted.like``; stereo becomes the mean of its channels. Floats beyond
    [-1, 1] are scaled down by the loudest sample of all, so that recordings keep their relation.

    Parameters
    ----------
    clips
        n recordings.
    wanted
        What was asked for.
    source, origins
        As in `Dataset`.

    Raises
    ------
    DataError
        If there are none.
    """
    if not clips:
        raise DataError(f"{source} holds no recordings")
    counts = Counter(clip.rate for clip in clips)
    rate = int(wanted.like.get("rate") or max(counts, key=lambda each: (counts[each], each)))
    if min(counts) <= 0:
        raise DataError(f"{source}: a rate of {min(counts)} samples a second is not possible")
    notes = []
    other = sum(count for each, count in counts.items() if each != rate)
    if other:
        rates = ", ".join(f"{each:,}" for each in sorted(counts) if each != rate)
        notes.append(f"{counted(other, 'recording')} of {rates} samples a second resampled to {rate:,}")
    stereo = sum(clip.samples.ndim == 2 and clip.samples.shape[1] > 1 for clip in clips)
    if stereo:
        notes.append(f"{counted(stereo, 'recording')} of several channels mixed into one")
    plain = [resample(mono(clip.samples), clip.rate, rate) for clip in clips]
    peak = float(wanted.like.get("peak") or _peak(plain))
    if peak > 1.0:
        notes.append(f"samples up to {peak:,.0f}: all recordings divided by it, so that they lie in [-1, 1]")
    with np.errstate(invalid="ignore"):  # NaN is looked for later
        inputs = [np.clip(clip / np.float32(peak), -1.0, 1.0) for clip in plain]
    form = {"task": "audio", "rate": rate, "peak": peak}
    return Dataset("audio", inputs, origins=tuple(origins), rate=rate, notes=tuple(notes), source=source, form=form)


def mono(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return one channel, (samples,) float32; whole numbers are scaled by the range of their type."""
    if samples.dtype == np.uint8:  # 8-bit sound is unsigned, with silence at 128
        scaled = (samples.astype(np.float32) - 128.0) / 128.0
    elif samples.dtype.kind in "iu":
        scaled = samples.astype(np.float32) / float(-np.iinfo(np.dtype(f"i{samples.dtype.itemsize}")).min)
    else:
        scaled = samples.astype(np.float32)
    return np.ascontiguousarray(scaled.mean(1) if scaled.ndim == 2 else scaled, dtype=np.float32)


def resample(samples: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """Change the rate by a polyphase filter (`scipy.signal.resample_poly`); (samples,) in and out."""
    if rate == wanted or not len(samples):
        return samples
    from scipy.signal import resample_poly

    common = gcd(rate, wanted)
    return np.asarray(resample_poly(samples, wanted // common, rate // common), dtype=np.float32)


def without_broken(dataset: Dataset, *, every: bool = False) -> Dataset:
    """Leave out recordings that are empty or hold NaN or infinity, and tell it.

    Parameters
    ----------
    dataset
        Recordings.
    every
        Whether every row is needed: then they are an error.

    Raises
    ------
    DataError
        If none is left, or every row is needed.
    """
    good = np.array([len(clip) > 0 and bool(np.isfinite(clip).all()) for clip in dataset.inputs], dtype=bool)
    if good.all():
        return dataset
    bad = np.flatnonzero(~good)
    if every or not good.any():
        raise DataError(f"{dataset.source}: {counted(len(bad), 'recording')} empty or with NaN: {dataset.named(bad)}")
    note = f"{counted(len(bad), 'recording')} left out, empty or with NaN: {dataset.named(bad)}"
    return keep_rows(dataset, good, note)


def _peak(clips: list[NDArray[np.float32]]) -> float:
    """What to divide by: 1, or the loudest sample where it is far beyond what resampling and encoders overshoot."""
    loudest = max(float(np.abs(clip[np.isfinite(clip)]).max(initial=0.0)) for clip in clips)
    return loudest if loudest > 1.5 else 1.0
