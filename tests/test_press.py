"""Figures for both themes: what is drawn in ink changes, models keep their colours, numbers and runs are filed."""

import csv
import hashlib
import io
import json
import re
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from bioadv.data.files import read_arrays
from bioadv.lab.looks import BLUE, DARK_INK, INK
from bioadv.lab.runs import ROOT
from bioadv.pages import plots, press

mpl.use("Agg")


@pytest.fixture
def figure():
    with plt.rc_context():
        plots.use_style()
        made, (left, right) = plt.subplots(1, 2)
        left.plot([1, 2, 3], [4, 5, 6], **plots.line("kh"))
        left.axhline(4.5)
        left.set_title("lines")
        right.barh([0, 1], [2.5, 3], label="share")
        right.set_title("bars")
        yield made
    plt.close("all")


def test_only_ink_changes_on_dark_paper(figure):
    light = press.svg(figure)
    dark = press.on_dark(light)
    assert INK in light
    assert INK not in dark
    assert DARK_INK in dark
    assert light.lower().count(BLUE.lower()) == dark.lower().count(BLUE.lower()) > 0
    assert "#ffffff" not in light  # no ground


def test_the_same_figure_gives_the_same_file(figure):
    assert press.svg(figure) == press.svg(figure)
    assert not re.search(r' (?:d|x|y)="[^"]*\.\d{3}', press.svg(figure))  # hundredths are enough
    assert "<dc:date>" not in press.svg(figure)


def test_numbers_are_those_drawn(figure):
    rows = list(csv.DictReader(io.StringIO(press.drawn(figure))))
    assert [(r["x"], r["y"]) for r in rows if r["series"] == "KH"] == [("1", "4"), ("2", "5"), ("3", "6")]
    assert [(r["panel"], r["x"]) for r in rows if r["series"] == "share"] == [("bars", "2.5"), ("bars", "3")]
    assert len(rows) == 5  # no guide


def test_clouds_are_pixels(figure):
    size = len(press.svg(figure))
    x = np.random.default_rng(0).random(20_000)
    figure.axes[0].plot(x, x, "o")
    assert len(press.svg(figure)) < size + 400_000


def test_what_is_published_is_filed_with_the_runs_read(figure, tmp_path):
    results = ROOT / "results"
    run = next(results.glob("cifar10/*/seed-*/spectra.npz"))
    kept = press.Press(tmp_path, results)
    sys.addaudithook(kept.listen)
    read_arrays(run)
    picture = kept.publish(figure)
    name = hashlib.sha256(picture).hexdigest()
    assert picture.startswith(b"\x89PNG")
    assert (tmp_path / f"{name}.svg").read_text().startswith("<?xml")
    assert run.relative_to(results).as_posix() in json.loads((tmp_path / f"{name}.json").read_text())["read"]
    kept.results = tmp_path / "nowhere"  # a hook cannot be taken away
