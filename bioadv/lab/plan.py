"""What a study consists of: reads its configuration, says what to make in which order, and refuses what cannot work.

``workflow/Snakefile`` turns this into rules. All that costs time happens in ``bioadv train`` and ``bioadv probe``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioadv.data import datasets
from bioadv.lab import accept, probes, provenance, runner, runs, study

RULES = ("layer", "train", "probe")
RESOURCES = ("threads", "mem_mb", "runtime")
KEYS = ("data", "out", "stages", "probes", "resources", "epochs", "device", "dtype", "seeds", "models", "retrain")
MODELS = "models"  # in the list of what a probe measures: every model of the study
GROUPS = tuple(dict.fromkeys(chosen.group for chosen in study.EXPERIMENTS.values()))  # there too: those of a group


@dataclass(frozen=True)
class Run:
    """A training: model and seed."""

    model: str
    seed: int

    @property
    def weights(self) -> str:
        """Name of the file with its weights."""
        return runs.SYNAPSES if self.model == study.LAYER else runs.WEIGHTS


@dataclass(frozen=True)
class Stage:
    """A part of the study that comes before the later ones: all its models (layers are added) with all its seeds."""

    models: tuple[str, ...]
    seeds: tuple[int, ...]
    layer_seeds: tuple[int, ...]

    @property
    def runs(self) -> list[Run]:
        """Its trainings, without the layers'."""
        return [Run(model, seed) for seed in self.seeds for model in self.models]

    @property
    def layers(self) -> list[Run]:
        """The layers that are trained first in this stage."""
        return [Run(study.LAYER, seed) for seed in self.layer_seeds]


@dataclass(frozen=True)
class Study:
    """A study as its configuration states it.

    probes: per probe, what it measures; resources: per rule or probe, threads, mem_mb and runtime in minutes.
    """

    data: str
    out: Path
    stages: tuple[Stage, ...]
    probes: dict[str, tuple[str, ...]]
    resources: dict[str, dict[str, int]]
    epochs: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    retrain: bool = False

    @property
    def root(self) -> Path:
        """The folder of this dataset's runs."""
        return datasets.results_folder(self.out, self.data)

    def folder(self, run: Run) -> Path:
        """The folder of a run."""
        return self.root / run.model / f"seed-{run.seed}"

    def probes_of(self, run: Run) -> list[str]:
        """The probes that measure a run; pixels have no seed and are measured once."""
        wanted = {run.model}
        if run.model not in (study.LAYER, probes.PIXELS):
            wanted |= {MODELS, study.experiment(run.model).group}
        return [name for name, subjects in self.probes.items() if wanted & set(subjects)]

    def measured(self, stage: Stage) -> list[Path]:
        """The measurements of a stage."""
        runs = stage.layers + stage.runs
        if stage is self.stages[0]:
            runs.append(Run(probes.PIXELS, 0))
        return [self.folder(run) / f"{name}.json" for run in runs for name in self.probes_of(run)]

    def targets(self) -> list[Path]:
        """Every file that the study is complete with."""
        trained = [run for stage in self.stages for run in stage.layers + stage.runs]
        manifests = [self.folder(run) / provenance.MANIFEST for run in trained]
        return manifests + [path for stage in self.stages for path in self.measured(stage)]

    def cost(self, rule: str, probe: str | None = None) -> dict[str, int]:
        """Threads, memory (MB) and minutes of a rule, or of one probe where it has its own."""
        return {**self.resources[rule], **self.resources.get(probe or rule, {})}

    def lost(self) -> list[Run]:
        """Finished runs whose weights are needed but not here, as in a fresh clone: git does not keep them."""
        runs = [run for stage in self.stages for run in stage.runs]
        found = [run for run in runs if self._weightless(run) and not self._all_measured(run)]
        for layer in (layer for stage in self.stages for layer in stage.layers):
            heirs = [run for run in runs if run.seed == layer.seed and is_local(run.model)]
            trained = any(run in found or not self._finished(run) for run in heirs)
            if self._weightless(layer) and (trained or not self._all_measured(layer)):
                found.append(layer)
        return found

    def superseded(self, file: Path) -> bool:
        """Whether a measurement is of weights that were trained again since, so that it has to be made again."""
        manifest = provenance.read_manifest(file.parent)
        if not manifest or not file.is_file() or file.name == provenance.MANIFEST:
            return False
        return not provenance.is_of(provenance.read_description(file).get("training"), manifest)

    def _finished(self, run: Run) -> bool:
        return (self.folder(run) / provenance.MANIFEST).is_file()

    def _weightless(self, run: Run) -> bool:
        return self._finished(run) and not (self.folder(run) / run.weights).is_file()

    def _all_measured(self, run: Run) -> bool:
        measured = [self.folder(run) / f"{name}.json" for name in self.probes_of(run)]
        return all(file.is_file() and not self.superseded(file) for file in measured)


def is_local(model: str) -> bool:
    """Whether a model's hidden layer is a KH layer."""
    return study.experiment(model).hidden == "local"


