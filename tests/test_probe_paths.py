import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bioadv.data import datasets, files
from bioadv.lab import cli, probe_directions, probe_paths, probes, readout_study, scales, small_paths, stale
from bioadv.lab.scales import Scale
from bioadv.measure import attack_libraries, attacks
from bioadv.network import kh_params, models, readout
from bioadv.network.models import TwoLayer
from tests.test_probes import tiny, trained  # noqa: F401 (fixtures)

pytestmark = pytest.mark.skipif(
    bool(attack_libraries.missing()), reason="pip install 'bioadv[referees]' brings the attacks"
)
FEW = {
    "penalties": [1.0, 0.01],
    "images": 20,
    "certified": 3,
    "black_box": {"images": 2, "steps": 3, "evaluations": 10, "gamma": 10.0, "pool": 90},
    "seed": 20_000,
}
PARAMS = kh_params.KHParams(hidden=30, delta=0.1, batch=20, epochs=300)


@pytest.fixture
def small(monkeypatch):
    """Probes of few images, and the sizes that the tiny runs were trained with."""
    epochs = {**FEW, "epochs": [1, 4], "steps": 10}
    del epochs["penalties"]
    monkeypatch.setitem(probes.PROBES, "paths", replace(probes.PROBES["paths"], settings=FEW))
    monkeypatch.setitem(probes.PROBES, "epochs", replace(probes.PROBES["epochs"], settings=epochs))
    monkeypatch.setattr(scales, "scale", lambda data: Scale(PARAMS, epochs=2, batch=20))


def read(path):
    return files.read_arrays(path)


def test_a_layer_that_nobody_trains_needs_no_run(tiny, tmp_path, small):  # noqa: F811
    data, folder = datasets.load(tiny), tmp_path / "tiny.npz" / "exemplars" / "seed-3"
    found = read(probes.run(folder, "paths", data, progress=False))
    assert found["place"].tolist() == [1.0, pytest.approx(0.01)]
    assert (found["gradient"] <= readout.TOLERANCE).all()
    assert found["scaled_norm"][1] > found["scaled_norm"][0]
    assert found["l2"].shape == found["linf"].shape == found["margin"].shape == (2, 20)
    right = found["margin"] > 0
    assert ((found["l2"] > 0) == right).all()
    assert ((found["linf"] > 0) == right).all()
    for certified in ("first", "second"):
        known = np.isfinite(found[certified])
        assert known.sum(1).max() == 3
        assert (found[certified] <= found["l2"])[known].all()
    tried = np.isfinite(found["black_box"])
    assert not tried[0].any()
    assert tried[1].sum() == 2
    assert (found["black_box"] >= 0.98 * found["l2"])[tried].all()
    about = json.loads((folder / "paths.json").read_text())
    assert about["training"] == "none"
    assert about["configuration"]["run"]["hidden"] == "exemplars"
    assert probes.run(folder, "paths", data, progress=False) == folder / "paths.npz"
    assert stale.faults(folder / "paths.json", tmp_path, data) == []
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        probes.run(folder, "epochs", data, progress=False)  # the lengths of the rows count there


def test_a_path_that_is_begun_again_comes_out_the_same(tiny, tmp_path, small, monkeypatch):  # noqa: F811
    data = datasets.load(tiny)
    first, second = (tmp_path / root / "tiny.npz" / "white" / "seed-0" for root in ("a", "b"))
    whole = read(probes.run(first, "paths", data, progress=False))

    class Killed(BaseException):
        """As by a signal."""

    def killed(*given):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(probe_paths, "at", killed)
        with pytest.raises(Killed):
            probes.run(second, "paths", data, progress=False)
    assert not list(second.glob("paths*"))
    again = read(probes.run(second, "paths", data, progress=False))
    assert all(np.array_equal(again[name], values, equal_nan=True) for name, values in whole.items())


def test_the_rows_are_those_of_the_study_but_for_their_lengths(tiny, trained, small):  # noqa: F811
    data = datasets.load(tiny)
    made = probes.of_untrained("random", 0, data)
    stored = probes.Run.at(trained / "random" / "seed-0").load()
    assert torch.equal(made.hidden, stored.hidden)
    assert not made.readout.any()
    rows = probes.of_untrained("exemplars", 0, data).hidden
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(30))


