"""Programs as objectives, run for real."""

import pickle
import sys
import time

import pytest

import luthier as lt
from luthier.contracts import CONTINUE, Decision, Resume, Verdict
from luthier.errors import ObjectiveError, SettingError
from luthier.execute.base import Limits, Ticket
from luthier.execute.local import LocalExecutor
from luthier.integrations.script import ScriptObjective, flags
from luthier.objective import metrics_of, objective_of
from processes import gone

SPACE = lt.Space(x=lt.Float(0.0, 1.0))


def script(folder, text, name="train.py"):
    path = folder / name
    path.write_text("import json, os, sys, time\n" + text)
    return path


def tuned(objective, space=SPACE, **given):
    options = {"minimize": "loss", "budget": 1, "workers": 0, "view": "none", "search": "random", "seed": 1}
    return lt.tune(objective, space, **{**options, **given})


def only(objective, **given):
    return tuned(objective, **given).trials[0]


def test_parameters_become_flags_and_printed_lines_become_reports(tmp_path):
    text = "for e in range(3):\n    print('epoch', e, flush=True)\n    print(f'epoch={e} loss={2 - e} x={sys.argv[2]}')"
    trial = only(ScriptObjective([script(tmp_path, text)]))
    assert trial.state == "done"
    assert trial.curve.steps.tolist() == [1, 2, 3]
    assert trial.curve.values("loss").tolist() == [2.0, 1.0, 0.0]
    assert trial.metrics == {"loss": 0.0, "x": trial.config["x"]}


def test_the_environment_names_the_trial_its_seed_its_directory_and_its_configuration(tmp_path):
    text = (
        "place = os.environ['LUTHIER_TRIAL_DIR']\n"
        "config = json.load(open(os.environ['LUTHIER_CONFIG']))\n"
        "open(place + '/model.bin', 'w').write('weights')\n"
        "print(json.dumps({'loss': config['x'], 'n': int(os.environ['LUTHIER_TRIAL']), "
        "'seed': int(os.environ['LUTHIER_SEED'])}))"
    )
    study = tuned(ScriptObjective([script(tmp_path, text)]), dir=tmp_path / "study")
    trial = study.trials[0]
    assert trial.metrics == {"loss": trial.config["x"], "n": 0, "seed": trial.seed}
    assert (study.path(trial) / "model.bin").read_text() == "weights"
    assert '"loss"' in (study.path(trial) / "log.txt").read_text()


def test_metrics_may_be_written_to_a_file_line_by_line(tmp_path):
    text = (
        "with open(os.environ['LUTHIER_METRICS'], 'a') as f:\n"
        "    for e in range(1, 4):\n"
        "        print('loss=77')\n"
        "        print(json.dumps({'step': e, 'loss': 1 / e}), file=f, flush=True)\n"
        "        time.sleep(0.25)"
    )
    trial = only(ScriptObjective([script(tmp_path, text)]))
    assert trial.curve.values("loss").tolist()[-1] == pytest.approx(1 / 3)
    assert trial.metrics["loss"] == pytest.approx(1 / 3)


def test_metrics_may_be_one_json_document_at_the_end(tmp_path):
    text = "json.dump({'loss': 0.25, 'name': 'x'}, open(os.environ['LUTHIER_METRICS'], 'w'), indent=2)"
    assert only(ScriptObjective([script(tmp_path, text)])).metrics == {"loss": 0.25}
    text = "json.dump([{'loss': 2}, {'loss': 1}], open(os.environ['LUTHIER_METRICS'], 'w'), indent=2)"
    assert only(ScriptObjective([script(tmp_path, text)])).curve.values("loss").tolist() == [2.0, 1.0]


def test_a_shell_script_and_a_program_from_path_run_as_they_are(tmp_path):
    path = script(tmp_path, "", name="train.sh")
    path.write_text('#!/bin/sh\necho "loss=$2"\n')
    path.chmod(0o755)
    trial = only(ScriptObjective([path]))
    assert trial.metrics["loss"] == trial.config["x"]
    assert only(ScriptObjective(["sh", "-c", "echo loss=3"])).metrics == {"loss": 3.0}


