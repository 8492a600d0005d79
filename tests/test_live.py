"""The chapters' live cells on images of every kind that a reader may bring, and the small study on two classes.

Each chapter is run as the script that it is (a py:percent file), with all its cells, and with trainings shortened by
``BIOADV_EFFORT``: what is tested is that every cell copes with the images, not what it finds. By default each set of
images meets two of the chapters, a different pair for each set, and each chapter several sets; with
``BIOADV_LIVE=all`` every set meets every chapter.
"""

import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from typer.testing import CliRunner

from bioadv.data import datasets, files, image_arrays, photos
from bioadv.data.datasets import Dataset, Images
from bioadv.lab import (
    cli,
    jobs,
    live,
    probe_landscape,
    probe_perturbations,
    probe_spectra,
    probes,
    runner,
    scales,
    study,
)
from bioadv.measure import attack_libraries, critical, gradient_ascent, referees
from bioadv.network import kh_params, local_learning, models
from bioadv.pages import notebook
from tools import notebooks
from tools.notebooks import ROOT

CHAPTERS = tuple(path.stem for path in sorted((ROOT / "book").glob("*.py")) if "begin(" in path.read_text())
SETS = ("photo-patches", "cifar10", "mnist", "grey", "wide", "two", "few", "uneven")
EFFORT = "0.03"
REFEREES = pytest.mark.skipif(bool(attack_libraries.missing()), reason="the extra referees is not installed")
# Names of classes, which chapters draw; a letter that is drawn as a box, with a warning, is a failure.
NAMES = ("矢", "鳥", "고양이", "🐶 dogs", "it's <b>$x_1$</b> & _", "كلب", "żółw", "x" * 60, "_", "#1")
RUN = """
import runpy, sys, traceback
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
from bioadv.pages import press
failed = 0
for chapter in sys.argv[1:]:
    try:
        runpy.run_path(chapter, run_name="__main__")
        for number in plt.get_fignums():
            press.png(plt.figure(number))
    except Exception:
        failed += 1
        print("FAILED", chapter)
        traceback.print_exc()
    plt.close("all")
sys.exit(failed)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A function that writes a set of images of some kind, made from the photo patches, and returns its path."""
    folder, patches = tmp_path_factory.mktemp("sets"), photos.patch_sets()

    def make(kind):
        parts = {}
        for split, (pixels, labels, _) in patches.items():
            rng = np.random.default_rng(0)
            keep = np.arange(1200 if split == "train" else 300)
            if kind == "two":
                keep = np.flatnonzero(labels < 2)[: len(keep)]
            if kind == "few":  # 300 in all
                keep = keep[: 240 if split == "train" else 60]
            if kind == "uneven":  # one class has most of the images, the last ones hardly any
                keep = np.flatnonzero((labels == 0) | (rng.random(len(labels)) < 0.04))[: len(keep)]
            x, y = pixels[keep], labels[keep]
            if kind == "grey":
                x = x[:, :28, :28].mean(3, keepdims=True).round().astype(np.uint8)
            if kind == "wide":
                x = x[:, :14, :24]
            if kind in ("two", "few", "uneven"):
                y = np.array(NAMES)[y]
            seen = x.reshape(len(x), -1).any(1)
            parts |= {f"x_{split}": x[seen], f"y_{split}": y[seen]}
        np.savez(folder / f"矢 {kind}.npz", **parts)
        return str(folder / f"矢 {kind}.npz")

    return make


def pairs():
    """The chapters that a set meets by default: two of a row that starts elsewhere for each set.

    The photo patches only meet them all: by default `make nbval` runs the chapters on these.
    """
    everything = os.environ.get("BIOADV_LIVE") == "all"
    for place, name in enumerate(SETS):
        if everything:
            yield pytest.param(name, CHAPTERS, id=name)
        elif name != "photo-patches":
            yield pytest.param(name, [CHAPTERS[(place + step) % len(CHAPTERS)] for step in (0, 3)], id=name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "chapters"), list(pairs()))
def test_chapters_run_on_any_images(request, made, name, chapters):
    if name in ("cifar10", "mnist"):
        request.getfixturevalue(name)  # skips where the folder is absent
    data = name if name in datasets.KNOWN else made(name)
    given = {"BIOADV_DATA": data, scales.EFFORT_VARIABLE: EFFORT, "PYTHONPATH": str(ROOT)}
    shown = ["-W", "ignore", "-W", "error:Glyph"]
    command = [sys.executable, *shown, "-c", RUN, *(f"{chapter}.py" for chapter in chapters)]
    result = subprocess.run(command, cwd=ROOT / "book", env=os.environ | given, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-1500:] + result.stderr[-3000:]


