"""Tables in files: CSV and its many faults, JSON lines, Parquet."""

import csv
import gzip
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.data import from_arrays, look, read
from luthier.errors import DataError

ROWS = "size,color,label\n1,red,a\n2,blue,b\n3,red,a\n4,blue,b\n"


@pytest.fixture
def write(tmp_path):
    def put(name, text, encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return put


def said(dataset, words):
    return any(words in note for note in dataset.notes)


def test_a_table_is_read_with_its_types(write):
    dataset = read(write("t.csv", ROWS))
    assert (dataset.task, dataset.goal, dataset.classes) == ("tabular", "classes", ("a", "b"))
    assert dataset.inputs["size"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert dataset.inputs["color"].tolist() == ["red", "blue", "red", "blue"]
    assert dataset.origins == ("row 2", "row 3", "row 4", "row 5")
    assert said(dataset, "target 'label', by its name")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(write, delimiter):
    assert list(read(write("t.csv", ROWS.replace(",", delimiter))).inputs) == ["size", "color"]


def test_numbers_between_blanks_are_a_table(write):
    dataset = read(write("t.data", "  1.5  2   10\n 2.5  4   20\n 3.5\t6   35\n"))
    assert dataset.inputs["column 2"].tolist() == [2.0, 4.0, 6.0] and dataset.targets.tolist() == [10.0, 20.0, 35.0]


def test_decimal_commas_between_semicolons_are_numbers(write):
    dataset = read(write("t.csv", "a;b;y\n1,5;x;2,25\n2,5;y;3,75\n3,0;x;1,5\n"))
    assert dataset.inputs["a"].tolist() == [1.5, 2.5, 3.0] and dataset.targets.tolist() == [2.25, 3.75, 1.5]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_every_usual_encoding_is_read_and_told(write, encoding):
    dataset = read(write("t.csv", ROWS.replace("red", "grün").replace("blue", "weiß"), encoding))
    assert set(dataset.inputs["color"]) == {"grün", "weiß"} and list(dataset.inputs) == ["size", "color"]
    assert said(dataset, "not UTF-8") == (not encoding.startswith("utf-8"))


def test_a_packed_table_is_unpacked_whatever_its_name(write):
    assert len(read(write("t.csv", gzip.compress(ROWS.encode())))) == 4
    with pytest.raises(DataError, match="damaged gzip"):
        read(write("cut.csv.gz", gzip.compress(ROWS.encode())[:-12]))


def test_rows_of_the_wrong_length_are_left_out_and_named(write):
    text = ROWS + "5,red,a,too,many\n6\n7,red,a\n"
    dataset = read(write("t.csv", text))
    assert dataset.origins == ("row 2", "row 3", "row 4", "row 5", "row 8")
    assert said(dataset, "2 rows without 3 fields left out (row 6 has 5; row 7 has 1)")


def test_a_table_of_mostly_wrong_rows_is_refused(write):
    with pytest.raises(DataError, match="look at the delimiter"):
        read(write("t.csv", "a,b\n" + "1,2\n" * 4 + "1,2,3\n1,2,3,4\n1\n1,2,3\n1,2,3,4,5\n"))


def test_quoted_newlines_and_delimiters_stay_in_their_field(write):
    text = 'note,label\n"one, two\nthree",a\n"he said ""no""",b\nplain,a\n'
    dataset = read(write("t.csv", text), task="tabular")
    assert dataset.inputs["note"].tolist() == ["one, two\nthree", 'he said "no"', "plain"]


def test_comments_and_blank_lines_before_a_table_are_left_out(write):
    for before in ("# made by hand\n# twice\n", "sep=,\n", "\n\r\n"):
        dataset = read(write("t.csv", before + ROWS))
        assert list(dataset.inputs) == ["size", "color"] and len(dataset) == 4
    assert said(read(write("t.csv", "# by hand\n" + ROWS)), "line '# by hand' before the table left out")


def test_a_quote_that_is_never_closed_is_told(write):
    assert said(read(write("t.csv", ROWS + '5,"red,a\n6,red,b\n')), "odd number of quotes")
    assert not said(read(write("t.csv", ROWS + '5,"red",a\n')), "quotes")


def test_very_long_texts_are_read(write):
    lines = [f'"{"word " * 40_000}{i}",{i % 2}' for i in range(4)]
    assert read(write("t.csv", "text,label\n" + "\n".join(lines))).inputs[3].endswith("word 3")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_end_of_a_line_is_one(write, ending):
    dataset = read(write("t.csv", ROWS.replace("\n", ending)))
    assert dataset.targets.tolist() == ["a", "b", "a", "b"]


def test_a_table_of_pixels_is_images_if_asked_for(write):
    rows = np.random.default_rng(0).integers(0, 256, (9, 16))
    text = "label," + ",".join(f"p{i}" for i in range(16)) + "\n"
    text += "".join(f"{i % 3}," + ",".join(map(str, row)) + "\n" for i, row in enumerate(rows))
    dataset = read(write("t.csv", text), task="image")
    assert dataset.inputs.shape == (9, 1, 4, 4) and dataset.inputs.dtype == np.uint8 and dataset.classes == (0, 1, 2)
    np.testing.assert_array_equal(dataset.inputs.reshape(9, 16), rows)
    assert read(write("new.csv", text), like=dataset.form).targets.tolist() == dataset.targets.tolist()


def test_columns_of_the_same_name_are_told_apart(write):
    dataset = read(write("t.csv", "a,a,y\n1,2,x\n3,4,z\n"))
    assert list(dataset.inputs) == ["a", "a (2)"] and said(dataset, "column 'a' occurs again")


@pytest.mark.parametrize("text", ["1,2,0\n3,4,1\n5,6,0\n7,8,1\n", "5.1,red,a\n4.9,blue,b\n4.0,red,a\n"])
def test_a_table_without_a_header_is_recognized(write, text):
    dataset = read(write("t.csv", text))
    assert len(dataset) == text.count("\n") and list(dataset.inputs) == ["column 1", "column 2"]
    assert said(dataset, "no header") and dataset.origins[0] == "row 1"


def test_words_that_occur_again_are_no_header(write):
    dataset = read(write("t.csv", "ham,free\nspam,win\nham,hello\nspam,now\nham,you\n"), target="column 1")
    assert len(dataset) == 5 and dataset.classes == ("ham", "spam")


def test_numbered_columns_are_a_header(write):
    assert list(read(write("t.csv", "0,1,2\n5,6,0\n7,8,1\n4,2,0\n9,9,1\n")).inputs) == ["0", "1"]


def test_names_of_rows_as_r_writes_them(write):
    dataset = read(write("t.csv", "a,y\nr1,1,x\nr2,2,z\nr3,3,x\n"))
    assert list(dataset.inputs) == ["row name", "a"]


def test_a_target_is_found_by_name_or_place_and_told(write):
    assert read(write("a.csv", "y,a\n1.5,2\n2.5,3\n")).form["target"] == "y"
    assert read(write("b.csv", "a,b\n1,1.5\n2,2.5\n")).form["target"] == "b"
    first = read(write("c.csv", "kind,a,b\nx,1,4\nz,2,5\nx,3,9\n"))
    assert first.form["target"] == "kind" and said(first, "the only one of words")
    asked = read(write("a.csv", "y,a\n1.5,2\n2.5,3\n"), target="a")
    assert asked.form["target"] == "a" and list(asked.inputs) == ["y"]


def test_a_column_that_numbers_the_rows_is_never_taken_for_the_target(write):
    rows = "".join(f"{i % 7},{i * i % 11},2024-01-{i + 1:02},{i}\n" for i in range(30))
    last = read(write("a.csv", "a,b,when,row\n" + rows))
    assert last.form["target"] == "b" and "when.days" in last.inputs
    assert said(last, "the last column that can be one ('when' holds dates, 'row' numbers the rows); another one by")
    named = read(write("b.csv", "a,who\n" + "".join(f"{i % 5},name {i}\n" for i in range(30))))
    assert named.form["target"] == "a" and said(named, "'who' names each row")
    assert read(write("a.csv", "a,b,when,row\n" + rows), target="row").form["target"] == "row"


def test_without_a_column_that_can_be_the_target_one_has_to_be_named(write):
    path = write("a.csv", "when,row\n" + "".join(f"2024-01-{i + 1:02},{i}\n" for i in range(30)))
    with pytest.raises(DataError, match=r"'when' holds dates, 'row' numbers the rows.*with target="):
        read(path)


def test_a_misspelt_target_or_column_gets_a_hint(write):
    path = write("t.csv", ROWS)
    with pytest.raises(DataError, match=r"no target column 'lable'.*did you mean 'label'"):
        read(path, target="lable")
    with pytest.raises(DataError, match=r"no column 'colour'.*did you mean 'color'"):
        read(path, columns=["colour"])


def test_columns_can_be_chosen(write):
    assert list(read(write("t.csv", ROWS), columns=["size"]).inputs) == ["size"]


def test_a_split_column_is_honored(write):
    text = "a,split,y\n" + "".join(f"{i},{'test' if i % 5 == 0 else 'train'},{i % 2}\n" for i in range(50))
    dataset = read(write("t.csv", text))
    assert list(dataset.inputs) == ["a"] and (dataset.given == "test").sum() == 10
    assert said(dataset, "column 'split' taken as the split")


def test_a_column_of_sentences_makes_a_data_set_of_texts(write):
    text = "review,stars\n" + "".join(f"this is the review number {i},{i % 3}\n" for i in range(12))
    dataset = read(write("t.csv", text))
    assert (
        dataset.task == "text" and dataset.inputs[3] == "this is the review number 3" and dataset.classes == (0, 1, 2)
    )
    later = read(write("new.csv", "id,review\n1,only one text here\n2,\n"), like=dataset.form)
    assert later.inputs == ["only one text here", ""] and later.targets is None


def test_two_columns_of_sentences_are_sequences(write):
    lines = "".join(f"how do you say number {i},wie sagt man die zahl {i}\n" for i in range(9))
    dataset = read(write("t.csv", "english,german\n" + lines))
    assert dataset.task == "seq2seq" and dataset.targets[2] == "wie sagt man die zahl 2"
    numbers = read(write("n.csv", "source,target\n" + "".join(f"{i:03},{i}x\n" for i in range(9))), task="seq2seq")
    assert numbers.inputs[7] == "007" and numbers.targets[7] == "7x"


def test_a_table_without_a_target_can_be_read_like_another(write):
    first = read(write("t.csv", ROWS))
    later = read(write("new.csv", "color,size\nblue,9\n"), like=first.form)
    assert later.targets is None and later.inputs["size"].tolist() == [9.0] and list(later.inputs) == ["size", "color"]


def test_a_single_row_is_read_as_the_table_that_was_learned_from(write):
    rows = "version;price;when;label\n3.10;0,125;25/04/2024;a\n3.9;1,5;01/02/2024;b\nbeta;12,75;02/02/2024;a\n"
    known = read(write("t.csv", rows * 1), target="label")
    assert known.form["written"] == {"price": "decimal comma", "when": "day first"}
    one = read(write("n.csv", "version;price;when\n3.10;1,250;03/04/2024\n"), like=known.form)
    assert one.inputs["version"].tolist() == ["3.10"]
    assert one.inputs["price"].tolist() == [1.25]
    assert one.inputs["when.month"].tolist() == [4.0]
    assert one.notes == ()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"  \n\n", "is empty"),
        ("t.csv", b"a,b,y\n", "header but no rows"),
        ("t.csv", b"a\n1\n2\n", "one column only"),
        ("t.csv", bytes(range(256)) * 20, "no text file"),
        ("t.parquet", b"PAR1 nonsense", "no Parquet file"),
        ("t.jsonl", b"nonsense\n", "no line is a JSON object"),
        ("t.jsonl", b'{"a": 1, "y": 2}\n' + b"bad\n" * 3, "3 lines are no JSON objects, such as line 2"),
    ],
)
def test_files_that_cannot_be_used_are_named_with_the_reason(write, name, content, message):
    with pytest.raises(DataError, match=message) as info:
        read(write(name, content))
    assert name in str(info.value)


