"""Whatever happened to the bytes of a file: it is read, or refused with a `DataError`, and nothing else."""

import gzip
import io

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from luthier.data import look, read, split
from luthier.data.idx import write_idx
from luthier.errors import DataError

RNG = np.random.default_rng(0)


def packed(write, *arguments, **options):
    """What a function writes into a file."""
    buffer = io.BytesIO()
    write(buffer, *arguments, **options)
    return buffer.getvalue()


def originals():
    """The bytes of sound files, by name."""
    frame = pd.DataFrame({"a": RNG.normal(size=20), "w": RNG.choice(["x", "y"], 20), "target": np.arange(20) % 2})
    image = Image.fromarray(RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    whole = {
        "t.csv": frame.to_csv(index=False).encode(),
        "t.csv.gz": gzip.compress(frame.to_csv(index=False).encode()),
        "t.parquet": packed(frame.to_parquet),
        "t.jsonl": frame.to_json(orient="records", lines=True).encode(),
        "t.npz": packed(np.savez_compressed, x=RNG.integers(0, 255, (20, 5, 5)), y=np.arange(20) % 2),
        "t.npy": packed(np.save, RNG.normal(size=(20, 3))),
    }
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"):
        whole[f"a/x.{kind.lower()}"] = packed(image.save, format=kind)
    for kind, subtype in (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16")):
        sound = packed(soundfile.write, 0.1 * RNG.normal(size=500), 8000, format=kind, subtype=subtype)
        whole[f"a/{subtype}.{kind.lower()}"] = sound
    return whole


WHOLE = originals()
changes = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.sampled_from(["set", "insert", "delete"]), st.binary(min_size=1, max_size=4)),
    min_size=1,
    max_size=6,
)


def changed(raw, changes):
    """The bytes with some of them changed, more often near the beginning, where the format stands."""
    raw = bytearray(raw)
    for place, how, new in changes:
        at = int(place**3 * len(raw))
        if how == "set":
            raw[at : at + len(new)] = new
        elif how == "insert":
            raw[at:at] = new
        else:
            del raw[at : at + len(new)]
    return bytes(raw)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(sorted(WHOLE)), changes)
def test_damaged_files_are_read_or_refused(tmp_path_factory, name, changes):
    folder = tmp_path_factory.mktemp("data")
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(changed(WHOLE[name], changes))
    refused = ""
    try:
        dataset = read(folder if "/" in name else path)
    except DataError as error:
        refused = str(error)
    if refused:
        assert str(folder) in refused
        return
    assert str(look(dataset)).startswith(dataset.source)
    if len(dataset) > 2:
        assert len(split(dataset, shares={"test": 0.3}, groups=range(len(dataset))).train)


@given(st.binary(max_size=40))
def test_any_bytes_after_an_idx_name_are_read_or_refused(tmp_path_factory, raw):
    folder = tmp_path_factory.mktemp("data")
    (folder / "train-images-idx3-ubyte").write_bytes(raw)
    write_idx(folder / "train-labels-idx1-ubyte", np.array([0, 1], np.uint8))
    with pytest.raises(DataError):
        read(folder)
