"""A person's word on the command line."""

from luthier.training.intervention import ControlFile


def test_a_nudge_reaches_whoever_reads_the_file(luthier, place):
    control = ControlFile(place / "control")
    assert luthier("nudge", place / "control", "lower", "2").stdout.endswith("control: lower 2\n")
    luthier("nudge", place, "stop")  # a directory: the control file in it
    commands, complaints = control.read()
    assert ([str(command) for command in commands], complaints) == (["lower 2", "stop"], [])


def test_what_is_no_command_is_told_and_not_written(luthier, place):
    assert "did you mean 'lower'" in luthier("nudge", place, "lowr", code=2).stderr
    assert "there is no" in luthier("nudge", place / "nowhere" / "control", "stop", code=2).stderr
    assert not (place / "control").exists()


def test_where_nothing_runs_nobody_is_told(luthier, place):
    (place / "study.db").touch()
    assert "nobody to tell" in luthier("nudge", place, "lower", code=2).stderr
    assert not (place / "control").exists()
    assert "is a new file" in luthier("nudge", place / "elsewhere", "lower").stderr