def test_json_lines_are_read_and_bad_ones_named(write):
    lines = [json.dumps({"a": i, "b": None if i == 2 else "x", "y": i % 2 == 0}) for i in range(6)]
    dataset = read(write("t.jsonl", "\n".join([*lines[:3], "{broken", "", *lines[3:]])))
    assert len(dataset) == 6 and dataset.classes == (False, True) and dataset.inputs["b"][2] is None
    assert said(dataset, "1 line left out, no JSON object there (line 4)")
    assert dataset.origins == ("row 1", "row 2", "row 3", "row 6", "row 7", "row 8")


def test_a_list_of_json_objects_is_a_table_and_lists_in_it_are_left_out(write):
    dataset = read(write("t.json", json.dumps([{"a": i, "l": [i], "y": 0.5 * i} for i in range(5)])))
    assert list(dataset.inputs) == ["a"] and said(dataset, "column 'l' left out")


@pytest.mark.parametrize(
    "text", ['{"a": [1, 2], "y": [0.5, 1.5]}', '{"a": {"0": 1, "1": 2}, "y": {"0": 0.5, "1": 1.5}}']
)
def test_json_by_columns_is_a_table(write, text):
    dataset = read(write("t.json", text))
    assert dataset.inputs["a"].tolist() == [1.0, 2.0] and dataset.targets.tolist() == [0.5, 1.5]


