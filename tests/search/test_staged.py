import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playing import LOSS, ask, bowl, mixed, play

from luthier import Float, Int, Space
from luthier.errors import SettingError
from luthier.history import History
from luthier.search.staged import Stage, StagedSearch, guess, recipe, stage_space
from strategies import spaces


@pytest.mark.parametrize(
    ("kind", "names"),
    {
        "architecture": "num_layers width depth hidden_size activation kernel_size n_heads batch_norm Op3 units_1 foo",
        "optimizer": "lr learning_rate momentum beta1 optimizer scheduler warmup learningRate init_lr lr_schedule",
        "regularization": "dropout weight_decay wd l2 label_smoothing mixup_alpha drop_path dropout_1 weightDecay",
        "batch size and epochs": "batch_size epochs batchSize accumulation max_steps n_epochs patience",
    }.items(),
)  # fmt: skip
def test_usual_names_tell_what_a_parameter_is_for(kind, names):
    assert {name: guess(name) for name in names.split()} == dict.fromkeys(names.split(), kind)


def test_the_recipe_follows_the_order_people_tune_in():
    space = Space(
        batch_size=Int(8, 64, pow2=True), dropout=Float(0, 1), lr=Float(0.1, 1), depth=Int(1, 3), width=Int(1, 9)
    )
    stages = recipe(space)
    assert [s.name for s in stages] == ["architecture", "optimizer", "regularization", "batch size and epochs"]
    assert stages[0].parameters == ("depth", "width")
    assert sum(s.share for s in stages) == pytest.approx(0.9)


def test_each_stage_moves_its_parameters_and_holds_the_others_at_the_best():
    space = Space(a=Float(0, 1), b=Float(0, 1), c=Float(0, 1))
    stages = [Stage(("a",), 0.4, "random"), Stage(("b", "c"), 0.4, "tpe", name="rest")]
    history = play(StagedSearch(stages), space, lambda c: abs(c["a"] - 0.2) + abs(c["b"] - 0.9), 50)
    first, second, last = history.x[:20], history.x[20:40], history.x[40:]
    assert (first[:, 1:] == 0.5).all()
    assert len(np.unique(first[:, 0])) == 20
    assert (second[:, 0] == first[np.argmin(history.losses[:20, 0]), 0]).all()
    assert len(np.unique(second[:, 1])) > 15
    assert len(np.unique(last[:, 0])) > 5
    again = History.of(space, LOSS, history.trials[:25], planned=50)
    assert "stage rest, the others at their values in trial" in ask(StagedSearch(stages), again)[0].reason
    assert "up to trial 20; rest up to trial 40; then all together" in StagedSearch(stages).describe(history)


def test_parameters_of_a_branch_are_tuned_with_the_choice_that_opens_it():
    space = mixed()
    held = {"lr": 0.01, "opt": "adam", "width": 64, "batch": 32, "act": "a", "epochs": 10}
    part = stage_space(space, ("opt",), held)
    assert set(part.columns) == {"opt", "momentum"}
    assert part.constants["width"] == 64
    assert stage_space(space, ("momentum",), held) is None
    assert set(stage_space(space, ("momentum",), {**held, "opt": "sgd", "momentum": 0.5}).columns) == {"momentum"}


def test_forbidden_combinations_hold_within_a_stage():
    space = mixed()
    held = {"lr": 0.01, "opt": "adam", "width": 64, "batch": 16, "act": "a", "epochs": 10}
    part = stage_space(space, ("act",), held)
    assert {c["act"] for c in part.enumerate()} == {"a", "b"}
    assert stage_space(space, ("act",), {**held, "batch": 32}).size().total == 3


@given(spaces(), st.integers(0, 99))
@settings(max_examples=60)
def test_a_stage_of_any_space_holds_configurations_of_the_whole(space, seed):
    rng = np.random.default_rng(seed)
    held = space.sample(rng)
    if not space.columns:
        return
    part = stage_space(space, space.columns[: rng.integers(1, len(space.columns) + 1)], held)
    for k in range(5 if part is not None else 0):
        space.validate(part.sample(np.random.default_rng(k)))


def test_when_a_stage_is_exhausted_all_are_tuned_together():
    space = Space(depth=Int(1, 3), lr=Float(0, 1))
    history = play(StagedSearch([Stage(("depth",), 1.0)]), space, lambda c: c["depth"], 10)
    assert len(history) == 10


def test_a_misspelt_parameter_is_told():
    search = StagedSearch([Stage(("depht",), 0.5)])
    with pytest.raises(SettingError, match="did you mean 'depth'"):
        search.describe(History(Space(depth=Int(1, 3)), LOSS))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Stage((), 0.5),
        lambda: Stage(("a",), 0.0),
        lambda: StagedSearch([Stage(("a",), 0.6), Stage(("b",), 0.6)]),
    ],
)
def test_stages_that_make_no_sense_are_refused(make):
    with pytest.raises(SettingError, match="share"):
        make()


def test_it_runs_on_a_tree():
    assert len(play(StagedSearch(), mixed(), bowl, 60)) == 60
