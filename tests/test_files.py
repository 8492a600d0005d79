import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from bioadv.data import files


def test_json_round_trip_is_stable(tmp_path):
    value = {"b": [1, 2.5], "a": {"text": "x"}}
    files.write_json(tmp_path / "x.json", value)
    first = (tmp_path / "x.json").read_bytes()
    files.write_json(tmp_path / "x.json", dict(reversed(value.items())))
    assert (tmp_path / "x.json").read_bytes() == first
    assert files.read_json(tmp_path / "x.json") == value


def test_json_refuses_nan_and_half_files(tmp_path):
    with pytest.raises(ValueError, match="[Oo]ut of range float"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x.json").write_text('{"a": 1')
    with pytest.raises(ValueError, match=r"x\.json is not valid JSON.*delete"):
        files.read_json(tmp_path / "x.json")


def test_arrays_round_trip(tmp_path):
    arrays = {"a": np.arange(5), "b": np.random.default_rng(0).random((3, 2))}
    files.write_arrays(tmp_path / "x.npz", arrays)
    read = files.read_arrays(tmp_path / "x.npz")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_arrays_are_never_pickled(tmp_path):
    with pytest.raises(ValueError, match=r"arrays\['a'\] has dtype object"):
        files.write_arrays(tmp_path / "x.npz", {"a": np.array([None])})
    np.savez(tmp_path / "x.npz", a=np.array([{"code": "evil"}], dtype=object))
    with pytest.raises(ValueError, match=r"x\.npz is not a whole \.npz file"):
        files.read_arrays(tmp_path / "x.npz")


def test_damaged_and_renamed_arrays_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    files.write_arrays(path, {"a": np.random.default_rng(0).random(1000)})
    content = bytearray(path.read_bytes())
    content[500:520] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.npz is not a whole \.npz file"):
        files.read_arrays(path)
    np.save(tmp_path / "y.npy", np.zeros(3))
    (tmp_path / "y.npy").rename(path)
    with pytest.raises(ValueError, match=r"x\.npz is not a whole \.npz file"):
        files.read_arrays(path)


def test_tensors_round_trip_with_their_description(tmp_path):
    tensors = {"w": torch.randn(3, 4).T, "state": torch.arange(5, dtype=torch.uint8)}
    files.write_tensors(tmp_path / "x.safetensors", tensors, epoch=3, params={"p": 3.0})
    read, about = files.read_tensors(tmp_path / "x.safetensors")
    assert about == {"epoch": 3, "params": {"p": 3.0}}
    for name, tensor in tensors.items():
        assert torch.equal(read[name], tensor)


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_truncated_tensors_are_refused(tmp_path, cut):
    file = tmp_path / "x.safetensors"
    files.write_tensors(file, {"w": torch.randn(10, 10)})
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"x\.safetensors is truncated.*delete"):
        files.read_tensors(file)


def test_missing_tensors_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.safetensors does not exist"):
        files.read_tensors(tmp_path / "none.safetensors")