def test_targets_of_later_data_are_used_only_if_all_are_there(write):
    form = read(write("t.csv", ROWS)).form
    assert read(write("a.csv", ROWS), like=form).targets.tolist() == ["a", "b", "a", "b"]
    some = read(write("b.csv", ROWS + "9,red,\n"), like=form)
    assert len(some) == 5 and some.targets is None and said(some, "target 'label' not used: 1 row without one")


def test_targets_of_later_data_that_are_something_else_are_not_used_and_told(write):
    known = read(write("t.csv", "x,y\n" + "".join(f"{i},{i / 7}\n" for i in range(30))), target="y")
    later = read(write("n.csv", "x,y\n1,TBD\n2,later\n"), like=known.form)
    assert later.targets is None
    assert said(later, "target 'y' not used")


def test_parquet_keeps_its_types(tmp_path):
    table = pa.table(
        {
            "n": pa.array([1, None, 3, 4], pa.int64()),
            "flag": [True, False, None, True],
            "word": pa.array(["a", "b", None, "a"]).dictionary_encode(),
            "code": ["1", "2", "3", "4"],
            "when": pa.array([0, 86_400_000, None, 0], pa.timestamp("ms")),
            "nested": [[1], [2], [3], [4]],
            "y": [0.5, 1.5, 2.5, 3.5],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    dataset = read(tmp_path / "t.parquet")
    kinds = {"n": "number", "flag": "boolean", "word": "category", "code": "number", "when": "date"}
    assert dataset.form["columns"] == kinds and dataset.goal == "number" and said(dataset, "column 'nested' left out")


def test_train_and_test_files_in_a_folder_are_a_given_split(tmp_path):
    rows = ROWS.splitlines()
    (tmp_path / "train.csv").write_text(ROWS)
    (tmp_path / "test.csv").write_text("\n".join([rows[0], "9.5,green,a", "8,red,b"]))
    dataset = read(tmp_path)
    assert sorted(dataset.given.tolist()) == ["test"] * 2 + ["train"] * 4
    assert dataset.inputs["size"][dataset.given == "test"].tolist() == [9.5, 8.0]
    (tmp_path / "other.csv").write_text(ROWS)
    with pytest.raises(DataError, match=r"several tables \(other.csv, test.csv, train.csv\)"):
        read(tmp_path)


def test_one_table_in_a_folder_is_the_data_set(tmp_path):
    (tmp_path / "data.csv").write_text(ROWS)
    (tmp_path / "README.md").write_text("about")
    assert len(read(tmp_path)) == 4


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(lambda s: s == s.strip())
cells = st.one_of(
    st.floats(-1e12, 1e12).map(repr),
    st.integers(-(10**9), 10**9).map(str),
    names,
    st.just("NA"),
    st.sampled_from(["a\nb", 'q"q']),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 4).flatmap(lambda d: st.lists(st.lists(cells, min_size=d, max_size=d), min_size=2, max_size=12)))
def test_a_written_table_is_read_as_it_is_taken_from_memory(tmp_path, rows):
    names = [f"name {i}!" for i in range(len(rows[0]))]
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([[*names, "target"], *[[*row, f"t{i % 2}x"] for i, row in enumerate(rows)]])
    path = tmp_path / "t.csv"
    path.write_bytes(buffer.getvalue().encode())
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    try:
        expected = from_arrays(columns, [f"t{i % 2}x" for i in range(len(rows))], task="tabular")
    except DataError as error:  # nothing but missing values
        with pytest.raises(DataError, match=str(error).partition(" has ")[2]):
            read(path, task="tabular")
        return
    found = read(path, task="tabular")
    assert found.form["columns"] == expected.form["columns"]
    for name, column in expected.inputs.items():
        np.testing.assert_array_equal(found.inputs[name], column)
    np.testing.assert_array_equal(found.targets, expected.targets)


def test_a_table_of_pandas_survives_csv_and_parquet(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=50), "b": rng.choice(["x", "y", None], 50), "target": rng.integers(0, 3, 50)}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    expected = from_arrays(frame.drop(columns="target"), frame["target"])
    for name in ("t.csv", "t.parquet"):
        found = read(tmp_path / name)
        np.testing.assert_array_equal(found.inputs["a"], expected.inputs["a"])
        np.testing.assert_array_equal(found.inputs["b"], expected.inputs["b"])
        np.testing.assert_array_equal(found.targets, expected.targets)


def test_the_index_that_pandas_writes_is_seen_as_a_number_of_the_row(tmp_path):
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=50), "target": ["u", "v"] * 25})
    frame.to_csv(tmp_path / "t.csv")
    dataset = read(tmp_path / "t.csv")
    assert list(dataset.inputs) == ["column 1", "a"] and look(dataset).useless == ("column 1",)
