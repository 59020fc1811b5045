"""Runs the examples of README.md, docs/ and the docstrings of src/ as tests: one test a page, in an empty directory.

A page is one test, not one per example, because its examples build on each other and pytest-xdist would spread them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from pathlib import Path

import pytest
from sybil import Document
from sybil.document import PythonDocStringDocument
from sybil.example import SybilFailure
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: the tests already fill the processors

_ROOT = Path(__file__).parent
_FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE
_PAGE = (PythonCodeBlockParser(doctest_optionflags=_FLAGS), SkipParser())
_DOCSTRINGS = (DocTestParser(_FLAGS),)


class ExamplesFile(pytest.File):
    """A file with examples."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield one item if there are examples in the file."""
        document = parsed(self.path)
        if any(True for _ in document.examples()):
            yield Examples.from_parent(self, name="examples")


class Examples(pytest.Item):
    """All examples of a file, in their order and in one namespace."""

    def runtest(self) -> None:
        """Run them in an empty directory."""
        document = parsed(self.path)
        document.namespace["__name__"] = "__main__"  # so that functions go to workers as they do from a script
        with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
            for example in document.examples():
                example.evaluate()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: str | None = None) -> str:
        """Show the example that failed, not the machinery."""
        if isinstance(excinfo.value, SybilFailure):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[os.PathLike[str], int, str]:
        """Say which page it is."""
        return self.path, 0, f"the examples of {self.path.relative_to(_ROOT)}"


def parsed(path: Path) -> Document:
    """Read the examples of a page or of a module's docstrings."""
    if path.suffix == ".py":
        return PythonDocStringDocument.parse(str(path), *_DOCSTRINGS)
    return Document.parse(str(path), *_PAGE)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect README.md, the pages of docs/ and the modules of src/."""
    page = file_path == _ROOT / "README.md" or (file_path.suffix == ".md" and file_path.parent == _ROOT / "docs")
    module = file_path.suffix == ".py" and file_path.is_relative_to(_ROOT / "src")
    return ExamplesFile.from_parent(parent, path=file_path) if page or module else None
