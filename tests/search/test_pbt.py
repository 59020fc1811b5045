import numpy as np
import pytest

import luthier as lt
from luthier.contracts import Search
from luthier.errors import SettingError
from luthier.search.pbt import PopulationSearch, replay
from luthier.simulate import simulate
from luthier.trial import State

SPACE = lt.Space(lr=lt.Float(1e-4, 1.0, log=True), decay=lt.Float(0.0, 1.0), act=lt.Choice("relu", "tanh"))


def curve(config):
    return [abs(np.log10(config["lr"]) + 2.0) + config["decay"] + 1.0 / step for step in range(1, 21)]


def run(search=None, **changes):
    given = {"budget": "600 steps", "seed": 0, "workers": 4, **changes}
    search = search or PopulationSearch(8, every=2)
    return simulate(curve, SPACE, minimize="loss", search=search, schedule="full", **given)


def test_it_is_a_search_that_says_what_it_is():
    assert isinstance(PopulationSearch(), Search)
    assert "population" in PopulationSearch().describe(run(budget="8 steps").study.history)


def test_the_population_keeps_its_size_and_ends_with_the_training():
    study = run().study
    forks = [t for t in study.trials if t.parent is not None]
    assert len(study.trials) == 8 + len(forks)
    assert forks
    assert sum(t.state is State.DONE for t in study.trials) == 8
    assert all(t.steps < 20 for t in study.trials if t.state is State.PAUSED)


def test_a_fork_goes_on_where_its_parent_stood_with_other_values():
    study = run().study
    for fork in (t for t in study.trials if t.parent is not None and t.steps):
        parent = study.history.trial(fork.parent)
        assert 1 < fork.curve.steps[0] <= parent.steps + 1
        assert study.space.validate(fork.config) == fork.config
    assert any(t.config != study.history.trial(t.parent).config for t in study.trials if t.parent is not None)


def test_the_population_ends_better_than_it_began():
    gains = []
    for seed in range(6):
        study = run(seed=seed).study
        first, last = (
            min(curve(t.config)[-1] for t in study.trials if t.parent is None or kept) for kept in (False, True)
        )
        gains.append(first - last)
    assert sum(gain > 0.0 for gain in gains) >= 3


def test_a_member_that_has_ended_is_not_forked_and_failing_forks_are_not_repeated():
    def fragile(config):
        return curve(config)[:10] + [float("nan")] * 10 if config["lr"] > 0.01 else curve(config)

    study = simulate(
        fragile,
        SPACE,
        minimize="loss",
        search=PopulationSearch(8, every=2),
        schedule="full",
        budget="2000 steps",
        seed=0,
    ).study
    assert len(study.trials) < 60
    for fork in (t for t in study.trials if t.parent is not None and t.steps):
        assert fork.curve.steps[0] <= 20


def test_the_schedule_that_was_found_can_be_replayed():
    study = run().study
    last = max((t for t in study.trials if t.parent is not None and t.steps), key=lambda t: t.number)
    legs = replay(study.history, last.number)
    assert len(legs) >= 2
    assert legs[0].begin == 0
    assert [leg.begin for leg in legs] == sorted(leg.begin for leg in legs)
    assert legs[-1].config == last.config


def test_fixed_parameters_stay():
    study = run(PopulationSearch(8, every=2, fixed=("act",))).study
    for fork in (t for t in study.trials if t.parent is not None):
        assert fork.config["act"] == study.history.trial(fork.parent).config["act"]


def test_a_fresh_instance_gives_the_same_answers():
    class Fresh:
        def describe(self, history):
            return ""

        def propose(self, history, n, rng):
            return PopulationSearch(8, every=2).propose(history, n, rng)

    def told(done):
        return [(t.config, t.steps, t.parent, t.reason) for t in done.study.trials]

    assert told(run(Fresh())) == told(run())


@pytest.mark.parametrize("bad", [{"size": 1}, {"every": 0}, {"truncation": 0.6}, {"resample": 2.0}])
def test_bad_settings_are_told(bad):
    with pytest.raises(SettingError):
        PopulationSearch(**bad)


def test_what_a_change_makes_active_gets_a_value():
    momentum = lt.Float(0.0, 0.99, when={"opt": "sgd"})
    space = lt.Space(opt=lt.Choice("adam", "sgd"), momentum=momentum, size=lt.Ordinal(8, 16, 32))
    search, history = PopulationSearch(4, every=2), lt.Study(space, minimize=True).history
    found = [search.perturbed(history, {"opt": "adam", "size": 16}, np.random.default_rng(seed)) for seed in range(60)]
    assert all(space.validate(config) == config for config in found)
    assert {config["opt"] for config in found} == {"adam", "sgd"}


def test_a_step_leaves_the_value_of_a_parameter_that_has_few():
    space = lt.Space(size=lt.Ordinal(8, 16, 32))
    search, history = PopulationSearch(4, every=2, resample=0.0), lt.Study(space, minimize=True).history
    found = {search.perturbed(history, {"size": 16}, np.random.default_rng(seed))["size"] for seed in range(20)}
    assert found == {8, 32}
