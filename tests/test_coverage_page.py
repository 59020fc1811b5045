"""docs/coverage.md names only what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/coverage.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ") for line in PAGE.splitlines() if re.match(r"\| [A-Z]\d", line)]


def test_every_row_has_an_example_and_a_test_that_exist():
    assert ROWS
    for row in ROWS:
        identity, _, example, tests = row
        pages = re.findall(r"\]\(([\w.-]+\.md)", example)
        assert pages and all((ROOT / "docs" / page).is_file() for page in pages), identity
        files = re.findall(r"`(tests/[^`]+)`", tests)
        assert files and all((ROOT / file).is_file() for file in files), (identity, files)


def test_an_id_has_one_row():
    ids = [re.match(r"\| ([A-Z]\d+)", row[0])[1] for row in ROWS]
    assert len(ids) == len(set(ids))
