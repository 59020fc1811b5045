"""What a person looks at, through a job: chosen, saved, chosen anew, written down, answered and trained on."""

import csv
import json

import numpy as np
import pytest

import luthier as lt
from luthier.classifiers import Review
from luthier.data import from_arrays, split
from luthier.errors import DataError, SettingError
from luthier.estimators import load
from luthier.estimators.answered import with_answers
from luthier.estimators.job import Job
from luthier.estimators.prepared import prepare
from luthier.estimators.reviewing import Asked
from luthier.estimators.summary import short, summary
from luthier.estimators.wishes import Wishes

PRICES = {"error_cost": 5.0, "look_cost": 1.0}


def blobs(n=160, seed=0, apart=1.5):
    """Three clouds that overlap."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    return rng.normal(size=(n, 3)) + apart * np.eye(3)[y], np.array(["ant", "bee", "cat"])[y]


def run(dataset, directory=None, **wishes):
    settings = {"budget": 1, "epochs": 6, "workers": 0, "view": "none", **wishes}
    return Job(dataset, Wishes(**settings), directory=directory).run()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A job with prices, on disk."""
    directory = tmp_path_factory.mktemp("job")
    return run(from_arrays(*blobs()), directory, review=Asked(**PRICES)), directory


def answered(path, right, *, spoil=lambda rows: rows):
    """Fill a queue as a person would."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    for row in rows:
        row[-1] = right[int(row[0])]
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *spoil(rows)])
    return len(rows)


def test_the_threshold_is_the_cheapest_by_calibrated_probabilities_of_validation_rows(made):
    fitted, _ = made
    table = fitted.outputs.get("calibrated", fitted.outputs["valid"])
    expected = Review.choose(table, fitted.prepared.parts.valid[1].numpy(), error=5.0, look=1.0)
    assert fitted.model.review.threshold == expected.threshold
    assert str(fitted.model.review) == str(expected)


def test_a_saved_model_brings_its_review_along_and_another_can_be_chosen(made):
    fitted, directory = made
    model = load(directory)
    assert str(model.review) == str(fitted.model.review)
    np.testing.assert_array_equal(model.review.prices, fitted.model.review.prices)
    assert json.loads((directory / "model/model.json").read_text())["review"]["threshold"] == model.review.threshold
    assert str(model.reviewing(**PRICES).review) == str(model.review)
    assert model.reviewing(error_cost=5.0).review.look == 1.0
    assert model.reviewing(review_rate=0.0).review.threshold == 0.0
    assert model.reviewing(error_cost=500.0).review.threshold >= model.review.threshold
    assert str(model.review) == str(fitted.model.review)  # the model itself is as it was


def test_a_review_with_prices_by_class_is_saved_too(made, tmp_path):
    fitted, directory = made
    model, prices = load(directory), np.array([[0.0, 5, 9], [2, 0, 3], [4, 4, 0]])
    table, y = fitted.outputs["valid"], fitted.prepared.parts.valid[1].numpy()
    model.review = Review.choose(table, y, error=prices, look=1.0)
    model.save(tmp_path / "own")
    again = load(tmp_path / "own").review
    assert str(again) == str(model.review)
    np.testing.assert_array_equal(again.prices, prices)


def test_the_summary_says_where_a_person_looks_and_what_to_expect(made):
    fitted, directory = made
    text = (summary(fitted, directory=directory), short(fitted))
    review = fitted.model.review
    assert f"less than {100 * review.threshold:.1f} % sure" in text[0]
    assert "an error costs 5, a look 1" in text[0]
    assert f"{100 * review.error.low:.1f} % to {100 * review.error.high:.1f} %" in text[1]
    sure, y = fitted.outputs["test"].max(1), fitted.model.targets.encode(fitted.prepared.part("test")).numpy()
    kept = sure >= review.threshold
    wrong = fitted.outputs["test"].argmax(1) != y
    row = next(line for line in text[0].splitlines() if line.startswith("| wrong among"))
    assert row.endswith(f"| {100 * wrong[kept].mean():.1f} % |")
    cost = np.where(kept, 5.0 * wrong, 1.0).mean()
    row = next(line for line in text[0].splitlines() if line.startswith("| cost a row"))
    assert row.endswith(f"| {cost:.3g} |")


def test_other_prices_for_a_finished_job_change_the_model_and_no_weights(tmp_path):
    data = from_arrays(*blobs())
    first = run(data, tmp_path)
    assert first.model.review is None
    assert "person" not in summary(first)
    x = blobs(20, seed=3)[0]
    before = load(tmp_path).predict_proba(x)
    cheap = run(data, tmp_path, review=Asked(review_rate=0.5))
    assert load(tmp_path).review.threshold == cheap.model.review.threshold > 0.0
    assert "cost a row" not in summary(cheap)
    again = run(data, tmp_path)  # not said anew: it stays
    assert again.asked == Asked(review_rate=0.5)
    assert str(load(tmp_path).review) == str(cheap.model.review)
    np.testing.assert_array_equal(load(tmp_path).predict_proba(x), before)


def test_a_model_of_an_ensemble_and_of_folds_has_a_review():
    data = from_arrays(*blobs())
    for wishes in ({"ensemble": True}, {"folds": 2}):
        assert 0.0 < run(data, review=Asked(review_rate=0.3), epochs=3, **wishes).model.review.threshold < 1.0


def test_a_queue_names_the_rows_and_shows_their_columns(made, tmp_path):
    model, (x, _) = load(made[1]), blobs(40, seed=3)
    count = model.queue(tmp_path / "q.csv", x)
    with open(tmp_path / "q.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count == int(model.review.looks(model.predict_proba(x)).sum()) > 0
    first = int(rows[0]["row"])
    assert rows[0]["content"] == ", ".join(f"x{k}={x[first][k]:.6g}" for k in range(3))
    assert rows[0]["predicted"] == model.predict(x)[first]


def test_answers_are_trained_on_and_the_others_stay_where_they_were(made, tmp_path):
    model, (x, y), (new, truth) = load(made[1]), blobs(), blobs(60, seed=3)
    model.queue(tmp_path / "q.csv", new)

    def spoil(rows):
        rows[0][-1], rows[1][-1], rows[2][0] = "bug", "", "x"
        return rows[:4] + rows[5:]

    count = answered(tmp_path / "q.csv", truth, spoil=spoil)
    data = with_answers(from_arrays(x, y), {tmp_path / "q.csv": new})
    assert len(data) == 160 + count - 4
    known = {row.tobytes(): label for row, label in zip(new, truth, strict=True)}
    added = np.column_stack([column[160:] for column in data.inputs.values()])
    assert [known[np.ascontiguousarray(row).tobytes()] for row in added] == data.targets[160:].tolist()
    assert split(data).test.tolist() == split(from_arrays(x, y)).test.tolist()
    told = "\n".join(data.notes)
    assert f"q.csv: {count - 4} answers of a person to train on, 1 row without one" in told
    assert "q.csv, line 2: 'bug' is none of the 3 classes" in told
    assert "q.csv, line 4: the row 'x' is no number of a row" in told
    assert "1 line of the queue is not in the file: 5" in told
    fitted = run(data)
    assert fitted.prepared.rows["train"].tolist()[-1] == len(data) - 1
    assert f"{count - 4} answers" in summary(fitted)


def test_answers_bring_no_column_back_and_move_no_row_to_another_part(made, tmp_path):
    """With the answers there are 200 rows and more, and their numbers no longer count them."""
    model, (x, y), (new, truth) = load(made[1]), blobs(190), blobs(60, seed=3)
    model.queue(tmp_path / "q.csv", new)
    answered(tmp_path / "q.csv", truth)
    names = ("x0", "x1", "x2")

    def numbered(values, first):
        return {"nr": np.arange(first, first + len(values)), **dict(zip(names, values.T, strict=True))}

    base = from_arrays(numbered(x, 0), y)
    joined = with_answers(base, {tmp_path / "q.csv": numbered(new, 7)})
    assert tuple(joined.inputs) == names
    before, after = (prepare(data) for data in (base, joined))
    assert after.dataset.inputs.keys() == before.dataset.inputs.keys()
    for part in ("valid", "test"):
        assert after.rows[part].tolist() == before.rows[part].tolist()


def test_a_second_queue_with_the_same_rows_is_told_and_the_first_counts(made, tmp_path):
    model, data, (new, truth) = load(made[1]), from_arrays(*blobs()), blobs(60, seed=3)
    for name in ("a.csv", "b.csv"):
        model.queue(tmp_path / name, new)
        answered(tmp_path / name, truth)
    both = with_answers(data, {tmp_path / "a.csv": new, tmp_path / "b.csv": new})
    assert len(both) == len(with_answers(data, {tmp_path / "a.csv": new}))
    assert any(note.startswith("b.csv: ") and "there is nothing to add" in note for note in both.notes)


def test_the_review_of_a_model_that_is_there_is_chosen_by_its_own_probabilities(tmp_path):
    data = from_arrays(*blobs())
    made = run(data, tmp_path, calibrate=False)
    assert made.model.temperature == 1.0
    again = run(data, tmp_path, calibrate=False, review=Asked(review_rate=0.2))
    expected = Review.at_rate(again.outputs["valid"], again.prepared.parts.valid[1].numpy(), rate=0.2)
    assert again.model.temperature == 1.0
    assert load(tmp_path).review.threshold == again.model.review.threshold == expected.threshold


def test_fit_takes_prices_and_answers_in_one_call(made, tmp_path):
    model, (x, y), (new, truth) = load(made[1]), blobs(), blobs(60, seed=3)
    model.queue(tmp_path / "q.csv", new)
    count = answered(tmp_path / "q.csv", truth)
    settings = {"budget": 1, "epochs": 3, "workers": 0, "view": "none"}
    net = lt.fit(x, y, error_cost=5.0, answers={tmp_path / "q.csv": new}, **settings)
    assert net.model_.review.look == 1.0
    assert net.model_.facts["rows"]["train"] == count + len(
        split(from_arrays(x, y), shares={"valid": 0.2, "test": 0.15}).train
    )


def test_a_queue_without_answers_or_of_other_data_is_refused(made, tmp_path):
    model, data, (new, truth) = load(made[1]), from_arrays(*blobs()), blobs(60, seed=3)
    model.queue(tmp_path / "q.csv", new)
    with pytest.raises(DataError, match=r"no answer that can be taken: .* rows without one, 0 problems"):
        with_answers(data, {tmp_path / "q.csv": new})
    answered(tmp_path / "q.csv", truth)
    with pytest.raises(DataError, match=r"there are 1 rows, got row [0-9]+(?s:.*)is that arrays\?"):
        with_answers(data, {tmp_path / "q.csv": new[:1]})
    numbers = from_arrays(blobs()[0], np.linspace(0.0, 1.0, 160))
    with pytest.raises(SettingError, match="leave answers out"):
        with_answers(numbers, {tmp_path / "q.csv": new})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"look_cost": 1.0}, "give error_cost"),
        ({"error_cost": 5.0, "review_rate": 0.1}, "prices or by a rate"),
        ({"error_cost": -1.0}, "at least 0, got -1.0"),
        ({"error_cost": float("nan")}, "at least 0, got nan"),
        ({"error_cost": 1.0, "look_cost": -2.0}, "look_cost is a number"),
        ({"review_rate": 10.0}, "0.1 is a tenth"),
    ],
)
def test_what_cannot_be_asked_is_told(given, words):
    with pytest.raises(SettingError, match=words):
        Asked.of(**given)


def test_reviews_need_classes_prices_and_enough_rows(made):
    with pytest.raises(SettingError, match="leave error_cost, look_cost and review_rate out"):
        Wishes(review=Asked(review_rate=0.1)).check("number")
    with pytest.raises(DataError, match="10 validation rows at least, and there are"):
        run(from_arrays(*blobs(40)), review=Asked(review_rate=0.1))
    model = load(made[1])
    with pytest.raises(SettingError, match="say by what"):
        model.reviewing()
    model.review = None
    with pytest.raises(SettingError, match="--error-cost, --look-cost and --review-rate"):
        model.queue("q.csv", blobs(5)[0])
    model.track = None
    with pytest.raises(SettingError, match="fit it again"):
        model.reviewing(review_rate=0.1)
