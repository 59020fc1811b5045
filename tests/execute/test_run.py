"""What an objective can do with its run, in this process."""

import random

import numpy as np
import pytest

import luthier as lt
from luthier.contracts import CONTINUE, Decision, Verdict
from luthier.execute import checkpoint
from luthier.execute.base import Ticket
from luthier.execute.run import Run, perform
from luthier.objective import Metric, RunEnded, objective_of
from luthier.trial import Failure

LOSS = (Metric("loss"),)


class Host:
    """Collects what a run says; answers `verdict` at step `at`."""

    def __init__(self, verdict=Verdict.CONTINUE, at=0):
        self.verdict, self.at, self.reports, self.starts = verdict, at, [], []

    def restarted(self, run, step, reports):
        self.starts.append((step, reports))

    def reported(self, run, step, metrics):
        self.reports.append((step, metrics))
        return Decision(self.verdict, "told so") if step == self.at else CONTINUE

    def hold(self, run):
        return False


def run_at(path, host, step=0, **options):
    return Run(Ticket(0, {"x": 1.0}, 7, str(path), step), LOSS, host, **options)


def play(path, function, host=None, step=0, **options):
    host = host or Host()
    return perform(objective_of(function, ["x"]), run_at(path, host, step, **options)), host


def train(x, run):
    total = run.keep(total=[0.0])
    for i in run.steps(5):
        total[0] += random.random()
        run.report(loss=x / (i + 1), total=total[0])


def test_steps_count_like_range_and_reports_like_people(tmp_path):
    seen = []

    def objective(x, run):
        for i in run.steps(3):
            seen.append((i, run.step))
            run.report(loss=1.0)

    outcome, host = play(tmp_path, objective)
    assert outcome.kind == "done"
    assert seen == [(0, 0), (1, 1), (2, 2)]
    assert [step for step, _ in host.reports] == [1, 2, 3]


def test_an_interrupted_run_goes_on_from_its_checkpoint_as_if_nothing_had_happened(tmp_path):
    _, whole = play(tmp_path / "whole", train)
    outcome, first = play(tmp_path / "parts", train, Host(Verdict.PAUSE, at=2))
    assert outcome.kind == "paused"
    outcome, second = play(tmp_path / "parts", train, step=2)
    assert outcome.kind == "done"
    assert first.reports + second.reports == whole.reports
    assert second.starts == [(2, first.reports)]


def test_a_torn_checkpoint_is_passed_over_and_the_one_before_is_used(tmp_path):
    play(tmp_path, train, Host(Verdict.PAUSE, at=3), checkpoints="all")
    last = checkpoint.files(tmp_path / "checkpoints")[3]
    last.write_bytes(last.read_bytes()[:-10])
    _, again = play(tmp_path, train, step=3)
    assert again.starts[0][0] == 2
    assert [step for step, _ in again.reports] == [3, 4, 5]


def test_only_the_latest_and_the_best_checkpoint_stay(tmp_path):
    def objective(x, run):
        run.keep(state=[])
        for i in run.steps(6):
            run.report(loss=abs(i - 2))

    play(tmp_path / "best", objective)
    play(tmp_path / "latest", objective, checkpoints="latest")
    play(tmp_path / "all", objective, checkpoints="all")
    kept = {name: list(checkpoint.files(tmp_path / name / "checkpoints")) for name in ("best", "latest", "all")}
    assert kept == {"best": [3, 6], "latest": [6], "all": [1, 2, 3, 4, 5, 6]}


def test_stop_ends_the_loop_and_what_follows_still_runs(tmp_path):
    after = []

    def objective(x, run):
        for _ in run.steps(10):
            run.report(loss=1.0)
        after.append(run.step)

    outcome, _ = play(tmp_path, objective, Host(Verdict.STOP, at=4))
    assert (outcome.kind, outcome.reason, after) == ("stopped", "told so", [4])


def test_pause_ends_the_objective_at_once(tmp_path):
    after = []

    def objective(x, run):
        for _ in run.steps(10):
            run.report(loss=1.0)
        after.append(run.step)

    outcome, _ = play(tmp_path, objective, Host(Verdict.PAUSE, at=4))
    assert (outcome.kind, after) == ("paused", [])


def test_an_objective_that_does_not_look_is_ended_at_its_next_report(tmp_path):
    def objective(x, run):
        while True:
            try:
                run.report(loss=1.0)
            except Exception:  # an objective's own handler must not catch the end
                pass

    outcome, host = play(tmp_path, objective, Host(Verdict.FINISH, at=3))
    assert outcome.kind == "finished"
    assert len(host.reports) == 3