def test_a_failing_program_is_a_failed_trial_with_the_tail_of_its_error_output(tmp_path):
    text = "print('loss=1', flush=True)\nraise ValueError('bad batch')"
    failure = only(ScriptObjective([script(tmp_path, text)])).failure
    assert failure.kind == "exit"
    assert failure.message == "train.py ended with exit code 1: ValueError: bad batch"
    assert "Traceback" in failure.traceback


def test_a_program_that_runs_out_of_memory_fails_for_that(tmp_path):
    failure = only(ScriptObjective([script(tmp_path, "raise MemoryError")]), workers=1).failure
    assert failure.kind == "memory"
    text = "data = bytearray(3 * 2**30)\nprint('loss=1')"
    capped = only(ScriptObjective([script(tmp_path, text)]), workers=1, memory="200MB").failure
    assert capped.kind == "memory"


def test_a_killed_program_and_a_silent_one_say_so(tmp_path):
    killed = only(ScriptObjective([script(tmp_path, "os.kill(os.getpid(), 9)")])).failure
    assert (killed.kind, "SIGKILL" in killed.message) == ("signal", True)
    silent = only(ScriptObjective([script(tmp_path, "print('los=1')")])).failure
    assert silent.kind == "missing"
    assert "did you mean 'los'?" in silent.message


def test_a_metric_that_is_not_finite_fails_the_trial_and_ends_the_program(tmp_path):
    text = "print('loss=nan', flush=True)\ntime.sleep(60)"
    begun = time.monotonic()
    assert only(ScriptObjective([script(tmp_path, text)])).failure.kind == "nan"
    assert time.monotonic() - begun < 50


class Ends:
    """A schedule that decides the same at step 2 of each trial, once."""

    def __init__(self, verdict):
        self.verdict = verdict
        self.paused = set()

    def describe(self, history):
        return "ends"

    def grant(self, history):
        return None

    def promote(self, history):
        waiting = [t.number for t in history.live if t.state == "paused"]
        return Resume(waiting[0]) if waiting else None

    def judge(self, history, trial):
        if trial.steps < 2 or trial.number in self.paused:
            return CONTINUE
        self.paused.add(trial.number)
        return Decision(self.verdict, "enough")


LONG = (
    "import subprocess\n"
    "helper = subprocess.Popen(['sleep', '60'])\n"
    "open(os.environ['LUTHIER_TRIAL_DIR'] + '/pids', 'w').write(f'{os.getpid()} {helper.pid}')\n"
    "for e in range(1, 5):\n"
    "    print(f'epoch={e} loss={e}', flush=True)\n"
    "    time.sleep(0.05)\n"
)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stopped_trial_ends_the_program_and_what_it_started(tmp_path, workers):
    path = script(tmp_path, LONG + "time.sleep(60)\n")
    begun = time.monotonic()
    study = tuned(ScriptObjective([path]), schedule=Ends(Verdict.STOP), workers=workers, dir=tmp_path / "study")
    trial = study.trials[0]
    assert (trial.state, trial.steps, trial.reason) == ("stopped", 2, "enough")
    assert time.monotonic() - begun < 50
    assert all(gone(int(pid)) for pid in (study.path(trial) / "pids").read_text().split())


def test_a_program_that_ignores_the_request_to_end_is_killed(tmp_path):
    text = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LONG + "time.sleep(60)\n"
    begun = time.monotonic()
    trial = only(ScriptObjective([script(tmp_path, text)], grace_s=0.3), schedule=Ends(Verdict.STOP))
    assert trial.state == "stopped"
    assert time.monotonic() - begun < 50


def test_a_paused_trial_stands_still_in_its_worker_and_goes_on_there(tmp_path):
    text = "for e in range(1, 5):\n    print(f'epoch={e} loss={os.getpid()}', flush=True)\n    time.sleep(0.05)\n"
    study = tuned(
        ScriptObjective([script(tmp_path, text)]),
        schedule=Ends(Verdict.PAUSE),
        workers=1,
        dir=tmp_path / "study",
        budget=2,
    )
    assert [trial.state for trial in study.trials] == ["done", "done"]
    for trial in study.trials:
        assert trial.steps == 4
        assert len(set(trial.curve.values("loss"))) == 1, "another process went on with it"


