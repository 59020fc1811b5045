"""The default comes first and is trained to its end, whatever the search pauses afterwards."""

import numpy as np

import luthier as lt
from luthier.contracts import New
from luthier.estimators.default_first import DefaultFirst

SPACE = lt.Space(lr=lt.Float(1e-4, 1.0, log=True), depth=lt.Int(1, 4))


def train(config, run):
    run.keep(state={})
    for epoch in run.steps(32):
        run.report(loss=abs(np.log10(config["lr"]) + 2) + config["depth"] + 1 / (epoch + 1))


def test_the_default_is_trained_to_its_end_within_a_short_budget():
    default = {"lr": 0.5, "depth": 3}
    study = lt.tune(
        train, SPACE, minimize="loss", budget="80 steps", search=DefaultFirst(default), workers=0, view="none", seed=0
    )
    first = study.history.trial(0)
    assert first.config == default
    assert first.steps == 32
    assert len(study.trials) > 3


def test_it_proposes_the_same_without_what_it_remembers():
    study = lt.tune(
        train, SPACE, minimize="loss", budget="100 steps", search=DefaultFirst({"lr": 0.1, "depth": 1}), workers=0,
        view="none", seed=1,
    )  # fmt: skip
    rng = (np.random.default_rng(3), np.random.default_rng(3))
    used, fresh = DefaultFirst({"lr": 0.1, "depth": 1}), DefaultFirst({"lr": 0.1, "depth": 1})
    used.propose(study.history, 1, np.random.default_rng(9))
    assert used.propose(study.history, 1, rng[0]) == fresh.propose(study.history, 1, rng[1])


def test_without_pauses_it_is_the_search_underneath():
    empty = lt.Study(SPACE, minimize="loss", seed=0).history
    search = DefaultFirst({"lr": 0.1, "depth": 1}, "random")
    first, second = search.propose(empty, 2, np.random.default_rng(0))
    assert isinstance(first, New)
    assert first.config == {"lr": 0.1, "depth": 1}
    assert isinstance(second, New)
    assert search.resume(empty) is None
    assert search.hopeless(empty) == {}
    assert not search.paced