LOOK_FOR_WIDGETS = {
    "photographs": "from bioadv.data import photos\n\nprint(photos.photograph(photos.PHOTOS[0]).shape)\n",
    "trainings": "from bioadv.lab import live\n\nprint(live.DAYS)\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", LOOK_FOR_WIDGETS)
def test_a_library_that_looks_for_widgets_puts_no_warning_into_a_notebook(tmp_path, what):
    """That is pooch, with which scikit-image fetches photographs, and which knows where a cache belongs."""
    (tmp_path / "x.py").write_text(f"# %%\n{LOOK_FOR_WIDGETS[what]}")
    notebooks.execute(tmp_path / "x.py", tmp_path / "x.ipynb")
    assert notebooks.faults(tmp_path / "x.ipynb") == []


@pytest.fixture
def study_of(tmp_path, monkeypatch):
    """A function that trains models on small wide images of some classes by command and returns their folders."""
    params = kh_params.KHParams(hidden=24, delta=0.1, batch=20, epochs=200)
    monkeypatch.setattr(scales, "scale", lambda data: scales.Scale(params, epochs=20, batch=scales.batch_size(120)))
    small = {
        "spectra": {"sizes": [10], "noise": 200, "subsets": [2, 10], "replicates": 3},
        "landscape": {"images": 3, "points": 11, "logit_points": 5},
        "perturbations": {"pool": 500, "subset": 20, "few": 10, "every": 80},
        "pruning": {"noise": 200, "replicates": 3},
        "referees": {
            "images": 6,
            "ddn": {"steps": 20},
            "apgd": {"low": 1e-4, "high": 0.2, "rounds": 2, "steps": 5},
            "square": {"images": 4, "epsilons": [0.05, 0.4], "queries": 30},
            "hop_skip_jump": {"images": 3, "steps": 3, "evaluations": 20, "gamma": 10.0, "pool": 50},
        },
    }
    for name, settings in small.items():
        chosen = probes.PROBES[name]
        monkeypatch.setitem(probes.PROBES, name, replace(chosen, settings={**chosen.settings, **settings}))

    def command(*arguments):
        result = CliRunner().invoke(cli.app, [*map(str, arguments), "--no-progress", "--data", tmp_path / "own.npz"])
        assert result.exit_code == 0, (arguments, result.exception, result.output)

    def run(labels, measured):
        rng, parts = np.random.default_rng(0), {}
        for split, y in labels.items():
            x = rng.integers(20, 80, (len(y), 5, 8, 1))
            x[np.arange(len(y)), y] += 150  # the class is the bright row
            parts |= {f"x_{split}": x.astype(np.uint8), f"y_{split}": y}
        np.savez(tmp_path / "own.npz", **parts)
        for model, kinds in measured.items():
            command("train", model, "--out", tmp_path / "runs")
            for kind in kinds:
                command("probe", tmp_path / "runs" / "own.npz" / model / "seed-0", "--probe", kind)
        return tmp_path / "runs" / "own.npz"

    return run


@REFEREES
@pytest.mark.slow
def test_the_study_on_two_classes(study_of):
    """Wide grey images, most of them of one class, the test set sorted by class: every kind of model, every probe."""
    every = ["spectra", "landscape", "perturbations", "referees"]
    names = ("bp", "l2", "jreg", "specreg", "specreg-logged", "random", "jreg-logits", "specreg-scalefree")
    y = {"train": (np.arange(120) % 4 == 0).astype(int), "test": (np.arange(40) > 25).astype(int)}
    measured = {"kh": every, "bp": every, "kh-layer": ["pruning", "spectra"], **{m: ["spectra"] for m in names[1:]}}
    folder = study_of(y, measured)
    found = files.read_arrays(folder / "bp" / "seed-0" / "referees.npz")
    assert "apgd_ce_linf" in found
    assert not [name for name in found if "dlr" in name]  # that loss needs three classes
    landscape = files.read_arrays(folder / "bp" / "seed-0" / "landscape.npz")
    assert np.isfinite(landscape["boundary"]).all()
    summary = probe_perturbations.summary(files.read_arrays(folder / "kh" / "seed-0" / "perturbations.npz"))
    assert summary["accuracy"] > 0.9


@REFEREES
def test_losses_that_need_three_classes_say_so(generator):
    model = models.init(models.TwoLayer(12, 5, 2), generator).eval()
    x = torch.rand(4, 12, generator=generator)
    with torch.no_grad():
        y = model(x).argmax(1)
    with pytest.raises(ValueError, match="compares the three largest logits, and the model has 2 classes; give ce"):
        referees.apgd(model, x, y, "dlr")