def test_a_trained_model_is_measured_with_its_own_readout_as_well(tiny, trained, small, tmp_path):  # noqa: F811
    data, model = datasets.load(tiny), probes.Run.at(trained / "kh-unpruned" / "seed-0").load()
    found = probe_paths.measure_paths(model, data, FEW, False)
    assert np.isnan(found["place"][-1])
    assert found["accuracy"][-1] == pytest.approx(
        float((model(datasets.unit_lp(data.test)).argmax(1) == torch.tensor(data.test.labels)).float().mean())
    )
    x, y = datasets.unit_lp(data.test)[found["images"]], torch.tensor(data.test.labels)[found["images"]]
    np.testing.assert_allclose(found["margin"][-1], attacks.margin(model(x), y).detach(), rtol=1e-5)
    np.testing.assert_allclose(found["scale"], datasets.ceiling(data.test)[found["images"], 0])
    epochs = probe_paths.measure_epochs(model, data, probes.PROBES["epochs"].settings, False)
    assert epochs["place"].tolist() == [1, 4]
    assert epochs["loss"][1] < epochs["loss"][0]


def test_jacobian_is_that_of_autograd(generator):
    model = models.init(TwoLayer(6, 9, 3, 4.5), generator).double().eval()
    x = torch.rand(5, 6, generator=generator, dtype=torch.float64)
    exact = torch.stack([torch.autograd.functional.jacobian(model, row[None])[0, :, 0].norm() for row in x]).mean()
    assert probe_paths.jacobian(model, x) == pytest.approx(float(exact))


def test_bad_layers_are_refused(tiny):  # noqa: F811
    data = datasets.load(tiny)
    with pytest.raises(ValueError, match="sees images of 6 pixels, those of .* have 48; give the images"):
        probe_paths.measure_paths(TwoLayer(6, 9, 3), data, FEW, False)
    with pytest.raises(ValueError, match="latents are constant"):
        probe_paths.measure_paths(TwoLayer(48, 9, 3), data, FEW, False)
    with pytest.raises(ValueError, match="each smaller"):
        probe_paths.measure_paths(TwoLayer(48, 9, 3), data, {**FEW, "penalties": [0.1, 1.0]}, False)
    normed = models.init(TwoLayer(48, 9, 3, batch_norm=True), torch.Generator()).eval()
    with pytest.raises(ValueError, match="batch norm"):
        probe_paths.measure_paths(normed, data, FEW, False)


@pytest.fixture
def in_small(monkeypatch):
    """Small is smaller."""
    stale._small_source.cache_clear()
    monkeypatch.setattr(small_paths, "SIZES", Scale(PARAMS, epochs=2, batch=20))
    directions = probe_directions.measure_directions, {name: FEW[name] for name in probe_directions.DIRECTIONS}
    measured = {"paths": (probe_paths.measure_paths, FEW), "directions": directions}
    monkeypatch.setattr(small_paths, "PROBES", measured)


def test_in_small_a_model_is_trained_and_measured_once(tiny, in_small, tmp_path, monkeypatch):  # noqa: F811
    data = datasets.load(tiny)
    for model, places in (("kh", 2), ("bp", 3), ("exemplars", 2)):
        sizes = small_paths.SIZES
        network = small_paths.trained(model, 1, data, sizes)
        assert bool(network.readout.any()) == (model == "bp")
        file = small_paths.make(model, 1, data, tmp_path, progress=False)
        assert file == tmp_path / "small" / "tiny.npz" / model / "seed-1" / "paths.npz"
        assert read(file)["l2"].shape == (places, 20)
    monkeypatch.setattr(small_paths, "first", None)  # would be called if it were made again
    assert small_paths.make("kh", 1, data, tmp_path, progress=False)
    monkeypatch.setattr(small_paths, "SIZES", Scale(PARAMS, epochs=3, batch=20))
    with pytest.raises(ValueError, match=r"paths\.json was made with sizes = .* remove it to make it again"):
        small_paths.make("kh", 1, data, tmp_path, progress=False)
    with pytest.raises(ValueError, match="model = 'specreg' is not among those of the small scale"):
        small_paths.make("specreg", 1, data, tmp_path)
    assert stale.faults(tmp_path / "small" / "tiny.npz" / "bp" / "seed-1" / "paths.json", tmp_path, data) != []


