"""The runs of the study: where each lies, what it holds, which there are, and the paper's numbers beside them.

A run is a folder ``OUT/DATASET/MODEL/seed-S`` with ``model.safetensors`` (or ``layer.safetensors``), ``log.npz``,
``manifest.json``, and what probes measured: ``PROBE.npz`` and ``PROBE.json``. It is finished once it has its manifest.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from bioadv.data import files, shipped
from bioadv.lab import provenance, schemas, study, yaml_files
from bioadv.network import models
from bioadv.network.models import TwoLayer

RESULTS_VARIABLE = "BIOADV_RESULTS"
ROOT = shipped.CLONE
WEIGHTS, SYNAPSES = "model.safetensors", "layer.safetensors"  # of a model, of a KH layer; kept out of git
SEED = re.compile(r"seed-(0|[1-9]\d*)")  # the name of a run's folder, see `named`


@dataclass(frozen=True, order=True)
class Run:
    """A run by its place: the folder of a dataset's runs, the model (or KH layer, or the pixels), the seed."""

    root: Path
    model: str
    seed: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    @classmethod
    def at(cls, folder: Path) -> Run:
        """The run of a folder ``.../DATASET/MODEL/seed-S``; ``ValueError`` for a folder of another name."""
        folder = Path(folder)
        match = SEED.fullmatch(folder.name)
        if not match:
            raise ValueError(f"{folder} is not the folder of a run; give OUT/DATASET/MODEL/seed-S")
        return cls(folder.parent.parent, folder.parent.name, int(match[1]))

    @property
    def folder(self) -> Path:
        """Where everything of the run lies."""
        return self.root / self.model / named(self.seed)

    @property
    def layer(self) -> Run:
        """The KH layer of the same seed."""
        return Run(self.root, study.LAYER, self.seed)

    @property
    def weights(self) -> Path:
        """File of its weights, or of the synapses of a KH layer."""
        return self.folder / (SYNAPSES if self.model == study.LAYER else WEIGHTS)

    @property
    def manifest(self) -> Path:
        """File that describes the run and marks it as finished."""
        return self.folder / provenance.MANIFEST

    @property
    def log(self) -> Path:
        """File of what happened in each epoch."""
        return self.folder / provenance.LOG

    @property
    def checkpoint(self) -> Path:
        """File that an unfinished training goes on from."""
        return self.folder / "checkpoint.safetensors"

    def measured(self, probe: str) -> Path:
        """File that describes what a probe measured; the arrays lie beside it, see :func:`arrays`."""
        return self.folder / f"{probe}.json"

    @property
    def about(self) -> dict[str, Any]:
        """Its manifest; ``FileNotFoundError`` if the run is not finished."""
        found = provenance.read_manifest(self.folder)
        if found is None:
            raise FileNotFoundError(f"{self.folder} holds no finished run; train the model first, or let it finish")
        return found

    @property
    def accuracy(self) -> float:
        """Share of the test images that it decides correctly; ``ValueError`` for a layer, which decides nothing."""
        if "accuracy" not in self.about:
            raise ValueError(f"{self.folder} is a layer without a readout and has no accuracy; give a model")
        return float(self.about["accuracy"]["test"])

    def arrays(self, name: str) -> Mapping[str, np.ndarray]:
        """Arrays of its ``log``, or of what a probe measured; read once, and not to be changed."""
        file = self.folder / f"{name}.npz"
        if not file.is_file():
            remedy = "train the model first" if name == "log" else f"bioadv probe {self.folder} --probe {name}"
            raise FileNotFoundError(f"{file} does not exist; {remedy}")
        return arrays(file)

    def last(self, name: str) -> float:
        """What the log has for the last epoch; ``ValueError`` for what it does not have."""
        if name not in self.arrays("log"):
            raise ValueError(f"the log of {self.folder} has no {name!r}; choose from {', '.join(self.arrays('log'))}")
        return float(np.atleast_1d(self.arrays("log")[name])[-1])

    def load(self) -> TwoLayer:
        """The trained model; ``FileNotFoundError`` if the run is not finished or its weights are gone."""
        self._check_weights()
        return models.load(self.weights)

    def synapses(self) -> torch.Tensor:
        """Synapses (H, D) of a trained KH layer; raises as :meth:`load` does."""
        self._check_weights()
        found = files.read_tensors(self.weights)[0]
        if "synapses" not in found:
            raise ValueError(f"{self.folder} holds a model and no KH layer; use its load()")
        return found["synapses"]

    def _check_weights(self) -> None:
        about = self.about
        if not provenance.intact(self.manifest, self.weights.name):
            words = ["bioadv", "train", self.model, f"--data={about['dataset']}", f"--seed={self.seed}"]
            command = shlex.join([*words, *_options(about["configuration"]), f"--out={self.root.parent}"])
            raise FileNotFoundError(
                f"{self.folder} has its manifest but not its weights, {self.weights.name} (git does not keep them); "
                "`bioadv fetch` gets published ones, or "
                f"train it again: {command}"
            )


