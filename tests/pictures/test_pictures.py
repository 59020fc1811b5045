"""Pictures: what is drawn is what was given, also at the edges, and nothing global changes."""

import warnings

import numpy as np
import pytest

from luthier import pictures
from luthier.errors import SettingError

matplotlib = pytest.importorskip("matplotlib")
RNG = np.random.default_rng(0)


def texts(figure):
    """Every text of a figure, as one."""
    return "\n".join(part.get_text() for part in figure.findobj(matplotlib.text.Text))


def test_no_window_and_no_setting_is_touched():
    import sys

    before = dict(matplotlib.rcParams)
    figure = pictures.confusion_matrix([0, 1], [0, 0])
    assert dict(matplotlib.rcParams) == before
    if "matplotlib.pyplot" in sys.modules:
        assert figure.number if hasattr(figure, "number") else True
        assert not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    figure = pictures.reliability([[0.2, 0.8]], [1])
    path = pictures.save(figure, tmp_path / "new" / "picture")
    assert path.name == "picture.png"
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert pictures.save(figure, tmp_path / "new" / "picture.svg").read_text().startswith("<?xml")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        pictures.save(figure, path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["picture.png", "picture.svg"]
    with pytest.raises(SettingError, match=r"png, pdf, svg.*picture\.doc"):
        pictures.save(figure, tmp_path / "picture.doc")


def test_a_confusion_matrix_counts():
    figure = pictures.confusion_matrix(["a", "a", "b", "b", "b"], ["a", "b", "b", "b", "b"], classes=["a", "b"])
    found = texts(figure)
    assert "1 of 5 wrong (20.0%)" in found
    numbers = [part.get_text() for part in figure.axes[0].texts]
    assert sorted(numbers) == ["1", "1", "3"]


def test_a_class_without_rows_is_said_to_have_none():
    assert "no row of this class" in texts(pictures.confusion_matrix([0, 2], [0, 1], classes=["a", "b", "c"]))


def test_of_a_thousand_classes_those_with_the_most_mistakes_are_drawn():
    truth = RNG.integers(0, 1000, 5000)
    said = np.where(truth == 777, 778, truth)
    figure = pictures.confusion_matrix(truth, said, classes=[f"c{k}" for k in range(1000)])
    found = texts(figure)
    assert "39 classes of 1000" in found
    assert "c777" in found
    assert "others" in found
    assert len(figure.axes[0].get_xticks()) == 40


def test_labels_that_are_no_class_and_no_rows_are_told():
    with pytest.raises(SettingError, match="did you mean 'cat'"):
        pictures.confusion_matrix(["cat"], ["cta"], classes=["cat", "dog"])
    with pytest.raises(SettingError, match="no row"):
        pictures.confusion_matrix([], [])


def test_the_reliability_diagram_says_the_calibration_error():
    table = np.tile([0.9, 0.1], (100, 1))
    found = texts(pictures.reliability(table, [0] * 70 + [1] * 30))
    assert "calibration error 20.0%" in found
    assert "mean confidence 90.0%, accuracy 70.0%" in found


def test_rows_that_are_not_numbers_are_left_out_and_told():
    table = np.array([[0.9, 0.1], [np.nan, 0.5], [0.2, 0.8]])
    assert "1 rows without a number" in texts(pictures.reliability(table, [0, 0, 1]))
    with pytest.raises(SettingError, match="diverged"):
        pictures.reliability(np.full((3, 2), np.nan), [0, 0, 1])
    with pytest.raises(SettingError, match="sums to"):
        pictures.reliability([[3.0, 1.0]], [0])


@pytest.mark.parametrize("classes", [2, 30])
def test_a_boundary_is_drawn_for_any_number_of_classes(classes):
    centers = RNG.normal(size=(classes, 2)) * 4
    points = np.repeat(centers, 4, 0) + 0.1 * RNG.normal(size=(4 * classes, 2))

    def nearest(x):
        raised = np.exp(-(((x[:, None] - centers) ** 2).sum(2)) + 1e-9) + 1e-12
        return raised / raised.sum(1, keepdims=True)

    figure = pictures.decision_boundary(nearest, points, np.repeat(np.arange(classes), 4), resolution=40)
    figure.canvas.draw()
    assert "wrong" not in texts(figure)


def linear(x):
    p = 1 / (1 + np.exp(-x[:, :1] * 3))
    return np.hstack([1 - p, p])


def test_many_features_are_cut_by_a_plane_and_its_share_of_the_variance_is_told():
    points = RNG.normal(size=(50, 6)) * np.array([5.0, 2.0, 0.1, 0.1, 0.1, 0.1])
    truth = (points[:, 0] > 0).astype(int)
    principal = pictures.decision_boundary(linear, points, truth, resolution=30)
    assert "holds 100% of the variance" in texts(principal)
    assert "first principal direction" in texts(principal)
    chosen = pictures.decision_boundary(linear, points, truth, directions=(0, 3), resolution=30)
    assert "feature 3" in texts(chosen)
    vectors = pictures.decision_boundary(linear, points, truth, directions=np.eye(6)[[1, 2]], resolution=30)
    assert "first direction" in texts(vectors)


@pytest.mark.parametrize(
    ("points", "directions", "words"),
    [
        (np.zeros((5, 1)), "principal", "two features"),
        (np.full((5, 2), np.nan), "principal", "finite"),
        (np.zeros((5, 4)), (1, 1), "parallel"),
        (np.zeros((5, 4)), (1, 9), "from 0 to 3"),
        (np.zeros((5, 4)), "best", "'principal'"),
        (np.zeros((5, 4)), np.ones((3, 4)), r"\(2, 4\)"),
    ],
)
def test_directions_that_span_nothing_are_told(points, directions, words):
    with pytest.raises(SettingError, match=words):
        pictures.decision_boundary(linear, points, np.zeros(len(points), int), directions=directions)


@pytest.mark.parametrize("shape", [(8, 1, 3, 3), (8, 3, 5, 5), (60, 3, 5, 5), (12, 40, 3, 3), (6, 4, 9), (3, 1, 1, 1)])
def test_filters_of_any_shape_are_drawn(shape):
    figure = pictures.filters(RNG.normal(size=shape), most=12)
    assert 1 <= len(figure.axes) <= 12
    figure.canvas.draw()


def test_filters_that_are_not_numbers_or_zero_are_drawn_as_such():
    weight = np.zeros((4, 1, 3, 3))
    weight[2] = np.nan
    assert texts(pictures.filters(weight)).count("NaN") == 1
    with pytest.raises(SettingError, match=r"\(O, C, kh, kw\)"):
        pictures.filters(np.zeros((3, 3)))


def mistakes(rows=20):
    table = RNG.dirichlet(np.full(3, 0.3), rows)
    return table, RNG.integers(0, 3, rows)


@pytest.mark.parametrize(
    "inputs",
    [
        RNG.integers(0, 255, (20, 1, 8, 8)).astype(np.uint8), RNG.random((20, 3, 8, 8)), RNG.random((20, 8, 8)),
        ["a dog for $3 and $4 " * 40] * 20, [RNG.normal(size=500)] * 20, RNG.normal(size=(20, 5)),
        {"age": RNG.normal(size=20), "city": np.array(["Rome"] * 20, dtype=object)},
    ],
    ids=["gray", "color", "plain", "text", "audio", "numbers", "table"],
)  # fmt: skip
def test_mistakes_of_every_kind_of_data_are_drawn(inputs):
    table, truth = mistakes()
    figure = pictures.worst_mistakes(
        inputs, truth, table, classes=["x", "y", "z"], origins=[f"r{k}" for k in range(20)], most=4
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    assert "said" in texts(figure)


def test_the_worst_mistake_comes_first_and_the_right_row_is_named():
    table = np.array([[0.6, 0.4], [np.nan, np.nan], [0.01, 0.99], [0.9, 0.1]])
    figure = pictures.worst_mistakes(np.zeros((4, 1, 2, 2)), [1, 0, 0, 0], table, origins=["a", "b", "c", "d"])
    assert "2 of 2" in texts(figure)
    assert figure.axes[0].get_title() == "said 1 99%\nis 0 1.0%\nc"
    assert figure.axes[1].get_title().endswith("a")


def test_no_mistake_is_a_picture_too():
    assert "No mistake in 2 rows" in texts(pictures.worst_mistakes(["a", "b"], [0, 1], np.eye(2)))


def test_inputs_of_other_length_are_told():
    with pytest.raises(SettingError, match="same rows, got 2 and 1"):
        pictures.worst_mistakes(["a", "b"], [0], [[0.5, 0.5]])


def curve(epochs=5):
    return [{"loss": 1 / (k + 1), "valid_loss": 1.2 / (k + 1), "acc": 1 - 1 / (k + 2)} for k in range(epochs)]


def test_training_and_validation_share_a_panel_and_the_best_epoch_is_marked():
    figure = pictures.learning_curves(curve())
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "acc"]
    assert "0.24" in texts(figure)
    assert "0.8333" in texts(figure)


def test_the_end_of_a_divergent_training_is_marked():
    figure = pictures.learning_curves([*curve(2), {"loss": np.nan, "valid_loss": np.nan, "acc": np.nan}])
    assert "not finite" in texts(figure)
    nothing = pictures.learning_curves([{"loss": np.nan}])
    assert "no finite value" in texts(nothing)


def test_several_trainings_are_told_apart_and_metrics_chosen():
    figure = pictures.learning_curves({f"t{k}": curve(3 + k) for k in range(3)}, metrics=["acc"])
    assert len(figure.axes) == 1
    assert {"t0", "t1", "t2"} <= set(texts(figure).split("\n"))
    many = pictures.learning_curves({f"t{k}": curve() for k in range(30)})
    assert "t0" not in texts(many)


def test_a_curve_without_epochs_or_metric_is_told():
    with pytest.raises(SettingError, match="no epoch"):
        pictures.learning_curves([])
    with pytest.raises(SettingError, match=r"no metric 'f1'.*loss, valid_loss, acc"):
        pictures.learning_curves(curve(), metrics=["f1"])


def test_the_review_curve_marks_the_cheapest_share():
    sure = np.linspace(0, 1, 100)
    figure = pictures.review_curve(sure, sure > 0.3, error=10, look=1, threshold=0.3)
    ring = next(line for line in figure.axes[1].get_lines() if line.get_label() == "cheapest here")
    assert ring.get_xdata()[0] == pytest.approx(0.3, abs=0.011)
    with pytest.raises(SettingError, match="at least one row"):
        pictures.review_curve([], [], error=1, look=1)
    with pytest.raises(SettingError, match="both prices or none"):
        pictures.review_curve(sure, sure > 0.3, error=1)


def test_a_review_curve_without_prices_draws_the_error_only():
    figure = pictures.review_curve(np.linspace(0, 1, 100), np.arange(100) % 5 > 0, threshold=0.25)
    (axes,) = figure.axes
    share = next(line for line in axes.get_lines() if line.get_label() == "threshold 0.250")
    assert share.get_xdata()[0] == pytest.approx(0.25, abs=0.01)
