"""The ``bioadv`` command: train a model of the study, list what there is, look at a run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import torch
import typer

import bioadv
from bioadv.data import datasets, files, shipped
from bioadv.lab import alone, chapters, jobs, probes, processes, provenance, readout_study, runner, runs, study, weights
from bioadv.lab.runs import Run

INTERRUPTED = 130  # exit code after Ctrl-C

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _folder(text: str | Path) -> Path:
    """A path as it was typed; ``ValueError`` for an empty one, such as an unset variable, which would mean ``.``."""
    if not str(text):
        raise ValueError("a path is empty (an unset variable?); give a folder, or . for this one")
    return Path(text).expanduser()


Data = Annotated[str, typer.Option(help="photo-patches, cifar10, mnist, an .npz file or a folder of images.")]
DataDir = Annotated[
    Path | None,
    typer.Option(parser=_folder, metavar="PATH", help="Where CIFAR-10 and MNIST lie; default $BIOADV_DATA_DIR."),
]
Out = Annotated[Path, typer.Option(parser=_folder, metavar="PATH", help="Root of the run folders.")]
RunFolder = Annotated[
    Path, typer.Argument(parser=_folder, metavar="RUN", help="A run folder, RESULTS/DATASET/MODEL/seed-S.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bioadv {bioadv.__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Local learning, covariance spectra and adversarial robustness: a study and the book about it."""


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="A model of the study; `bioadv list` names them.")],
    data: Data = "photo-patches",
    data_dir: DataDir = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    epochs: Annotated[int | None, typer.Option(help="Default: the paper's, or fewer for small sets of images.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Precision of products: auto, float32 or bfloat16.")] = "auto",
    out: Out = Path("results"),
    every: Annotated[int, typer.Option(help="Epochs between checkpoints.")] = 10,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
    screen: Annotated[
        bool, typer.Option(help="KH layers: bfloat16 products find candidates, full precision decides.")
    ] = False,
) -> None:
    """Train a model. Goes on where an interrupted run stopped, and leaves a finished one alone."""
    where = jobs.Where(out, device, dtype, progress, every, screen)
    if model != study.LAYER:
        study.experiment(model)  # an unknown name should not wait for the data
    jobs.check(seed, epochs)
    typer.echo(f"{model}, seed {seed}, on {jobs.choose_device(device)}", err=True)
    folder = runner.train(model, datasets.load(data, data_dir), seed, where, epochs)
    typer.echo(f"{folder}: {_summary(folder)}")


@app.command(name="list")
def list_models() -> None:
    """List the models of the study."""
    typer.echo(f"{study.LAYER:22s} layer      the Krotov-Hopfield layer that the kh models share")
    for name, chosen in study.EXPERIMENTS.items():
        penalty = type(chosen.recipe.penalty).__name__ if chosen.recipe.penalty else "-"
        typer.echo(
            f"{name:22s} {chosen.group:10s} {chosen.title}; hidden {chosen.hidden}, q {chosen.power:g}, {penalty}"
        )