def _options(configuration: dict[str, Any]) -> list[str]:
    """Options of ``bioadv train`` that make this configuration again."""
    parts = [configuration.get("layer"), (configuration.get("experiment") or {}).get("recipe")]
    epochs = {part["epochs"] for part in parts if part}
    options = [f"--epochs={epochs.pop()}"] if len(epochs) == 1 else []  # of both, or else those of the scale
    trained = (configuration.get("experiment") or {}).get("hidden") == "backprop"
    if trained and (kind := configuration.get("dtype")):  # without the option it depends on the processor
        options.append(f"--dtype={kind.removeprefix('torch.')}")
    return [*options, *(["--screen"] if configuration.get("screened") else [])]


def whole(folder: Path) -> Path:
    """The path of a run's folder with the names of its model and dataset, which ``.`` and ``seed-0`` leave out."""
    return folder if len(folder.parts) > 2 and ".." not in folder.parts else Path(os.path.abspath(folder))


def named(seed: int | str) -> str:
    """The name of the folder of the run with a seed, within that of its model; nothing else spells it."""
    return f"seed-{seed}"


def is_run(folder: Path) -> bool:
    """Whether a folder has the name of a run's."""
    return SEED.fullmatch(folder.name) is not None


def seeds(model: Path) -> list[int]:
    """Seeds of the runs in a model's folder, finished or not, in order."""
    return sorted(Run.at(folder).seed for folder in model.glob(named("*")) if is_run(folder))


def arrays(path: Path) -> Mapping[str, np.ndarray]:
    """Arrays of an ``.npz`` file, read-only; kept in memory while the file stays as it is."""
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size, state.st_ino)


@functools.lru_cache(maxsize=128)
def _read(path: Path, *state: int) -> Mapping[str, np.ndarray]:
    found = files.read_arrays(path)
    for values in found.values():
        values.flags.writeable = False
    return MappingProxyType(found)


def in_folder(root: Path, model: str, file: str = provenance.MANIFEST) -> dict[int, Run]:
    """Runs of a model below the folder of a dataset that have ``file``: by seed, in order."""
    found = {Run.at(path.parent) for path in (root / model).glob(f"{named('*')}/{file}") if is_run(path.parent)}
    for run in found:
        _check(run.folder)
    return {run.seed: run for run in sorted(found)}


def _check(folder: Path) -> None:
    """``ValueError`` if a file there is not the one that was described, or is of another run; weights may be absent."""
    for description in folder.glob("*.json"):
        about = provenance.read_description(description)
        check_owner(description, about)
        for name in about.get(provenance.DIGESTS, {}):
            path = folder / name
            if path.is_file():
                _intact(description, path.name, path.stat().st_mtime_ns)


@functools.cache
def _intact(description: Path, name: str, _changed: int) -> None:
    """Check a file once, and again only when it has changed."""
    provenance.intact(description, name)


def check_owner(description: Path, about: dict[str, Any]) -> None:
    """``ValueError`` if a manifest or a probe's ``.json`` is of another run than that in whose folder it lies.

    That is so after a folder was copied or renamed, and would count one training as two.
    """
    configuration = about["configuration"]
    of = configuration.get("run", configuration)
    own = of.get("model", of.get("layer")), of.get("seed", 0)
    if isinstance(own[0], str) and description.parts[-3:-1] != (own[0], named(own[1])):
        raise ValueError(
            f"{description} is of {own[0]}, seed {own[1]}, and lies in the folder of another run: it was copied or "
            "renamed; put it back, or remove it"
        )


def at_hand(model: str, having: str = provenance.MANIFEST, data: str = "cifar10") -> dict[int, Run]:
    """The runs of a model at the paper's scale that are at hand and have a file: by seed, in order.

    Raises ``ValueError`` if a file there is not the one that its manifest, or its probe's ``.json``, describes, and
    what :func:`results` raises.
    """
    return in_folder(results() / data, model, having)


def results() -> Path:
    """The root of the results: ``results/`` (see ``bioadv.data.shipped``), or the folder named by ``BIOADV_RESULTS``.

    ``FileNotFoundError`` if that names no folder.
    """
    root = Path(os.environ.get(RESULTS_VARIABLE, shipped.folder("results")))
    if RESULTS_VARIABLE in os.environ and not (os.environ[RESULTS_VARIABLE] and root.is_dir()):
        raise FileNotFoundError(
            f"{RESULTS_VARIABLE} = {os.environ[RESULTS_VARIABLE]!r} is not a folder; name one that holds "
            "DATASET/MODEL/seed-S, or unset it for the results of the book"
        )
    return root


def stored(model: str, file: str = provenance.MANIFEST, data: str = "cifar10") -> dict[int, Path]:
    """The folders of :func:`at_hand`."""
    return {seed: run.folder for seed, run in at_hand(model, file, data).items()}


def load_model(folder: Path) -> TwoLayer:
    """The trained model of a run folder; ``FileNotFoundError`` if the run is not finished or its weights are gone."""
    return Run.at(folder).load()


def paper(path: Path | None = None) -> dict[str, Any]:
    """The numbers of the paper and of its authors' stored figures; ``ValueError`` names what is not as it should be."""
    path = path or shipped.folder("book") / "paper.yaml"
    numbers: dict[str, Any] = yaml_files.read(path)
    yaml_files.check(schemas.PaperFile, numbers, path)
    return numbers
