"""The explorer's files: what the package writes is what is committed, and the bundle is what its sources make."""

import json
import re
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bioadv.data import datasets
from bioadv.lab import scales, study
from bioadv.lab.runs import ROOT
from bioadv.network import kh_params, training
from bioadv.pages import explorer_data, explorer_figure, explorer_networks
from bioadv.pages.explorer_data import FOLDER, LIMIT, pack, pack_rounded, read_script, script, unpack, write
from tests.explorer_page import NPM
from tools import build_book

SOURCES = ROOT / "explorer"


@given(
    st.sampled_from(["uint8", "int8", "uint16", "float16", "float32", "int64"]).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(max_dims=3, max_side=5))
    )
)
def test_a_packed_array_comes_back(values):
    np.testing.assert_array_equal(unpack(pack(values)), values)


@given(arrays.arrays(np.float64, arrays.array_shapes(max_dims=2, max_side=20), elements=st.floats(-1e3, 1e3)))
def test_a_rounded_array_comes_back_to_half_a_step(values):
    packed = pack_rounded(values)
    assert np.abs(unpack(packed) - values).max() <= packed["step"] * 0.5001 + 1e-9


def test_a_smooth_curve_is_packed_as_differences():
    curve = np.log(np.arange(1.0, 2001)) + 1e-3 * np.random.default_rng(0).normal(size=2000).cumsum()
    whole = pack_rounded(curve[None])  # with two axes, level by level
    assert len(pack_rounded(curve)["data"]) < 0.8 * len(whole["data"])
    np.testing.assert_array_equal(unpack(pack_rounded(curve)), unpack(whole)[0])


def test_a_file_is_read_back_and_must_be_one(tmp_path):
    content = {"version": 1, "classes": ["é", "<b>"], "data": pack(np.arange(3.0))}
    path = write("results", content, tmp_path)
    assert read_script(path) == content
    assert path.read_text() == script("results", content)
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"results\.js is no data file .* python -m tools\.explorer"):
        read_script(path)


def test_more_than_a_page_can_load_is_refused(tmp_path):
    write("networks", {"version": 1, "data": "x" * (LIMIT - 1000)}, tmp_path)
    with pytest.raises(ValueError, match=rf"the limit is {LIMIT}"):
        write("results", {"version": 1, "data": "x" * 2000}, tmp_path)
    assert not (tmp_path / "results.js").exists()


@pytest.mark.slow
def test_the_stored_results_are_what_is_committed():
    """If this fails after new results: python -m tools.explorer results, and commit what it writes."""
    assert (FOLDER / "results.js").read_text() == script("results", explorer_data.results())


def test_the_data_name_each_model_once_with_colour_and_marker():
    content = read_script(FOLDER / "results.js")
    used = {entry["model"] for part in ("spectra", "planes", "norms") for entry in content[part]}
    assert used <= set(content["models"])
    outlines = (SOURCES / "page" / "controls.js").read_text().partition("MARKERS = {")[2]
    drawn = re.findall(r'^  "?([^ "]+)"?: "M', outlines, re.MULTILINE)
    for about in content["models"].values():
        assert re.fullmatch("#[0-9A-Fa-f]{6}", about["colour"])
        assert about["title"]
        assert "$" not in about["title"]
        assert about["marker"] in drawn, "draw it in MARKERS of explorer/page/controls.js"


def test_links_of_claims_lead_to_pages_of_the_book():
    pages = {f"{page.removeprefix('book/')}.html" for page in build_book.pages()}
    assert {claim["link"].partition("#")[0] for claim in read_script(FOLDER / "results.js")["claims"]} <= pages


def test_the_networks_are_alive_and_fit_their_images():
    content, data = read_script(FOLDER / "networks.js"), datasets.load("photo-patches")
    assert content["version"] == explorer_data.VERSION
    assert sorted(entry["name"] for entry in content["networks"]) == sorted(study.members("explorer"))
    x, y = datasets.unit_lp(data.test), torch.tensor(data.test.labels)
    for entry in content["networks"]:
        assert entry == entry | explorer_data.about(entry["name"])
        stored = {key: unpack(entry[key]) for key in ("hidden", "scale", "readout", "bias")}
        model = explorer_networks.Network(entry["name"], power=entry["power"], accuracy=0.0, **stored).model()
        assert training.accuracy(model, x, y) == pytest.approx(entry["accuracy"], abs=0.003)
        assert entry["accuracy"] > 0.45
        assert stored["hidden"].shape == (100, 3072)
        if entry["name"] == "kh":
            with torch.no_grad():
                assert float((model.after(x) > 0).any(0).float().mean()) >= 0.95  # live units
    images = unpack(content["images"])
    assert images.shape == (30, 32, 32, 3)
    assert [content["labels"].count(label) for label in range(10)] == [3] * 10
    known = {image.tobytes(): label for image, label in zip(data.test.pixels, data.test.labels, strict=True)}
    assert [known[image.tobytes()] for image in images] == content["labels"]
    assert all(content["credits"])


