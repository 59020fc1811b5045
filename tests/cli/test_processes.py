"""The command line as real processes: signals, pipes, locks and a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import luthier as lt

RUN = ("run", "script.py", "--x", "0..1:float", "--minimize", "loss", "--search", "random", "--view", "plain")


def reported(directory):
    """Wait until a study has a report."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with lt.load(directory) as study:
                if any(len(trial.curve) for trial in study.trials):
                    return
        except lt.LuthierError:
            pass
        time.sleep(0.05)
    raise AssertionError("no report in 60 s")


def test_ctrl_c_ends_cleanly_with_130_and_the_study_goes_on_later(command, place):
    process = command(*RUN, "--budget", 200, "--workers", 1, "--", "--epochs", 100_000, "--nap", 0.05)
    reported("runs/script")
    assert "driven by process" in command("show", "runs/script").communicate(timeout=60)[0]
    busy = command(*RUN, "--budget", 200)
    assert (busy.wait(60), "drives the study" in busy.stderr.read()) == (3, True)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130, err
    assert "luthier resume" in err
    assert "Traceback" not in err
    with lt.load("runs/script") as study:
        assert study.trials[0].state == "paused"
        assert study.spent.trials == 1
    again = command("resume", "runs/script", "--budget", "1 steps", "--view", "none")
    again.communicate(timeout=60)
    assert again.returncode == 0


def test_sigterm_ends_cleanly_with_143(command):
    process = command("tune", "model.py:slow", "--minimize", "loss", "--budget", "5m", "--workers", 1)
    reported("runs/model")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_a_reader_that_goes_away_is_no_error(command, place):
    with lt.Study(lt.Space(x=lt.Float(0, 1), y=lt.Float(0, 1)), minimize="loss", search="random", dir="big") as study:
        for _ in range(2000):
            study.tell(study.ask(), {"loss": 0.0})
    for args in (("trials", "big"), ("trials", "big", "--as", "csv"), ("export", "big")):
        process = command(*args)
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(60) == 141, err
        assert err == ""


def test_a_terminal_gets_color_and_a_pipe_does_not(command, study):
    ours, theirs = pty.openpty()
    process = command("doctor", study, stdout=theirs, stdin=subprocess.DEVNULL)
    assert process.wait(60) == 0
    os.close(theirs)
    assert b"\x1b[" in os.read(ours, 100_000)
    os.close(ours)
    assert "\x1b" not in command("doctor", study).communicate(timeout=60)[0]


def test_resume_runs_the_script_that_made_a_study_again(command, place):
    (place / "mine.py").write_text(
        "import sys, luthier as lt\n"
        "lt.tune(lambda x: x, lt.Space(x=lt.Float(0, 1)), minimize=True, budget=int(sys.argv[1]), dir='mine',\n"
        "        workers=0, view='none', search='random')\n"
        "print('ran', lt.load('mine').record.command)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(lt.__file__).parents[1])}
    subprocess.run([sys.executable, "mine.py", "3"], check=True, env=environment, capture_output=True)
    out, err = command("resume", "mine").communicate(timeout=60)
    assert "running python mine.py 3" in err
    assert "ran ('mine.py', '3')" in out


def test_a_full_pipeline_of_commands_answers_with_documents(command, place):
    done = command(*RUN, "--budget", 3, "--workers", 0, "--seed", 4)
    assert done.wait(60) == 0
    assert done.stdout.read().startswith("Best of 3 trials")
    flags = command("best", "runs/script", "--as", "flags").communicate(timeout=60)[0].split()
    assert flags[0] == "--x"
    trials = json.loads(command("trials", "runs/script", "--as", "json").communicate(timeout=60)[0])
    assert [trial["number"] for trial in trials] == [0, 1, 2]


def test_the_commands_load_nothing_heavy():
    code = (
        "import sys, luthier.cli.app as a; [a.cli.get_command(None, n) for n in a.cli.list_commands(None)];"
        "print([m for m in ('scipy', 'rich', 'torch', 'psutil', 'tensorboard', 'cloudpickle', 'yaml', 'sqlite3')"
        " if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(lt.__file__).parents[1])}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert out.stdout.strip() == "[]"
