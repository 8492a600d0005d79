import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bioadv.data import datasets, files
from bioadv.lab import accept, cli, jobs, probe_spectra, probes, runner, runs, scales
from bioadv.lab.probes import Probe
from bioadv.measure import powerlaw, spectra
from bioadv.network import kh_params, local_learning, models, pruning

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A dataset of small images on disk, so that a model trains in a second."""
    folder, rng, parts = tmp_path_factory.mktemp("data"), np.random.default_rng(0), {}
    for split, count in (("train", 200), ("test", 90)):
        y = np.arange(count) % 3
        x = rng.integers(20, 80, (count, 4, 4, 3))
        x[np.arange(count), y] += 150  # the class is the bright row
        parts |= {f"x_{split}": x.astype(np.uint8), f"y_{split}": y}
    np.savez(folder / "tiny.npz", **parts)
    return str(folder / "tiny.npz")


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Runs of a random, a KH and a pure layer model, trained once."""
    out = tmp_path_factory.mktemp("results")
    params = kh_params.KHParams(hidden=30, delta=0.1, batch=20, epochs=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scales, "scale", lambda data: scales.Scale(params, epochs=2, batch=20))
        for model in ("random", "kh-unpruned"):
            runner.train(model, datasets.load(tiny), 0, jobs.Where(out, progress=False))
    return out / "tiny.npz"


@pytest.fixture
def run(trained, tmp_path):
    """A function that gives a copy of a run's folder, which the test may change."""

    def copy(model):
        folder = tmp_path / "tiny.npz" / model / "seed-0"
        folder.mkdir(parents=True)
        for file in (trained / model / "seed-0").iterdir():
            if file.suffix != ".tmp":
                (folder / file.name).write_bytes(file.read_bytes())
        return folder

    return copy


@pytest.fixture
def counted(monkeypatch):
    """A probe that counts how often it measures."""
    calls = []

    def measure(model, data, settings, progress):
        calls.append(settings)
        return {"norm": np.array([float(model.hidden.detach().norm())]), "images": np.array(len(data.test))}

    monkeypatch.setitem(probes.PROBES, "counted", Probe("counts", measure, {"grid": [1, 2]}))
    monkeypatch.setattr(probes.hashing, "source_hash", lambda *functions: "code")
    return calls


def test_a_probe_is_measured_once(run, tiny, counted):
    folder, data = run("random"), datasets.load(tiny)
    file = probes.run(folder, "counted", data)
    assert file == folder / "counted.npz"
    assert files.read_arrays(file)["norm"] == pytest.approx(float(runs.load_model(folder).hidden.detach().norm()))
    assert probes.run(folder, "counted", data) == file
    assert counted == [{"grid": [1, 2]}]
    file.unlink()  # a manifest without its arrays is no result
    probes.run(folder, "counted", data)
    assert len(counted) == 2


def test_the_manifest_says_where_it_came_from(run, tiny, counted):
    folder, data = run("random"), datasets.load(tiny)
    probes.run(folder, "counted", data)
    about = json.loads((folder / "counted.json").read_text())
    assert about["configuration"]["probe"] == "counted"
    assert about["configuration"]["settings"] == {"grid": [1, 2]}
    assert {"torch", "threads", "products"} <= about["environment"].keys()
    assert about["configuration"]["run"] == json.loads((folder / "manifest.json").read_text())["configuration"]
    assert about["configuration"]["run"]["data"] == data.content_hash
    assert about["source"] == "code"
    assert {"torch", "python"} <= about["environment"].keys()
    assert about["seconds"] >= 0
    leftovers = {path.name for path in folder.iterdir()} - {"manifest.json", "log.npz", "model.safetensors"}
    assert leftovers == {"counted.npz", "counted.json"}


def test_a_model_that_was_trained_again_is_measured_again(run, tiny, counted):
    folder, data = run("random"), datasets.load(tiny)
    probes.run(folder, "counted", data)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "seconds": manifest["seconds"] + 1}))
    probes.run(folder, "counted", data)  # the same weights, in another time
    assert len(counted) == 1
    (folder / "manifest.json").write_text(json.dumps({**manifest, "source": "other code"}))
    probes.run(folder, "counted", data)  # the same log, to the last bit
    assert len(counted) == 1
    other = {**manifest["digests"], "log.npz": "another"}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "digests": other}))
    probes.run(folder, "counted", data)
    assert len(counted) == 2