def test_images_that_no_strength_fools_are_counted_and_never_attacked_without_bound(generator):
    """A model with one answer for all: critical strengths are infinite, and an attack refuses such a strength."""
    model = models.init(models.TwoLayer(12, 5, 2), generator).eval()
    with torch.no_grad():
        model.readout.zero_()
        model.bias[:] = torch.tensor([1.0, 0.0])
    x, y = torch.rand(4, 12, generator=generator), torch.zeros(4, dtype=torch.int64)
    found = critical.search(model, x, y, critical.pgd(model, x, y))
    assert found.never == 4
    assert probe_perturbations.median_norm(found.norm) != probe_perturbations.median_norm(found.norm)  # NaN
    with pytest.raises(ValueError, match="eps spans inf..inf; give finite strengths"):
        gradient_ascent.pgd(model, x, y, torch.from_numpy(found.epsilon))


def of(count, shape=(4, 6, 1), classes=2, tests=None):
    """A dataset of so many training images."""
    rng = np.random.default_rng(0)
    parts = {
        split: Images(
            rng.integers(1, 255, (n, *shape)).astype(np.uint8), np.arange(n) % classes, ("a", "b", "c")[:classes], split
        )
        for split, n in (("train", count), ("test", tests or count))
    }
    return Dataset("own.npz", parts["train"], parts["test"])


@pytest.mark.parametrize("tests", [2, 9])
def test_spectra_say_how_many_images_they_need(generator, tests):
    model = models.init(models.TwoLayer(24, 30, 2), generator).eval()
    with pytest.raises(ValueError, match=f"{tests} test images; spectra and their bootstrap need at least 10"):
        probe_spectra.measure_spectra(model, of(20, tests=tests), probe_spectra.SPECTRA, False)


@pytest.mark.parametrize("tests", [10, 12, 25, 60])
def test_spectra_of_few_images(generator, tests):
    model = models.init(models.TwoLayer(24, 30, 2), generator).eval()
    settings = {**probe_spectra.SPECTRA, "noise": 100, "subsets": [2, 20], "replicates": 3}
    found = probe_spectra.measure_spectra(model, of(20, tests=tests), settings, False)
    assert np.isfinite(found["images_before"]).all()
    assert np.isnan(found["bootstrap_before"]).all() == (tests <= 12)


def test_the_other_image_of_a_plane_is_of_another_class():
    """The test set may be sorted: the first images are then of one class, and the next class comes later."""
    labels = np.repeat([0, 1], [30, 10])
    assert [probe_landscape._following(labels, image, 10) for image in (0, 9)] == [30, 30]
    assert probe_landscape._following(np.arange(40) % 3, 9, 10) == 1  # among the first ten where there is one
    assert probe_landscape._following(np.zeros(12, int), 3, 10) == 4  # all alike: any other


@pytest.mark.parametrize("count", [2, 3, 10, 11, 61, 101, 250, 251, 252, 278, 300, 5000, 5001])
def test_no_step_of_a_single_image(count):
    size = scales.batch_size(count)
    assert 1 <= size <= 250
    for left in (count, count - round(0.1 * count)):
        assert left % size != 1 or count <= 3
    if count == 5000:
        assert size == 250


