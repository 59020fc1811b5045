"""The queue: written whole, read back whatever people and spreadsheets did to it, merged, and trained on again."""

import csv

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from luthier.classifiers import Review, Temperature, read_answers
from luthier.errors import DataError, SettingError

CLASSES = ("cat", "dog", "émeu")
ORIGINS = [f"zoo/{row}.png" for row in range(40)]


@pytest.fixture
def queue(tmp_path):
    """A queue of 40 rows of which the 12 least sure are written."""
    table = np.random.default_rng(0).dirichlet(np.ones(3), 40)
    review = Review.at_rate(table, np.zeros(40, int), rate=0.3)
    path = tmp_path / "queue.csv"
    assert review.queue(path, table, classes=CLASSES, origins=ORIGINS) == 12
    return path, table, np.flatnonzero(review.looks(table))


def lines(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def written(path, rows, *, encoding="utf-8", delimiter=","):
    with open(path, "w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def test_the_least_sure_row_comes_first_with_its_likeliest_classes(queue):
    path, table, asked = queue
    head, *rows = lines(path)
    assert head == ["row", "origin", "predicted", "confidence", "likely", "number", "answer"]
    assert [int(row[0]) for row in rows] == sorted(asked, key=lambda row: table[row].max())
    first = int(rows[0][0])
    assert rows[0][1:3] == [ORIGINS[first], CLASSES[table[first].argmax()]]
    assert rows[0][4].startswith(f"{CLASSES[table[first].argmax()]} {table[first].max():.1%} | ")
    assert [row[5] for row in rows] == [f"{number} of 12" for number in range(1, 13)]
    assert {row[6] for row in rows} == {""}


def test_the_content_of_a_row_can_be_shown_to_the_person(queue, tmp_path):
    _, table, asked = queue
    review = Review.at_rate(table, np.zeros(40, int), rate=0.3)
    review.queue(tmp_path / "q.csv", table, classes=CLASSES, contents=[f"=text {row}" for row in range(40)])
    head, *rows = lines(tmp_path / "q.csv")
    assert head[:3] == ["row", "origin", "content"]
    assert {row[2] for row in rows} == {f"'=text {row}" for row in asked}
    with pytest.raises(SettingError, match="40 rows need 40 contents, got 1"):
        review.queue(tmp_path / "q.csv", table, contents=["one"])


def test_lines_that_were_deleted_are_told_by_their_numbers(queue):
    path, _, _ = queue
    head, *rows = lines(path)
    written(path, [head, *rows[:2], *rows[3:9], *rows[10:]])
    assert read_answers(path, classes=CLASSES).problems == ("2 lines of the queue are not in the file: 3, 10",)


def test_an_untouched_queue_has_no_answers_and_no_problems(queue):
    answers = read_answers(queue[0], classes=CLASSES, origins=ORIGINS, rows=queue[2])
    assert (len(answers.rows), answers.unanswered, answers.problems) == (0, 12, ())


@given(st.lists(st.integers(0, 2), min_size=12, max_size=12), st.randoms())
def test_answers_come_back_whatever_the_order_of_rows_and_columns(tmp_path_factory, chosen, random):
    table = np.random.default_rng(0).dirichlet(np.ones(3), 40)
    review = Review.at_rate(table, np.zeros(40, int), rate=0.3)
    path = tmp_path_factory.mktemp("queue") / "q.csv"
    review.queue(path, table, classes=CLASSES, origins=ORIGINS)
    head, *rows = lines(path)
    for row, place in zip(rows, chosen, strict=True):
        row[-1] = CLASSES[place]
    expected = {int(row[0]): place for row, place in zip(rows, chosen, strict=True)}
    random.shuffle(rows)
    order = list(range(7))
    random.shuffle(order)
    answers = read_answers(
        written(path, [[row[k] for k in order] for row in [head, *rows]]), classes=CLASSES, origins=ORIGINS
    )
    assert dict(zip(answers.rows.tolist(), answers.places.tolist(), strict=True)) == expected
    assert answers.labels.tolist() == [CLASSES[place] for place in answers.places]
    assert answers.problems == ()


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("utf-8", ","), ("utf-8-sig", ";"), ("utf-16", "\t"), ("cp1252", ";")]
)
def test_it_is_read_as_spreadsheets_save_it(queue, encoding, delimiter):
    path, _, asked = queue
    head, *rows = lines(path)
    rows = [[*row[:6], " ÉMEU ", "my note"] for row in rows]
    written(path, [["Row", *head[1:6], "ANSWER", "notes"], *rows, [""] * 8], encoding=encoding, delimiter=delimiter)
    answers = read_answers(path, classes=CLASSES, origins=ORIGINS)
    assert answers.rows.tolist() == asked.tolist()
    assert set(answers.labels) == {"émeu"}


def test_what_cannot_be_taken_is_told_with_its_line(queue):
    path, _, asked = queue
    head, *rows = lines(path)
    for row in rows:
        row[-1] = "dog"
    rows[0][-1], rows[1][-1], rows[2][0], rows[3][1] = "dgo", "?", "x7", "zoo/wrong.png"
    rows[4][0] = "99"
    gone = int(rows.pop()[0])
    twice = [*rows[5][:6], "cat"]
    answers = read_answers(written(path, [head, *rows, twice]), classes=CLASSES, origins=ORIGINS, rows=asked)
    told = "\n".join(answers.problems)
    assert "line 2: 'dgo' is none of the 3 classes; did you mean 'dog'?" in told
    assert "line 4: the row 'x7' is no number" in told
    assert "line 5:" in told
    assert "was a column sorted alone?" in told
    assert "line 6: there are 40 rows, got row 99" in told
    assert f"row {rows[5][0]} was answered otherwise in line 7: both are left out" in told
    assert str(gone) in told.splitlines()[-1]
    assert "not in the file" in told
    assert answers.unanswered == 1
    assert len(answers.rows) == 12 - 1 - 5 - 1
    assert told.splitlines()[0] in str(answers)


