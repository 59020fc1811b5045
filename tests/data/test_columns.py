"""What a column of a table is understood as."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.data.columns import Column, counted, date_parts, is_text, missing_in, understand
from luthier.errors import DataError


def objects(*values):
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def kind_and_values(*values):
    column = understand("c", objects(*values))
    return column.kind, [
        None if gone else value for value, gone in zip(column.values.tolist(), column.missing, strict=True)
    ]


@pytest.mark.parametrize(
    ("values", "kind", "understood"),
    [
        (("1", " 2.5 ", "-3e2"), "number", [1.0, 2.5, -300.0]),
        (("1", "NA", "n/a", "", "?", "null", "NaN", None), "number", [1.0] + [None] * 7),
        (("$1,234.50", "12%", "3 €"), "number", [1234.5, 12.0, 3.0]),
        (("3,5", "4,25"), "number", [3.5, 4.25]),
        (("0,125", "1,5", "12,750", "3"), "number", [0.125, 1.5, 12.75, 3.0]),
        (("1.234,50 €", "12,000", "7 %"), "number", [1234.5, 12.0, 7.0]),
        (("1,234", "12,000", "1,234,567"), "number", [1234.0, 12000.0, 1234567.0]),
        (("true", "False", "?"), "boolean", [1.0, 0.0, None]),
        (("00123", "123"), "category", ["00123", "123"]),
        (("1_000", "2"), "category", ["1_000", "2"]),
        ((" a", "b ", ""), "category", ["a", "b", None]),
        ((1, 2.5, None, np.nan, pd.NA), "number", [1.0, 2.5, None, None, None]),
        ((decimal.Decimal("1.5"), np.float32(2)), "number", [1.5, 2.0]),
        ((True, None), "boolean", [1.0, None]),
        ((1, "a", True), "category", ["1", "a", "True"]),
        ((None, None), "number", [None, None]),
    ],
)
def test_a_column_is_what_its_values_say(values, kind, understood):
    assert kind_and_values(*values) == (kind, understood)


@pytest.mark.parametrize(
    ("texts", "dates"),
    [
        (["2024-02-29", "1999-12-31", "NA"], ["2024-02-29", "1999-12-31", "NaT"]),
        (["29.02.2024", "01.03.1999"], ["2024-02-29", "1999-03-01"]),
        (["31/12/2020", "01/02/2021"], ["2020-12-31", "2021-02-01"]),
        (["12/31/2020", "01/02/2021"], ["2020-12-31", "2021-01-02"]),
        (["2020-01-01T06:30:15Z", "2020-01-02 00:00"], ["2020-01-01T06:30:15", "2020-01-02"]),
    ],
)
def test_dates_are_read_in_the_usual_ways_of_writing_them(texts, dates):
    column = understand("c", objects(*texts))
    assert column.kind in ("date", "time")
    np.testing.assert_array_equal(column.values, np.array(dates, dtype="datetime64[s]"))


def test_the_order_of_day_and_month_is_told():
    assert "day/month/year" in understand("when", objects("31/12/2020")).notes[0]
    assert "month/day/year" in understand("when", objects("01/02/2020")).notes[0]


def test_what_is_no_date_on_the_calendar_is_a_category():
    assert understand("c", objects("31.02.2020", "01.03.2020")).kind == "category"


def test_a_few_words_among_many_numbers_are_missing_and_told():
    column = understand("age", objects(*["30"] * 60, "unknown"))
    assert column.kind == "number" and np.isnan(column.values[-1])
    assert column.notes == ("column 'age': values that are no numbers taken as missing ('unknown')",)


def test_how_commas_were_read_is_told_where_they_could_be_read_otherwise():
    assert understand("c", objects("12,750", "1,5")).notes == ("column 'c': commas read as decimal points (12,750)",)
    assert understand("c", objects("1,234")).notes == ("column 'c': commas read as separators of thousands (1,234)",)
    assert understand("c", objects("1,234.5", "2,000")).notes == ()


def test_many_words_among_numbers_make_categories():
    assert understand("c", objects(*["30"] * 10, "low", "high")).kind == "category"


def test_infinities_are_missing_and_told():
    column = understand("c", np.array([1.0, np.inf, -1e39]))
    assert column.missing.tolist() == [False, True, True]
    assert column.notes == ("column 'c': 2 values infinite or beyond 3e38 taken as missing",)


def test_what_is_no_value_of_a_table_is_refused():
    with pytest.raises(DataError, match=r"column 'c' holds a list"):
        understand("c", objects([1], [2, 3]))
    with pytest.raises(DataError, match=r"column 'c' holds complex128"):
        understand("c", np.array([1j]))


def test_dates_of_pandas_with_a_time_zone_are_taken_in_utc():
    column = understand("c", objects(pd.Timestamp("2020-01-01 12:00", tz="Europe/Berlin"), pd.NaT))
    assert column.values[0] == np.datetime64("2020-01-01T11:00:00") and column.missing[1]


@given(st.lists(st.datetimes(datetime.datetime(1800, 1, 1), datetime.datetime(2200, 1, 1)), min_size=1))
def test_the_parts_of_a_date_are_those_of_the_calendar(whens):
    seconds = [when.replace(microsecond=0) for when in whens]
    parts = date_parts("w", Column("time", np.array(seconds, dtype="datetime64[s]")))
    epoch = datetime.date(1970, 1, 1)
    assert parts["w.days"].tolist() == [(when.date() - epoch).days for when in seconds]
    assert parts["w.month"].tolist() == [when.month for when in seconds]
    assert parts["w.weekday"].tolist() == [when.weekday() for when in seconds]
    hours = [when.hour + when.minute / 60 + when.second / 3600 for when in seconds]
    assert parts["w.hour"] == pytest.approx(np.array(hours))


@given(st.lists(st.floats(-3e38, 3e38) | st.just(np.nan) | st.none(), min_size=1))
def test_numbers_written_as_text_are_the_numbers(values):
    texts = objects(*[None if value is None else repr(value) for value in values])
    expected = np.array([np.nan if value is None else value for value in values])
    np.testing.assert_array_equal(understand("c", texts).values, expected)


@given(st.lists(st.text() | st.none()))
def test_any_text_is_understood_as_something_of_the_same_length(texts):
    column = understand("c", objects(*texts))
    assert len(column.values) == len(texts)
    assert all(missing_in(column.values)[row] for row, text in enumerate(texts) if text is None)


def test_a_column_can_be_taken_as_what_it_was_in_other_data():
    assert understand("c", np.array([1.0, 2.5]), kind="category").values.tolist() == ["1", "2.5"]
    late = understand("c", objects("3", "high"), kind="number")
    assert late.values[0] == 3.0 and np.isnan(late.values[1]) and "1 value" in late.notes[0]
    assert understand("c", np.array([1.0]), kind="date").missing.all()
    assert understand("c", objects("2020-01-01"), kind="time").kind == "time"


@pytest.mark.parametrize(
    ("learned", "later", "understood"),
    [
        (("true", "no", "false"), ("true", "false"), ["true", "false"]),
        (("3.10", "3.9", "beta", "dev"), ("3.10", "3.9"), ["3.10", "3.9"]),
        (("10%", "20%", "a lot", "none at all"), ("10%",), ["10%"]),
        (("2024-01-05", "never"), ("2024-01-05",), ["2024-01-05"]),
        (("true", "false"), ("true", "maybe", "False"), [1.0, None, 0.0]),
        (("1,5", "0,125"), ("1,234", "2"), [1.234, 2.0]),
        (("25/04/2024", "01/02/2024"), ("03/04/2024",), [datetime.datetime(2024, 4, 3)]),
        (("04/25/2024", "01/02/2024"), ("03/04/2024",), [datetime.datetime(2024, 3, 4)]),
        (("2024-04-03", "2024-02-01"), ("2024-04-03", "soon"), [datetime.datetime(2024, 4, 3), None]),
    ],
)
def test_texts_that_come_later_are_read_as_those_that_were_learned_from(learned, later, understood):
    known = understand("c", objects(*learned))
    column = understand("c", objects(*later), kind=known.kind, style=known.style)
    assert column.kind == known.kind
    assert [None if g else v for v, g in zip(column.values.tolist(), column.missing, strict=True)] == understood


def test_what_cannot_be_read_as_before_is_told_with_its_rows():
    column = understand("c", objects("soon", "2024-04-03", "soon", "late"), kind="date")
    assert column.notes == (
        "column 'c': 3 values that cannot be read as date taken as missing ('soon', 'late')",
    )  # fmt: skip


def test_sentences_are_told_from_categories():
    sentences = objects(*[f"this is the text number {i}" for i in range(10)])
    assert is_text(understand("c", sentences))
    assert not is_text(understand("c", objects(*["a phrase of four words"] * 10)))
    assert not is_text(understand("c", objects("red", "green")))


def test_numbers_of_things_are_in_the_right_number():
    assert [counted(1, "row"), counted(1204, "row"), counted(2, "class")] == ["1 row", "1,204 rows", "2 classes"]
