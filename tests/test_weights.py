import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from bioadv.data import datasets, downloads, files
from bioadv.lab import cli, jobs, provenance, runner, runs, scales, weights
from bioadv.lab.runs import Run
from bioadv.network import kh_params
from tests import tiny
from tests.mirror import serve
from tools import gather_release
from tools.notebooks import ROOT

KH = "tiny.npz/kh-unpruned/seed-0"


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A tiny study on images of one's own, and the release that was gathered of it."""
    folder = tmp_path_factory.mktemp("study")
    tiny.write(folder / "tiny.npz")
    params = kh_params.KHParams(hidden=30, delta=0.1, batch=20, epochs=50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scales, "scale", lambda data: scales.Scale(params, epochs=2, batch=20))
        data = datasets.load(str(folder / "tiny.npz"))
        for model in ("random", "kh-unpruned"):
            runner.train(model, data, 0, jobs.Where(folder / "results", progress=False))
    gather_release.gather(folder / "release", [folder / "results"], [])
    return folder


@pytest.fixture
def fetch(release, tmp_path, monkeypatch):
    """A function that runs ``bioadv fetch`` with a cache of its own; returns the exit code and what was said."""
    monkeypatch.setenv(downloads.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(weights.MIRRORS_VARIABLE, raising=False)

    def run(model, *options, own=True):
        words = ["fetch", model, "--out", tmp_path / "results", "--no-progress", *options]
        words += ["--data", "tiny.npz", "--list", release / "release" / "weights.json"] if own else []
        result = CliRunner().invoke(cli.app, list(map(str, words)))
        return str(result.exception or result.output)

    return run


def test_fetched_weights_are_probed_without_training(fetch, release, tmp_path):
    with serve(release / "release") as (url, asked):
        assert "model.safetensors" in fetch("kh-unpruned", "--mirror", url)
        assert len(asked) == 3
        assert "all there already" in fetch("kh-unpruned", "--mirror", url)
    run = Run(tmp_path / "results" / "tiny.npz", "kh-unpruned", 0)
    made = Run(release / "results" / "tiny.npz", "kh-unpruned", 0)
    assert files.digest(run.weights) == files.digest(made.weights)
    words = ["probe", run.folder, "--probe", "landscape", "--data", release / "tiny.npz", "--no-progress"]
    result = CliRunner().invoke(cli.app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert run.measured("landscape").is_file()
    shutil.rmtree(tmp_path / "results")
    assert "model.safetensors" in fetch("kh-unpruned", "--offline")


def test_mirrors_are_tried_in_order(fetch, release, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with serve(tmp_path / "empty") as (none, asked), serve(release / "release") as (url, _):
        monkeypatch.setenv(weights.MIRRORS_VARIABLE, url)
        assert "manifest.json" in fetch("random", "--mirror", none)
        assert len(asked) == 3
    published = weights.read(release / "release" / "weights.json", ["https://first.example"])
    assert published.mirrors[0] == "https://first.example"


@pytest.mark.parametrize("mirror", ["ftp://x", "folder"])
def test_a_mirror_that_is_no_address_is_refused(fetch, mirror):
    assert f"mirror '{mirror}' is not an address; begin it with https://" in fetch("kh-unpruned", "--mirror", mirror)


def test_nothing_is_half_fetched(fetch, release, tmp_path):
    """Weights arrive and the log does not: the run is not there, and the next try completes it."""
    part = tmp_path / "part"
    shutil.copytree(release / "release", part)
    name = next(path for path in part.iterdir() if path.name.endswith("random--seed-0--log.npz"))
    kept = name.read_bytes()
    name.unlink()
    with serve(part) as (url, _):
        assert "log.npz (" in fetch("random", "--mirror", url)
        run = Run(tmp_path / "results" / "tiny.npz", "random", 0)
        assert not run.manifest.exists()
        name.write_bytes(kept)
        assert "manifest.json" in fetch("random", "--mirror", url)
    assert run.load().hidden.shape == (30, 16)


def test_the_manifest_comes_last(fetch, release, monkeypatch):
    """It marks the run as whole, so it must not be there before the weights are; in the list it stands before them."""
    written, atomic = [], files.atomic

    def recorded(path):
        written.append(path.name)
        return atomic(path)

    monkeypatch.setattr(weights.files, "atomic", recorded)
    with serve(release / "release") as (url, _):
        assert "model.safetensors" in fetch("random", "--mirror", url)
    listed = list(weights.read(release / "release" / "weights.json").runs["tiny.npz/random/seed-0"])
    assert listed[-1] != provenance.MANIFEST
    assert [name for name in written if name in listed] == ["log.npz", "model.safetensors", "manifest.json"]


def test_another_training_is_not_overwritten(fetch, release, tmp_path):
    run = Run(tmp_path / "results" / "tiny.npz", "random", 0)
    shutil.copytree(release / "results" / "tiny.npz" / "random" / "seed-0", run.folder)
    run.manifest.write_text(run.manifest.read_text().replace('"seconds": ', '"seconds": 1'))
    with serve(release / "release") as (url, _):
        assert "is of another training than the published weights; give another --out" in str(
            fetch("random", "--mirror", url)
        )


def test_what_is_not_published_is_said_with_how_to_train_it(fetch):
    told = fetch("kh-unpruned", "--seed", "7")
    assert "no weights are published for tiny.npz/kh-unpruned/seed-7" in told
    assert "(published are tiny.npz/kh-layer/seed-0, tiny.npz/kh-unpruned/seed-0" in told
    told = fetch("l2", "--seed", "9", own=False)
    assert "no weights are published for cifar10/l2/seed-9" in told
    assert "bioadv train l2 --data cifar10 --seed 9 --out " in told
    assert "nonsense" in fetch("nonsense")
    assert "seed = 20000; give an integer from 0 to 9999" in fetch("kh-unpruned", "--seed", "20000")


def test_the_pages_say_whether_this_edition_publishes_weights():
    """Nobody is sent to fetch what is not there, nor told that there is nothing where there is."""
    none = not weights.read().runs
    for page in ("README.md", "book/running.md"):
        assert ("publishes none" in (ROOT / page).read_text()) == none, page


def test_the_committed_list_is_whole():
    """Weights that it names are those that the stored manifests describe."""
    published = weights.read()
    for name, entries in published.runs.items():
        data, model, seed = name.split("/")
        run = runs.at_hand(model, data=data)[int(seed.removeprefix("seed-"))]
        kept = provenance.read_description(run.manifest).get(provenance.DIGESTS, {})
        assert files.digest(run.manifest) == entries[provenance.MANIFEST].sha256
        assert kept[run.weights.name] == entries[run.weights.name].sha256


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda listed: listed.pop("licence"), "licence is missing"),
        (lambda listed: listed.update(mirrors=["ftp://x"]), "mirrors"),
        (lambda listed: listed["runs"][KH]["log.npz"].update(sha256="12"), "64 hexadecimal digits"),
        *(
            (lambda listed, name=name: listed["runs"][KH]["log.npz"].update(name=name), "a file name")
            for name in ("../x", "..", ".x", "a/b", "a\\b", "a\n", "a\x7f", "")
        ),
    ],
)
def test_a_bad_list_is_named(release, tmp_path, change, words):
    listed = json.loads((release / "release" / "weights.json").read_text())
    change(listed)
    (tmp_path / "weights.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match=rf"weights\.json: .*{words}"):
        weights.read(tmp_path / "weights.json")


ODD = "my photos #1 & 50%41?ü+"


def test_a_release_of_images_with_any_name_is_read_back(release, tmp_path, monkeypatch):
    """In the names of its files are only characters that Zenodo and GitHub leave as they are; the runs keep theirs."""
    monkeypatch.setenv(downloads.CACHE_VARIABLE, str(tmp_path / "cache"))
    for name in (ODD, ODD.replace("#", "&"), ".hidden"):
        shutil.copytree(release / "results" / "tiny.npz", tmp_path / "results" / name)
    gather_release.gather(tmp_path / "release", [tmp_path / "results"], [])
    published = weights.read(tmp_path / "release" / "weights.json")
    for entries in published.runs.values():
        assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]+", remote.name) for remote in entries.values())
    assert len({remote.name for entries in published.runs.values() for remote in entries.values()}) == 3 * 3 * 3
    with serve(tmp_path / "release") as (url, _):
        words = ["fetch", "kh-unpruned", "--data", tmp_path / "elsewhere" / ODD, "--out", tmp_path / "out"]
        words += ["--list", tmp_path / "release" / "weights.json", "--mirror", url, "--no-progress"]
        result = CliRunner().invoke(cli.app, list(map(str, words)))
    assert result.exit_code == 0, result.exception
    assert Run(tmp_path / "out" / ODD, "kh-unpruned", 0).load().hidden.shape == (30, 16)


