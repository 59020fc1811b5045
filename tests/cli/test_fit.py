"""``luthier fit`` and ``luthier predict``, as typed; and every kind of bad data told at the door."""

import csv
import json
import signal
import time

import numpy as np
import pytest

from luthier.cli.app import BEGUN
from luthier.estimators import load

QUICK = ("--budget", "1", "--epochs", "4", "--workers", "0", "--view", "plain")


def table(path, n=120, seed=0, labels=("no", "yes")):
    """A table of which `x` tells the label."""
    rng = np.random.default_rng(seed)
    y = rng.integers(len(labels), size=n)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "z", "city", "label"])
        for k in y:
            writer.writerow(
                [f"{rng.normal() + 3 * k:.3f}", f"{rng.normal():.3f}", rng.choice(["Oslo", "Rome"]), labels[k]]
            )
    return path


def test_a_table_is_fitted_tested_and_predicted(place, luthier):
    table(place / "data.csv")
    result = luthier("fit", "data.csv", *QUICK)
    assert "expect accuracy of" in result.stdout
    assert "Summary: runs/data/summary.md" in result.stdout
    assert "data.csv: a table with 2 classes" in result.stderr
    page = (place / "runs/data/summary.md").read_text()
    for part in ("## The data", "## What was tried", "## The best configuration", "luthier predict runs/data"):
        assert part in page
    assert (place / "runs/data/pictures/confusion_matrix.png").exists()
    table(place / "new.csv", n=7, seed=5)
    said = luthier("predict", "runs/data", "new.csv").stdout.splitlines()
    assert said[0] == "row,prediction,probability"
    assert len(said) == 8
    luthier("predict", "runs/data", "new.csv", "--out", "said.csv", "--proba")
    assert (place / "said.csv").read_text().splitlines()[0] == "row,prediction,probability,p(no),p(yes)"


def test_new_data_need_no_target(place, luthier):
    table(place / "data.csv")
    luthier("fit", "data.csv", *QUICK)
    (place / "new.csv").write_text("x,z,city\n3.1,0.2,Oslo\n-0.5,0.1,Bern\n")
    assert len(luthier("predict", "runs/data", "new.csv").stdout.splitlines()) == 3


def test_what_cannot_be_read_of_new_data_is_told(place, luthier):
    table(place / "data.csv")
    luthier("fit", "data.csv", *QUICK)
    (place / "new.csv").write_text("x,z,city\n3.1,0.2,Oslo\nlots,0.1,Rome\n0.5,0.1\n")
    result = luthier("predict", "runs/data", "new.csv")
    assert len(result.stdout.splitlines()) == 3
    assert "1 value that cannot be read as number taken as missing ('lots')" in result.stderr
    assert "1 row without 3 fields left out (row 4 has 2)" in result.stderr


def test_the_same_command_goes_on_and_does_not_test_again(place, luthier):
    table(place / "data.csv")
    luthier("fit", "data.csv", *QUICK)
    before = (place / "runs/data/test.json").read_text()
    result = luthier("fit", "data.csv", *QUICK)
    assert "going on with the job in runs/data" in result.stderr
    assert (place / "runs/data/test.json").read_text() == before
    more = luthier("fit", "data.csv", "--budget", "2", "--workers", "0", "--view", "none")
    assert "2 configurations were tried" in more.stdout


def test_resume_goes_on_with_a_job(place, luthier):
    table(place / "data.csv")
    luthier("fit", "data.csv", *QUICK)
    result = luthier("resume", "runs/data", "--budget", "2")
    assert "2 configurations were tried" in result.stdout


def test_the_clock_of_a_budget_runs_since_the_command_began(place, luthier):
    table(place / "data.csv")
    late = luthier("fit", "data.csv", "--budget", "50s", **{BEGUN: lambda: time.monotonic() - 51.0}, code=2)
    assert "the budget of 50s was used up by starting and reading the data" in late.stderr


def test_staged_folds_ensembles_and_onnx_can_be_asked_for(place, luthier):
    table(place / "data.csv")
    luthier("fit", "data.csv", *QUICK, "--staged", "--dir", "a", "--onnx")
    assert (place / "a/model.onnx").stat().st_size > 1000
    luthier("fit", "data.csv", *QUICK, "--cv", "2", "--dir", "b")
    luthier("fit", "data.csv", *QUICK, "--ensemble", "--dir", "c")
    luthier("fit", "data.csv", *QUICK, "--mode", "panda", "--no-calibrate", "--dir", "d")
    assert load(place / "d").temperature == 1.0


