"""Eight processes start on one new study at the same instant: one drives it, the others are told so."""

import subprocess
import sys
from pathlib import Path

import pytest

import luthier as lt
from luthier import State

_RUSH = Path(__file__).with_name("rush.py")


@pytest.mark.parametrize("round_", range(3))
def test_of_eight_processes_that_start_together_one_drives_and_none_dies(tmp_path, round_):
    go, study = tmp_path / "go", tmp_path / "deep" / "er" / "study"
    command = [sys.executable, _RUSH, study, go, "7"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    go.touch()
    outputs = [process.communicate(timeout=90) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    assert [err for _, err in outputs if err] == []
    drove = [out for out, _ in outputs if out.startswith("drove")]
    busy = [out for out, _ in outputs if out.startswith("busy")]
    assert drove == ["drove 25\n"]
    assert len(busy) == 7
    for message in busy:
        assert f"drives the study in {study}" in message
        assert f"luthier show {study}" in message
    with lt.load(study) as reader:
        assert [t.state for t in reader.trials] == [State.DONE] * 25
