import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bioadv.data import datasets, variants
from bioadv.data.datasets import Dataset, Images
from bioadv.lab import alone, cli, layers, predictions, runs, stale, statistics
from bioadv.lab.layers import Layer
from bioadv.lab.statistics import Subject
from bioadv.measure import alignment, spectra
from bioadv.network import local_learning
from bioadv.network.kh_params import KHParams

TINY = KHParams(hidden=30, delta=0.2, batch=50)


@pytest.fixture
def pictures(monkeypatch):
    """Small smooth colour images in place of the photo patches; returns the dataset."""
    rng, parts = np.random.default_rng(0), {}
    for split, count in (("train", 900), ("test", 400)):
        rough = rng.normal(size=(count, 8, 8, 3)) + rng.normal(size=(count, 8, 8, 1))
        smooth = np.cumsum(np.cumsum(rough, 1), 2)
        scaled = (smooth - smooth.min()) / np.ptp(smooth)
        parts[split] = Images(scaled, np.arange(count) % 2, ("a", "b"), f"photo-patches/{split}")
    found = Dataset("photo-patches", **parts)
    monkeypatch.setattr(datasets, "load", lambda name, *more: found)
    return found


@pytest.fixture
def tiny(monkeypatch, pictures):
    """Layers of thirty units on few images, trained for few steps; returns the images."""
    kinds = {kind: Layer(kind, TINY, 600) for kind in ("exemplars", "white")}
    monkeypatch.setattr(alone, "LAYERS", {"small": {"photo-patches": {"kh-layer": Layer("local", TINY, 600), **kinds}}})
    monkeypatch.setattr(layers, "STEPS", 60)
    monkeypatch.setattr(layers, "STOPS", (0, 2))
    monkeypatch.setattr(stale, "_layers_source", layers.source_of)  # not what another test had kept
    return variants.rows("photo-patches", 600)


# Images with something taken from them


