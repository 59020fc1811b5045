"""The estimators are what scikit-learn expects, and take what it does not know."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import SkipTestWarning, check_estimator

import luthier as lt
from luthier.data import from_arrays
from luthier.errors import SettingError
from luthier.estimators import NetClassifier, NetRegressor, NetTranslator, fit
from luthier.estimators.wishes import Wishes

SMALL = {"budget": 1, "epochs": 12, "calibrate": False}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks provoke warnings on purpose
@pytest.mark.parametrize("kind", [NetClassifier, NetRegressor])
def test_scikit_learns_own_checks_pass(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(kind(**SMALL), on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']}" for r in results if r["status"] == "failed"]
    assert not failed
    assert sum(r["status"] == "passed" for r in results) > 40


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def test_labels_come_back_as_they_were_given(iris):
    x, y = iris
    for labels in (np.array(["a", "b", "c"]), np.array([-2, 5, 900]), np.array([0.0, 1.0, 2.0])):
        net = NetClassifier(budget=1, epochs=8, random_state=0).fit(x, labels[y])
        assert net.classes_.dtype == labels.dtype
        assert net.predict(x).dtype == labels.dtype
        assert net.score(x, labels[y]) > 0.6
        np.testing.assert_array_equal(net.model_.predict(x), net.predict(x))
    yes = NetClassifier(budget=1, epochs=8, random_state=0).fit(x, y == 0)
    assert yes.predict(x).dtype == bool


def test_labels_that_look_like_numbers_come_back_as_strings():
    y = np.array(["0", "1"] * 20)
    texts = [f"{'good nice' if label == '1' else 'bad sad'} thing {n}" for n, label in enumerate(y)]
    net = NetClassifier(budget=1, epochs=5, random_state=0).fit(texts, y)
    assert net.classes_.tolist() == ["0", "1"]
    assert net.score(texts, y) > 0.5


def test_a_model_of_a_frame_knows_its_columns(iris):
    x, y = iris
    frame = pd.DataFrame(x, columns=["a", "b", "c", "d"])
    net = NetClassifier(**SMALL, random_state=0).fit(frame, y)
    np.testing.assert_array_equal(net.model_.predict(frame[["d", "c", "b", "a"]]), net.predict(frame))


def test_the_array_that_was_fitted_can_be_predicted_though_a_column_was_left_out(iris):
    x, y = iris
    numbered = np.column_stack([np.arange(len(x)), x])
    net = fit(numbered, y, budget=1, epochs=2, workers=0, view="none")
    assert net.predict(numbered).shape == y.shape


def test_probabilities_belong_to_the_classes(iris):
    x, y = iris
    net = NetClassifier(budget=1, epochs=15, random_state=0).fit(x, y)
    probabilities = net.predict_proba(x)
    np.testing.assert_allclose(probabilities.sum(1), 1.0)
    np.testing.assert_array_equal(net.classes_[probabilities.argmax(1)], net.predict(x))
    assert 0.0 <= net.validation_score_ <= 1.0
    assert net.config_["epochs"] == 15
    assert len(net.curve_) <= 15
    assert net.study_.best is not None


def test_an_estimator_is_cloned_pickled_and_searched_in_a_pipeline(iris):
    x, y = iris
    net = NetClassifier(**SMALL, random_state=1)
    assert clone(net).get_params() == net.get_params()
    pipeline = make_pipeline(StandardScaler(), net)
    found = GridSearchCV(pipeline, {"netclassifier__epochs": [1, 8]}, cv=2, error_score="raise").fit(x, y)
    assert found.best_params_ == {"netclassifier__epochs": 8}
    again = pickle.loads(pickle.dumps(found.best_estimator_))
    np.testing.assert_array_equal(again.predict_proba(x), found.best_estimator_.predict_proba(x))


def test_a_seed_makes_fitting_repeatable(iris):
    x, y = iris
    first, second, other = (NetClassifier(**SMALL, random_state=seed).fit(x, y) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.predict_proba(x), second.predict_proba(x))
    assert not np.array_equal(first.predict_proba(x), other.predict_proba(x))


def test_a_frame_with_categories_and_missing_values_is_taken():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=120)
    frame = pandas.DataFrame(
        {
            "city": np.where(y == 1, "Oslo", "Rome"),
            "size": np.where(rng.random(120) < 0.3, np.nan, rng.normal(size=120)),
        }
    )
    frame.loc[::7, "city"] = None
    net = NetClassifier(budget=1, epochs=15, random_state=0).fit(frame, y)
    assert net.score(frame, y) > 0.8
    assert list(net.feature_names_in_) == ["city", "size"]
    assert net.n_features_in_ == 2


def test_images_and_texts_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=60)
    images = rng.random((60, 8, 8)).astype(np.float32) + y[:, None, None]
    net = NetClassifier(budget=1, epochs=6, random_state=0).fit(images, y)
    assert net.score(images, y) > 0.8
    texts = [("good nice" if k else "bad poor") + f" thing {rng.integers(9)}" for k in y]
    words = NetClassifier(budget=1, epochs=15, random_state=0).fit(texts, y)
    assert words.score(texts, y) > 0.8
    assert words.predict(["a nice one"]).shape == (1,)


def test_a_regressor_predicts_in_the_users_units():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = 1e6 + 1e4 * x[:, 0]
    net = NetRegressor(budget=1, epochs=30, random_state=0).fit(x, y)
    assert net.score(x, y) > 0.8
    assert np.all(np.abs(net.predict(100.0 * x) - 1e6) < 1.3 * np.ptp(y))  # far outside, it stays near what it knows


def test_a_translator_writes_texts():
    rng = np.random.default_rng(0)
    x = ["".join(rng.choice(list("ab"), 3)) for _ in range(80)]
    net = NetTranslator(budget=1, epochs=2, random_state=0).fit(x, [word.upper() for word in x])
    assert len(net.predict(x[:3])) == 3
    assert 0.0 <= net.score(x, [word.upper() for word in x]) <= 1.0


def test_what_a_translator_writes_is_measured_in_words_not_in_tokens():
    x = ["ab cd", "cd ab", "ef ab", "ab ef"] * 20
    net = fit(x, [text.upper() for text in x], task="seq2seq", budget=1, epochs=2, workers=0, view="none")
    assert "token_acc" in net.curve_[-1]
    assert set(net.test_["result"]["metrics"]) == {"word_acc", "exact_match"}
    assert "word accuracy" in net.summary_.split("\n\n")[1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metric": "rmse", "goal": "classes"}, "where classes are predicted"), ({"workers": "many"}, "workers="),
        ({"budget": None}, "how much to spend"),
    ],
)  # fmt: skip
def test_arguments_are_checked_before_the_data_are_read(wrong, message):
    with pytest.raises(SettingError, match=message):
        fit("nothing.csv", **wrong)


def test_a_model_that_writes_texts_is_not_asked_for_as_onnx():
    with pytest.raises(SettingError, match="cannot be one ONNX graph"):
        Wishes(onnx=True).check(None)


def test_fit_returns_an_estimator_with_a_test_and_a_summary(iris):
    x, y = iris
    net = fit(x, y, budget=1, epochs=15, workers=0, view="none")
    assert isinstance(net, NetClassifier)
    assert net.test_["result"]["rows"] == 22
    assert "expect accuracy of" in net.summary_
    assert net.predict(x).shape == (150,)
    assert isinstance(fit(x, x[:, 0] * 2.5, budget=1, epochs=2, workers=0, view="none"), NetRegressor)


def test_fit_takes_a_target_out_of_a_frame(iris):
    pandas = pytest.importorskip("pandas")
    x, y = iris
    frame = pandas.DataFrame(x, columns=list("abcd")).assign(kind=y)
    net = fit(frame, target="kind", budget=1, epochs=2, workers=0, view="none")
    assert net.n_features_in_ == 4
    with pytest.raises(SettingError, match="no column 'knd'"):
        fit(frame, target="knd", budget=1)
    with pytest.raises(SettingError, match="leave y out"):
        fit(from_arrays(x, y), y, budget=1)


def test_one_class_is_told(iris):
    x, _ = iris
    with pytest.raises(ValueError, match="one class only"):
        NetClassifier(**SMALL).fit(x, np.ones(150, int))


def test_what_the_package_offers_is_there():
    import luthier.estimators as room

    assert set(room.__all__) <= set(dir(room))
    assert lt.LuthierError is not None
    with pytest.raises(AttributeError, match="no attribute 'Net'"):
        _ = room.Net
