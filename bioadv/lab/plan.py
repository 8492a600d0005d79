"""What a study consists of: reads its configuration, says what to make in which order, and refuses what cannot work.

``workflow/Snakefile`` turns this into rules. All that costs time happens in ``bioadv train`` and ``bioadv probe``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioadv.data import datasets
from bioadv.lab import probes, provenance, runs, stale, study, yaml_files
from bioadv.lab.schemas import Cost, StudyFile
from bioadv.network.kh_params import KHParams

RULES = ("layer", "train", "probe")
RESOURCES = ("threads", "mem_mb", "runtime")
MODELS = "models"  # in the list of what a probe measures: every model of the study
GROUPS = tuple(dict.fromkeys(chosen.group for chosen in study.EXPERIMENTS.values()))  # there too: those of a group


@dataclass(frozen=True)
class Training:
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
    def runs(self) -> list[Training]:
        """Its trainings, without the layers'."""
        return [Training(model, seed) for seed in self.seeds for model in self.models]

    @property
    def layers(self) -> list[Training]:
        """The layers that are trained first in this stage."""
        return [Training(study.LAYER, seed) for seed in self.layer_seeds]


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

    def folder(self, run: Training) -> Path:
        """The folder of a run."""
        return runs.Run(self.root, run.model, run.seed).folder

    def probes_of(self, run: Training) -> list[str]:
        """The probes that measure a run; pixels have no seed and are measured once."""
        wanted = {run.model}
        if run.model not in (study.LAYER, probes.PIXELS):
            wanted |= {MODELS, study.experiment(run.model).group}
        return [name for name, subjects in self.probes.items() if wanted & set(subjects)]

    def measured(self, stage: Stage) -> list[Path]:
        """The measurements of a stage."""
        measured = stage.layers + stage.runs
        if stage is self.stages[0]:
            measured.append(Training(probes.PIXELS, 0))
        return [self.folder(run) / f"{name}.json" for run in measured for name in self.probes_of(run)]

    def targets(self) -> list[Path]:
        """Every file that the study is complete with."""
        trained = [run for stage in self.stages for run in stage.layers + stage.runs]
        manifests = [self.folder(run) / provenance.MANIFEST for run in trained]
        return manifests + [path for stage in self.stages for path in self.measured(stage)]

    def cost(self, rule: str, probe: str | None = None) -> dict[str, int]:
        """Threads, memory (MB) and minutes of a rule, or of one probe where it has its own."""
        return {**self.resources[rule], **self.resources.get(probe or rule, {})}

    def lost(self) -> list[Training]:
        """Finished runs whose weights are needed but not here, as in a fresh clone: git does not keep them."""
        models = [run for stage in self.stages for run in stage.runs]
        found = [run for run in models if self._weightless(run) and not self._all_measured(run)]
        for layer in (layer for stage in self.stages for layer in stage.layers):
            heirs = [run for run in models if run.seed == layer.seed and needs_layer(run.model)]
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

    def _finished(self, run: Training) -> bool:
        return (self.folder(run) / provenance.MANIFEST).is_file()

    def _weightless(self, run: Training) -> bool:
        return self._finished(run) and not (self.folder(run) / run.weights).is_file()

    def _all_measured(self, run: Training) -> bool:
        measured = [self.folder(run) / f"{name}.json" for name in self.probes_of(run)]
        return all(file.is_file() and not self.superseded(file) for file in measured)


def needs_layer(model: str) -> bool:
    """Whether a model's hidden layer is a KH layer, or is made from one: controls have its rows' lengths."""
    return study.experiment(model).kind.layer


def read_file(path: Path, more: Mapping[str, Any] | None = None) -> Study:
    """The study of a YAML file; ``more``, from the command line, goes before what stands there."""
    given = yaml_files.read(path)
    return read({**given, **(more or {})} if isinstance(given, dict) else given, path)


