"""Trained models: they predict from raw inputs, and can be written to a directory and read again without the study.

A directory holds ``model.json`` (what the model is, as plain values) and one file of weights that is named by its
digest. The weights are written first; ``model.json`` names them, so that the two always belong together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import luthier
from luthier.classifiers import Review, TrackRecord
from luthier.data import Dataset, from_arrays, read
from luthier.durable import write_whole
from luthier.errors import DataError, SettingError
from luthier.estimators.encoders import Encoder, encoder_of
from luthier.estimators.files import read_json, read_tensors, write_json
from luthier.estimators.network import Network, network_of
from luthier.estimators.reviewing import Asked, review_of, review_state, write_review
from luthier.estimators.targets import ClassTargets, Targets, TextTargets, targets_of
from luthier.recipes import recipe

FORMAT = 1


@dataclass(slots=True, eq=False)
class SavedModel:
    """A model that predicts from raw inputs: images, texts, sounds, tables as in the training data.

    Attributes
    ----------
    task : str
        One of `luthier.data.TASKS`.
    members : list of Network
        One, or several whose probabilities (or numbers) are averaged.
    weights : list of float
        Of the members; they add up to one.
    configs : list of dict
        Of the members.
    encoder, targets
        What is done to inputs and targets.
    form : mapping
        What later data has to look like, see `luthier.data.Dataset`.
    temperature : float
        Logits are divided by it before they become probabilities.
    facts : dict
        What is known about the model, plain values: the metric, its results, the trial it comes from, versions.
    device : str
        Where it predicts.
    track : TrackRecord or None
        How the network of the search did on the validation rows, of a classifier: what a review is chosen by.
    review : Review or None
        Which predictions a person looks at, if that was asked for.
    """

    task: str
    members: list[Network]
    weights: list[float]
    configs: list[dict[str, Any]]
    encoder: Encoder
    targets: Targets
    form: Mapping[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    facts: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    track: TrackRecord | None = None
    review: Review | None = None

    # -- predicting --------------------------------------------------------------------------------------------------

    @property
    def classes(self) -> NDArray[Any] | None:
        """The labels, in the order of the columns of `predict_proba`; None if it does not predict classes."""
        return self.targets.array() if isinstance(self.targets, ClassTargets) else None

    def predict(self, x: Any) -> Any:
        """Predict the targets.

        Parameters
        ----------
        x
            Arrays, texts, sounds, a DataFrame as in training; or a path, or a `luthier.data.Dataset`.

        Returns
        -------
        (n,) array of labels or numbers, or a list of texts

        Raises
        ------
        DataError
            If the inputs are not what the model was trained on.
        """
        return self.decoded(self.outputs(self.encoder.encode(self.dataset(x))))

    def predict_proba(self, x: Any) -> NDArray[np.float64]:
        """Predict the probability of each class, (n, classes), columns as in `classes`.

        Raises
        ------
        SettingError
            If the model does not predict classes.
        """
        if self.classes is None:
            raise SettingError("only a classifier has probabilities: use predict")
        return self.outputs(self.encoder.encode(self.dataset(x)))  # type: ignore[no-any-return]

    def reviewing(
        self, *, error_cost: float | None = None, look_cost: float | None = None, review_rate: float | None = None
    ) -> SavedModel:
        """Return the same model with another choice of what a person looks at.

        Parameters
        ----------
        error_cost, look_cost
            Prices of an error and of a person's look; a look costs 1 if only the first is given.
        review_rate
            Instead: the share of the rows that a person can look at.

        Raises
        ------
        SettingError
            If these do not fit, or the model has no track record: it is no classifier, or an older Luthier made it.
        """
        asked = Asked.of(error_cost=error_cost, look_cost=look_cost, review_rate=review_rate)
        if asked is None:
            raise SettingError("say by what a person's looks are chosen: error_cost and look_cost, or review_rate")
        if self.track is None:
            why = "it is no classifier" if self.classes is None else "fit it again: its maker kept none"
            raise SettingError(f"the model has no track record to choose by: {why}")
        asked.check(len(self.track))
        return replace(self, review=asked.choose(self.track))

    def queue(self, path: str | os.PathLike[str], x: Any) -> int:
        """Write the rows that a person is to look at as a CSV file, the least sure first.

        Fill its column ``answer``, and give it to `luthier.fit` as ``answers={path: x}``.

        Parameters
        ----------
        path
            A file there is replaced, whole or not at all.
        x
            As for `predict`.

        Returns
        -------
        int
            How many rows were written.

        Raises
        ------
        SettingError
            If the model has no review: see `reviewing`.
        """
        dataset = self.dataset(x)
        return write_review(self, path, dataset, self.outputs(self.encoder.encode(dataset)))

    def dataset(self, x: Any) -> Dataset:
        """Read raw inputs in the form that the model knows."""
        if isinstance(x, Dataset):
            if x.task != self.task:
                raise DataError(f"the model is for task {self.task!r}, and these data are of task {x.task!r}")
            return x
        if isinstance(x, (str, os.PathLike)):
            return read(x, task=self.task, like=self.form)
        return from_arrays(x, task=self.task, rate=self.encoder.constants.get("rate"), like=self.form)

    def outputs(self, x: Any) -> Any:
        """Return probabilities (n, classes), numbers (n,) on the scale of the targets, or tokens, of encoded inputs."""
        if isinstance(self.targets, TextTargets):
            return write(self.members[0], x, self.targets.length, device=self.device)
        parts = [self._member(member, x) for member in self.members]
        mixed = np.sum([weight * part for weight, part in zip(self.weights, parts, strict=True)], axis=0)
        return tempered(mixed, self.temperature) if isinstance(self.targets, ClassTargets) else mixed

    def decoded(self, outputs: Any) -> Any:
        """Return predictions as the user gave targets, from `outputs`."""
        return self.targets.decode(outputs)

    def _member(self, member: Network, x: Any) -> NDArray[np.float64]:
        found = member.predict(x, device=self.device).double()
        if isinstance(self.targets, ClassTargets):
            found = found.softmax(-1)
        return found.numpy()  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        what = f"{self.targets.classes} classes" if self.targets.classes else "numbers"
        what = "texts" if isinstance(self.targets, TextTargets) else what
        count = f", {len(self.members)} networks" if len(self.members) > 1 else ""
        return f"SavedModel({self.task}, predicts {what}{count})"

    # -- keeping -----------------------------------------------------------------------------------------------------

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write the model; what was there before is replaced only when the new one is whole.

        Returns
        -------
        Path
            The directory.
        """
        import io

        place = Path(directory)
        tensors: dict[str, Tensor] = {}
        for number, member in enumerate(self.members):
            tensors |= {f"{number}.{name}": value.cpu() for name, value in member.state_dict().items()}
        if self.track is not None:
            tensors |= {
                "track.confidence": torch.from_numpy(self.track.confidence),
                "track.right": torch.from_numpy(self.track.right),
            }
        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        data = buffer.getvalue()
        name = f"weights-{_digest(data)}.pt"
        write_whole(place / name, data)
        write_json(place / "model.json", {**self._described(), "weights": name})
        for old in place.glob("weights-*.pt"):
            if old.name != name:
                old.unlink(missing_ok=True)
        return place

    def _described(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "luthier": luthier.__version__, "torch": str(torch.__version__), "task": self.task,
            "members": [{"weight": w, "config": c} for w, c in zip(self.weights, self.configs, strict=True)],
            "temperature": self.temperature, "facts": self.facts, "form": dict(self.form),
            "targets": self.targets.state(), "encoder": self.encoder.state(), "review": review_state(self.review),
        }  # fmt: skip

    def export_onnx(self, path: str | os.PathLike[str]) -> Path:
        """Write an ONNX file; see `luthier.estimators.onnx_file.export`."""
        from luthier.estimators.onnx_file import export

        return export(self, path)

    def on(self, device: str) -> SavedModel:
        """Return the same model on another device, such as ``"cuda"``."""
        return replace(self, device=device)


