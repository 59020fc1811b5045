"""The short notation of the command line."""

import pytest

from luthier import Choice, Float, Int, Ordinal
from luthier.errors import SpaceError
from luthier.notation import parse, written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-5..1e-1:log", Float(1e-5, 1e-1, log=True)),
        ("1e-5..1e-1:log:prior=1e-3:sure=0.8", Float(1e-5, 1e-1, log=True, prior=1e-3, sure=0.8)),
        ("0..1", Int(0, 1)),
        ("0..1:float", Float(0, 1)),
        ("0.0..1", Float(0, 1)),
        ("-3..-1", Int(-3, -1)),
        ("-0.5..0.5", Float(-0.5, 0.5)),
        (" 1 .. 4 ", Int(1, 4)),
        ("0..1:step=0.1", Float(0, 1, step=0.1)),
        ("0..10:step=2", Int(0, 10, step=2)),
        ("0..10:float:step=1", Float(0, 10, step=1)),
        ("16..256:pow2", Int(16, 256, pow2=True)),
        ("1..4:log=false", Int(1, 4)),
        ("adam,sgd", Choice("adam", "sgd")),
        ("adam,sgd:prior=sgd", Choice("adam", "sgd", prior="sgd")),
        ("true,false", Choice(True, False)),
        ("none,0.5,3", Choice(None, 0.5, 3)),
        ("16,24,48:ordered", Ordinal(16, 24, 48)),
        ("relu", "relu"),
        ("20", 20),
        ("0.5", 0.5),
        ("true", True),
        ("None", None),
        ("inf", "inf"),
    ],
)
def test_a_parameter_is_read_from_short_notation(text, expected):
    read = parse(text)
    assert type(read) is type(expected)
    assert read == expected


def test_a_condition_goes_with_it():
    assert parse("0..1:float", when="opt == 'sgd'") == Float(0, 1, when="opt == 'sgd'")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1..4:lgo", "did you mean 'log'"),
        ("1..4:ordered", "ordered"),
        ("a,b:float", "float"),
        ("a,b:log", "cannot read"),
        ("4..1", "swap them"),
        ("a..b", "two finite numbers"),
        ("1..4:prior=9", "prior"),
        ("1..4:sure=x", "cannot read"),
        ("20:log", "a constant"),
        ("a,a", "twice"),
    ],
)
def test_what_cannot_be_read_is_refused(text, says):
    with pytest.raises(SpaceError, match=says):
        parse(text)


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (Float(1e-5, 0.1, log=True, prior=1e-3), "1e-05..0.1 log, prior 0.001"),
        (Float(0, 10, step=1), "0.0..10.0, step 1"),
        (Int(1, 4, when="a > 1"), "1..4   when a > 1"),
        (Choice("a", None, 3), "a | None | 3"),
        (Choice(True, False, prior=False), "True | False, prior False"),
        (Ordinal(16, 24), "16 | 24 (ordered)"),
        (20, "20 (constant)"),
    ],
)
def test_a_parameter_is_written_for_people(parameter, text):
    assert written(parameter) == text
