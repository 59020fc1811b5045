"""Budgets, durations and sizes as people write them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier import Budget
from luthier.budget import Spent, clock, duration_s, priced, size_bytes
from luthier.errors import SettingError

_inf = math.inf


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (None, (_inf, _inf, _inf)),
        (50, (50, _inf, _inf)),
        (np.int64(50), (50, _inf, _inf)),
        ("50", (50, _inf, _inf)),
        ("50 trials", (50, _inf, _inf)),
        ("1 trial", (1, _inf, _inf)),
        ("500 steps", (_inf, 500, _inf)),
        ("3 epochs", (_inf, 3, _inf)),
        ("20m", (_inf, _inf, 1200)),
        ("1h30m", (_inf, _inf, 5400)),
        ("90s", (_inf, _inf, 90)),
        ("5 s", (_inf, _inf, 5)),
        ("1.5 hours", (_inf, _inf, 5400)),
        ("2 days", (_inf, _inf, 172800)),
        ("10 mins", (_inf, _inf, 600)),
        ({"trials": 100, "seconds": "20m"}, (100, _inf, 1200)),
        ({"steps": 10, "seconds": 3.5}, (_inf, 10, 3.5)),
        (Budget(trials=3), (3, _inf, _inf)),
    ],
)
def test_a_budget_is_read(given_, expected):
    budget = Budget.of(given_)
    assert (budget.trials, budget.steps, budget.seconds) == expected


@pytest.mark.parametrize(
    "given_",
    [
        0,
        -3,
        "0",
        "0 trials",
        "0s",
        "ten",
        "",
        "5 parsecs",
        "500ms",
        "1h30",
        "m",
        "-5m",
        "1h 30x",
        True,
        math.nan,
        [5],
        {"trials": 0},
        {"trial": 5},
        {"seconds": "x"},
        "5m trials",
    ],
    ids=repr,
)
def test_what_is_no_budget_is_refused(given_):
    with pytest.raises(SettingError):
        Budget.of(given_)


def test_a_misspelt_limit_gets_a_hint():
    with pytest.raises(SettingError, match="did you mean 'trials'"):
        Budget.of({"trial": 5})


@given(st.integers(0, 3), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_parts(d, h, m, s):
    total = ((d * 24 + h) * 60 + m) * 60 + s
    text = f"{d}d{h}h{m}m{s}s"
    if not total:
        with pytest.raises(SettingError):
            duration_s(text)
    else:
        assert duration_s(text) == total
        assert duration_s(text.upper()) == total


@given(st.floats(0, 1e7))
def test_a_clock_reads_back_to_about_the_same(seconds):
    shown = clock(seconds)
    tolerance = 0.06 if seconds < 10 else 0.6 if seconds < 60 else max(1.0, seconds / 20)
    assert shown in ("0s", "0.0s") or abs(duration_s(shown) - seconds) <= tolerance


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.04, "0.0s"),
        (3.25, "3.2s"),
        (45, "45s"),
        (59.9, "1m"),
        (5400, "1h 30m"),
        (90000, "1d 1h"),
        (_inf, "no limit"),
        (-3, "0s"),
        (-0.3, "0s"),
    ],
)
def test_a_clock_is_short(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (1024, 1024),
        ("512", 512),
        ("4GB", 4 * 2**30),
        ("512 MB", 512 * 2**20),
        ("1.5gb", 1.5 * 2**30),
        ("2GiB", 2 * 2**30),
        ("64k", 65536),
        ("100b", 100),
    ],
)
def test_a_size_is_read(given_, expected):
    assert size_bytes(given_) == expected


@pytest.mark.parametrize("given_", [0, -1, "0", "4XB", "GB", "", True, None, "0.1b", 0.5], ids=repr)
def test_what_is_no_size_is_refused(given_):
    with pytest.raises(SettingError):
        size_bytes(given_)


_totals = st.one_of(st.just(_inf), st.integers(1, 1000))


@given(_totals, _totals, _totals, st.integers(0, 2000), st.integers(0, 2000), st.floats(0, 2000))
def test_a_budget_is_used_up_exactly_when_its_share_is_one(trials, steps, seconds, t, s, sec):
    budget, spent = Budget(trials, steps, seconds), Spent(t, s, sec)
    assert 0.0 <= budget.share(spent) <= 1.0
    assert bool(budget.left(spent).used_up) == (budget.share(spent) == 1.0)


def test_the_first_limit_that_is_reached_is_named():
    assert Budget(10, 100, 60).left(Spent(10, 20, 5)).used_up == "trials"
    assert Budget(10, 100, 60).left(Spent(1, 20, 61)).used_up == "seconds"
    assert Budget(10, 100, 60).left(Spent(1, 20, 5)).used_up == ""


def test_a_budget_is_written_for_people():
    assert str(Budget.of({"trials": 1000, "seconds": "20m"})) == "1,000 trials or 20m"
    assert str(Budget()) == "no limit"


@pytest.mark.parametrize(
    ("given", "price", "seconds"),
    [("5 USD", 2.5, 7200.0), ("$5", 10, 1800.0), ("2.50 €", 5.0, 1800.0), ("5EUR", 5, 3600)],
)
def test_money_is_seconds_at_a_price(given, price, seconds):
    assert Budget.of(priced(given, price)).seconds == seconds


@pytest.mark.parametrize("given", [50, "50", "20m", "2 DAY", "500 steps", None, {"trials": 3}])
def test_other_budgets_have_no_price(given):
    assert priced(given, None) is given
    with pytest.raises(SettingError, match="money"):
        priced(given, 2.0)


@pytest.mark.parametrize(("given", "price"), [("5 USD", None), ("5 USD", 0.0), ("5 USD", -1.0)])
def test_money_without_a_price_is_told(given, price):
    with pytest.raises(SettingError, match="price_per_hour"):
        priced(given, price)