def load(directory: str | os.PathLike[str], *, device: str = "cpu") -> SavedModel:
    """Read a model that `SavedModel.save` or ``luthier fit`` has written.

    No code is run that the files could bring along: the weights are tensors only, everything else is JSON.

    Parameters
    ----------
    directory
        The model's own, or that of the job it belongs to.
    device
        Where it is to predict.

    Raises
    ------
    DataError
        If there is none, or a file of it is missing or damaged.
    SettingError
        If a newer Luthier wrote it.
    """
    place = Path(directory)
    if not (place / "model.json").exists() and (place / "model" / "model.json").exists():
        place = place / "model"
    if not (place / "model.json").exists():
        raise DataError(f"there is no model in {directory}: it needs a file model.json, which luthier fit writes")
    said = read_json(place / "model.json")
    if said["format"] > FORMAT:
        raise SettingError(
            f"the model in {place} was written by Luthier {said['luthier']} in a newer format, {said['format']}, than "
            f"this one reads, {FORMAT}: use that version"
        )
    weights = place / Path(said["weights"]).name  # beside model.json, whatever it says
    if not weights.exists():
        raise DataError(f"the model in {place} is not whole: {weights.name} is missing")
    if f"weights-{_digest(weights.read_bytes())}.pt" != weights.name:
        raise DataError(f"{weights} is damaged: its content does not match its name")
    return _made(said, read_tensors(weights), device)


