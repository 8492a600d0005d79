"""Runs with damaged, foreign and read-only files: refused with the file's name and a remedy, never taken for good."""

import hashlib
import json
import subprocess

import numpy as np
import pytest

from bioadv.data import datasets, files
from bioadv.lab import probes, provenance, runs
from bioadv.lab.probes import Probe
from tests.test_study import command, small_scale, tiny, train
from tests.tiny import full_disk

__all__ = ["small_scale", "tiny"]  # fixtures


def damaged(file):
    """Flip one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize("harm", ["bit", "cut", "foreign"])
@pytest.mark.parametrize(("model", "name"), [("random", "model.safetensors"), ("random", "log.npz")])
def test_a_finished_run_with_a_damaged_file_is_refused_with_its_name(tiny, tmp_path, model, name, harm):
    assert train(model, tiny, tmp_path).exit_code == 0
    folder = tmp_path / "tiny.npz" / model / "seed-0"
    if harm == "bit":
        damaged(folder / name)
    elif harm == "cut":
        (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    else:
        other = train(model, tiny, tmp_path / "other", seed=1)
        assert other.exit_code == 0
        (folder / name).write_bytes((tmp_path / "other" / "tiny.npz" / model / "seed-1" / name).read_bytes())
    refused = train(model, tiny, tmp_path).exception
    assert isinstance(refused, ValueError)
    assert f"{folder / name} is not the file that {folder / 'manifest.json'} describes" in str(refused)
    if name == runs.WEIGHTS:
        with pytest.raises(ValueError, match=r"model\.safetensors is not the file that"):
            runs.load_model(folder)
    (folder / name).unlink()  # the remedy
    assert train(model, tiny, tmp_path).exit_code == 0
    runs.load_model(folder)


def test_manifests_of_an_earlier_version_are_read_and_their_files_have_to_be_whole(tiny, tmp_path):
    train("random", tiny, tmp_path)
    folder = tmp_path / "tiny.npz" / "random" / "seed-0"
    about = json.loads((folder / "manifest.json").read_text())
    assert about["digests"].keys() == {"model.safetensors", "log.npz"}
    kept = {**about}
    del about["digests"]
    before = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()  # what measurements then kept
    assert provenance.is_of(before, about)
    assert provenance.is_of(before, kept)
    (folder / "manifest.json").write_text(json.dumps(about))
    runs.load_model(folder)
    assert train("random", tiny, tmp_path).exit_code == 0
    (folder / "log.npz").write_bytes(b"half")
    assert "log.npz is not a whole .npz file" in str(train("random", tiny, tmp_path).exception)


@pytest.mark.parametrize("content", ["[]", "3", "{}", "null", "\udcff", '{"configuration": {}}'])
def test_a_manifest_that_is_none_is_refused_with_its_name(tiny, tmp_path, content):
    folder = tmp_path / "tiny.npz" / "random" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(content, errors="surrogateescape")
    for refused in (
        train("random", tiny, tmp_path),
        command("info", folder),
        command("probe", folder, "--probe", "spectra"),
    ):
        assert isinstance(refused.exception, ValueError)
        assert f"{folder / 'manifest.json'} " in str(refused.exception)
        assert "delete it" in str(refused.exception)


def test_a_damaged_measurement_is_refused_with_its_name(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(probes.PROBES, "ones", Probe("ones", lambda *given: {"ones": np.ones(99)}))
    monkeypatch.setattr(probes.hashing, "source_hash", lambda *functions: "code")
    train("random", tiny, tmp_path)
    folder, data = tmp_path / "tiny.npz" / "random" / "seed-0", datasets.load(tiny)
    file = probes.run(folder, "ones", data)
    written = file.read_bytes()
    damaged(file)
    with pytest.raises(ValueError, match=r"ones\.npz is not the file that .*ones\.json describes .* remove it"):
        probes.run(folder, "ones", data)
    file.unlink()
    assert probes.run(folder, "ones", data).read_bytes() == written
    for content in ("[]", "3", "{}", "null"):
        (folder / "ones.json").write_text(content)
        with pytest.raises(ValueError, match=r"ones\.json h.*; delete it and make it again"):
            probes.run(folder, "ones", data)
    (folder / "ones.json").unlink()
    damaged(folder / runs.WEIGHTS)
    with pytest.raises(ValueError, match=r"model\.safetensors is not the file that"):
        probes.run(folder, "ones", data)


@pytest.mark.parametrize("full", ["new.npz", "new.json"])
def test_on_a_full_disk_a_measurement_stays_as_it_was(tmp_path, full):
    """Arrays and description change together: neither lies beside what belongs to the other."""
    about, arrays = tmp_path / "new.json", {"ones": np.ones(9)}
    provenance.write_measurement(about, arrays, configuration={}, source="old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() == {"new.json", "new.npz"}
    refused = rf"cannot write {tmp_path}, no space left on device: .*nothing was changed"
    with full_disk(full), pytest.raises(OSError, match=refused):
        provenance.write_measurement(about, {"ones": np.ones(3)}, configuration={}, source="new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    provenance.write_measurement(about, {"ones": np.ones(3)}, configuration={}, source="new")
    assert provenance.intact(about, "new.npz")
    assert len(files.read_arrays(tmp_path / "new.npz")["ones"]) == 3


def test_a_finished_run_on_a_read_only_disk_is_read(tiny, tmp_path, monkeypatch):
    """Also one whose checkpoint is still there, as when it was stopped between its last two steps."""
    monkeypatch.setitem(probes.PROBES, "ones", Probe("ones", lambda *given: {"ones": np.ones(99)}))
    monkeypatch.setattr(probes.hashing, "source_hash", lambda *functions: "code")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        for model in ("kh", "random"):
            assert train(model, tiny, disk).exit_code == 0
        folder, data = disk / "tiny.npz" / "random" / "seed-0", datasets.load(tiny)
        probes.run(folder, "ones", data)
        (folder / "checkpoint.safetensors").touch()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for model in ("kh", "kh-layer", "random"):
            assert train(model, tiny, disk).exit_code == 0, model
        assert probes.run(folder, "ones", data).is_file()
        refused = train("random", tiny, disk, seed=1).exception
        assert "read-only file system: the disk is read-only: write to another folder" in str(refused)
        assert "cannot write" in str(refused)
    finally:
        subprocess.run(["umount", disk], check=True)
