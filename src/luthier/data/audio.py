"""Folders of recordings: WAV by the standard library, everything else (and odd kinds of WAV) by soundfile."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.data.dataset import Dataset
from luthier.data.folders import Found, Label, given_of, label_folder, left_out
from luthier.data.memory import check_fits
from luthier.data.sound import Clip, sound_dataset, without_broken
from luthier.data.wanted import Wanted
from luthier.errors import DataError, MissingExtra

AUDIO_FILES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au")
_SIZES = {1: "u1", 2: "<i2", 4: "<i4"}
_RATES = (100, 1_000_000)  # samples a second: a file that says something else is damaged
_GROWTH = 4.0  # a float takes that much more than a byte; packed files take more still


def audio_folder(root: Path, files: Sequence[Found], wanted: Wanted, label: Label = label_folder) -> Dataset:
    """Read a folder with a folder of recordings for each class.

    Parameters
    ----------
    root
        The folder.
    files
        What `luthier.data.folders.find` found in it.
    wanted
        What was asked for; ``like["rate"]`` is followed.
    label
        Gives the targets.

    Raises
    ------
    DataError
        If no recording can be read, or they would not fit into memory.
    MissingExtra
        If a file needs soundfile, and it is not installed.
    """
    size = sum(file.path.stat().st_size for file in files)
    check_fits(_GROWTH * size, f"{root}: {len(files):,} recordings", "use fewer or shorter recordings")
    bad: dict[str, str] = {}
    clips: list[Clip] = []
    good: list[Found] = []
    for file in files:
        try:
            clip = read_clip(file.path)
        except DataError as error:
            bad[file.origin] = str(error)
            continue
        clips.append(clip)
        good.append(file)
    notes = left_out(bad, len(files), str(root))
    base = sound_dataset(clips, wanted, source=str(root), origins=[file.origin for file in good])
    base = replace(base, given=given_of(good), notes=(*notes, *base.notes))
    return without_broken(label(base, good, wanted))


def read_clip(path: Path) -> Clip:
    """Read one recording.

    Raises
    ------
    DataError
        If it is damaged.
    MissingExtra
        If it needs soundfile, and it is not installed.
    """
    clip = _clip(path)
    if not _RATES[0] <= clip.rate <= _RATES[1]:
        raise DataError(f"a rate of {clip.rate:,} samples a second")
    return clip


def _clip(path: Path) -> Clip:
    if path.suffix.lower() == ".wav":
        try:
            return _plain_wav(path)
        except (wave.Error, EOFError, KeyError, RuntimeError):
            pass  # floats, 24 bits, or damaged: soundfile can tell
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}") from error
    return _by_soundfile(path)


def _plain_wav(path: Path) -> Clip:
    with wave.open(str(path), "rb") as file:
        channels, width, rate, count, *_ = file.getparams()
        raw = file.readframes(count)
    dtype: np.dtype[Any] = np.dtype(_SIZES[width])
    whole = len(raw) // (channels * width) * channels  # a cut-off file ends in mid-sample
    samples = np.frombuffer(raw, dtype, count=whole)
    return Clip(samples.reshape(-1, channels) if channels > 1 else samples, rate)


def _by_soundfile(path: Path) -> Clip:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: its C library is not there
        raise MissingExtra("soundfile", "data") from error
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(str(error).split(": ", 1)[-1].rstrip(".")[:80]) from error
    return Clip(samples, int(rate))
