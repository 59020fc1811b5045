"""Torn checkpoints: the one before is used, and what was torn is written again."""

import os

import pytest

import luthier as lt
from luthier import State
from luthier.execute import checkpoint


def _objective(log):
    def objective(x, run):
        state = run.keep(state={"sum": 0.0})
        for step in run.steps(8):
            with open(log, "a") as file:
                file.write(f"{step}\n")
            state["sum"] += x * (step + 1)
            run.report(loss=state["sum"])

    return objective


def _tune(tmp_path, steps, *, workers=0, checkpoints="all"):
    log = tmp_path / "steps.log"
    log.write_text("")
    study = lt.tune(
        _objective(log), lt.Space(x=lt.Float(1, 2)), minimize="loss", budget={"trials": 1, "steps": steps}, seed=1,
        workers=workers, checkpoints=checkpoints, dir=tmp_path / "study", view="none",
    )  # fmt: skip
    return study, [int(line) for line in log.read_text().split()]


def _tear(path, how):
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[:-7])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        path.write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])
    elif how == "zeros":
        path.write_bytes(bytes(len(data)))


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "zeros"])
@pytest.mark.parametrize("workers", [0, 1])
def test_the_checkpoint_before_a_torn_one_is_used(tmp_path, how, workers):
    study, steps = _tune(tmp_path, 5, workers=workers)
    assert steps == [0, 1, 2, 3, 4]
    there = checkpoint.files(study.path(0) / "checkpoints")
    assert list(there) == [1, 2, 3, 4, 5]
    _tear(there[5], how)
    _tear(there[4], how)
    study, steps = _tune(tmp_path, 100, workers=workers)
    assert steps == [3, 4, 5, 6, 7]
    (trial,) = study.trials
    x = trial.config["x"]
    assert trial.state is State.DONE
    assert [m["loss"] for _, m in trial.curve] == pytest.approx([x * s * (s + 1) / 2 for s in range(1, 9)])
    after = checkpoint.files(study.path(0) / "checkpoints")
    assert list(after) == list(range(1, 9))
    assert all(map(checkpoint.whole, after.values()))  # what was torn was written again


def test_with_all_checkpoints_torn_a_trial_starts_again_from_the_beginning(tmp_path):
    study, _ = _tune(tmp_path, 5, checkpoints="best")
    for path in checkpoint.files(study.path(0) / "checkpoints").values():
        _tear(path, "cut")
    study, steps = _tune(tmp_path, 100, checkpoints="best")
    assert steps == list(range(8))
    assert study.trials[0].state is State.DONE
    assert [s for s, _ in study.trials[0].curve] == list(range(1, 9))
    assert study.spent.steps == 13  # five of them for nothing


def test_what_a_killed_writer_left_behind_is_not_taken_for_a_checkpoint(tmp_path):
    study, _ = _tune(tmp_path, 3)
    directory = study.path(0) / "checkpoints"
    (directory / f"00000004-{'0' * 16}.ckpt.{os.getpid()}.part").write_bytes(b"half a checkpoint")
    (directory / "notes.txt").write_text("mine")
    study, steps = _tune(tmp_path, 100, checkpoints="latest")
    assert steps == [3, 4, 5, 6, 7]
    assert not list(directory.glob("*.part"))
    assert (directory / "notes.txt").exists()