def read(config: Mapping[str, Any]) -> Study:
    """The study of a configuration; ``ValueError`` names the key, the value and what to do.

    ``seeds`` and ``models``, from the command line, leave out everything else of the stages.
    """
    for key in config:
        if key not in KEYS:
            raise ValueError(f"{key} is not a key of a study's configuration; choose from {', '.join(KEYS)}")
    for key in ("data", "stages", "resources"):
        if not config.get(key):
            raise ValueError(f"{key} is missing; see workflow/config/photo-patches.yaml for a whole configuration")
    chosen = Study(
        data=str(config["data"]),
        out=Path(config.get("out") or "results"),
        stages=_stages(config),
        probes=_probes(config.get("probes") or {}),
        resources=_resources(config["resources"]),
        epochs=None if config.get("epochs") is None else int(config["epochs"]),
        device=str(config.get("device") or "auto"),
        dtype=str(config.get("dtype") or "auto"),
        retrain=bool(config.get("retrain")),
    )
    # By name only: this may be the login node of a cluster, whose GPUs are elsewhere.
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", chosen.device):
        raise ValueError(f"device = {chosen.device!r} is not known; give auto, cpu or cuda")
    runner.Where(device="cpu", dtype=chosen.dtype)
    return chosen


def _stages(config: Mapping[str, Any]) -> tuple[Stage, ...]:
    only_seeds, only_models = _seeds(config.get("seeds")), _words(config.get("models"))
    for model in only_models:
        study.experiment(model)
    stages, seen, with_layer = [], set[Run](), set[int]()
    for number, stage in enumerate(config["stages"], 1):
        models, seeds = _words(stage.get("models")), _seeds(stage.get("seeds"))
        if not models or not seeds:
            raise ValueError(f"stage {number} lacks models or seeds; give a list of each")
        for model in models:
            study.experiment(model)
        models = tuple(model for model in models if not only_models or model in only_models)
        seeds = tuple(seed for seed in seeds if not only_seeds or seed in only_seeds)
        new = () if not any(map(is_local, models)) else tuple(seed for seed in seeds if seed not in with_layer)
        stages.append(Stage(models, seeds, new))
        with_layer |= set(new)
        for run in stages[-1].runs:
            if run in seen:
                raise ValueError(f"stage {number} repeats {run.model} with seed {run.seed}; leave it out there")
            seen.add(run)
    if not seen:
        raise ValueError(
            f"models {' '.join(only_models) or '(all)'} with seeds {' '.join(map(str, only_seeds)) or '(all)'}: "
            "no stage of the configuration has these; add them to its stages"
        )
    return tuple(stage for stage in stages if stage.runs)


def _words(value: Any) -> tuple[str, ...]:
    return tuple(value.split()) if isinstance(value, str) else tuple(value or ())


def _seeds(value: Any) -> tuple[int, ...]:
    values = [value] if isinstance(value, int) else _words(value)
    try:
        seeds = tuple(int(seed) for seed in values)
    except (TypeError, ValueError):
        seeds = (-1,)
    if any(seed < 0 for seed in seeds):
        raise ValueError(f"seeds = {value!r}; give integers >= 0, such as '0 1'")
    return seeds


def _probes(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What each probe measures: every model, where the configuration does not say otherwise."""
    for name, subjects in given.items():
        probes.probe(name)
        for subject in subjects:
            if subject not in (MODELS, *GROUPS, study.LAYER, probes.PIXELS):
                study.experiment(subject)
    return {name: tuple(given.get(name, (MODELS,))) for name in probes.PROBES}


def _resources(given: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    for rule in RULES:
        for key in RESOURCES:
            if key not in given.get(rule, {}):
                raise ValueError(f"resources: {rule} lacks {key}; give {', '.join(RESOURCES)} (MB, minutes)")
    for name, values in given.items():
        if name not in RULES:
            probes.probe(name)
        for key, value in values.items():
            if key not in RESOURCES or not isinstance(value, int) or value < 1:
                raise ValueError(f"resources: {name}: {key} = {value!r}; give {', '.join(RESOURCES)} as integers >= 1")
    return {name: dict(values) for name, values in given.items()}


def check(chosen: Study) -> None:
    """See before any work that the images are there and that what is stored is current and can be built upon.

    Raises ``ValueError`` or an ``OSError`` that names the file and says what to do.
    """
    data = datasets.load(chosen.data)
    runs = [run for stage in chosen.stages for run in stage.runs + stage.layers]
    described = [file for run in [*runs, Run(probes.PIXELS, 0)] for file in accept.stored(chosen.folder(run))]
    lost = set(map(chosen.folder, chosen.lost()))
    found = []
    for file in described:
        # What is measured again anyway need not be current.
        if not chosen.superseded(file) and (file.parent not in lost or file.name == provenance.MANIFEST):
            found += accept.faults(file, chosen.out, data, chosen.epochs)
    if found:
        raise ValueError("results that today's code would not make:\n" + "\n".join(f"  {fault}" for fault in found))
    if lost and not chosen.retrain:
        folders = "\n".join(f"  {folder}" for folder in sorted(lost))
        raise ValueError(
            "these runs are stored without their weights (git does not keep them), but something that needs the "
            f"weights is to be made:\n{folders}\n  copy the weights there, or train these models again, which also "
            "measures them anew: make paper RETRAIN=1"
        )
