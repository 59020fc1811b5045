"""The summary says in plain words what there is to know, and nothing that is not so."""

import numpy as np
import pytest

from luthier.data import from_arrays
from luthier.estimators.job import Job
from luthier.estimators.summary import short, summary, write_summary
from luthier.estimators.wishes import Wishes


def job(x, y, **wishes):
    settings = {"budget": 2, "epochs": 5, "workers": 0, "view": "none", **wishes}
    return Job(from_arrays(x, y), Wishes(**settings)).run()


@pytest.fixture(scope="module")
def classes():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    return job(rng.normal(size=(200, 3)) + 1.5 * np.eye(3)[y], np.array(["a|b", "c", "d"])[y])


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    return job(x, 5000.0 * x[:, 0] + 90_000.0)


def test_a_classifiers_page_has_every_part(classes):
    page = summary(classes)
    for part in ("## The data", "## What was tried", "## The best configuration", "## What it is worth",
                 "## How far its probabilities can be trusted", "## Worst mistakes"):  # fmt: skip
        assert part in page
    assert "always saying the most frequent class" in page.lower()
    assert "| a\\|b |" in page  # a bar in a label does not break the table
    result = classes.test["result"]
    assert f"{100 * result['metrics']['acc']:.1f} %" in page


def test_the_confusion_matrix_and_the_figures_of_classes_agree(classes):
    result = classes.test["result"]
    table = np.array(result["table"])
    assert table.sum() == result["rows"]
    for n, entry in enumerate(result["classes"]):
        assert entry["rows"] == table[n].sum()
        assert entry["recall"] == pytest.approx(table[n, n] / table[n].sum())
    assert result["metrics"]["acc"] == pytest.approx(np.trace(table) / table.sum())


def test_the_worst_mistakes_are_wrong_and_in_order_of_confidence(classes):
    worst = classes.test["result"]["worst"]
    assert all(entry["true"] != entry["predicted"] for entry in worst)
    assert [entry["how"] for entry in worst] == sorted((entry["how"] for entry in worst), reverse=True)
    data = classes.prepared.dataset
    assert all(str(data.targets[entry["row"]]) == entry["true"] for entry in worst)


def test_calibration_is_told_before_and_after(classes):
    page = summary(classes)
    if classes.model.temperature != 1.0:
        assert f"temperature of {classes.model.temperature:.2f}" in page
        np.testing.assert_array_equal(
            classes.outputs["calibrated"].argmax(1), classes.outputs["valid"].argmax(1)
        )  # fmt: skip


def test_a_regressions_page_speaks_of_units(numbers):
    page = summary(numbers)
    assert "It is off by" in page
    assert "probabilities" not in page
    assert "R²" in short(numbers)


def test_without_a_test_the_page_says_so():
    rng = np.random.default_rng(0)
    fitted = job(rng.normal(size=(60, 2)), rng.integers(2, size=60), test=False, budget=1)
    page = summary(fitted)
    assert "The configuration was chosen by these rows" in page
    assert "measured once" not in page


def test_what_was_trained_again_is_told(classes, monkeypatch):
    assert "was trained again on training and validation rows together" in summary(classes)
    for ends, told in (([4], "trained again for 4 epochs on"), ([5, 0, 0], "Of the 3 networks")):
        monkeypatch.setitem(classes.model.facts, "again", ends)
        monkeypatch.setitem(classes.test["model"], "again", ends)
        assert told in summary(classes)


def test_the_page_and_its_pictures_are_written(numbers, classes, tmp_path):
    page = write_summary(numbers, tmp_path / "n", again="luthier fit x.csv").read_text()
    assert "pictures/predictions.png" in page
    assert "luthier fit x.csv --budget 40m" in page
    page = write_summary(classes, tmp_path / "c").read_text()
    assert "fit(..., budget='40m')" in page
    for name in ("learning_curves", "confusion_matrix", "reliability"):
        assert f"pictures/{name}.png" in page
        assert (tmp_path / "c" / "pictures" / f"{name}.png").stat().st_size > 3000