def test_other_settings_are_refused(run, tiny, counted, monkeypatch):
    folder, data = run("random"), datasets.load(tiny)
    probes.run(folder, "counted", data)
    monkeypatch.setitem(probes.PROBES, "counted", replace(probes.PROBES["counted"], settings={"grid": [1, 3]}))
    with pytest.raises(ValueError, match="measured with another settings; remove it to measure again"):
        probes.run(folder, "counted", data)
    assert len(counted) == 1


def test_other_images_are_refused(run, tiny, counted, tmp_path):
    folder, data = run("random"), datasets.load(tiny)
    other = replace(data, name="other", test=data.test.first(60))
    with pytest.raises(ValueError, match="data is other .*; give the images that it was trained on"):
        probes.run(folder, "counted", other)
    with pytest.raises(ValueError, match="data is photo-patches"):
        probes.run(folder, "counted", datasets.load("photo-patches"))
    assert not counted
    assert not list(folder.glob("counted*"))


def test_an_unfinished_run_is_refused(run, tiny, counted):
    folder = run("random")
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match="holds no finished run; train the model first"):
        probes.run(folder, "counted", datasets.load(tiny))
    result = RUNNER.invoke(cli.app, ["probe", str(folder), "--probe", "counted"])
    assert isinstance(result.exception, FileNotFoundError)


def test_an_unknown_probe_lists_the_known_ones(run, tiny):
    with pytest.raises(ValueError, match="probe 'spectrum' is not known; choose from .*spectra"):
        probes.run(run("random"), "spectrum", datasets.load(tiny))


def test_a_failure_leaves_nothing_that_looks_finished(run, tiny, counted, monkeypatch):
    def fails(model, data, settings, progress):
        raise RuntimeError("no memory")

    folder = run("random")
    monkeypatch.setitem(probes.PROBES, "counted", Probe("fails", fails))
    with pytest.raises(RuntimeError, match="no memory"):
        probes.run(folder, "counted", datasets.load(tiny))
    assert not list(folder.glob("counted*"))


def test_a_long_probe_keeps_the_parts_that_it_has(run, tiny, counted, monkeypatch):
    broken = [True]

    def second(model, data, settings, progress):
        if broken[0]:
            raise RuntimeError("killed")
        return {"second": np.zeros(2)}

    folder, first = run("random"), probes.PROBES["counted"].measure
    monkeypatch.setitem(probes.PROBES, "counted", Probe("parts", {"first": first, "second": second}))
    with pytest.raises(RuntimeError, match="killed"):
        probes.run(folder, "counted", datasets.load(tiny))
    broken[0] = False
    arrays = files.read_arrays(probes.run(folder, "counted", datasets.load(tiny)))
    assert {"norm", "images", "second"} == set(arrays)
    assert len(counted) == 1
    assert not list(folder.glob(".*"))


def test_settings_are_json():
    """A tuple would come back as a list and look like another setting."""
    for chosen in probes.PROBES.values():
        assert json.loads(json.dumps(chosen.settings)) == chosen.settings


@pytest.fixture
def few(monkeypatch):
    """The real probes, with settings for a layer of 30 units."""
    small = {"sizes": [10, 30], "noise": 200, "seed": 0, "subsets": [3, 20], "replicates": 3}
    for name, settings in (("spectra", small), ("pruning", {**probe_spectra.PRUNING, "noise": 200, "replicates": 3})):
        monkeypatch.setitem(probes.PROBES, name, replace(probes.PROBES[name], settings=settings))


def test_spectra_by_command(run, tiny, few):
    folder = run("random")
    result = RUNNER.invoke(cli.app, ["probe", str(folder), "--probe", "spectra", "--data", tiny, "--no-progress"])
    assert result.exit_code == 0, result.output
    found, data = files.read_arrays(folder / "spectra.npz"), datasets.load(tiny)
    model, x = runs.load_model(folder), datasets.unit_lp(data.test)
    latent = torch.cat(list(spectra.latents(model, x, after=True)))
    np.testing.assert_allclose(found["images_after"], spectra.eigenspectrum(spectra.moments(latent)), rtol=1e-5)
    of = spectra.moments(spectra.latents(model, x))
    assert len(found["images_before"]) == 30
    np.testing.assert_allclose(found["images_before_10"], spectra.eigenspectrum(of, 10), rtol=1e-5)
    assert "images_before_30" not in found  # that is all of them
    for source in ("images", "noise"):
        np.testing.assert_allclose(found[f"{source}_float32"].real, found[f"{source}_before"], rtol=1e-2, atol=1e-5)
        assert found[f"{source}_tf32"].dtype == np.complex64
    assert found["images_before_subsets"].shape == (3, 20)
    assert found["bootstrap_before"].shape == found["bootstrap_after"].shape == (3, 4)
    wide = powerlaw.fit(found["images_before"], truncate=True).alpha
    assert found["bootstrap_before"][:, 0] == pytest.approx(wide, rel=0.5)
    singular = np.linalg.svd(model.hidden.detach().double().numpy(), compute_uv=False)
    np.testing.assert_allclose(found["noise_exact"], singular**2, rtol=1e-5)
    assert all(found[name].dtype in (np.float32, np.complex64) for name in found)


