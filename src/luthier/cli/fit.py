"""``luthier fit``: from a data set to a tuned, tested network."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import Any

import click

from luthier.cli.app import BEGUN
from luthier.cli.drive import RESUMED, _recorded
from luthier.cli.options import budget_of, record_in, review_options, workers_of

_EXAMPLES = """\b
For example:
  luthier fit photos/ --budget 30m            (a folder for each class)
  luthier fit houses.csv --target price --metric mae
  luthier fit reviews.jsonl --budget 1h --ensemble --onnx
  luthier fit photos/ --error-cost 5          (a person looks where that is cheaper)
  luthier fit photos/ --answers queue.csv new_photos/"""


@click.command("fit", epilog=_EXAMPLES, short_help="From a data set to a tuned, tested network.")
@click.argument("data", metavar="DATA")
@click.option(
    "--task", type=click.Choice(["auto", "image", "text", "audio", "tabular", "seq2seq"]), default="auto",
    show_default=True, help="What the data is.",
)  # fmt: skip
@click.option(
    "--target", metavar="COLUMN", help="The column to predict, of a table or of the table that lists the files."
)
@click.option(
    "--goal", type=click.Choice(["auto", "classes", "number"]), default="auto", show_default=True,
    help="What to predict; auto goes by the values of the target.",
)  # fmt: skip
@click.option(
    "--budget", metavar="TOTAL", multiple=True,
    help="What to spend on the whole job, such as 20m or 50 (trials); several: the first ends it.  [default: 20m]",
)  # fmt: skip
@click.option(
    "--dir", "dir", metavar="DIR", help="Where everything is kept.  [default: runs/NAME; with answers runs/NAME-QUEUE]"
)
@click.option("--name", help="A name for people.")
@click.option("--workers", default="auto", show_default=True, help="Worker processes; 0 runs in this process.")
@click.option("--metric", help="To tune: acc, balanced_acc, f1, auc, log_loss; r2, mae, rmse; token_acc, exact_match.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of split, search and training.")
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Of a full training; chosen by data and budget if not given."
)
@click.option("--search", default="auto", show_default=True, help="What to try next.")
@click.option("--staged", is_flag=True, help="Tune the architecture first, then the optimizer and so on.")
@click.option("--cv", "folds", metavar="K", type=click.IntRange(min=2), help="Compare by K-fold cross-validation.")
@click.option(
    "--mode", type=click.Choice(["caviar", "panda"]), default="caviar", show_default=True,
    help="caviar tries many configurations; panda trains one and watches over it.",
)  # fmt: skip
@click.option("--ensemble", is_flag=True, help="Mix the best networks.")
@click.option("--calibrate/--no-calibrate", default=True, show_default=True, help="Make probabilities right.")
@review_options
@click.option(
    "--answers", metavar="QUEUE NEW_DATA", type=(str, str), multiple=True,
    help="Train on what a person has answered in a queue of luthier predict, of that data too; several are possible.",
)  # fmt: skip
@click.option("--onnx", is_flag=True, help="Also write model.onnx.")
@click.option(
    "--view", type=click.Choice(["auto", "live", "plain", "none"]), default="auto", show_default=True,
    help="What to show meanwhile, on standard error.",
)  # fmt: skip
@click.pass_context
def command(context: click.Context, /, data: str, onnx: bool, **given: Any) -> None:
    """Look at DATA, tune a network for it, train the best on all of it, test it once, and say what it is worth.

    DATA is a folder of images, texts or sounds with a folder for each class or a table of labels, a table or texts in
    CSV, Parquet or JSON lines, an IDX or NPY/NPZ file. A directory DIR gets the model, a summary in plain words, and
    the study of all trials; running the same command again goes on with it.
    """
    from luthier.data import read

    name = "-".join([Path(data).resolve().stem or "data", *(Path(queue).stem for queue, _ in given["answers"])])
    directory = Path(given["dir"] or Path("runs") / name)
    wishes = _wishes(context, given, directory, onnx=onnx)
    dataset = read(data, task=given["task"], target=given["target"], goal=given["goal"])
    with _recorded(context):
        _job(context, dataset, wishes, directory, data=data)


def _wishes(context: click.Context, given: dict[str, Any], directory: Path, *, onnx: bool) -> Any:
    """Check what is asked for, before any data is read (Any: no luthier.estimators up here)."""
    from luthier.estimators.reviewing import Asked
    from luthier.estimators.wishes import Wishes

    review = Asked.of(**{name: given[name] for name in ("error_cost", "look_cost", "review_rate")})
    wishes = Wishes(
        budget=_budget(context, given, directory), metric=given["metric"], epochs=given["epochs"], seed=given["seed"],
        workers=workers_of(given["workers"]), search="staged" if given["staged"] else given["search"],
        folds=given["folds"], mode=given["mode"], ensemble=given["ensemble"], calibrate=given["calibrate"],
        review=review, view=given["view"], name=given["name"], onnx=onnx,
    )  # fmt: skip
    if given["goal"] != "auto":
        wishes.check(given["goal"])
    return wishes


def _job(context: click.Context, dataset: Any, wishes: Any, directory: Path, *, data: str) -> None:
    """Do the job and print what came of it."""
    from luthier.estimators import fit as _  # noqa: F401 - says what to install, if PyTorch is not there
    from luthier.estimators.answered import with_answers
    from luthier.estimators.fitting import run_job
    from luthier.estimators.summary import short
    from luthier.estimators.wishes import Interrupted

    dataset = with_answers(dataset, dict(context.params["answers"]))
    again = shlex.join(_words(context, data, directory))
    try:
        fitted = run_job(dataset, wishes, directory=directory, again=again, begun=context.meta[BEGUN]())
    except Interrupted as stopped:
        click.echo(f"luthier: to go on: {again}", err=True)
        context.exit(128 + signal.Signals[stopped.signal])
    click.echo(short(fitted))
    click.echo(f"Summary: {directory / 'summary.md'}")
    click.echo(f"Model:   {directory / 'model'}    to predict: luthier predict {shlex.quote(str(directory))} NEW_DATA")
    if wishes.onnx:
        click.echo(f"ONNX:    {directory / 'model.onnx'}")


def _words(context: click.Context, data: str, directory: Path) -> list[str]:
    """Return the command that goes on with the job: what was given, without the budget, which the job knows."""
    words = ["luthier", "fit", data, "--dir", str(directory)]
    for option in context.command.params:
        name = str(option.name)
        given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if not isinstance(option, click.Option) or not given or name in ("budget", "dir", "view"):
            continue
        value = context.params[name]
        if option.is_flag:
            words.append((option.opts if value else option.secondary_opts)[0])
        elif option.multiple:
            words += [word for each in value for word in (option.opts[0], *map(str, each))]
        else:
            words += [option.opts[0], str(value)]
    return words


def _budget(context: click.Context, given: dict[str, Any], directory: Path) -> Any:
    """Return the total that was given, or that the job has, or twenty minutes.

    ``luthier resume`` gives the share that the search had; the job knows the whole.
    """
    budget = budget_of(given["budget"])
    record = record_in(directory)
    told = None if record is None else record.settings.get("budget")
    if budget is None or (context.meta.get(RESUMED) and budget == told):
        from luthier.estimators.job import remembered_budget

        return remembered_budget(directory) or "20m"
    return budget