def _made(said: Mapping[str, Any], tensors: Mapping[str, Tensor], device: str) -> SavedModel:
    encoder, targets = encoder_of(said["task"], said["encoder"]), targets_of(said["targets"])
    configs = [dict(member["config"]) for member in said["members"]]
    members = []
    for number, config in enumerate(configs):
        made = recipe(said["task"], **recipe_constants(encoder, targets), epochs=config.get("epochs", 1))
        own = {n.removeprefix(f"{number}."): t for n, t in tensors.items() if n.startswith(f"{number}.")}
        members.append(network_of(made, config, own, encoder=encoder, targets=targets))
    weights = [float(member["weight"]) for member in said["members"]]
    return SavedModel(
        said["task"], members, weights, configs, encoder, targets, said["form"], said["temperature"], said["facts"],
        device, _track(tensors, targets), review_of(said.get("review"), targets.classes),
    )  # fmt: skip


def _track(tensors: Mapping[str, Tensor], targets: Targets) -> TrackRecord | None:
    if "track.confidence" not in tensors or targets.classes is None:
        return None
    return TrackRecord(tensors["track.confidence"].numpy(), tensors["track.right"].numpy(), targets.classes)


def recipe_constants(encoder: Encoder, targets: Targets) -> dict[str, Any]:
    """Return what the recipe has to know about the data."""
    written = {"target_vocabulary": len(targets.vocabulary)} if isinstance(targets, TextTargets) else {}
    return {**encoder.constants, **written}


def tempered(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return probabilities at a temperature, (n, C): their scores, divided by it."""
    if temperature == 1.0:
        return probabilities
    scores = np.log(np.maximum(probabilities, 1e-300)) / temperature
    scores = np.exp(scores - scores.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)  # type: ignore[no-any-return]


def write(network: Network, x: Tensor, length: int, *, device: str = "cpu", rows: int = 128) -> NDArray[np.int64]:
    """Write sequences greedily, (n, length) tokens of (n, S) tokens."""
    network.to(device).eval()
    with torch.inference_mode():
        parts = [network.net.write(part.to(device), length).cpu() for part in x.split(rows)]
    return torch.cat(parts).numpy()  # type: ignore[no-any-return]


def _digest(data: bytes) -> str:
    from hashlib import blake2b

    return blake2b(data, digest_size=8).hexdigest()