def test_pixels_are_a_model_that_needs_no_training(tiny, tmp_path, few):
    folder = tmp_path / "tiny.npz" / "pixels" / "seed-0"
    result = RUNNER.invoke(cli.app, ["probe", str(folder), "--probe", "spectra", "--data", tiny, "--no-progress"])
    assert result.exit_code == 0, result.output
    found, x = files.read_arrays(folder / "spectra.npz"), datasets.unit_lp(datasets.load(tiny).test)
    np.testing.assert_allclose(found["images_before"], spectra.eigenspectrum(spectra.moments(x)), rtol=1e-5)
    np.testing.assert_allclose(found["images_after"], found["images_before"])  # no pixel is negative
    np.testing.assert_allclose(found["noise_exact"], 1)
    probes.run(folder, "spectra", datasets.load(tiny))  # not measured again, and not refused


def test_a_bare_layer_is_the_unpruned_model(run, tiny, few):
    data = datasets.load(tiny)
    bare, model = (
        files.read_arrays(probes.run(run(name), "spectra", data, False)) for name in ("kh-layer", "kh-unpruned")
    )
    for name in bare:
        np.testing.assert_allclose(bare[name], model[name], rtol=1e-5, atol=1e-12)


def test_pruning_of_a_layer(run, tiny, few):
    folder, data = run("kh-layer"), datasets.load(tiny)
    found = files.read_arrays(probes.run(folder, "pruning", data, False))
    synapses = files.read_tensors(folder / "layer.safetensors")[0]["synapses"]
    np.testing.assert_allclose(found["variances"], synapses.var(1), rtol=1e-4)
    np.testing.assert_allclose(found["norms"], torch.linalg.vector_norm(synapses, 3, dim=1), rtol=1e-4)
    assert found["pruned"].shape == (4, 30)
    assert not found["pruned"][0].any()
    assert found["pruned"][1].tolist() == pruning.above_threshold(synapses, pruning.threshold(48)).tolist()
    for name, pruned in zip(probe_spectra.CRITERIA, found["pruned"], strict=True):
        assert len(found[f"images_{name}"]) == len(found[f"noise_{name}"]) == 30 - pruned.sum()
    metric = local_learning.metric(synapses, 3.0)
    norms = [float(metric[~torch.from_numpy(pruned)].norm()) for pruned in found["pruned"]]
    np.testing.assert_allclose(found["jacobian"][0], norms, rtol=1e-4)
    assert (found["jacobian"][1] > 0).all()
    assert found["pictures"].shape == (2, 12, 48)
    assert found["pictures"].dtype == np.uint8
    # The published mixture looks at log variances that fit larger images only, and finds nothing here.
    assert np.isnan(found["cutoffs"][2])
    assert not found["pruned"][2].any()


def test_a_pruned_layer_is_not_pruned_again(run, tiny, few):
    folder = run("kh-unpruned")
    model = runs.load_model(folder)
    with torch.no_grad():
        model.hidden[3:5] = 0
    with pytest.raises(ValueError, match="2 units have no weights: the layer is pruned; give a kh-layer run"):
        probe_spectra.measure_pruning(model, datasets.load(tiny), probes.PROBES["pruning"].settings, False)


def test_noise_is_not_what_the_weights_started_from():
    """From one seed, noise images and initial weights are the same numbers: a noise spectrum would see its units."""
    settings = probe_spectra.SPECTRA
    assert settings["seed"] == probe_spectra.PRUNING["seed"] > 1000  # seeds of models are small
    model = models.init(models.TwoLayer(300, 50, 3), torch.Generator().manual_seed(0))
    for seed, same in ((0, True), (settings["seed"], False)):
        noise = datasets.gaussian_noise(50, 300, torch.Generator().manual_seed(seed))
        overlap = torch.cosine_similarity(noise, model.hidden.detach()).mean()
        assert bool(overlap > 0.9) == same


