"""A finished study to look at, and the command line in this process and in its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import luthier as lt
from luthier.cli import cli

SOURCE = Path(__file__).parents[2] / "src"

MODEL = """
import luthier as lt
import time

space = lt.Space(x=lt.Float(0.0, 1.0), n=lt.Int(1, 4))


def train(x, n, run):
    state = run.keep(state={"w": 0})
    for epoch in run.steps(3):
        run.report(loss=(x - 0.3) ** 2 + n + 1 / (epoch + 1))


def slow(x, n, run):
    for epoch in run.steps(1000):
        time.sleep(0.02)
        run.report(loss=x)


def broken(x, n):
    raise RuntimeError("never works")
"""

SCRIPT = """
import argparse
import time

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--n", type=int, default=1)
parser.add_argument("--deep", action=argparse.BooleanOptionalAction)
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--nap", type=float, default=0.0)
args = parser.parse_args()
for epoch in range(args.epochs):
    time.sleep(args.nap)
    print(f"epoch={epoch} loss={args.x + args.n + (0 if args.deep else 1)}")
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty directory with a module and a script; the current one."""
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def luthier(place):
    """Call the command line in this process."""

    def call(*args, code=0, **extra):
        result = CliRunner().invoke(cli, [str(arg) for arg in args], **extra)
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return call


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A study of twelve trials: three failed, one stopped, with checkpoints."""
    directory = tmp_path_factory.mktemp("made") / "study"

    def objective(x, opt, run):
        run.keep(w={"x": x})
        if run.number in (2, 5, 7):
            raise ValueError("diverged")
        for epoch in run.steps(3):
            run.report(acc=x * (epoch + 1), loss=1 - x)

    space = lt.Space(x=lt.Float(0.0, 1.0), opt=lt.Choice("adam", "sgd"))
    options = {"maximize": "acc", "budget": 12, "seed": 5, "search": "random", "workers": 0, "view": "none"}
    lt.tune(objective, space, dir=directory, **options)
    return directory


@pytest.fixture
def study(made, tmp_path):
    """A copy of that study, to be spoilt."""
    shutil.copytree(made, tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture
def command(place):
    """Start the command line as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "COLUMNS": "100"}
    environment.pop("PYTHONUNBUFFERED", None)
    started = []

    def start(*args, **options):
        line = [sys.executable, "-m", "luthier.cli", *map(str, args)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment, **options}
        process = subprocess.Popen(line, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