def test_new_phases_keep_means_amplitudes_and_the_relation_of_colours(generator):
    images = torch.rand(16, 3, 8, 12, generator=generator)
    made = variants.new_phases(images, generator)
    before, after = torch.fft.fft2(images), torch.fft.fft2(made)
    torch.testing.assert_close(after.abs(), before.abs(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made.mean((2, 3)), images.mean((2, 3)))
    turn = after / before
    torch.testing.assert_close(turn[:, 0], turn[:, 2], atol=1e-3, rtol=1e-3)
    # Phases are new, and each image has its own.
    assert (turn[0, 0] - turn[1, 0]).abs().mean() > 0.5
    assert (made - images).abs().mean() > 0.1


@pytest.mark.parametrize("name", ["photo-patches", "photo-patches-scrambled", "photo-patches-whitened"])
def test_rows_of_variants_have_unit_norm_and_the_digest_of_their_images(pictures, name):
    with pytest.raises(ValueError, match="count = 0; give at least 1"):
        variants.rows(name, 0)
    found = variants.rows(name, 700, p=4.0)
    assert found.train.shape == (700, 192)
    assert found.test.shape == (400, 192)
    torch.testing.assert_close(torch.linalg.vector_norm(found.train, 4, dim=1), torch.ones(700))
    assert found.digest == pictures.content_hash
    assert len(variants.rows(name, 10**6).train) == 900


def test_whitened_images_have_a_flat_spectrum_and_scrambled_ones_their_own(pictures):
    spread = {}
    for name in ("photo-patches", "photo-patches-whitened", "photo-patches-scrambled"):
        x = variants.rows(name).train
        values = spectra.eigenspectrum(spectra.moments(x))
        spread[name] = float(values[5] / values[60])
    assert spread["photo-patches-whitened"] < 1.5
    assert spread["photo-patches"] > 20
    assert 0.5 < spread["photo-patches-scrambled"] / spread["photo-patches"] < 2


# Making and measuring


def test_training_is_that_of_the_study(tiny):
    params = replace(TINY, epochs=5)
    seen = {epoch: w.clone() for epoch, w in layers.trained(tiny.train, params, 3)}
    assert list(seen) == [0, 2, 5]
    again = local_learning.train(tiny.train, params, torch.Generator().manual_seed(3), progress=False)
    assert torch.equal(seen[5], again.synapses)


def test_rows_of_untrained_layers_have_one_length(tiny):
    for kind in layers.UNTRAINED:
        rows = layers.untrained(Layer(kind, TINY, 600), tiny.train, 1)
        lengths = torch.linalg.vector_norm(rows, dim=1)
        torch.testing.assert_close(lengths, lengths[:1].expand(30), msg=kind)
    with pytest.raises(ValueError, match="layer = 'kmean' is not known; choose from kh-layer"):
        alone.layer("small", "photo-patches", "kmean")


def test_a_seed_that_no_run_can_have_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="seed = 20000; give an integer from 0 to 9999"):
        alone.make("small", "photo-patches", ["white"], [0, 20000], tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_layer_is_measured_by_the_definitions(tiny):
    of = spectra.moments(tiny.test)
    known = alignment.components(of)
    found, health = layers.measured(Layer("exemplars", TINY, 600), 0, tiny, of, known)
    assert health == {}
    m = layers.untrained(Layer("exemplars", TINY, 600), tiny.train, 0).double()
    h = tiny.test.double() @ m.T
    covariance = torch.cov(h.T)
    for name, matrix in (("images", covariance), ("rows", m @ m.T), ("after_1", torch.cov(h.clamp_min(0).T))):
        expected = torch.linalg.eigvalsh(matrix).flip(0).float().numpy()
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(found["after_4.5"].sum(), torch.cov(h.clamp_min(0).pow(4.5).T).trace(), rtol=1e-4)
    np.testing.assert_allclose(found["nearest"], [1, 1], atol=1e-5)
    assert 0.5 < found["leading"][0] < found["leading"][1] < 1
    white = layers.measured(Layer("white", TINY, 600), 0, tiny, of, known)[0]  # half of whose responses are negative
    h = tiny.test.double() @ layers.untrained(Layer("white", TINY, 600), tiny.train, 0).double().T
    np.testing.assert_allclose(white["after_1"].sum(), torch.cov(h.clamp_min(0).T).trace(), rtol=1e-4)


@pytest.mark.parametrize("p", [2.0, 4.0])
def test_images_as_rows_are_their_own_neighbours_in_every_norm(tiny, p):
    pictures = variants.rows("photo-patches", 600, p)
    of = spectra.moments(pictures.test)
    kind = Layer("exemplars", replace(TINY, p=p), 600)
    found, _ = layers.measured(kind, 0, pictures, of, alignment.components(of))
    np.testing.assert_allclose(found["nearest"][0], 1, atol=1e-5)


def test_of_two_suffixes_only_the_last_is_taken_away():
    assert variants.base("mine-whitened-scrambled") == "mine-whitened"
    assert [variants.base(name) for name in ("mine-scrambled", "mine-whitened", "mine")] == ["mine"] * 3


def test_settled_units_are_those_at_their_norm(tiny, monkeypatch):
    """Those that are not are left out, and what is seen along the way is of the same units."""
    tiny = variants.rows("photo-patches-whitened", 600)  # of which no unit wins too many
    of = spectra.moments(tiny.test)
    known = alignment.components(of)
    with pytest.raises(ValueError, match="0 units are at their norm, 3 are needed; train for longer"):
        layers.measured(Layer("settled", TINY, 600), 0, tiny, of, known)
    monkeypatch.setattr(layers, "STEPS", 2400)
    monkeypatch.setattr(layers, "SETTLED", 2e-3)  # after so many steps half of them are that close
    mild = replace(TINY, epochs=200)
    found, health = layers.measured(Layer("settled", mild, 600), 0, tiny, of, known)
    w = list(layers.trained(tiny.train, mild, 0))[-1][1]
    settled = (torch.linalg.vector_norm(w, 3, dim=1) - 1).abs() <= layers.SETTLED
    assert 2 < int(settled.sum()) < 30
    assert health["converged"] == 1
    m = local_learning.metric(w, 3.0)[settled].double()
    expected = torch.linalg.eigvalsh(m @ m.T).flip(0).float().numpy()
    np.testing.assert_allclose(found["rows"], expected, rtol=1e-4, atol=1e-7)
    assert found["along_rows"].shape == (3, int(settled.sum()))


def test_a_layer_is_made_once_and_comes_out_the_same_after_a_kill(tiny, tmp_path, monkeypatch):
    folders = alone.make("small", "photo-patches", ["kh-layer", "white"], [0], tmp_path / "a", progress=False)
    first = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*.npz")}
    assert len(first) == 2
    about = json.loads((folders[0] / "alignment.json").read_text())
    assert set(about["health"]) == {"converged", "live", "winning"}
    assert about["configuration"]["alone"]["params"]["delta"] == 0.2
    with monkeypatch.context() as patch:
        patch.setattr(layers, "measured", lambda *given: pytest.fail("made again"))
        alone.make("small", "photo-patches", ["kh-layer", "white"], [0], tmp_path / "a", progress=False)
    (folders[0] / "alignment.json").unlink()  # as after a kill: it is written last
    alone.make("small", "photo-patches", ["kh-layer"], [0], tmp_path / "a", progress=False)
    for path, content in first.items():
        assert path.read_bytes() == content
    arrays = dict(np.load(folders[0] / "alignment.npz"))
    assert arrays["epochs"].tolist() == [0, 2, 5]
    np.testing.assert_array_equal(arrays["along_images"][-1], arrays["images"])


def test_other_parameters_are_refused_by_name(tiny, tmp_path, monkeypatch):
    alone.make("small", "photo-patches", ["white"], [0], tmp_path, progress=False)
    other = {"small": {"photo-patches": {"white": Layer("white", TINY, 500)}}}
    monkeypatch.setattr(alone, "LAYERS", other)
    with pytest.raises(ValueError, match=r"alignment\.json was made with alone = .*remove it to make it again"):
        alone.make("small", "photo-patches", ["white"], [0], tmp_path, progress=False)


def test_stored_layers_are_checked_like_all_results_and_judged(tiny, tmp_path, monkeypatch):
    """By command, as ``make paper CONFIG=mechanism`` calls it."""
    result = CliRunner().invoke(cli.app, ["layers", "small", "--layer", "white", "--seed", "4", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    file = tmp_path / "small" / "photo-patches" / "white" / "seed-4" / "alignment.json"
    assert stale.stored(tmp_path) == [file]
    assert stale.faults(file, tmp_path, stale.data_of(file)) == []
    monkeypatch.setenv(runs.RESULTS_VARIABLE, str(tmp_path))
    subject = Subject("white", 4, "photo-patches", "small", (3, 20))
    assert statistics.statistic("alpha(rows)", subject) < 0.5 < statistics.statistic("alpha(images)", subject)

    about = json.loads(file.read_text())
    file.write_text(json.dumps({**about, "source": "0" * 64}))
    assert "was made by other code" in str(stale.faults(file, tmp_path, stale.data_of(file))[0])
    about["configuration"]["layer"] = "exemplars"
    file.write_text(json.dumps(about))
    assert "is of the layer small/photo-patches/exemplars/seed-4" in str(
        stale.faults(file, tmp_path, stale.data_of(file))[0]
    )


def test_every_prediction_about_layers_alone_is_about_one_that_exists():
    for entry in predictions.read():
        if entry.hypothesis == 1 and entry.scale in statistics.ALONE:
            for model in entry.models:
                alone.layer(entry.scale, entry.data, model)
            assert isinstance(alone.layer(entry.scale, entry.data, entry.models[0]), Layer)
    assert tuple(alone.LAYERS) == statistics.ALONE


@pytest.mark.parametrize("images", [(), ("--images", "mnist")])
def test_a_misspelt_layer_is_refused(images, tmp_path):
    result = CliRunner().invoke(cli.app, ["layers", "small", *images, "--layer", "kh-layr", "--out", str(tmp_path)])
    assert "layer = 'kh-layr' is not known; choose from" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_what_is_asked_for_is_known_before_any_layer_is_made(tmp_path, monkeypatch):
    """A slip in the last word is told at once; a layer that one scale lacks is made at the other."""
    made = []
    monkeypatch.setattr(alone, "make", lambda scale, images, names, *_: made.append((scale, images, names)) or [])
    for words, told in (
        (["small", "untrainde"], "scale = 'untrainde' is not known"),
        (["small", "--images", "mnst"], "images = 'mnst' is not known"),
        (["untrained", "--layer", "kh-layer"], "layer = 'kh-layer' is not known"),
    ):
        result = CliRunner().invoke(cli.app, ["layers", *words, "--out", str(tmp_path)])
        assert told in str(result.exception)
    assert made == []
    result = CliRunner().invoke(cli.app, ["layers", "small", "untrained", "--layer", "kh-layer", "--images", "mnist"])
    assert result.exit_code == 0, result.output
    assert made == [("small", "mnist", ["kh-layer"])]
    CliRunner().invoke(cli.app, ["layers", "untrained"])
    assert made[1:] == [("untrained", "cifar10", alone.names("untrained", "cifar10"))]


def test_the_names_of_counted_layers_say_how_many_units_and_images():
    for name, chosen in alone.COUNTED.items():
        units, images = re.fullmatch(r"[a-z]+-(\d+)(?:-of-(\d+))?", name).groups()
        assert (chosen.params.hidden, chosen.images) == (int(units), int(images or alone.IMAGES))