def test_live_trainings_are_bounded_in_steps_and_in_work(monkeypatch):
    monkeypatch.delenv(scales.EFFORT_VARIABLE, raising=False)
    few = scales.live_scale(of(10))
    assert few.epochs * -(-10 // few.batch) <= 1200
    assert few.layer.epochs <= 10_000
    large = of(60, (256, 256, 3))
    sizes = scales.live_scale(large)
    seen = sizes.epochs * len(large.train) * large.train.inputs
    assert seen <= scales.LIVE_WORK
    assert sizes.layer.epochs * len(large.train) * large.train.inputs <= kh_params.LIVE_WORK
    patches = scales.live_scale(datasets.load("photo-patches"))
    assert (patches.epochs, patches.batch, patches.layer) == (60, 250, kh_params.LIVE["photo-patches"])


@pytest.mark.parametrize("bad", ["0", "2", "nan", "fast"])
def test_a_bad_effort_is_refused(monkeypatch, bad):
    monkeypatch.setenv(scales.EFFORT_VARIABLE, bad)
    with pytest.raises(ValueError, match="BIOADV_EFFORT = .*; give a number above 0 and at most 1"):
        scales.live_scale(of(10))
    monkeypatch.setenv(scales.EFFORT_VARIABLE, "0.5")
    assert (
        scales.live_scale(of(10)).layer.epochs == scales.scale(of(10)).layer.epochs // 2
    )  # the study is not shortened


def test_a_layer_for_images_of_another_norm_is_followed_by_these(monkeypatch):
    """Of unit L4 norm, as those that it learned from."""
    data, seen = datasets.load("photo-patches"), []
    monkeypatch.setattr(live.runner, "fit", lambda model, sets, *more: seen.append(sets))
    sizes = scales.Scale(kh_params.KHParams(hidden=20, p=4.0), epochs=1)
    live.train("kh", data, torch.ones(20, data.train.inputs), sizes)
    for part in ("train", "test"):
        norms = torch.linalg.vector_norm(seen[0][part][0], 4, dim=1)
        torch.testing.assert_close(norms, torch.ones(len(norms)), atol=1e-4, rtol=0)


def test_live_training_is_the_studys(monkeypatch):
    """The same initial weights for all models; a layer where one is needed; the published penalty at this batch."""
    monkeypatch.setenv(scales.EFFORT_VARIABLE, "0.01")
    data = of(60, classes=3)
    start = models.init(models.TwoLayer(24, 100, 3), torch.Generator().manual_seed(0))
    assert torch.equal(live.train("random", data).model.hidden, start.hidden)
    with pytest.raises(ValueError, match=r"layer = None: kh is made from a KH layer; give .* live\.train_layer"):
        live.train("kh", data)
    layer = live.train_layer(data).synapses
    kh = live.train("kh", data, layer)
    assert torch.equal(kh.model.hidden, local_learning.metric(layer, 3.0))
    assert np.isfinite(kh.log["test_accuracy"]).all()
    assert live.train("specreg-scalefree", data).model.norm is not None


def test_a_chapter_says_how_many_images_it_needs(monkeypatch, tmp_path):
    x, y = np.full((8, 4, 4, 1), 9, np.uint8), np.arange(8) % 2
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    monkeypatch.setenv("BIOADV_DATA", str(tmp_path / "own.npz"))
    with pytest.raises(ValueError, match="own.npz has 8 test images; the live cells of this chapter need at least 40"):
        notebook.begin(tests=40)
    assert len(notebook.begin(tests=8).test) == 8


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Real photographs of 1000 x 1000 pixels in folders that are named in letters of other scripts."""
    folder, source = tmp_path_factory.mktemp("own") / "写真 📷", Image.fromarray(skimage.data.astronaut())
    for kind, turn in (("猫", 0), ("🐶 dogs", 90)):
        (folder / kind).mkdir(parents=True)
        for number in range(5):
            part = source.rotate(turn).crop((number, number, 500 + number, 500 + number))
            part.resize((1000, 1000)).save(folder / kind / f"{number}.jpg")
    return folder


def test_photographs_of_a_camera_are_refused_before_any_work(photographs, tmp_path, monkeypatch):
    data = datasets.load(photographs)
    assert data.train.classes == ("猫", "🐶 dogs")
    too_large = "写真 📷: images of 1000 x 1000 x 3 values are too large .* resize them to at most 196608 values"
    for model in ("bp", "kh", study.LAYER):
        result = CliRunner().invoke(cli.app, ["train", model, "--data", str(photographs), "--out", str(tmp_path)])
        assert isinstance(result.exception, ValueError), result.output
        assert re.search(too_large, str(result.exception))
    with pytest.raises(ValueError, match="spectra: 10000 noise images and 3000000 units of 3000000 values"):
        folder = datasets.results_folder(tmp_path, data.name) / "pixels" / "seed-0"
        probes.run(folder, "spectra", data, progress=False)
    assert not list(tmp_path.rglob("*.safetensors"))
    monkeypatch.setenv("BIOADV_DATA", str(photographs))
    with pytest.raises(ValueError, match="1000 x 1000 x 3 values; live cells take at most 12288 .64 x 64 in colour"):
        notebook.begin()


def test_what_the_memory_does_not_hold_is_refused_before_any_work(monkeypatch, tmp_path):
    """The covariance of the pixels needs more than the images and the weights."""
    monkeypatch.setattr(image_arrays.os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 3_000_000}.get)
    data, where = of(60, (32, 32, 1)), jobs.Where(tmp_path, progress=False)
    with pytest.raises(ValueError, match="specreg on images of 32 x 32 x 1 values: 0.0231 GB are more than"):
        runner.train("specreg", data, 0, where, 1)
    runner.train("specreg-logged", data, 0, where, 1)


def test_distances_of_ddn_are_scaled_with_the_number_of_pixels():
    """Exactly as stored for CIFAR-10; for fewer pixels, which are larger, by less: a grey image fills the box."""
    assert referees.ddn_scale(3072) == 8.0
    for inputs in (64, 784, 3072, 27_648):
        grey = torch.full((1, inputs), 0.5)
        unit = grey / torch.linalg.vector_norm(grey, 3)
        assert float(unit.max()) * referees.ddn_scale(inputs) == pytest.approx(0.55, rel=0.01)
