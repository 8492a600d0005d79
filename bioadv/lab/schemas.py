"""What YAML files may hold: studies, claims, predictions, the paper's numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.types import Strict

from bioadv.network import streams


def _listed(value: Any) -> Any:
    """Words and single numbers of a command line, such as ``SEEDS="0 1"``, as the list that a file would hold."""
    if isinstance(value, str):
        return [int(word) if re.fullmatch(r"-?\d+", word) else word for word in value.split()]
    return value if isinstance(value, list) or value is None else [value]


def _path(value: Any) -> Any:
    if isinstance(value, str) and re.search(r"[\x00-\x1f\x7f]", value):
        raise ValueError("control characters")
    return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~") else value


Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, description="an integer >= 1")]
SEEDS = f"integers from 0 to {len(streams.START) - 1}"
Seed = Annotated[int, Field(ge=0, lt=len(streams.START), description=f"{SEEDS}, as a list such as [0, 1]")]
Words = Annotated[list[Text], Field(description="a list of names, such as [kh, bp]")]
PathText = Annotated[str, Field(min_length=1), BeforeValidator(_path)]


class Closed(BaseModel):
    """Exactly these keys, of exactly these types."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class StageEntry(Closed):
    """A stage of a study."""

    models: Annotated[Words, Field(min_length=1, description="a list of models, such as [kh, bp]")]
    seeds: Annotated[list[Seed], Field(min_length=1, description=f"{SEEDS}, as a list such as [0, 1]")]


class Cost(Closed):
    """What one job of a rule needs, or what a probe needs of it in another amount."""

    threads: Annotated[Count | None, Field(description="an integer >= 1")] = None
    mem_mb: Annotated[Count | None, Field(description="memory in MB, an integer >= 1")] = None
    runtime: Annotated[Count | None, Field(description="minutes, an integer >= 1")] = None


class StudyFile(Closed):
    """A study, ``workflow/config/*.yaml``; ``seeds`` and ``models``, from the command line, leave out all others."""

    data: Annotated[
        PathText, Field(description="a dataset's name, an .npz file or a folder, without control characters")
    ]
    out: Annotated[PathText, Field(description="a folder, without control characters")] = "results"
    stages: Annotated[
        list[StageEntry],
        Field(min_length=1, description="stages with models and seeds; see workflow/config/photo-patches.yaml"),
    ]
    probes: Annotated[
        dict[str, Words], Field(description="per probe a list of what it measures, such as [models]; [] for nothing")
    ] = {}
    resources: Annotated[
        dict[str, Cost],
        Field(
            description="threads, mem_mb and runtime for layer, train and probe; see workflow/config/photo-patches.yaml"
        ),
    ]
    epochs: Annotated[Count | None, Field(description="an integer >= 1, such as 1000, or leave it out")] = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu or cuda")] = "auto"
    dtype: Annotated[str, Field(pattern="^(auto|float32|bfloat16)$", description="auto, float32 or bfloat16")] = "auto"
    seeds: Annotated[list[Seed], BeforeValidator(_listed), Field(description=f"{SEEDS}, such as 0 1")] = []
    models: Annotated[Words, BeforeValidator(_listed), Field(description="names of models, such as kh bp")] = []
    retrain: Annotated[bool, Strict(False), Field(description="yes or no, 1 or 0")] = False


class SeriesFile(Closed):
    """What is made one after the other, without Snakemake; ``seeds`` and ``models`` leave out all others."""

    out: Annotated[PathText, Field(description="a folder, without control characters")] = "results"
    seeds: Annotated[list[Seed], BeforeValidator(_listed), Field(description=f"{SEEDS}, such as 0 1")] = []
    models: Annotated[Words, BeforeValidator(_listed), Field(description="names, such as kh or kh-layer")] = []


class LayersFile(SeriesFile):
    """Hidden layers alone, ``workflow/config/mechanism.yaml``."""

    layers: Annotated[
        list[Literal["small", "untrained"]], Field(min_length=1, description="scales, such as [small, untrained]")
    ]


class ReadoutsFile(SeriesFile):
    """Paths of readouts, ``workflow/config/readouts.yaml``."""

    readouts: Annotated[
        list[Literal["small", "paper"]], Field(min_length=1, description="scales, such as [small, paper]")
    ]


Finite = Annotated[float, Field(allow_inf_nan=False, description="a finite number")]


