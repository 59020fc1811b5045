"""Spaces as JSON, TOML and YAML: what is written is read back, what people write is understood."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from luthier import Choice, Float, Int, Space
from luthier.errors import SpaceError
from luthier.spacefile import dumps_space, load_space, loads_space, space_from_dict, space_to_dict
from strategies import believed_parameters, spaces, texts

_forms = st.sampled_from(["json", "yaml", "toml"])


def _has_none(value):
    if isinstance(value, dict):
        return any(_has_none(v) for v in value.values())
    return value is None or (isinstance(value, list) and any(map(_has_none, value)))


def _equal(a, b):
    return a == b and repr(a) == repr(b) and space_to_dict(a) == space_to_dict(b)


@given(spaces(), _forms)
def test_a_space_is_read_back_as_it_was_written(space, form):
    assume(form != "toml" or not _has_none(space_to_dict(space)))
    assert _equal(loads_space(dumps_space(space, form), form), space)


@given(st.dictionaries(texts.filter(bool), believed_parameters(), min_size=1, max_size=3), _forms)
def test_names_and_priors_of_any_kind_are_read_back(given_, form):
    space = Space(given_)
    assume(form != "toml" or not _has_none(space_to_dict(space)))
    assert _equal(loads_space(dumps_space(space, form), form), space)


@given(spaces())
def test_the_description_is_plain_json_and_stable(space):
    data = space_to_dict(space)
    again = json.loads(json.dumps(data))
    assert again == data  # so that continuing a study does not take its space for a changed one
    assert space_to_dict(space_from_dict(again)) == data


@pytest.mark.parametrize(
    "space",
    [
        Space(k=Choice([(3, 3)])),
        Space(x=Float(0, 10, step=1)),
        Space(x=Choice(True, False, prior=False)),
        Space(x=Choice("1e-3", "on", "null", "😀", "\x7f"), c="1..4"),
        Space(x=Int(1, 2), c=(1, (2, "a"))),
        Space(x=Int(1, 2), c=None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("form", ["json", "yaml", "toml"])
def test_odd_spaces_are_read_back(space, form):
    if form == "toml" and space.constants.get("c", 0) is None:
        with pytest.raises(SpaceError, match="write this space as JSON or YAML"):
            dumps_space(space, form)
        return
    assert _equal(loads_space(dumps_space(space, form), form), space)


def test_a_written_file_is_loaded_by_its_suffix(tmp_path):
    space = Space(lr=Float(1e-5, 1e-1, log=True), c=20)
    for form in ("json", "toml", "yaml", "yml"):
        path = tmp_path / f"space.{form}"
        path.write_text(dumps_space(space, form), encoding="utf-8")
        assert _equal(load_space(path), space)


def test_exponents_without_a_dot_are_numbers_in_yaml():
    text = (
        "parameters:\n  lr: {type: float, low: 1e-5, high: 1E-1, log: true}\n  wd: {type: choice, options: [1e-5, 0]}\n"
    )
    assert loads_space(text, "yaml") == Space(lr=Float(1e-5, 0.1, log=True), wd=Choice(1e-5, 0))


def test_short_notation_and_constants_may_be_mixed_with_tables():
    text = """
    forbid = ["opt == 'adam' and lr > 0.05"]
    [parameters]
    lr = "1e-5..1e-1:log"
    opt = {type = "choice", options = ["adam", "sgd"]}
    momentum = {type = "float", low = 0.0, high = 0.99, when = "opt == 'sgd'"}
    epochs = 20
    """
    space = loads_space(text, "toml")
    expected = Space(
        lr=Float(1e-5, 1e-1, log=True), opt=Choice("adam", "sgd"), momentum=Float(0.0, 0.99, when={"opt": "sgd"}),
        epochs=20, forbid=["opt == 'adam' and lr > 0.05"],
    )  # fmt: skip
    assert space == expected


@pytest.mark.parametrize(
    ("text", "form", "says"),
    [
        ("{", "json", "cannot read the space as json"),
        ("[1]", "json", "a table 'parameters'"),
        ("[parameters", "toml", "cannot read the space as toml"),
        ("a: [", "yaml", "cannot read the space as yaml"),
        ("!!python/object/apply:os.system ['true']", "yaml", "cannot read"),
        ('{"parameters": {"a": 1}, "forbit": []}', "json", "did you mean 'forbid'"),
        ('{"parameters": {"a": {"type": "flaot"}}}', "json", "did you mean 'float'"),
        ('{"parameters": {"a": {"type": "float", "low": 1}}}', "json", "a: .*high"),
        ('{"parameters": {"a": {"type": "float", "low": 1, "high": 2, "logg": true}}}', "json", "a: .*logg"),
        ('{"parameters": {"a": {"type": "choice", "options": "adam"}}}', "json", "options is a list"),
        ('{"parameters": {"a": {"type": "choice"}}}', "json", "at least one option"),
        ("{}", "ini", "got 'ini'"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(text, form, says):
    with pytest.raises(SpaceError, match=says):
        loads_space(text, form)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(SpaceError, match="No such file"):
        load_space(tmp_path / "none.json")
