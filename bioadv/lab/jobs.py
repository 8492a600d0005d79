"""What a training is asked for: where and how it computes, which model, and what its run then is made with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bioadv.data import checks, datasets
from bioadv.data.datasets import Dataset
from bioadv.lab import scales, study
from bioadv.lab.runs import Run
from bioadv.network import streams
from bioadv.network.states import Keeping

DTYPES = ("auto", "float32", "bfloat16")
MOST_EPOCHS = 10**6  # a thousand times the paper's
SCREENED = "screened"  # in a configuration, see Where


@dataclass(frozen=True)
class Where:
    """Where and how a run computes: root of the output, device, precision of products, bars, epochs per checkpoint.

    screen: whether KH layers find their leaders by :class:`bioadv.network.screening.Screen`; their manifests say so.
    """

    out: Path = Path("results")
    device: str = "auto"
    dtype: str = "auto"
    progress: bool = True
    every: int = 10
    screen: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(self.out))
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype = {self.dtype!r} is not known; choose from {', '.join(DTYPES)}")
        Keeping(every=self.every)  # refuses what is no number of epochs
        choose_device(self.device)

    def run(self, data: Dataset, model: str, seed: int) -> Run:
        """A run by its place."""
        return Run(datasets.results_folder(self.out, data.name), model, seed)

    def folder(self, data: Dataset, model: str, seed: int) -> Path:
        """The folder of a run."""
        return self.run(data, model, seed).folder

    def keeping(self, run: Run) -> Keeping:
        """Where a training of this run keeps its state; moves no number."""
        return Keeping(run.checkpoint, self.every)


def choose_device(name: str) -> torch.device:
    """``auto``: CUDA if there is one, else the CPU; ``ValueError`` for an unknown or absent one.

    Not Apple's MPS: it has no double precision, in which covariances and sums over images are taken.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"{device.type} is no kind that it was tried on")
        torch.zeros(1, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device = {name!r} cannot be used ({reason}); give auto, cuda or cpu") from error
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto``: bfloat16 products on CUDA and on processors with instructions for them, else float32.

    ``ValueError`` for a name that is none of ``DTYPES``.
    """
    checks.known("dtype", name, DTYPES)
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    fast = device.type == "cuda" or (device.type == "cpu" and native)
    chosen = ("bfloat16" if fast else "float32") if name == "auto" else name
    return torch.bfloat16 if chosen == "bfloat16" else torch.float32


def check(seed: int, epochs: int | None) -> None:
    """``ValueError`` for a seed or number of epochs that no training can have."""
    streams.pick(streams.START, seed)
    if epochs is not None and (type(epochs) is not int or not 1 <= epochs <= MOST_EPOCHS):
        raise ValueError(f"epochs = {epochs!r}; give an integer from 1 to {MOST_EPOCHS}")


def configuration(name: str, data: Dataset, seed: int, epochs: int | None = None) -> dict[str, Any]:
    """What a run is made with, but for the precision, which is a matter of the machine; epochs: not the scale's."""
    sizes = scales.scale(data).layer
    about: dict[str, Any] = {"model": name, "seed": seed, "data": data.content_hash}
    if name != study.LAYER:
        about |= {"experiment": scales.at_scale(name, data, epochs), "units": sizes.hidden}
    if name == study.LAYER or study.experiment(name).kind.layer:
        about["layer"] = replace(sizes, epochs=epochs) if epochs else sizes
    return about


@dataclass(frozen=True, eq=False)
class Job:
    """A training that was asked for: the model (or the KH layer), the images, the seed, where, and how many epochs."""

    name: str
    data: Dataset
    seed: int
    where: Where
    epochs: int | None = None

    @property
    def run(self) -> Run:
        """Where it is kept."""
        return self.where.run(self.data, self.name, self.seed)

    @property
    def device(self) -> torch.device:
        """What it runs on."""
        return choose_device(self.where.device)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its products: float32 for what has no backpropagation through the hidden layer."""
        trained = self.name != study.LAYER and study.experiment(self.name).kind.trained
        return choose_dtype(self.where.dtype, self.device) if trained else torch.float32

    @property
    def screened(self) -> bool:
        """Whether it has a KH layer whose leaders a screen finds."""
        return self.where.screen and (self.name == study.LAYER or study.experiment(self.name).kind.layer)

    @property
    def configuration(self) -> dict[str, Any]:
        """What it is made with."""
        return configuration(self.name, self.data, self.seed, self.epochs) | ({SCREENED: True} if self.screened else {})

    @property
    def asked(self) -> dict[str, Any]:
        """What a finished run has to be made with: the precision counts only if it was asked for.

        What is chosen for this machine may be another one than where the stored run was made.
        """
        free = self.name == study.LAYER or self.where.dtype == "auto"
        screened = {SCREENED: self.screened or None}  # None: a layer found with a screen is another one
        return self.configuration | screened | ({} if free else {"dtype": str(self.dtype)})