@app.command()
def probe(
    run: RunFolder,
    probe: Annotated[str, typer.Option(help=f"What to measure: {', '.join(probes.PROBES)}.")],
    data: Annotated[str | None, typer.Option(help="The images it was trained on; default: by the run's name.")] = None,
    data_dir: DataDir = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Measure a trained model; the result lies beside it. What is finished is not measured again."""
    chosen, run = probes.probe(probe), Run.at(runs.whole(run)).folder
    manifest = provenance.read_manifest(run)
    if manifest is None and probes.needs_none(run.parent.name, chosen.layer):
        manifest = {"dataset": run.parent.parent.name}
    if manifest is None:
        raise FileNotFoundError(f"{run} holds no finished run; train the model first, or let it finish")
    _measured(probes.run(run, probe, datasets.load(data or manifest["dataset"], data_dir), progress))


def _measured(file: Path) -> None:
    """Tell where a measurement lies, and what in it did not converge."""
    typer.echo(file)
    for line in readout_study.unfinished(file):
        typer.echo(line, err=True)


@app.command()
def readouts(
    scales: Annotated[list[str], typer.Argument(help=f"Of {', '.join(readout_study.SCALES)}.")],
    model: Annotated[list[str] | None, typer.Option(help="Models; default: all of the scale.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds; default: 0 to 2.")] = None,
    out: Out = Path("results"),
) -> None:
    """Measure hidden layers of CIFAR-10 with readouts from just begun to trained to the end."""
    chosen = readout_study.selection(scales, model)  # all of them before any work
    for one in seed or ():
        jobs.check(one, None)
    data, any_there = datasets.load("cifar10"), False
    for scale, models in chosen.items():
        for file in readout_study.make(scale, data, out, models, seed):
            any_there = True
            _measured(file)
    if not any_there:
        raise FileNotFoundError(f"nothing was measured: none of these models has its weights in {out}")


@app.command()
def layers(
    scales: Annotated[list[str], typer.Argument(help=f"Of {', '.join(alone.LAYERS)}.")],
    images: Annotated[list[str] | None, typer.Option(help="Sets of images; default: all of the scale.")] = None,
    layer: Annotated[list[str] | None, typer.Option(help="Layers; default: all that the scale has on a set.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds; default: 0 to 4.")] = None,
    out: Out = Path("results"),
) -> None:
    """Make hidden layers alone and measure their spectra. What is finished is left alone."""
    for (scale, name), chosen in alone.selection(scales, images, layer).items():
        for folder in alone.make(scale, name, chosen, seed or list(alone.SEEDS), out):
            typer.echo(folder)


@app.command()
def fetch(
    model: Annotated[str, typer.Argument(help="A model of the study; `bioadv list` names them.")],
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 0,
    data: Annotated[str, typer.Option(help="The images it was trained on.")] = "cifar10",
    out: Out = Path("results"),
    mirror: Annotated[list[str] | None, typer.Option(help="An address to try first; may be given repeatedly.")] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--list", parser=_folder, metavar="PATH", help="A list of published files, instead of ours."),
    ] = None,
    offline: Annotated[bool, typer.Option(help="Use only what was fetched before.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Fetch trained weights, so that they can be probed without training. Checked, resumed, and kept in a cache."""
    run = Run(datasets.results_folder(out, data), model, seed)
    new = weights.fetch(run, weights.read(listed, mirror or ()), offline, progress)
    typer.echo(f"{run.folder}: {', '.join(path.name for path in new) or 'all there already'}")


@app.command()
def info(run: RunFolder) -> None:
    """Print the manifest of a run."""
    typer.echo(json.dumps(Run.at(runs.whole(run)).about, indent=1))


@app.command()
def book(
    to: Annotated[
        Path, typer.Option(parser=_folder, metavar="PATH", help="Folder for your copy of the chapters.")
    ] = Path("bioadv-book"),
    open_lab: Annotated[bool, typer.Option("--open/--copy", help="Open it in JupyterLab, or only copy.")] = True,
) -> None:
    """Open the book's chapters in JupyterLab: a copy of your own, in which what you changed stays."""
    source = shipped.folder(shipped.NOTEBOOKS)
    if not any(source.glob("*.ipynb")):
        raise FileNotFoundError(f"there are no notebooks in {source}; in a clone, `make lab` makes and opens them")
    for line in chapters.refresh(source, to):
        typer.echo(line)
    typer.echo(f"the chapters are in {to}")
    if open_lab:
        chapters.open_lab(to, [], f"jupyter lab --allow-root {shlex.quote(str(to))}")


def _summary(folder: Path) -> str:
    manifest = provenance.read_manifest(folder) or {}
    values = {**manifest.get("accuracy", {}), **manifest.get("health", {})}
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items()) + f", {manifest['seconds']:.0f} s"


def _said(error: Exception) -> str:
    """An error in words, without the number that those of the operating system begin with."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    remedy = f"; {files.REMEDIES[error.errno]}" if where and error.errno in files.REMEDIES else ""
    return f"{where}{error.strerror}{remedy}"


def main() -> None:
    """Run the command; an error that says what to do is printed without its traceback."""
    # Weights of dead units decay below 1e-38, where processors are many times slower: such numbers count as zero.
    torch.set_flush_denormal(True)
    processes.end_as_asked()
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            typer.echo(
                "bioadv: interrupted; what was finished is kept, and the same command goes on from there", err=True
            )
        raise
    except (ValueError, OSError, RuntimeError, MemoryError, FloatingPointError, ModuleNotFoundError) as error:
        # Of the memory, torch and numpy say how much was asked for, in words of their own, and not what to do.
        full = isinstance(error, MemoryError) or "allocate" in str(error)
        remedy = "; this needs more memory, or smaller or fewer images" if full else ""
        typer.echo(f"bioadv: {_said(error)}{remedy}", err=True)
        raise SystemExit(2) from None