def test_wrong_words_are_told(place, luthier):
    table(place / "data.csv")
    assert "did you mean 'label'" in luthier("fit", "data.csv", "--target", "labl", *QUICK, code=2).output
    assert "no metric 'speed'" in luthier("fit", "data.csv", "--metric", "speed", *QUICK, code=2).output
    assert "nothing.csv" in luthier("fit", "nothing.csv", *QUICK, code=2).output
    assert "no model in" in luthier("predict", ".", "data.csv", code=2).output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--workers", "many"), "workers= is a number from 0 up or 'auto'"),
        (("--search", "bayse"), "did you mean 'bayes'"),
        (("--metric", "accurracy"), "did you mean 'accuracy'"),
        (("--metric", "rmse", "--goal", "classes"), "no metric 'rmse' where classes are predicted"),
        (("--budget", "5 parsecs"), "cannot read '5 parsecs' as a time"),
        (("--mode", "panda", "--cv", "3"), "trains one network"),
        (("--ensemble", "--cv", "3"), "leave folds or ensemble out"),
    ],
)
def test_options_are_checked_before_the_data_are_read(place, luthier, words, message):
    assert message in luthier("fit", "nothing.csv", *words, code=2).output


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(place, command):
    table(place / "data.csv")
    process = command("fit", "data.csv", "--budget", "5m", "--epochs", "200", "--workers", "1", "--view", "plain")
    while process.poll() is None and not list(place.glob("runs/data/trials/00000/checkpoints/*.ckpt")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "to go on: luthier fit data.csv --dir runs/data --workers 1 --epochs 200\n" in said


# -- bad data ----------------------------------------------------------------------------------------------------------


def test_one_class_is_refused(place, luthier):
    table(place / "data.csv", labels=("yes",))
    assert "class" in luthier("fit", "data.csv", "--target", "label", *QUICK, code=2).output


def test_a_class_with_one_example_is_told_and_trained_on(place, luthier):
    path = table(place / "data.csv")
    with open(path, "a") as file:
        file.write("1.0,0.5,Oslo,perhaps\n")
    result = luthier("fit", "data.csv", *QUICK)
    assert "perhaps" in result.stderr
    assert "perhaps" in load(place / "runs/data").classes.tolist()


def test_three_samples_are_refused(place, luthier):
    table(place / "data.csv", n=3)
    assert "too few" in luthier("fit", "data.csv", *QUICK, code=2).output


def test_an_empty_file_is_refused_by_name(place, luthier):
    (place / "data.csv").write_text("")
    assert "data.csv" in luthier("fit", "data.csv", *QUICK, code=2).output


def test_a_corrupt_image_is_named(place, luthier):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for label, shift in (("dark", 0), ("light", 150)):
        folder = place / "photos" / label
        folder.mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 100, size=(12, 12), dtype=np.uint8) + np.uint8(shift)
            image.fromarray(pixels).save(folder / f"{number}.png")
    (place / "photos/dark/torn.png").write_bytes(b"\x89PNG nothing more")
    result = luthier("fit", "photos", *QUICK)
    assert "torn.png" in result.stderr


def test_a_flat_folder_with_a_table_of_labels_is_fitted_and_predicted(place, luthier):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for folder, count in (("photos", 60), ("new", 5)):
        (place / folder).mkdir()
        for number in range(count):
            pixels = rng.integers(0, 100, size=(12, 12), dtype=np.uint8) + np.uint8(150 * (number % 2))
            image.fromarray(pixels).save(place / folder / f"{number}.png")
    rows = [f"{number},{('dark', 'light')[number % 2]}" for number in range(60)]
    (place / "photos/labels.csv").write_text("\n".join(["id,kind", *rows]))
    assert "labels by labels.csv" in luthier("fit", "photos", "--target", "kind", *QUICK).stderr
    said = luthier("predict", "runs/photos", "new").stdout.splitlines()
    assert [line.split(",")[0] for line in said[1:]] == [f"{number}.png" for number in range(5)]


def test_missing_and_infinite_numbers_are_treated(place, luthier):
    path = table(place / "data.csv")
    lines = path.read_text().splitlines()
    lines[3] = "nan,," + lines[3].split(",", 2)[2]
    lines[4] = "inf,-inf," + lines[4].split(",", 2)[2]
    path.write_text("\n".join(lines) + "\n")
    luthier("fit", "data.csv", *QUICK)
    (place / "new.csv").write_text("x,z,city\n,inf,\n")
    row = luthier("predict", "runs/data", "new.csv").stdout.splitlines()[1].split(",")
    assert row[1] in ("no", "yes")
    assert 0.0 <= float(row[2]) <= 1.0