def test_a_list_may_name_its_files_as_it_likes(release, fetch, tmp_path):
    """What means something else in an address is quoted there, and only there."""
    shutil.copytree(release / "release", tmp_path / "release")
    listed = json.loads((tmp_path / "release" / "weights.json").read_text())
    for inside, entry in listed["runs"][KH].items():
        (tmp_path / "release" / entry["name"]).rename(tmp_path / "release" / f"{ODD} {inside}")
        entry["name"] = f"{ODD} {inside}"
    (tmp_path / "release" / "weights.json").write_text(json.dumps(listed))
    with serve(tmp_path / "release") as (url, asked):
        options = ["--list", tmp_path / "release" / "weights.json", "--data", "tiny.npz", "--mirror", url]
        assert "model.safetensors" in fetch("kh-unpruned", *options, own=False)
    assert ("/my%20photos%20%231%20%26%2050%2541%3F%C3%BC%2B%20log.npz", None) in asked
    assert (tmp_path / "cache" / f"{ODD} log.npz").is_file()


def test_a_list_with_a_file_missing_is_named(fetch, release, tmp_path):
    listed = json.loads((release / "release" / "weights.json").read_text())
    del listed["runs"][KH]["log.npz"]
    (tmp_path / "weights.json").write_text(json.dumps(listed))
    told = fetch("kh-unpruned", "--list", tmp_path / "weights.json", "--data", "tiny.npz", own=False)
    assert "the list has manifest.json, model.safetensors for tiny.npz/kh-unpruned/seed-0; it needs log.npz" in told