def read(config: Any, file: str | Path = "configuration") -> Study:
    """The study of a configuration; ``ValueError`` names the file, the key, the value and what to do.

    ``seeds`` and ``models``, from the command line, leave out everything else of the stages.
    """
    entry = yaml_files.check(StudyFile, config, file)
    try:
        stages = _stages(entry)
        if entry.epochs is not None and any(stage.layers for stage in stages):
            KHParams(epochs=entry.epochs)  # refuses what its training would
        return Study(
            data=entry.data,
            out=Path(entry.out),
            stages=stages,
            probes=_probes(entry.probes),
            resources=_resources(entry.resources),
            epochs=entry.epochs,
            device=entry.device,  # by name only: this may be the login node of a cluster, whose GPUs are elsewhere
            dtype=entry.dtype,
            retrain=entry.retrain,
        )
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _named(listed: Sequence[str], before: Sequence[str]) -> list[str]:
    """The models of a list in which a group stands for those of its models that are not named before."""
    found = list[str]()
    for name in listed:
        if name in GROUPS:
            rest = (model for model, one in study.EXPERIMENTS.items() if one.group == name)
            found += [model for model in rest if model not in (*before, *found)]
        else:
            study.experiment(name)
            found.append(name)
    return found


def _stages(entry: StudyFile) -> tuple[Stage, ...]:
    for model in entry.models:
        study.experiment(model)
    stages, seen, with_layer, before = [], set[Training](), set[int](), list[str]()
    for number, stage in enumerate(entry.stages, 1):
        named = _named(stage.models, before)
        before += named
        models = tuple(model for model in named if not entry.models or model in entry.models)
        seeds = tuple(seed for seed in stage.seeds if not entry.seeds or seed in entry.seeds)
        new = () if not any(map(needs_layer, models)) else tuple(seed for seed in seeds if seed not in with_layer)
        stages.append(Stage(models, seeds, new))
        with_layer |= set(new)
        for run in stages[-1].runs:
            if run in seen:
                raise ValueError(f"stage {number} repeats {run.model} with seed {run.seed}; leave it out there")
            seen.add(run)
    if not seen:
        raise ValueError(
            f"models {' '.join(entry.models) or '(all)'} with seeds {' '.join(map(str, entry.seeds)) or '(all)'}: "
            "no stage of the configuration has these; add them to its stages"
        )
    return tuple(stage for stage in stages if stage.runs)


def _probes(given: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """What each probe measures: nothing, where the configuration does not name it."""
    for name, subjects in given.items():
        probes.probe(name)
        for subject in subjects:
            if subject not in (MODELS, *GROUPS, study.LAYER, probes.PIXELS):
                study.experiment(subject)
            if name in probes.ATTACKS and subject in (study.LAYER, probes.PIXELS):
                raise ValueError(f"probes: {name}: {subject} has no readout to attack; give models that were trained")
    return {name: tuple(given.get(name, ())) for name in probes.PROBES}


def _resources(given: Mapping[str, Cost]) -> dict[str, dict[str, int]]:
    for rule in RULES:
        lacking = [key for key in RESOURCES if getattr(given.get(rule), key, None) is None]
        if lacking:
            raise ValueError(f"resources: {rule} lacks {lacking[0]}; give {', '.join(RESOURCES)} (MB, minutes)")
    for name in given:
        if name not in RULES:
            probes.probe(name)
    return {name: cost.model_dump(exclude_none=True) for name, cost in given.items()}


def check(chosen: Study) -> None:
    """See before any work that the images are there and that what is stored is current and can be built upon.

    Raises ``ValueError`` or an ``OSError`` that names the file and says what to do.
    """
    data = datasets.load(chosen.data)
    trainings = [run for stage in chosen.stages for run in stage.runs + stage.layers]
    described = [file for run in [*trainings, Training(probes.PIXELS, 0)] for file in stale.stored(chosen.folder(run))]
    lost = set(map(chosen.folder, chosen.lost()))
    found = []
    for file in described:
        # What is measured again anyway need not be current.
        if not chosen.superseded(file) and (file.parent not in lost or file.name == provenance.MANIFEST):
            found += stale.faults(file, chosen.out, data, chosen.epochs)
    if found:
        raise ValueError("results that today's code would not make:\n" + "\n".join(f"  {fault}" for fault in found))
    if lost and not chosen.retrain:
        folders = "\n".join(f"  {folder}" for folder in sorted(lost))
        raise ValueError(
            "these runs are stored without their weights (git does not keep them), but something that needs the "
            f"weights is to be made:\n{folders}\n  copy the weights there, or train these models again, which also "
            "measures them anew: the same command with RETRAIN=1 (make paper RETRAIN=1 ...)"
        )