def test_a_loop_of_ones_own_asks_should_stop(tmp_path):
    def objective(x, run):
        total = run.keep(total=[0])
        while total[0] < 9:
            total[0] += 1
            run.report(loss=1.0)
            if run.should_stop:
                return

    outcome, _ = play(tmp_path, objective, Host(Verdict.STOP, at=3))
    assert outcome.kind == "stopped"
    assert list(checkpoint.files(tmp_path / "checkpoints")) == [1, 3]


def asks_in_steps(x, run):
    seen = run.keep(seen=[])
    for i in run.steps(5):
        seen.append(i)
        run.report(loss=x / (i + 1))
        if run.should_stop:
            break


def asks_in_steps_and_stays(x, run):
    seen = run.keep(seen=[])
    for i in run.steps(5):
        seen.append(i)
        run.report(loss=x / (i + 1))
        _ = run.should_stop, run.should_stop


@pytest.mark.parametrize("objective", [asks_in_steps, asks_in_steps_and_stays])
@pytest.mark.parametrize(("verdict", "kind"), [(Verdict.STOP, "stopped"), (Verdict.FINISH, "finished")])
def test_should_stop_inside_steps_tells_of_the_end(tmp_path, objective, verdict, kind):
    outcome, host = play(tmp_path, objective, Host(verdict, at=3))
    assert (outcome.kind, outcome.reason) == (kind, "told so")
    assert [step for step, _ in host.reports] == [1, 2, 3]
    last = checkpoint.latest(tmp_path / "checkpoints")
    assert (last["step"], last["objects"]["seen"]) == (3, [0, 1, 2])


@pytest.mark.parametrize("objective", [asks_in_steps, asks_in_steps_and_stays])
def test_should_stop_inside_steps_does_not_tell_of_a_pause(tmp_path, objective):
    outcome, first = play(tmp_path, objective, Host(Verdict.PAUSE, at=2))
    assert outcome.kind == "paused"
    outcome, second = play(tmp_path, objective, step=2)
    assert outcome.kind == "done"
    assert first.reports + second.reports == [(i, {"loss": 1 / i}) for i in range(1, 6)]


@pytest.mark.parametrize("verdict", [Verdict.CONTINUE, Verdict.PAUSE])
def test_a_loop_that_is_left_after_a_report_keeps_what_was_reported(tmp_path, verdict):
    def objective(x, run):
        seen = run.keep(seen=[])
        for i in run.steps(9):
            seen.append(i)
            run.report(loss=1 / (i + 1))
            if i == 2:
                break

    outcome, _ = play(tmp_path, objective, Host(verdict, at=3))
    assert outcome.kind == "done"  # the objective has ended by itself, whatever was to come
    last = checkpoint.latest(tmp_path / "checkpoints")
    assert (last["step"], last["best"][1], last["objects"]["seen"]) == (3, 3, [0, 1, 2])


def test_a_loop_that_is_left_before_a_report_stands_at_the_last_one(tmp_path):
    def objective(x, run):
        run.keep(seen=[])
        for i in run.steps(9):
            if i == 2:
                return
            run.report(loss=1 / (i + 1))

    play(tmp_path, objective)
    assert checkpoint.latest(tmp_path / "checkpoints")["step"] == 2


def test_what_follows_the_loop_of_a_stopped_generator_still_runs(tmp_path):
    after = []

    def objective(x, run):
        for _ in run.steps(10):
            yield {"loss": 1.0}
        after.append(run.step)

    outcome, _ = play(tmp_path, objective, Host(Verdict.STOP, at=4))
    assert (outcome.kind, after) == ("stopped", [4])


def test_what_cannot_be_saved_fails_the_run(tmp_path):
    def objective(x, run):
        run.keep(lines=(line for line in "ab"))
        run.report(loss=1.0)

    outcome, _ = play(tmp_path, objective)
    assert (outcome.kind, outcome.failure.kind) == ("failed", "exception")
    assert "generator" in outcome.failure.message


def test_the_number_of_steps_may_come_from_numpy(tmp_path):
    def objective(x, run):
        run.keep(seen=[])
        for _ in run.steps(np.int64(3)):
            run.report(loss=1.0)
        told.append(run.total_steps)

    told = []
    play(tmp_path, objective)
    assert [(total, type(total)) for total in told] == [(3, int)]


def test_a_generator_reports_what_it_yields_and_resumes(tmp_path):
    def objective(x, run):
        count = run.keep(count=[0])
        for _ in run.steps(4):
            count[0] += 1
            yield {"loss": 1 / count[0]}

    _, first = play(tmp_path, objective, Host(Verdict.PAUSE, at=2))
    _, second = play(tmp_path, objective, step=2)
    assert first.reports + second.reports == [(i, {"loss": 1 / i}) for i in (1, 2, 3, 4)]


