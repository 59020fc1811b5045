"""What people see: the text of one line, the plain view, the live view."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import luthier as lt
from luthier.budget import Budget, Spent
from luthier.view.base import Snapshot
from luthier.view.live import LiveView, draw
from luthier.view.text import config_text, resumes_text, size_text, sparkline, summary_text

SPACE = lt.Space(lr=lt.Float(1e-5, 1e-1, log=True), opt=lt.Choice("adam", "sgd"))


def study_with_a_bit_of_everything():
    study = lt.Study(SPACE, maximize="acc", search="random", seed=1, budget=10)
    for acc in (0.5, 0.9):
        study.tell(study.ask(), {"acc": acc})
    study.tell(study.ask(), lt.Failure("memory", "out of memory"))
    study.pause(study.ask())
    running = study.ask()
    for step in range(1, 6):
        study.report(running, {"acc": step / 10})
    return study


def shown(study):
    console = Console(file=io.StringIO(), width=120)
    console.print(draw(Snapshot(study.name, study.history, study.budget, study.spent, 2)))
    return console.file.getvalue()


def test_the_live_view_shows_progress_best_running_and_failures():
    text = shown(study_with_a_bit_of_everything())
    assert "50% of 10 trials" in text
    assert "acc 0.9  trial 1" in text
    assert "1 paused" in text
    assert "1 failed" in text
    assert re.search(r"trial 4\s+step 5\s+▁▂▄▆█\s+acc 0.5", text)


def test_resumes_are_told_as_they_are():
    assert resumes_text(lt.Resumes()) == ""
    assert resumes_text(lt.Resumes(memory=3)) == "resumed 3 times in memory"
    text = resumes_text(lt.Resumes(3, 2, 61.0, 1200))
    assert text.endswith("2 times from checkpoints, which took 1m 1s to load, and 1,200 steps were done again")
    study = study_with_a_bit_of_everything()
    study.resumed(4, 4, seconds=2.5)
    assert "resumed 1 time from checkpoints, which took 2.5s to load, and 1 step was done again" in " ".join(
        shown(study).split()
    )


@pytest.mark.parametrize(
    ("size", "text"),
    [(512, "0.5 KB"), (200_000, "195 KB"), (2**20, "1 MB"), (5 * 2**30, "5.0 GB"), (2**41, "2,048.0 GB")],
)
def test_sizes_are_written_for_people(size, text):
    assert size_text(size) == text


def test_the_live_view_says_how_much_time_is_left():
    study = study_with_a_bit_of_everything()
    console = Console(file=io.StringIO(), width=100)
    console.print(draw(Snapshot("s", study.history, Budget.of("20m"), Spent(3, 5, 300.0), 2)))
    assert "25% of 20m" in console.file.getvalue()
    assert "15m left" in console.file.getvalue()


def test_the_live_view_starts_tells_and_stops():
    study = study_with_a_bit_of_everything()
    view = LiveView(Console(file=io.StringIO(), force_terminal=True, width=100))
    view.begin(lambda: Snapshot("s", study.history, study.budget, study.spent, 2))
    view.changed(study.trials[2])
    view.close()
    assert "trial 2 failed (memory): out of memory" in view._console.file.getvalue()


def test_the_plain_view_prints_a_line_per_trial_and_per_new_best(capsys):
    lt.tune(lambda lr, opt: lr, SPACE, minimize=True, budget=4, workers=0, search="random", seed=2, view="plain")
    out, err = capsys.readouterr()
    assert out == ""
    assert len(re.findall(r"^luthier: trial \d done: value ", err, re.MULTILINE)) == 4
    assert err.splitlines()[-1].startswith("luthier: the budget of 4 trials is used up after 4 trials")


def test_the_plain_view_prints_the_trials_of_a_study_with_starting_points(capsys):
    start = [{"lr": 1e-3}, {"lr": 1e-2}]
    lt.tune(lambda lr, opt: lr, SPACE, minimize=True, budget=3, workers=0, search="random", start=start, view="plain")
    assert len(re.findall(r"^luthier: trial \d done: value ", capsys.readouterr().err, re.MULTILINE)) == 3


def test_silence_on_request(capfd):
    lt.tune(lambda lr, opt: lr, SPACE, minimize=True, budget=4, workers=0, search="random", view="none")
    assert capfd.readouterr() == ("", "")


def test_the_summary_names_the_best_and_what_to_type_next(tmp_path):
    study = study_with_a_bit_of_everything()
    text = summary_text(study.history, tmp_path, None)
    assert "Best of 5 trials: trial 1 with acc 0.9" in text
    assert f"luthier show {tmp_path}" in text


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40), st.integers(1, 20))
def test_a_sparkline_is_never_wider_than_asked(values, width):
    assert len(sparkline(values, width)) <= width


def test_values_are_written_with_four_digits():
    assert config_text({"lr": 0.000123456, "n": 3, "opt": "adam"}) == "lr=0.0001235 n=3 opt=adam"