def test_a_run_is_the_same_however_its_path_is_written(run, tiny, monkeypatch):
    folder = run("random")
    options = ["--probe", "spectra", "--no-progress", "--data", tiny]
    for here, path in ((folder.parent, "seed-0"), (folder, "."), (folder.parents[1], "random/seed-0")):
        monkeypatch.chdir(here)
        for file in folder.glob("spectra.*"):
            file.unlink()  # measured anew: a finished one asks less of the path
        result = RUNNER.invoke(cli.app, ["probe", path, *options])
        assert result.exit_code == 0, result.output
        assert RUNNER.invoke(cli.app, ["info", path]).exit_code == 0
    monkeypatch.chdir(folder.parents[2])
    before = (folder / "spectra.json").read_bytes()
    assert RUNNER.invoke(cli.app, ["probe", "tiny.npz/random/seed-0", *options]).exit_code == 0
    assert (folder / "spectra.json").read_bytes() == before


def test_images_of_another_name_are_not_stored_as_those_of_the_folder(tiny, tmp_path, few):
    """What needs no training has no manifest that knows its images: the folder's name does."""
    for model, probe in (("pixels", "spectra"), ("random", "paths")):
        folder = tmp_path / "cifar10" / model / "seed-0"
        result = RUNNER.invoke(cli.app, ["probe", str(folder), "--probe", probe, "--data", tiny])
        assert "is for cifar10, data is" in str(result.exception)
        assert "give the images of that name" in str(result.exception)
        assert not list(tmp_path.rglob("*.npz"))


def test_an_untrained_layer_of_a_run_is_measured_on_the_images_of_the_run(run, tiny, tmp_path, monkeypatch):
    """Its manifest says where they lie, and others are refused."""
    folder, asked = run("random"), []
    monkeypatch.setattr(cli.probes, "run", lambda run, name, data, progress: asked.append(data.name) or run)
    monkeypatch.setattr(cli.readout_study, "unfinished", lambda file: [])
    result = RUNNER.invoke(cli.app, ["probe", str(folder), "--probe", "paths"])
    assert result.exit_code == 0, result.output
    assert asked == [tiny]
    monkeypatch.undo()
    data = datasets.load(tiny)
    other = replace(data, test=data.test.first(60))
    with pytest.raises(ValueError, match="give the images that it was trained on"):
        probes.run(folder, "ends", other)


def test_images_themselves_have_one_seed(tiny, tmp_path):
    folder = tmp_path / "tiny.npz" / "pixels" / "seed-7"
    with pytest.raises(ValueError, match="images themselves have no seed; give pixels/seed-0"):
        probes.run(folder, "spectra", datasets.load(tiny))


@pytest.mark.parametrize("probe", probes.ATTACKS)
def test_what_has_no_readout_is_not_attacked(run, tiny, tmp_path, probe):
    data = datasets.load(tiny)
    for folder in (run("kh-layer"), tmp_path / "tiny.npz" / "pixels" / "seed-0"):
        with pytest.raises(ValueError, match=f"probe {probe} attacks decisions, and .* has no readout"):
            probes.run(folder, probe, data)
        assert not list(folder.glob(f"*{probe}*"))


def test_a_layer_has_no_accuracy(run):
    folder = run("kh-layer")
    layer = runs.Run.at(folder)
    with pytest.raises(ValueError, match="is a layer without a readout and has no accuracy; give a model"):
        _ = layer.accuracy
    with pytest.raises(ValueError, match="has no 'jacobian'; choose from"):
        layer.last("jacobian")


def test_other_images_of_the_same_name_are_refused(trained, tiny, tmp_path):
    """Their runs would lie side by side, and be compared."""
    with np.load(tiny) as stored:
        np.savez(tmp_path / "tiny.npz", **{name: stored[name][::-1] for name in stored.files})
    for model in ("bp", "random"):
        with pytest.raises(ValueError, match=r"holds runs on other images of this name.*give another --out folder"):
            runner.train(model, datasets.load(str(tmp_path / "tiny.npz")), 1, jobs.Where(trained.parent))


def test_what_is_stale_is_listed_with_a_probe_that_no_training_belongs_to(run, tiny, few):
    """Images of one's own are found by the manifest of another run on them."""
    run("random")
    folder = run("kh-layer").parent.parent / "pixels" / "seed-0"
    probes.run(folder, "spectra", datasets.load(tiny), False)
    root = folder.parent.parent.parent
    listed = RUNNER.invoke(accept.app, [str(folder), "--root", str(root)])
    assert listed.exit_code == 0
    assert "1 results, 0 stale" in listed.output