def own_loop(x, run):
    seen = run.keep(seen=[])
    while len(seen) < 4:
        seen.append(1)
        run.report(loss=x / len(seen))
        if run.should_stop:
            return


def bare_generator(x, run):
    seen = run.keep(seen=[])
    while len(seen) < 4:
        seen.append(1)
        yield {"loss": x / len(seen)}


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("objective", [own_loop, bare_generator])
def test_a_loop_of_ones_own_goes_on_counting_where_its_checkpoint_stands(tmp_path, objective, at):
    _, first = play(tmp_path, objective, Host(Verdict.PAUSE, at=at))
    outcome, second = play(tmp_path, objective, step=at)
    assert outcome.kind == "done"
    assert second.starts == [(at, first.reports)]
    assert first.reports + second.reports == [(i, {"loss": 1 / i}) for i in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("value", "kind"), [(float("nan"), "nan"), (float("inf"), "nan"), ("0.5", "type"), (None, "type"), (10**400, "nan")]
)
def test_a_bad_report_fails_the_run_where_it_happens(tmp_path, value, kind):
    def objective(x, run):
        for i in run.steps(5):
            run.report(loss=value if i == 2 else 1.0)

    outcome, _ = play(tmp_path, objective)
    assert outcome.failure.kind == kind
    assert "at step 3" in outcome.failure.message


def test_the_traceback_begins_in_the_objective(tmp_path):
    def objective(x, run):
        raise KeyError("gone")

    outcome, _ = play(tmp_path, objective)
    assert outcome.failure.message == "KeyError: 'gone'"
    assert "perform" not in outcome.failure.traceback
    assert 'raise KeyError("gone")' in outcome.failure.traceback


def test_misuse_is_told(tmp_path):
    def late(x, run):
        run.keep(a=[])
        for _ in run.steps(2):
            run.report(loss=1.0, step=7)

    outcome, _ = play(tmp_path, late)
    assert "inside run.steps() the step is 1, not 7" in outcome.failure.message

    def twice(x, run):
        run.keep(a=[])
        run.keep(a=[])

    outcome, _ = play(tmp_path, twice)
    assert "'a' is kept already" in outcome.failure.message


def test_another_version_of_the_objective_is_told_that_the_checkpoint_differs(tmp_path):
    play(tmp_path, train, Host(Verdict.PAUSE, at=2))

    def renamed(x, run):
        run.keep(sums=[0.0])

    outcome, _ = play(tmp_path, renamed, step=2)
    assert "has no 'sums', only total: the objective has changed since" in outcome.failure.message


def test_a_fork_starts_from_its_parents_checkpoint(tmp_path):
    play(tmp_path / "parent", train, Host(Verdict.PAUSE, at=3))
    host = Host()
    ticket = Ticket(1, {"x": 2.0}, 8, str(tmp_path / "child"), 0, str(tmp_path / "parent"))
    outcome = perform(objective_of(train, ["x"]), Run(ticket, LOSS, host))
    assert outcome.kind == "done"
    assert host.starts == [(3, [])]
    assert [step for step, _ in host.reports] == [4, 5]


def test_models_are_restored_in_place_and_checkpoints_load_with_torch_alone(tmp_path):
    torch = pytest.importorskip("torch")

    def objective(x, run):
        model = torch.nn.Linear(3, 1)
        assert run.keep(model=model) is model
        opt = run.keep(opt=torch.optim.SGD(model.parameters(), 0.1, momentum=0.9))
        for _ in run.steps(4):
            opt.zero_grad()
            model(torch.randn(8, 3)).square().mean().backward()
            opt.step()
            run.report(loss=model.weight.detach().abs().sum())

    _, whole = play(tmp_path / "whole", objective)
    _, first = play(tmp_path / "parts", objective, Host(Verdict.PAUSE, at=2))
    _, second = play(tmp_path / "parts", objective, step=2)
    assert first.reports + second.reports == whole.reports
    path = checkpoint.files(tmp_path / "whole" / "checkpoints")[4]
    assert set(torch.load(path, weights_only=True)["objects"]["model"]) == {"weight", "bias"}


def test_run_ended_is_no_exception():
    assert not issubclass(RunEnded, Exception)
    assert RunEnded(Failure("nan", "loss is nan")).failure.kind == "nan"


def test_public_names_are_there():
    assert set(lt.__all__) <= set(dir(lt))