class Goes:
    """Hears reports, and lets every run go on; counts them."""

    def __init__(self):
        self.reports = 0

    def reported(self, number, step, metrics, *, seconds, total_steps):
        self.reports += 1
        return CONTINUE


def test_a_timeout_kills_the_program_too(tmp_path):
    objective = objective_of(ScriptObjective([script(tmp_path, LONG + "time.sleep(600)")]), SPACE.names)
    limits, listener, outcomes = Limits(timeout_s=500.0), Goes(), []
    executor = LocalExecutor(objective, metrics_of("loss", None), limits, directory=tmp_path, slots=1)
    try:
        executor.submit(Ticket(0, {"x": 0.5}, 0, str(tmp_path / "0")))
        while not listener.reports:
            assert not executor.poll(listener, 0.1)
        executor._slots[0].began -= 500.0  # as if so much time had passed
        while not outcomes:
            outcomes = executor.poll(listener, 0.1)
        assert [outcome.failure.kind for outcome in outcomes] == ["timeout"]
        pids = (tmp_path / "0" / "pids").read_text().split()
        deadline = time.monotonic() + 60
        while not all(gone(int(pid)) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        executor.close()


def test_flags_are_written_as_the_program_wants_them():
    assert flags("lr", 1e-05) == ["--lr", "1e-05"]
    assert flags("x", -0.5) == ["--x=-0.5"]
    assert flags("sizes", (1, 2)) == ["--sizes", "1", "2"]
    assert flags("clip", None) == []
    assert [flags("aug", True, how) for how in ("no", "flag", "value")] == [["--aug"], ["--aug"], ["--aug", "true"]]
    assert [flags("aug", False, how) for how in ("no", "flag", "value")] == [["--no-aug"], [], ["--aug", "false"]]


def test_places_in_fixed_arguments_are_filled_and_vanish_with_an_inactive_parameter():
    objective = ScriptObjective(
        [sys.executable], fixed=["opt={opt}", "momentum={momentum}", "--seed", "{seed}", '{"a": 1}'],
        names=["opt", "momentum", "lr"],
    )  # fmt: skip
    command = objective.arguments({"opt": "adam", "lr": 0.1}, seed=7)
    assert command[1:] == ["--lr", "0.1", "opt=adam", "--seed", "7", '{"a": 1}']


def test_a_script_objective_can_be_pickled(tmp_path):
    objective = ScriptObjective([script(tmp_path, "")], fixed=["a"])
    again = pickle.loads(pickle.dumps(objective))
    assert again.arguments({"x": 1}) == objective.arguments({"x": 1})


def test_what_cannot_be_run_is_refused_before_anything_starts(tmp_path):
    plain = tmp_path / "notes.txt"
    plain.write_text("x")
    with pytest.raises(ObjectiveError, match="chmod"):
        ScriptObjective([plain])
    with pytest.raises(ObjectiveError, match="no program"):
        ScriptObjective(["surely-not-there"])
    with pytest.raises(ObjectiveError, match="which program"):
        ScriptObjective([])
    with pytest.raises(SettingError, match="booleans"):
        ScriptObjective([sys.executable], booleans="maybe")


def test_a_refused_no_flag_brings_the_advice(tmp_path):
    text = (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--aug', action='store_true')\np.parse_args()"
    )
    study = tuned(ScriptObjective([script(tmp_path, text)]), space=lt.Space(aug=lt.Choice(False)), budget=1)
    assert "--booleans flag" in study.trials[0].failure.message


def test_a_background_process_that_holds_the_pipe_does_not_hold_the_trial(tmp_path):
    text = "import subprocess\nsubprocess.Popen(['sleep', '30'])\nprint('loss=1')"
    begun = time.monotonic()
    assert only(ScriptObjective([script(tmp_path, text)])).state == "done"
    assert time.monotonic() - begun < 25


def test_odd_output_is_no_obstacle(tmp_path):
    text = (
        "for part in (b'\\xff\\xfe loss=1\\n', *[b'x' * 1000] * 300, b'\\nloss=0.5'):\n"
        "    sys.stdout.buffer.write(part)\n"
    )
    trial = only(ScriptObjective([script(tmp_path, text)]))
    assert trial.curve.values("loss").tolist() == [1.0, 0.5]
