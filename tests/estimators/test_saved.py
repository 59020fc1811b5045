"""Saved models: the same answers from raw inputs, without the study; nothing torn, no code in the files."""

import json

import numpy as np
import pytest

from luthier.data import from_arrays
from luthier.errors import DataError, SettingError
from luthier.estimators import load
from luthier.estimators.job import Job
from luthier.estimators.wishes import Wishes


def sounds(n=40):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=n)
    waves = [
        np.sin(np.arange(rng.integers(1500, 2500)) * (0.15, 0.6)[k]).astype(np.float32) * rng.uniform(0.3, 1) for k in y
    ]
    return waves, np.array(["low", "high"])[y]


def texts(n=60):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=n)
    words = (["good", "fine", "nice", "great"], ["bad", "poor", "awful", "sad"])
    return [" ".join(rng.choice(words[k], 4)) + " thing it is" for k in y], np.array(["up", "down"])[y]


def images(n=48):
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=n)
    x = rng.integers(0, 60, size=(n, 1, 10, 10)).astype(np.uint8)
    for row, k in enumerate(y):
        x[row, 0, 3 * k : 3 * k + 3] += 150
    return x, y - 1


def table(n=80):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=n)
    x = {
        "size": rng.normal(size=n) + 2.0 * y,
        "hue": np.array([["red", "blue", None][min(2, k + (rng.random() < 0.2))] for k in y], dtype=object),
        "age": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
    }
    return x, y.astype(bool)


def words(n=60):
    rng = np.random.default_rng(0)
    x = ["".join(rng.choice(list("abc"), rng.integers(2, 5))) for _ in range(n)]
    return x, [word[::-1] for word in x]


KINDS = {"image": images, "text": texts, "audio": sounds, "tabular": table, "seq2seq": words}


@pytest.fixture(scope="module", params=KINDS)
def fitted(request, tmp_path_factory):
    x, y = KINDS[request.param]()
    data = from_arrays(x, y, task=request.param, rate=4000 if request.param == "audio" else None)
    directory = tmp_path_factory.mktemp(request.param)
    wishes = Wishes(budget=1, epochs=4, workers=0, view="none")
    return Job(data, wishes, directory=directory).run(), directory, x, y


def test_a_saved_model_gives_the_same_answers_from_raw_inputs(fitted):
    job, directory, x, y = fitted
    model = load(directory)
    first, second = job.model.predict(x), model.predict(x)
    assert list(first) == list(second)
    if model.classes is not None:
        np.testing.assert_allclose(model.predict_proba(x), job.model.predict_proba(x), rtol=1e-5, atol=1e-7)
        assert model.classes.dtype.kind == np.asarray(y).dtype.kind
        assert set(np.asarray(second).tolist()) <= set(np.asarray(y).tolist())


def test_the_saved_model_does_as_the_plan_that_trained_it(fitted):
    from luthier.estimators.finalists import restored
    from luthier.estimators.objective import Training
    from luthier.recipes import Recipe

    job, *_ = fitted
    training = Training(
        Recipe(job.model.task, job.study.space), job.prepared.targets, job.prepared.parts, precision="float32"
    )
    trial = job.study.history.trial(0)
    network, _ = restored(job.study, trial, training, job.prepared)
    plan = training.plan(trial.config, job.prepared.parts.train, seed=trial.seed)
    plan.trainer.model.load_state_dict(network.net.state_dict())
    x = job.prepared.parts.valid[0]
    if job.model.task == "seq2seq":
        from luthier.estimators.saved import write

        ours = write(network, x, job.prepared.targets.length)
    else:
        ours = network.predict(x).numpy()
    np.testing.assert_allclose(ours, plan.predict(x).numpy(), rtol=1e-3, atol=1e-4)


def test_the_files_hold_tensors_and_json_only(fitted):
    import torch

    _, directory, *_ = fitted
    said = json.loads((directory / "model" / "model.json").read_text())
    assert said["format"] == 1
    tensors = torch.load(directory / "model" / said["weights"], weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in tensors.values())


def test_an_onnx_file_computes_the_same(fitted, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    job, _, x, _ = fitted
    if job.model.task == "seq2seq":
        with pytest.raises(SettingError, match="runs in a loop"):
            job.model.export_onnx(tmp_path / "model.onnx")
        return
    session = onnxruntime.InferenceSession(job.model.export_onnx(tmp_path / "model.onnx"))
    encoded = job.model.encoder.encode(job.model.dataset(x))
    parts = encoded if isinstance(encoded, tuple) else (encoded,)
    given = {entry.name: part.numpy() for entry, part in zip(session.get_inputs(), parts, strict=True)}
    np.testing.assert_allclose(session.run(None, given)[0], job.model.predict_proba(x), rtol=1e-3, atol=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["task"]) == job.model.task


def test_a_torn_or_missing_model_is_told(fitted, tmp_path):
    import shutil

    _, directory, *_ = fitted
    with pytest.raises(DataError, match=r"needs a file model\.json"):
        load(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(directory / "model", copy)
    weights = next(copy.glob("weights-*.pt"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(DataError, match="is damaged"):
        load(copy)
    weights.unlink()
    with pytest.raises(DataError, match="is missing"):
        load(copy)
    said = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**said, "format": 99}))
    with pytest.raises(SettingError, match="newer format, 99"):
        load(copy)


def test_inputs_of_another_kind_are_refused():
    x, y = table()
    model = Job(from_arrays(x, y), Wishes(budget=1, epochs=2, workers=0, view="none")).run().model
    with pytest.raises(DataError, match="size"):
        model.predict({name: column for name, column in x.items() if name != "size"})
    with pytest.raises(DataError, match="tabular"):
        model.predict(from_arrays(["a text of words", "another text here"], task="text"))


def test_categories_that_training_did_not_have_are_unknown():
    x, y = table()
    model = Job(from_arrays(x, y), Wishes(budget=1, epochs=2, workers=0, view="none")).run().model
    new = {name: column[:3].copy() for name, column in x.items()}
    new["hue"] = np.array(["green", None, "violet"], dtype=object)
    codes = model.encoder.encode(model.dataset(new))[1]
    assert codes.tolist() == [[0], [0], [0]]
    assert np.isfinite(model.predict_proba(new)).all()


def test_weights_lie_beside_the_description_whatever_it_says(tmp_path):
    x, y = table()
    wishes = Wishes(budget=1, epochs=2, workers=0, view="none")
    Job(from_arrays(x, y), wishes, directory=tmp_path / "job").run()
    path = tmp_path / "job" / "model" / "model.json"
    content = json.loads(path.read_text())
    elsewhere = tmp_path / content["weights"]
    (path.parent / content["weights"]).rename(elsewhere)
    path.write_text(json.dumps({**content, "weights": str(elsewhere)}))
    with pytest.raises(DataError, match="is missing"):
        load(tmp_path / "job")