class ClaimEntry(Closed):
    """A claim of ``book/claims.yaml``; what the keys mean says :class:`bioadv.lab.claims.Claim`."""

    id: Text
    text: Text
    where: Text
    rule: Text
    figure: Annotated[str, Field(pattern=r"^[^#]+#[^#]+$", description="page#label")]
    statistics: Annotated[Words, Field(description='a list of statistics, such as ["accuracy"]')] = []
    models: Annotated[Words, Field(description="a list of models, such as [kh]")] = []
    value: Annotated[Finite | str | None, Field(description="a number, or its place in paper.yaml")] = None
    tolerance: Annotated[Finite | None, Field(gt=0, description="a number > 0")] = None
    relative: Annotated[Finite | None, Field(gt=0, description="a number > 0, as a share of value")] = None
    reading: bool = False
    why: str = ""
    controls: Annotated[
        dict[str, Annotated[list[Text], Field(min_length=2, max_length=2)]],
        Field(description='for each name a statistic and a model, such as {random rows: ["accuracy", random]}'),
    ] = {}


class PredictionEntry(Closed):
    """A prediction of ``book/predictions.yaml``; what the keys mean says :mod:`bioadv.lab.predictions`."""

    id: Text
    hypothesis: Annotated[int, Field(ge=1, le=2, description="1 or 2")]
    statement: Text
    scale: Annotated[Literal["paper", "small", "untrained"], Field(description="paper, small or untrained")]
    models: Annotated[list[Text], Field(min_length=1, description="a list of models, such as [kh]")]
    statistic: Annotated[Text, Field(description="the name of a statistic, such as alpha(images)")]
    value: Annotated[float | Text, Field(description="a number or a formula, such as 2 * alpha(pixels)")]
    rule: Annotated[Literal["close", "at least", "at most"], Field(description="close, at least or at most")]
    data: Annotated[Text, Field(description="the name of a set of images")] = "cifar10"
    window: Annotated[
        list[Count] | None, Field(min_length=2, max_length=2, description="the first and last rank, as [11, 500]")
    ] = None
    tolerance: Annotated[float | None, Field(gt=0, allow_inf_nan=False, description="a number > 0")] = None
    known: Annotated[list[Seed], Field(description=f"{SEEDS}, as a list such as [0, 1]")] = []
    if_it_fails: str = ""
    withdrawn: Annotated[str, Field(description="the reason, a text")] = ""


Error = Annotated[float, Field(ge=0, allow_inf_nan=False, description="a number >= 0")]
Range = Annotated[list[Finite], Field(min_length=2, max_length=2, description="two numbers, as [lower, upper]")]
ByModel = Annotated[dict[str, Finite], Field(description="a number per model")]


class Table(Closed):
    """Numbers by model, and how well they could be read."""

    values: ByModel
    error: Error | None = None


class Exponents(Closed):
    """Exponents by model, each with its error."""

    values: ByModel
    error: Annotated[dict[str, Error], Field(description="a number >= 0 per model")]


class Ranges(Closed):
    """Ranges by model."""

    values: dict[str, Range]
    error: Error


class Number(Closed):
    """A number, its error, and of how many."""

    value: Finite
    error: Error
    of: Count | None = None


class Histogram(Closed):
    """Counts in bins of equal width from 0."""

    error: Error
    width: Annotated[float, Field(gt=0, description="a number > 0")]
    counts: Annotated[list[Annotated[int, Field(ge=0)]], Field(description="a list of integers >= 0")]


class Layer(Closed):
    """The authors' KH layer."""

    units: Count
    off_norm: Annotated[int, Field(ge=0, description="an integer >= 0")]
    negative_mean: Annotated[int, Field(ge=0, description="an integer >= 0")]


class PaperFile(Closed):
    """The paper's numbers, ``book/paper.yaml``."""

    accuracy: Table
    accuracy_specreg_kh: Number
    critical: dict[str, Table]
    quartiles: dict[str, dict[str, Range]]
    exponent: dict[str, Exponents]
    jacobian: Table
    plane_jacobian: Ranges
    power_law_end: Count
    kink: Range
    pruned_units: Number
    pruned_units_2024: Number
    variance_histogram: Histogram
    kh_layer: Layer
    spectral_penalty: ByModel
    cost: ByModel
