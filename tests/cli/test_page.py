"""The examples of docs/cli.md, typed by bash."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|bash|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_every_example_of_the_page_runs_and_prints_what_it_says(tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "luthier").write_text(f'#!/bin/sh\nexec {sys.executable} -m luthier.cli "$@"\n')
    (tools / "luthier").chmod(0o755)
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src")}
    out, checked = "", 0
    for form, text in BLOCK.findall((ROOT / "docs" / "cli.md").read_text(encoding="utf-8")):
        if form == "python" and text.startswith("# "):
            (tmp_path / text.splitlines()[0][2:]).write_text(text)
        elif form == "bash":
            line = ["bash", "-e", "-o", "pipefail", "-c", text]
            done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{text}\n{done.stderr}"
            out, checked = done.stdout, checked + 1
        elif form == "text" and "luthier" not in text and text.rstrip().endswith("..."):
            shown = [re.sub(r"[\d.]+s of", "0s of", line.rstrip()) for line in text.splitlines()[:-1]]
            printed = [re.sub(r"[\d.]+s of", "0s of", line.rstrip()) for line in out.splitlines()]
            assert printed[: len(shown)] == shown
    assert checked == 11
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 9
    assert (tmp_path / "best.ckpt").stat().st_size > 0