@pytest.mark.parametrize("moment", ["write", "fsync"])
def test_a_full_disk_changes_nothing(tmp_path, monkeypatch, moment):
    file = tmp_path / "x.json"
    files.write_json(file, {"old": 1})
    old = file.read_bytes()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if moment == "write":
        monkeypatch.setattr(files.Path, "write_text", full)
    else:
        monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"no space left to write .*x\.json; free some") as error:
        files.write_json(file, {"new": 2})
    assert error.value.errno == errno.ENOSPC
    assert file.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_really_full_disk_changes_nothing(tmp_path):
    """On a file system of 256 kB, where the test may make one."""
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        file = disk / "x.safetensors"
        files.write_tensors(file, {"w": torch.zeros(1000)})
        old = file.read_bytes()
        with pytest.raises(OSError, match=r"x\.safetensors.*free some"):
            files.write_tensors(file, {"w": torch.zeros(100_000)})
        assert file.read_bytes() == old
        with pytest.raises(OSError, match="free some"):
            files.write_arrays(disk / "y.npz", {"a": np.random.default_rng(0).random(100_000)})
        assert [p.name for p in disk.iterdir()] == ["x.safetensors"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_interrupted_writes_leave_the_old_file(tmp_path):
    file = tmp_path / "x.json"
    files.write_json(file, {"old": 1})
    with pytest.raises(KeyboardInterrupt), files.atomic(file) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert files.read_json(file) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path):
    die = "with files.atomic('x.json') as t: t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    write = "files.write_json('x.json', 1)"

    def python(code):
        program = f"import os, signal\nfrom bioadv.data import files\n{code}"
        return subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False).returncode

    assert python(die) == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.read_text() == "half"
    others = tmp_path / ".x.json.gz.12345678.tmp"  # of another file, whose name begins alike
    others.touch()
    assert python(write) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", others.name}
    # The same for tensors, killed in the middle of the bytes by a limit on the size of files.
    limit = "import resource, torch; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)"
    limit += "; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))"
    tensors = "files.write_tensors('w.safetensors', {'w': torch.zeros(100_000)})"
    assert python(f"{limit}\n{tensors}") == -signal.SIGXFSZ
    assert len(list(tmp_path.iterdir())) == 3
    assert python(f"import torch\n{tensors}") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", others.name, "w.safetensors"}
    # A writer that began after this process is left alone: it may be alive.
    with files.atomic(tmp_path / "x.json") as temporary:
        temporary.write_text("2")
        files.write_json(tmp_path / "x.json", 3)
        assert temporary.exists()
    assert files.read_json(tmp_path / "x.json") == 2


def test_a_generator_state_of_another_device_is_refused(tmp_path):
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match=r"c\.safetensors was made on another kind of device than cpu; go on there"):
        files.set_state(generator, torch.zeros(16, dtype=torch.uint8), tmp_path / "c.safetensors")
    files.set_state(generator, torch.Generator().manual_seed(1).get_state(), "c")
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(1).get_state())


def test_versions_name_what_matters():
    assert {"python", "torch", "numpy", "vector_instructions"} <= files.versions().keys()


def test_no_flipped_bit_of_tensors_gives_other_tensors(tmp_path):
    """Bits all over a small file: it is refused, or what is read is what was written."""
    file, tensors = tmp_path / "x.safetensors", {"w": torch.randn(2, 3), "log": torch.arange(2), "one": torch.ones(())}
    files.write_tensors(file, tensors, epoch=3, identity={"seed": 0})
    content, refused = file.read_bytes(), 0
    for position in range(0, 8 * len(content), 11):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        file.write_bytes(damaged)
        try:
            read, about = files.read_tensors(file)
        except ValueError:
            refused += 1
        else:
            assert read.keys() == tensors.keys()
            assert all(torch.equal(read[name], tensors[name]) for name in read)
            assert about["epoch"] == 3
            assert about["identity"] == {"seed": 0}
    assert refused > 7.5 * len(content) / 11


def test_tensors_of_an_earlier_version_are_read(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, tmp_path / "x.safetensors", {"epoch": "3"})
    assert files.read_tensors(tmp_path / "x.safetensors")[1] == {"epoch": 3}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe{}", b"[" * 100_000, b"9" * 5000, b'{"a": NaN}', b'{"a": -Infinity}']
)
def test_what_is_no_json_is_refused_with_its_name(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.json is not valid JSON .*; delete it and make it again"):
        files.read_json(tmp_path / "x.json")


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"', "true"])
def test_json_that_is_no_object_is_refused_with_its_name(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=r"x\.json holds .*, not a JSON object; delete it and make it again"):
        files.read_object(tmp_path / "x.json")


@pytest.mark.parametrize("content", ["{}", '{"seconds": "3"}', '{"seconds": true}', '{"seconds": null}'])
def test_json_without_an_entry_is_refused_with_its_name(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=r"x\.json has seconds = .*, which is not what bioadv writes"):
        files.read_object(tmp_path / "x.json", seconds=(int, float))
