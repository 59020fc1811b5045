"""What matters and what goes together, found again in studies where it is known."""

import numpy as np
import pytest

import luthier as lt
from luthier.errors import LuthierError


def studied(loss, space, trials=60):
    study = lt.Study(space, minimize="loss", search="random", seed=4)
    for _ in range(trials):
        trial = study.ask()
        study.tell(trial, {"loss": loss(trial.config)})
    return study


def test_parameters_that_only_work_together_are_told_apart_from_those_that_work_alone():
    space = lt.Space(rate=lt.Float(0, 1), batch=lt.Float(0, 1), width=lt.Float(0, 1), noise=lt.Float(0, 1))
    study = studied(lambda c: 4 * (c["rate"] - 0.5) * (c["batch"] - 0.5) + 0.8 * c["width"], space)
    found = study.effects()
    assert next(iter(found.together)) == ("rate", "batch")
    assert found.together["rate", "batch"] > 0.3
    assert next(iter(found.alone)) == "width"
    assert found.alone["noise"] < 0.05
    assert sum(found.alone.values()) + sum(found.together.values()) == pytest.approx(1.0, abs=0.15)
    assert "rate x batch" in str(found)


def test_categories_and_conditions_have_effects_too():
    space = lt.Space(opt=lt.Choice("adam", "sgd"), momentum=lt.Float(0, 1, when={"opt": "sgd"}), width=lt.Int(1, 64))
    study = studied(lambda c: (1.0 - c["momentum"]) if c["opt"] == "sgd" else 2.0, space)
    found = study.effects()
    assert next(iter(found.alone)) == "opt"
    assert found.alone["width"] < 0.05


def test_too_few_results_are_told():
    study = studied(lambda c: c["x"], lt.Space(x=lt.Float(0, 1)), trials=3)
    with pytest.raises(LuthierError, match="at least 5 results"):
        study.effects()


def test_failed_trials_do_not_count():
    study = studied(lambda c: c["x"] if c["x"] > 0.3 else np.nan, lt.Space(x=lt.Float(0, 1), y=lt.Float(0, 1)))
    found = study.effects()
    assert found.trials < 60
    assert found.alone["x"] > 0.9