def test_a_release_has_what_both_places_want(release):
    folder = release / "release"
    names = {path.name for path in folder.iterdir()}
    assert {"LICENSE.txt", "README.md", "SHA256SUMS", "bioadv-results.zip", "weights.json", "zenodo.json"} <= names
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == names - {"SHA256SUMS"}
    assert all(files.digest(folder / name) == digest for name, digest in sums.items())
    about = json.loads((folder / "zenodo.json").read_text())["metadata"]
    assert about["license"] == "cc-by-4.0"
    assert "3 runs" in about["description"]  # the layer that kh is made from, too
    with pytest.raises(ValueError, match="is not empty; give a new folder"):
        gather_release.gather(folder, [release / "results"], [])
    with pytest.raises(ValueError, match="no finished run with weights"):
        gather_release.gather(release / "other", [release / "nothing"], [])


def test_a_damaged_run_is_not_released(release, tmp_path):
    shutil.copytree(release / "results", tmp_path / "results")
    path = Run(tmp_path / "results" / "tiny.npz", "kh-unpruned", 0).weights
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"model\.safetensors is not the file that .* describes"):
        gather_release.gather(tmp_path / "release", [tmp_path / "results"], [])


def test_the_same_run_twice_is_not_released(release, tmp_path):
    shutil.copytree(release / "results", tmp_path / "again")
    with pytest.raises(ValueError, match="kh-layer/seed-0 is in .*results.* and in .*again.*; leave one of them out"):
        gather_release.gather(tmp_path / "release", [release / "results", tmp_path / "again"], [])
    assert not (tmp_path / "release").exists()


def test_a_full_disk_leaves_no_half_release(release, tmp_path):
    folder = tmp_path / "release"
    with tiny.full_disk("weights.json"), pytest.raises(OSError, match="free some space"):
        gather_release.gather(folder, [release / "results"], [])
    assert not list(tmp_path.iterdir())
    folder.mkdir()
    listed = gather_release.gather(folder, [release / "results"], [])  # the same command, when there is space
    assert listed == json.loads((folder / "weights.json").read_text())
    assert list(tmp_path.iterdir()) == [folder]
