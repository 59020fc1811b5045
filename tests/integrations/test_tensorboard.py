"""What TensorBoard itself reads back."""

import builtins
import subprocess
import sys

import pytest

import luthier as lt
from luthier.errors import MissingExtra
from luthier.integrations.tensorboard import TensorBoard

pytest.importorskip("tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore")

SPACE = lt.Space(
    lr=lt.Float(1e-3, 1e-1, log=True),
    opt=lt.Choice("adam", "sgd"),
    nesterov=lt.Choice(True, False),
    sizes=lt.Choice((1, 2), (3, 4)),
)


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def curve(folder, tag):
    return [(event.step, round(event.value, 5)) for event in read(folder).Scalars(tag)]


def study_with(board, **given):
    return lt.Study(SPACE, minimize="loss", search="random", seed=1, observers=[board], **given)


def test_each_trial_is_a_run_with_its_curves_and_its_result(tmp_path):
    study = study_with(TensorBoard(tmp_path))
    for _ in range(2):
        trial = study.ask()
        for step, loss in enumerate([3.0, 1.0, 2.0], start=1):
            study.report(trial, {"loss": loss, "acc": 1 / loss}, step=step)
        study.tell(trial)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["trial-00000", "trial-00001"]
    assert curve(tmp_path / "trial-00001", "loss") == [(1, 3.0), (2, 1.0), (3, 2.0)]
    assert curve(tmp_path / "trial-00001", "result/loss") == [(3, 1.0)]
    assert curve(tmp_path / "trial-00001", "acc")[1] == (2, 1.0)


def test_a_second_report_of_the_same_step_adds_to_it(tmp_path):
    study = study_with(TensorBoard(tmp_path))
    trial = study.ask()
    study.report(trial, {"loss": 1.0}, step=1)
    study.report(trial, {"acc": 0.5}, step=1)
    study.tell(trial)
    assert curve(tmp_path / "trial-00000", "loss") == [(1, 1.0)]
    assert curve(tmp_path / "trial-00000", "acc") == [(1, 0.5)]


def test_a_trial_that_is_cut_back_to_its_checkpoint_is_cut_back_here_too(tmp_path):
    study = study_with(TensorBoard(tmp_path))
    trial = study.ask()
    for step in (1, 2, 3):
        study.report(trial, {"loss": float(step)}, step=step)
    study.resumed(trial, 1)
    study.report(trial, {"loss": 20.0}, step=2)
    study.tell(trial)
    assert curve(tmp_path / "trial-00000", "loss") == [(1, 1.0), (2, 20.0)]


def test_a_study_that_is_continued_goes_on_in_the_same_run(tmp_path):
    with study_with(TensorBoard(tmp_path / "board"), dir=tmp_path / "study") as study:
        trial = study.ask()
        study.report(trial, {"loss": 3.0}, step=1)
        study.report(trial, {"loss": 2.0}, step=2)
    with study_with(TensorBoard(tmp_path / "board"), dir=tmp_path / "study") as study:
        trial = study.ask()
        assert trial.number == 0
        study.resumed(trial, 1)
        study.report(trial, {"loss": 1.0}, step=2)
        study.tell(trial)
    assert curve(tmp_path / "board" / "trial-00000", "loss") == [(1, 3.0), (2, 1.0)]


def test_the_hparams_plugin_reads_configurations_results_and_status(tmp_path):
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    study = study_with(TensorBoard(tmp_path))
    good, bad = study.ask(), study.ask()
    study.tell(good, 0.5)
    study.tell(bad, ValueError("no"))
    tags = read(tmp_path / "trial-00000").summary_metadata
    start = metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG].plugin_data.content)
    assert start.hparams["lr"].number_value == pytest.approx(good.config["lr"])
    assert start.hparams["opt"].string_value == good.config["opt"]
    assert start.hparams["nesterov"].bool_value == good.config["nesterov"]
    assert start.hparams["sizes"].string_value == repr(good.config["sizes"])
    ends = [
        plugin_data_pb2.HParamsPluginData.FromString(
            read(tmp_path / f"trial-0000{n}").summary_metadata[metadata.SESSION_END_INFO_TAG].plugin_data.content
        ).session_end_info.status
        for n in (0, 1)
    ]
    assert ends == [1, 2]  # STATUS_SUCCESS, STATUS_FAILURE


def test_a_waiting_trial_is_not_written(tmp_path):
    study = study_with(TensorBoard(tmp_path))
    study.enqueue({"lr": 0.01})
    assert not list(tmp_path.iterdir())


def test_neither_torch_nor_tensorflow_is_loaded(tmp_path):
    code = (
        "import sys, luthier as lt; from luthier.integrations.tensorboard import TensorBoard;"
        f"s = lt.Study(lt.Space(x=lt.Float(0, 1)), minimize='l', observers=[TensorBoard({str(tmp_path)!r})]);"
        "s.tell(s.ask(), 1.0); print([m for m in ('torch', 'tensorflow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_without_tensorboard_the_line_to_type_is_told(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("tensorboard"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r'pip install "luthier\[tensorboard\]"'):
        TensorBoard(tmp_path)
