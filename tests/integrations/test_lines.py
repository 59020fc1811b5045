"""Finding metrics in what a program prints."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.integrations.lines import Report, Reports, metrics_in, numbers

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_/]{0,8}", fullmatch=True)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("acc=0.91 loss=0.3", {"acc": 0.91, "loss": 0.3}),
        ("acc: 0.91", {"acc": 0.91}),
        ("Epoch: 3/10, val_acc=91.5%, time: 0.3s", {"Epoch": 3.0, "val_acc": 91.5}),
        ("the end: acc=.5.", {"acc": 0.5}),
        ("loss=1e-3, lr = 2.5E-05", {"loss": 1e-3, "lr": 2.5e-05}),
        ("{'eval_loss': 0.25, 'epoch': 2.0}", {"eval_loss": 0.25, "epoch": 2.0}),
        ('{"acc": 0.5, "name": "x", "ok": true, "inner": {"acc": 1}}', {"acc": 0.5}),
        ("  10%|#  | loss=9.0\r 100%|###| loss=0.5\r\n", {"loss": 0.5}),
        ("version 3.4.5 loaded", {}),
        ("", {}),
    ],
)
def test_metrics_are_found_in_the_usual_forms(line, found):
    assert metrics_in(line) == found


def test_nan_and_infinity_are_read_so_that_the_trial_can_fail_for_them():
    assert math.isnan(metrics_in("loss=nan")["loss"])
    assert metrics_in("loss: -inf")["loss"] == -math.inf
    assert math.isnan(metrics_in('{"loss": NaN}')["loss"])


@given(st.dictionaries(NAMES, FLOATS, min_size=1, max_size=4))
def test_what_python_prints_is_read_back(values):
    assert metrics_in(" ".join(f"{name}={value}" for name, value in values.items())) == values
    assert metrics_in(json.dumps(values)) == values
    assert metrics_in(str(values)) == values


@given(st.text(max_size=200))
def test_no_line_can_break_the_reader(line):
    assert all(isinstance(value, float) for value in metrics_in(line).values())


def test_only_lines_with_a_wanted_metric_are_reports():
    reports = Reports(["acc"])
    assert reports.read("epoch=1 loss=0.5") is None
    assert reports.read("epoch=1 acc=0.5") == Report(1, {"acc": 0.5})
    assert reports.count == 1
    assert reports.seen == {"epoch": 1.0, "loss": 0.5, "acc": 0.5}


def test_the_epoch_is_the_step_even_beside_a_step():
    assert Reports(["acc"]).read("step=400 epoch=2 acc=0.5") == Report(2, {"acc": 0.5})
    assert Reports(["acc"]).read("global_step=400 acc=0.5") == Report(400, {"acc": 0.5})


def test_a_program_that_counts_from_zero_is_raised_by_one():
    reports = Reports(["acc"])
    assert [reports.read(f"epoch={n} acc=0.5").step for n in range(3)] == [1, 2, 3]
    reports = Reports(["acc"])
    assert [reports.read(f"epoch={n} acc=0.5").step for n in (5, 6)] == [5, 6]


def test_a_fractional_epoch_is_no_step():
    assert Reports(["loss"]).read("{'loss': 0.5, 'epoch': 0.25}") == Report(None, {"loss": 0.5})


def test_only_numbers_of_json_objects_count():
    assert numbers({"a": 1, "b": True, "c": None, "d": "2"}) == {"a": 1.0}
    assert numbers([1, 2]) == {}