def test_rounding_a_layer_loses_what_it_says():
    weights = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    for name, most in (("kh", 1e-3), ("random", 0.02)):
        hidden, scale = explorer_networks.rounded(weights, name)
        again = hidden.astype(np.float32) * scale[:, None]
        assert np.abs(again - weights.numpy()).max() < most * float(weights.abs().max())
        assert hidden.itemsize == (2 if name == "kh" else 1)


def test_training_gives_networks_of_the_files_format():
    """On a few images and for a few steps: that it runs to the end, and the page's arithmetic is the trained one."""
    data = datasets.load("photo-patches")
    small = datasets.Dataset("few", data.train.first(300), data.test.first(100))
    sizes = scales.Scale(kh_params.KHParams(hidden=100, delta=0.2, batch=100, epochs=2), epochs=2, batch=100)
    trained = explorer_networks.train_all(small, sizes=sizes)
    content = explorer_data.networks(small, trained)
    (images,) = (one for one in json.loads(json.dumps(content))["networks"] if one["name"] == "exemplars")
    assert images["hidden"]["dtype"] == "uint8"
    for entry, network in zip(content["networks"], trained, strict=True):
        np.testing.assert_array_equal(unpack(entry["hidden"]), network.hidden)


def test_the_static_figure_is_drawn_for_both_themes(tmp_path):
    files = explorer_figure.write(read_script(FOLDER / "results.js"), tmp_path)
    assert [path.name for path in files] == ["static-light.svg", "static-dark.svg"]
    light, dark = (path.read_text() for path in files)
    assert "#222222" in light
    assert "#222222" not in dark
    assert {path.name for path in files} <= {path.name for path in FOLDER.iterdir()}


# The bundle


@pytest.fixture
def npm():
    if NPM is None:
        pytest.skip("no npm on this machine (Debian: apt install npm)")
    if not (SOURCES / "node_modules" / "esbuild").is_dir():
        pytest.skip("the packages of the bundle are not installed; run `npm ci` in explorer/")
    return NPM


def test_the_bundle_is_what_its_sources_make(npm, tmp_path):
    subprocess.run(["node", "build.js", tmp_path], cwd=SOURCES, check=True, capture_output=True)
    for name in ("explorer.js", "explorer.css"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), (
            f"{name}: run `npm run build` in explorer/"
        )


def test_the_engine_passes_its_own_tests(npm):
    done = subprocess.run([npm, "test"], cwd=SOURCES, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_bundle_carries_licences_and_asks_no_one():
    text = (FOLDER / "explorer.js").read_text()
    licences, code = text[: text.index("*/")], text[text.index("*/") :]
    for name in ("d3-scale", "d3-axis", "d3-shape", "d3-selection", "d3-brush", "fflate"):
        assert re.search(rf"^{name} [\d.]+$", licences, re.MULTILINE), name
    assert licences.count("Permission") >= 10
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|import\(|https?://(?!www\.w3\.org)", code)


def test_the_lock_names_no_registry_and_pins_every_package():
    lock, project = (json.loads((SOURCES / f"package{name}.json").read_text()) for name in ("-lock", ""))
    packages = {name: about for name, about in lock["packages"].items() if name}
    assert all("integrity" in about and "resolved" not in about for about in packages.values())
    for name, wanted in project["devDependencies"].items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == wanted  # exact, no range


def test_the_page_knows_the_version_and_the_views():
    assert f"VERSION = {explorer_data.VERSION};" in (SOURCES / "page" / "data.js").read_text()
    views = re.search(r"const VIEWS = \{ (.*) \};", (SOURCES / "page" / "main.js").read_text())[1]
    assert tuple(views.split(", ")) == build_book.VIEWS


def test_links_of_chapters_lead_to_views():
    text = "".join(path.read_text() for path in ROOT.glob("book/*.py"))
    views = re.findall(r'href="explorer\.html#(\w+)', text)
    assert len(views) >= 4
    assert set(views) <= set(build_book.VIEWS)