def test_which_paths_there_are(tiny, in_small, tmp_path, capsys):  # noqa: F811
    assert {"kh", "exemplars", "bp"} <= set(readout_study.names("small")) <= set(readout_study.names("paper")) | {"kh"}
    with pytest.raises(ValueError, match="scale = 'large' is not known; choose from small, paper"):
        readout_study.names("large")
    data = datasets.load(tiny)
    with pytest.raises(ValueError, match="model = 'kh-layer' has no path at this scale"):
        list(readout_study.make("paper", data, tmp_path, ["kh-layer"]))
    with pytest.raises(ValueError, match="seed = 20000; give an integer from 0 to 9999"):
        next(readout_study.make("small", data, tmp_path / "none", ["random"], [0, 20000]))
    assert not (tmp_path / "none").exists()
    assert list(readout_study.make("paper", data, tmp_path, ["bp"], [0])) == []
    assert "bp/seed-0: left out, its weights are not here; train it first" in capsys.readouterr().err
    made = list(readout_study.make("small", data, tmp_path, ["random"], [0]))
    assert [file.name for file in made] == ["paths.npz", "directions.npz"]
    for file in made:
        assert file.is_file()
        assert stale.faults(file.with_suffix(".json"), tmp_path, data) == []


def test_a_readout_that_has_not_converged_is_told(tmp_path, monkeypatch):
    """By the command as well; the others of its path, and readouts that were trained, are not."""
    file = tmp_path / "paths.npz"
    arrays = {"place": np.array([1.0, 1e-3, np.nan]), "gradient": np.array([9e-6, 2.3e-4, np.nan])}
    files.write_arrays(file, arrays)
    (line,) = readout_study.unfinished(file)
    assert line.startswith(f"{file}: the readout of penalty 0.001 has not converged")
    assert "2.3e-04 and not below 1e-05" in line
    monkeypatch.setattr(readout_study, "make", lambda *_: iter([file]))
    monkeypatch.setattr(datasets, "load", lambda *_: None)
    told = CliRunner().invoke(cli.app, ["readouts", "small"])
    assert line in told.stderr
    assert told.stdout.split() == [str(file)]
    files.write_arrays(file, {"accuracy": np.array([0.1])})
    assert readout_study.unfinished(file) == []


def test_the_far_end_of_a_path_is_that_path_without_attacks(tiny, trained, small):  # noqa: F811
    data, model = datasets.load(tiny), probes.Run.at(trained / "kh-unpruned" / "seed-0").load()
    whole = probe_paths.measure_paths(model, data, FEW, False)
    end = probe_paths.measure_ends(model, data, {"penalties": FEW["penalties"]}, False)
    assert set(end) == {"place", "gradient", "accuracy", "train_accuracy", "loss", "norm", "scaled_norm"}
    for name, values in end.items():
        np.testing.assert_allclose(values, whole[name][:2], rtol=1e-5)
    assert probe_paths.ENDS["penalties"] == sorted(probe_paths.ENDS["penalties"], reverse=True)
    assert min(probe_paths.ENDS["penalties"]) < min(probe_paths.PATHS["penalties"])


def test_what_is_asked_for_is_known_before_any_path_is_measured(monkeypatch):
    made = []
    monkeypatch.setattr(readout_study, "make", lambda scale, *rest: iter([made.append((scale, rest[2]))]))
    monkeypatch.setattr(cli, "_measured", lambda file: None)
    monkeypatch.setattr(cli.datasets, "load", lambda name: name)
    for words, told in (
        (["small", "paperr"], "scale = 'paperr' is not known"),
        (["small", "--model", "white"], "model = 'white' has no path at scale small; choose from kh"),
    ):
        result = CliRunner().invoke(cli.app, ["readouts", *words])
        assert told in str(result.exception)
    assert made == []
    result = CliRunner().invoke(cli.app, ["readouts", "small", "paper", "--model", "white", "--model", "kh"])
    assert result.exit_code == 0, result.output
    assert made == [("small", ["kh"]), ("paper", ["white", "kh"])]