def test_numbers_are_understood_as_spreadsheets_write_them(tmp_path):
    path = written(tmp_path / "q.csv", [["row", "answer"], ["3.0", "7.0"], ["1", "2"]])
    answers = read_answers(path, classes=10)
    assert (answers.rows.tolist(), answers.places.tolist()) == ([1, 3], [2, 7])


def test_classes_that_differ_in_case_only_are_kept_apart(tmp_path):
    path = written(tmp_path / "q.csv", [["row", "answer"], ["0", "a"], ["1", "A"], ["2", "b"], ["3", "Bb"]])
    answers = read_answers(path, classes=["a", "A", "B"])
    assert answers.places.tolist() == [0, 1, 2]
    assert "did you mean 'B'" in answers.problems[0]


def test_names_that_look_like_formulas_are_harmless_and_come_back(tmp_path):
    table = np.full((12, 2), 0.5)
    review = Review.choose(table, np.arange(12) % 2, error=10.0, look=1.0)
    origins = [f"=cmd|{row}" for row in range(12)]
    review.queue(tmp_path / "q.csv", table, classes=["+1 up", "-1"], origins=origins)
    head, *rows = lines(tmp_path / "q.csv")
    assert rows[0][1] == "'=cmd|0"
    assert rows[0][2] == "'+1 up"
    for row in rows:
        row[-1] = row[2]
    answers = read_answers(written(tmp_path / "q.csv", [head, *rows]), classes=["+1 up", "-1"], origins=origins)
    assert len(answers.rows) == 12
    assert answers.problems == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"origin,answer\na,b\n", "needs the column 'row'"),
        (b"PK\x03\x04...", "save it as CSV"),
    ],
)
def test_a_file_that_is_no_queue_is_told(tmp_path, content, words):
    (tmp_path / "q.csv").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_answers(tmp_path / "q.csv", classes=2)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_answers(tmp_path / "none.csv", classes=2)


def test_a_failed_write_leaves_the_old_queue(queue, monkeypatch):
    path, table, _ = queue
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        Review.at_rate(table, np.zeros(40, int), rate=0.9).queue(path, table)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def answered(tmp_path):
    return read_answers(
        written(tmp_path / "a.csv", [["row", "answer"], ["2", "dog"], ["0", "cat"]]), classes=["cat", "dog"]
    )


def test_answers_are_merged_into_every_kind_of_data(tmp_path):
    answers = answered(tmp_path)
    x, y = answers.merge(np.zeros((2, 3)), np.array([1, 1]), np.arange(9.0).reshape(3, 3))
    assert x.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 2], [6, 7, 8]]
    assert y.tolist() == [1, 1, 0, 1]
    x, y = answers.merge(["a"], ["cat"], ["p", "q", "r"], repeat=2)
    assert (x, y) == (["a", "p", "r", "p", "r"], ["cat", "cat", "dog", "cat", "dog"])
    x, y = answers.merge({"age": np.array([1.0])}, np.array(["dog"]), {"age": np.array([5.0, 6.0, 7.0])})
    assert x["age"].tolist() == [1.0, 5.0, 7.0]
    assert y.tolist() == ["dog", "cat", "dog"]
    x, y = answers.merge(torch.zeros(1, 2), torch.tensor([1]), torch.ones(3, 2))
    assert (x.shape, y.dtype, y.tolist()) == ((3, 2), torch.int64, [1, 0, 1])
    (first, second), y = answers.merge(
        (torch.zeros(1), torch.zeros(1)), torch.tensor([1]), (torch.ones(3), torch.ones(3))
    )
    assert len(first) == len(second) == len(y) == 3


def test_a_pool_that_does_not_fit_is_told(tmp_path):
    answers = answered(tmp_path)
    with pytest.raises(SettingError, match="is it another"):
        answers.merge(np.zeros((1, 2)), np.array([0]), np.zeros((2, 2)))
    with pytest.raises(SettingError, match="one shape"):
        answers.merge(np.zeros((1, 2)), np.array([0]), np.zeros((3, 4)))
    with pytest.raises(SettingError, match="same columns"):
        answers.merge({"a": np.zeros(1)}, np.array([0]), {"b": np.zeros(3)})


def test_retraining_with_the_answers_makes_fewer_errors(tmp_path):
    x, y = load_digits(return_X_y=True)
    known, held, pool, asked = slice(0, 100), slice(100, 400), slice(400, 1200), slice(1200, None)
    model = LogisticRegression(max_iter=300).fit(x[known], y[known])
    scores = [np.log(model.predict_proba(x[part])) for part in (held, pool)]
    temperature = Temperature.fit(scores[0], y[held])
    review = Review.choose(temperature.probabilities(scores[0]), y[held], error=5.0, look=1.0)
    review.queue(tmp_path / "q.csv", temperature.probabilities(scores[1]))
    head, *rows = lines(tmp_path / "q.csv")
    for row in rows:
        row[-1] = str(y[pool][int(row[0])])  # the person
    answers = read_answers(written(tmp_path / "q.csv", [head, *rows]), classes=10)
    again = LogisticRegression(max_iter=300).fit(*answers.merge(x[known], y[known], x[pool]))
    assert len(answers.rows) > 50
    assert again.score(x[asked], y[asked]) > model.score(x[asked], y[asked]) + 0.01
