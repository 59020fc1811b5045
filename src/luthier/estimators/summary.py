"""The summary of a job in plain words: what the data is, what was tried, what came out, and what to do with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.budget import clock
from luthier.durable import write_whole
from luthier.errors import LuthierError
from luthier.estimators.held_out import is_of
from luthier.estimators.job import Fitted, remembered_budget
from luthier.estimators.metric_names import WORDS, final_metric, shown
from luthier.estimators.review_summary import review_line, review_section
from luthier.estimators.saved import SavedModel
from luthier.estimators.targets import ClassTargets, TextTargets
from luthier.trial import State, Trial
from luthier.view.text import number_text

_MOST_CLASSES = 30
_MATTERS = 0.03  # share of the variation from which on a parameter is named
_ENOUGH = 8  # results before it is said what mattered


def write_summary(fitted: Fitted, directory: Path, *, again: str = "") -> Path:
    """Write ``summary.md`` with its pictures into a directory.

    Parameters
    ----------
    fitted
        By the job.
    directory
        Of the job.
    again
        What to type to go on; the Python call, if it is empty.
    """
    from luthier.estimators.drawings import draw

    pictures = {name: f"pictures/{file}" for name, file in draw(fitted, directory / "pictures").items()}
    text = summary(fitted, pictures=pictures, directory=directory, again=again)
    return write_whole(directory / "summary.md", text.encode())


def summary(
    fitted: Fitted, *, pictures: Mapping[str, str] | None = None, directory: Path | None = None, again: str = ""
) -> str:
    """Return the summary in Markdown.

    Parameters
    ----------
    fitted
        By the job.
    pictures
        Files by what they show, relative to the page.
    directory
        Of the job.
    again
        What to type to go on.
    """
    drawn = dict(pictures or {})
    parts = [
        [f"# {_title(fitted)}", "", *_short(fitted)], _data(fitted), _tried(fitted, drawn), _best(fitted),
        _worth(fitted, drawn), _calibration(fitted, drawn), review_section(fitted, drawn), _mistakes(fitted, drawn),
        _use(fitted, directory, again),
    ]  # fmt: skip
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def short(fitted: Fitted) -> str:
    """Return the result in a few lines, for a terminal."""
    return "\n".join(line.replace("**", "") for line in _short(fitted) if line)


# -- the sections ------------------------------------------------------------------------------------------------------


def _title(fitted: Fitted) -> str:
    source = Path(fitted.prepared.dataset.source).name or "data"
    kind = {"tabular": "table", "seq2seq": "sequence to sequence"}.get(fitted.model.task, fitted.model.task)
    what = "classifier" if fitted.model.targets.classes else "regression"
    return f"{source}: {kind} {'' if isinstance(fitted.model.targets, TextTargets) else what}".rstrip()


def _short(fitted: Fitted) -> list[str]:
    """What it is worth, in one or two sentences."""
    name = final_metric(fitted.prepared.metric.name)
    tried = len(fitted.study.trials)
    lines = []
    if fitted.test is not None and _is_of_model(fitted):
        found = fitted.test["result"]
        low, high = found["interval"]
        lines.append(
            f"**On new data of this kind, expect {WORDS[name]} of {shown(name, found['metrics'][name])}** "
            f"(95 % interval {shown(name, low)} to {shown(name, high)}): measured once, on {found['rows']:,} rows that "
            "nothing was learned from or chosen by."
        )
        lines += [_majority(fitted, found["metrics"])]
    else:
        found_ = fitted.valid
        lines.append(
            f"**{WORDS[name].capitalize()} on the {found_.rows:,} validation rows: "
            f"{shown(name, found_.metrics[name])}.** The configuration was chosen by these rows, so expect a little "
            "less on new data."
        )
    lines += review_line(fitted)
    lines.append(f"{tried} configuration{'s were' if tried != 1 else ' was'} tried in {_spent(fitted)}.")
    return [line for line in lines if line]


def _majority(fitted: Fitted, found: Mapping[str, float]) -> str:
    """Compare with what needs no network."""
    if not fitted.test:
        return ""
    rows = [entry["rows"] for entry in fitted.test["result"]["classes"]]
    if rows and "acc" in found:
        return f"Always saying the most frequent class would be right in {100 * max(rows) / sum(rows):.1f} %."
    if "r2" in found:
        rmse, mae = shown("rmse", found["rmse"]), shown("mae", found["mae"])
        off = f"It is off by {mae} on average (root mean squared {rmse}), and "
        if found["r2"] <= 0.0:
            return f"{off}no better than always saying the mean."
        return f"{off}explains {100 * found['r2']:.0f} % of the variance of the targets."
    return ""


def _spent(fitted: Fitted) -> str:
    return clock(fitted.study.spent.seconds)


def _data(fitted: Fitted) -> list[str]:
    prepared = fitted.prepared
    lines = ["## The data", ""]
    lines += ["```", str(prepared.look).rstrip(), "```", ""] if prepared.look is not None else []
    counts = [f"{len(rows):,} {_for(name)}" for name, rows in prepared.rows.items() if len(rows)]
    lines.append(f"Rows: {', '.join(counts)}.")
    read = () if prepared.look is not None else prepared.dataset.notes  # the look tells them
    told = [*read, *prepared.notes, *fitted.sizes.notes, *fitted.notes]
    lines += ["", "What was done:", "", *(f"- {note}" for note in dict.fromkeys(told))] if told else []
    return lines


def _for(part: str) -> str:
    return {"train": "to train on", "valid": "to choose by", "test": "held out for the test"}[part]


def _tried(fitted: Fitted, drawn: Mapping[str, str]) -> list[str]:
    study = fitted.study
    states = [trial.state for trial in study.trials]
    ended = {
        "trained to the end": states.count(State.DONE),
        "ended early, as they fell behind": states.count(State.STOPPED),
        "paused, as others promised more": states.count(State.PAUSED) + states.count(State.WAITING),
        "failed": states.count(State.FAILED),
    }
    said = ", ".join(f"{count} {what}" for what, count in ended.items() if count)
    lines = [
        "## What was tried", "",
        f"{_counted(len(study.trials), 'configuration')}, at most {fitted.sizes.epochs} epochs each: {said}.",
    ]  # fmt: skip
    failed = next((t.failure for t in study.trials if t.failure is not None), None)
    lines += [f"A failure: {failed.message.splitlines()[0]}"] if failed is not None else []
    lines += ["", *_matters(fitted)]
    if "learning_curves" in drawn:
        lines += ["", f"![Learning curves]({drawn['learning_curves']})"]
    return lines


def _matters(fitted: Fitted) -> list[str]:
    """Which parameters the result depended on."""
    metric = fitted.prepared.metric.name
    results = [t for t in fitted.study.history.ended if metric in t.metrics]
    if len(results) < _ENOUGH:
        count = _counted(len(results), "training")
        return [f"With {count} that went to the end it cannot be said which parameters matter."]
    try:
        effects = fitted.study.effects()
    except LuthierError as error:
        return [f"Which parameters matter cannot be said: {error}."]
    named = [(name, share) for name, share in effects.alone.items() if share >= _MATTERS][:5]
    if not named:
        return ["No parameter mattered much by itself."]
    said = ", ".join(f"`{name}` ({100 * share:.0f} %)" for name, share in named)
    return [f"What the result depended on most, by {effects.trials} results: {said}."]


def _best(fitted: Fitted) -> list[str]:
    study, metric = fitted.study, fitted.prepared.metric
    best, first = study.history.trial(fitted.model.facts["trial"]), study.history.trial(0)
    lines = ["## The best configuration", ""]
    value = best.metrics.get(metric.name)
    before = first.metrics.get(metric.name)
    if len(study.trials) == 1:
        lines.append("Only the recipe's default was tried.")
        lines += _watched(best)
    elif best.number == first.number:
        lines.append("The recipe's default, the first trial, was not beaten.")
    elif value is not None and before is not None:
        lines.append(
            f"Trial {best.number}: {WORDS[metric.name]} {shown(metric.name, value)} on the validation rows, against "
            f"{shown(metric.name, before)} of the recipe's default. It was best after {fitted.model.facts['epochs']} "
            f"of {fitted.sizes.epochs} epochs."
        )
    chosen = fitted.model.facts["chosen"]
    if len(chosen) > 1:
        shares = ", ".join(f"trial {int(number)} ({100 * weight:.0f} %)" for number, _, weight in chosen)
        lines.append(f"The model is a mixture: {shares}.")
    if best.number == first.number:
        rows = [f"| `{n}` | {number_text(v)} |" for n, v in best.config.items()]
        return [*lines, "", "| parameter | default |", "|---|---|", *rows]
    rows = [f"| `{n}` | {number_text(v)} | {_default(first.config, n, v)} |" for n, v in best.config.items()]
    return [*lines, "", "| parameter | best | default |", "|---|---|---|", *rows]


def _watched(trial: Trial) -> list[str]:
    """What was done in panda mode."""
    if "rollbacks" not in trial.metrics:
        return []
    branches, back = int(trial.metrics["branches"]), int(trial.metrics["rollbacks"])
    return [
        f"It was watched over: {_counted(branches, 'time')} several learning rates were tried side by side, "
        f"{_counted(back, 'time')} it was set back to an earlier state. Every decision is in "
        f"`trials/{trial.number:05d}/rates.json`."
    ]


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _default(config: Mapping[str, Any], name: str, value: Any) -> str:
    if name not in config:
        return "–"
    return "same" if config[name] == value else number_text(config[name])


def _worth(fitted: Fitted, drawn: Mapping[str, str]) -> list[str]:
    lines = ["## What it is worth", ""]
    tested = fitted.test["result"] if fitted.test is not None and _is_of_model(fitted) else None
    valid = fitted.valid.metrics
    names = [name for name in WORDS if name in valid]
    head = "| metric | validation |" if tested is None else "| metric | validation | test |"
    lines += [head, "|---|---|" if tested is None else "|---|---|---|"]
    for name in names:
        row = f"| {WORDS[name]} | {shown(name, valid[name])} |"
        lines.append(row if tested is None else f"{row} {shown(name, tested['metrics'].get(name, float('nan')))} |")
    if tested is not None and _retrained(fitted):
        lines += ["", _again(fitted.model)]
    if isinstance(fitted.model.targets, TextTargets):
        lines += [
            "", "Both are of texts that the network writes by itself: word accuracy is the share of words at the right "
            "place. Token accuracy, by which networks are compared while searching, counts tokens, each after the "
            "right text so far, and is higher.",
        ]  # fmt: skip
    lines += _classes(tested["classes"] if tested else fitted.valid.classes)
    for name, title in (("confusion_matrix", "Confusion matrix"), ("predictions", "Predictions against the truth")):
        lines += ["", f"![{title}]({drawn[name]})"] if name in drawn else []
    return lines


def _retrained(fitted: Fitted) -> bool:
    return bool(fitted.model.facts.get("retrained"))


def _again(model: SavedModel) -> str:
    """What the model has seen since it was validated."""
    ends = model.facts.get("again", [])
    if not all(ends):
        return (
            f"Of the {len(ends)} networks of the model that was tested, {sum(map(bool, ends))} were trained again on "
            "training and validation rows together; the others are those of the search."
        )
    fewer = len(ends) == 1 and ends[0] != model.facts["epochs"]
    return (
        f"The model that was tested was trained again{f' for {ends[0]} epochs' if fewer else ''} on training and "
        "validation rows together, and has seen more than the one in the column before."
    )


def _is_of_model(fitted: Fitted) -> bool:
    """Whether the test was of this model, and not of an earlier one of the job."""
    if fitted.test is None:
        return False
    return is_of(fitted.test, fitted.model.facts)


def _classes(classes: list[dict[str, Any]]) -> list[str]:
    if not classes:
        return []
    lines = ["", "| class | rows | precision | recall |", "|---|---|---|---|"]
    ordered = classes if len(classes) <= _MOST_CLASSES else sorted(classes, key=lambda c: c["recall"] or 0.0)
    for entry in ordered[:_MOST_CLASSES]:
        shares = [("–" if entry[n] is None else f"{100 * entry[n]:.1f} %") for n in ("precision", "recall")]
        lines.append(f"| {_cell(entry['label'])} | {entry['rows']} | {shares[0]} | {shares[1]} |")
    if len(classes) > _MOST_CLASSES:
        lines += ["", f"The {_MOST_CLASSES} classes of lowest recall, of {len(classes)}."]
    return lines


def _calibration(fitted: Fitted, drawn: Mapping[str, str]) -> list[str]:
    if not isinstance(fitted.model.targets, ClassTargets):
        return []
    lines = ["## How far its probabilities can be trusted", ""]
    temperature = fitted.model.temperature
    before = fitted.valid.metrics
    if temperature == 1.0:
        lines.append(f"Calibration error on the validation rows: {100 * before['calibration_error']:.1f} %.")
    else:
        from luthier.estimators.measure import of_classes

        after = of_classes(fitted.outputs["calibrated"], fitted.prepared.parts.valid[1].numpy())
        way = "too sure of itself" if temperature > 1.0 else "not sure enough"
        lines.append(
            f"The network was {way}: its scores are divided by a temperature of {temperature:.2f}. That brought the "
            f"calibration error on the validation rows from {100 * before['calibration_error']:.1f} to "
            f"{100 * after['calibration_error']:.1f} %, and the log loss from {before['log_loss']:.3f} to "
            f"{after['log_loss']:.3f}. No prediction changes by it."
        )
    return lines + (["", f"![Reliability]({drawn['reliability']})"] if "reliability" in drawn else [])


def _mistakes(fitted: Fitted, drawn: Mapping[str, str]) -> list[str]:
    tested = fitted.test["result"] if fitted.test is not None and _is_of_model(fitted) else None
    worst = tested["worst"] if tested is not None else fitted.valid.worst
    if not worst:
        return []
    classes, texts = isinstance(fitted.model.targets, ClassTargets), isinstance(fitted.model.targets, TextTargets)
    what = "It was surest of these wrong answers; look whether their labels are right."
    what = what if classes else "Look whether these rows are right." if not texts else "The first of them."
    last = "sure" if classes else "off by"
    head = "| row | is | said |" if texts else f"| row | is | said | {last} |"
    lines = ["## Worst mistakes", "", what, "", head, "|---|---|---|" if texts else "|---|---|---|---|"]
    for entry in worst:
        how = f"{100 * entry['how']:.1f} %" if classes else _off(entry["how"])
        row = f"| {_cell(entry['origin'])} | {_cell(entry['true'])} | {_cell(entry['predicted'])} |"
        lines.append(row if texts else f"{row} {how} |")
    return lines + (["", f"![Worst mistakes]({drawn['mistakes']})"] if "mistakes" in drawn else [])


def _off(by: float) -> str:
    return f"{by:+,.0f}" if abs(by) >= 1000.0 else f"{by:+.4g}"


def _cell(text: str) -> str:
    line = " ".join(str(text).split()).replace("|", "\\|")
    return line if len(line) <= 60 else line[:59] + "…"


def _use(fitted: Fitted, directory: Path | None, again: str) -> list[str]:
    if directory is None:
        return []
    probable = "model.predict_proba(new)     # columns in the order of model.classes\n"
    lines = [
        "## How to use it", "", "```python", "from luthier.estimators import load", "",
        f'model = load("{directory}")', "model.predict(new)           # " + _raw(fitted),
    ]  # fmt: skip
    lines += [probable.rstrip()] if isinstance(fitted.model.targets, ClassTargets) else []
    lines += ["```", "", "Or, for a file or folder of new data:", "", "```", f"luthier predict {directory} NEW_DATA"]
    lines += ["```", "", "To search longer, give a larger total; what was spent before counts:", "", "```"]
    totals = _larger(directory)
    more = " ".join([again, *(f"--budget {total}" for total in totals)]) if again else f"fit(..., budget={totals[0]!r})"
    return [*lines, more, "```", "", _others(directory)]


def _larger(directory: Path) -> list[str]:
    """Twice the budget of the job, as it is given; several limits are several totals."""
    budget = remembered_budget(directory) or {"seconds": 1200.0}
    units = {"trials": "trials", "steps": "steps", "seconds": "s"}
    return [_total(2.0 * value, units[name]) for name, value in budget.items()]


def _total(value: float, unit: str) -> str:
    if unit == "s" and value >= 120.0:
        return f"{value / 60.0:.0f}m"
    return f"{value:.0f}{unit if unit != 'trials' else ''}"


def _raw(fitted: Fitted) -> str:
    return {
        "image": "an array (n, C, H, W), a folder", "text": "a list of strings", "audio": "a list of waves, a folder",
        "tabular": "a DataFrame, an array, a CSV file", "seq2seq": "a list of strings",
    }[fitted.model.task]  # fmt: skip


def _others(directory: Path) -> str:
    return (
        f"All trials: `luthier show {directory}`. The model is in `{directory / 'model'}` (weights, preprocessing and "
        "configuration; it needs nothing else of this folder)."
    )