def test_the_target_among_the_features_is_left_out_and_told(place, luthier):
    path = table(place / "data.csv")
    rows = list(csv.reader(path.open()))
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["copy", *rows[0]], *[[row[-1].upper(), *row] for row in rows[1:]]])
    result = luthier("fit", "data.csv", *QUICK)
    assert "copy" in result.stderr
    names = [
        name for name, _ in json.loads((place / "runs/data/model/model.json").read_text())["encoder"]["categories"]
    ]
    assert names == ["city"]


def test_texts_in_another_encoding_are_read(place, luthier):
    rng = np.random.default_rng(0)
    lines = ["text,label"]
    for _ in range(60):
        label = rng.choice(["gut", "übel"])
        lines.append(
            f"{'schön größer besser' if label == 'gut' else 'hässlich böse müde'} {rng.integers(9)} und so,{label}"
        )
    (place / "data.csv").write_bytes("\n".join(lines).encode("latin-1"))
    luthier("fit", "data.csv", "--task", "text", *QUICK)
    assert "übel" in load(place / "runs/data").classes.tolist()


@pytest.mark.parametrize("labels", [("-1", "1"), ("0.5", "1.5"), ("true", "false"), ("1.0", "2.0")])
def test_labels_of_any_kind_are_predicted_as_they_were_written(place, luthier, labels):
    table(place / "data.csv", labels=labels)
    luthier("fit", "data.csv", "--goal", "classes", *QUICK)  # 0.5 and 1.5 could be numbers
    model = load(place / "runs/data")
    assert model.classes is not None
    said = luthier("predict", "runs/data", "data.csv").stdout.splitlines()[1].split(",")[1]
    assert said.lower() in (*labels, *(label.removesuffix(".0") for label in labels))


def test_rows_of_different_lengths_are_told(place, luthier):
    path = table(place / "data.csv")
    path.write_text(path.read_text() + "1,2,3,4,5,6,7,8\n")
    assert "row 122 has 8" in luthier("fit", "data.csv", *QUICK).stderr


# -- a person in the loop ----------------------------------------------------------------------------------------------


def test_the_loop_of_prices_queue_answers_and_training_again(place, luthier):
    table(place / "data.csv", n=200, labels=("no", "yes", "maybe"))
    table(place / "new.csv", n=80, seed=5, labels=("no", "yes", "maybe"))
    result = luthier("fit", "data.csv", *QUICK, "--error-cost", "20")
    assert "A person looks where the model is less than" in result.stdout
    assert "## What a person should look at" in (place / "runs/data/summary.md").read_text()
    assert (place / "runs/data/pictures/review_curve.png").exists()
    result = luthier("predict", "runs/data", "new.csv", "--queue", "queue.csv", "--out", "said.csv")
    with open("queue.csv", encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    assert f"{len(rows)} of 80 rows for a person: queue.csv" in result.stderr
    with open("said.csv", newline="") as file:
        said = list(csv.DictReader(file))
    assert sorted(row[1] for row in rows) == sorted(row["row"] for row in said if row["review"] == "yes")
    assert "city=" in rows[0][head.index("content")]
    for row in rows:
        row[-1] = "yes"
    rows[0][-1] = "yess"
    with open("queue.csv", "w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([head, *rows[:-1]])
    result = luthier("fit", "data.csv", *QUICK, "--answers", "queue.csv", "new.csv")
    assert f"queue.csv: {len(rows) - 2} answers of a person to train on" in result.stderr
    assert "line 2: 'yess' is none of the 3 classes; did you mean 'yes'?" in result.stderr
    assert "1 line of the queue is not in the file" in result.stderr
    assert "Summary: runs/data-queue/summary.md" in result.stdout
    page = (place / "runs/data-queue/summary.md").read_text()
    assert "--answers queue.csv new.csv" in page  # the command that goes on
    assert "2 configurations" in luthier("resume", "runs/data-queue", "--budget", "2").stdout


def test_prices_that_do_not_fit_are_told(place, luthier):
    table(place / "data.csv")
    assert "give error_cost" in luthier("fit", "data.csv", *QUICK, "--look-cost", "1", code=2).output
    luthier("fit", "data.csv", *QUICK)
    assert "say --queue FILE" in luthier("predict", "runs/data", "data.csv", "--error-cost", "3", code=2).output
    assert "--review-rate" in luthier("predict", "runs/data", "data.csv", "--queue", "q.csv", code=2).output
    luthier("predict", "runs/data", "data.csv", "--queue", "q.csv", "--review-rate", "1")
    assert len((place / "q.csv").read_text(encoding="utf-8-sig").splitlines()) == 121
    answers = ("--answers", "q.csv", "data.csv")
    assert "no answer that can be taken" in luthier("fit", "data.csv", *QUICK, *answers, code=2).output
