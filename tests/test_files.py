import contextlib
import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from bioadv.data import checkpoints, files


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


def test_no_flipped_bit_of_arrays_gives_another_error_than_that_of_a_file_that_is_not_whole(tmp_path):
    path = tmp_path / "a.npz"
    files.write_arrays(path, {"x": np.arange(40.0)})
    whole = path.read_bytes()
    for place in range(8 * len(whole)):
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << place % 8
        path.write_bytes(broken)
        with contextlib.suppress(ValueError):
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
    with pytest.raises(OSError, match=r"cannot write .*x\.json, no space left on device: free some") as error:
        files.write_json(file, {"new": 2})
    assert error.value.errno == errno.ENOSPC
    assert file.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a small file system, where the test may; it is unmounted afterwards."""
    mounted = []

    def mount(options):
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "none", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a small file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def test_a_really_full_disk_changes_nothing(disk):
    """On a file system of 256 kB."""
    folder = disk("size=256k")
    file = folder / "x.safetensors"
    files.write_tensors(file, {"w": torch.zeros(1000)})
    old = file.read_bytes()
    with pytest.raises(OSError, match=r"x\.safetensors.*free some"):
        files.write_tensors(file, {"w": torch.zeros(100_000)})
    assert file.read_bytes() == old
    with pytest.raises(OSError, match="free some"):
        files.write_arrays(folder / "y.npz", {"a": np.random.default_rng(0).random(100_000)})
    assert [p.name for p in folder.iterdir()] == ["x.safetensors"]


def test_a_full_table_of_inodes_changes_nothing(disk):
    """On a file system of four files: its root, the folder, and two more."""
    folder = disk("nr_inodes=4") / "run"
    files.write_json(folder / "x.json", 1)
    files.write_json(folder / "y.json", 1)
    for path in (folder / "x.json", folder / "new" / "z.json"):
        with pytest.raises(OSError, match=rf"cannot write {path}, no space left on device: free some .*df -i") as error:
            files.write_json(path, 2)
        assert error.value.errno == errno.ENOSPC
    assert files.read_json(folder / "x.json") == 1
    assert len(list(folder.iterdir())) == 2


def test_a_read_only_disk_is_named(disk):
    folder = disk("size=256k")
    files.write_json(folder / "x.json", 1)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    for path in (folder / "x.json", folder / "new" / "y.json"):
        with pytest.raises(OSError, match=rf"cannot write {path}, read-only file system: .*another folder"):
            files.write_json(path, 2)
    files.tidy(folder / "x.json")
    files.tidy(folder / "absent")
    assert files.read_json(folder / "x.json") == 1


AS_OTHER = """
import os, sys
from bioadv.data import checkpoints, files
os.setuid(65534)
try:
    files.write_json(sys.argv[1], 2)
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become another user")
def test_a_folder_of_another_user_is_named(tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    file = tmp_path / "x.json"
    files.write_json(file, 1)
    printed = subprocess.run([sys.executable, "-c", AS_OTHER, file], capture_output=True, text=True, check=True).stdout
    assert f"cannot write {file}, permission denied: you may not write there: change the permissions" in printed
    assert files.read_json(file) == 1


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OSError, match=r"cannot write .*x\.json, .*: a file stands where a folder belongs"):
        files.write_json(tmp_path / "out" / "x.json", 1)
    with pytest.raises(OSError, match="give a shorter name"):
        files.write_json(tmp_path / ("x" * 300), 1)


def test_a_used_up_quota_is_named(tmp_path, monkeypatch):
    """No file system with quotas is at hand: the error is raised where the system raises it."""

    def used_up(*given, **more):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(files.tempfile, "mkstemp", used_up)
    with pytest.raises(OSError, match=r"cannot write .*x\.json, disk quota exceeded: .*free some of it"):
        files.write_json(tmp_path / "x.json", 1)


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
        checkpoints.set_state(generator, torch.zeros(16, dtype=torch.uint8), tmp_path / "c.safetensors")
    checkpoints.set_state(generator, torch.Generator().manual_seed(1).get_state(), "c")
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


def test_equal_tensors_give_equal_bytes(tmp_path):
    """Whatever the order in which the library writes the header: a training is known by the digest of its weights."""
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.bfloat16)}
    written = set()
    for number in range(12):
        files.write_tensors(tmp_path / f"{number}", tensors, model={"n": 1}, epoch=3, identity="caf\u00e9", seconds=1.5)
        written.add((tmp_path / f"{number}").read_bytes())
    assert len(written) == 1
    found, about = files.read_tensors(tmp_path / "0")
    assert about == {"model": {"n": 1}, "epoch": 3, "identity": "caf\u00e9", "seconds": 1.5}
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert len(safetensors.torch.load_file(tmp_path / "0")) == 2  # and it is a file of the library's kind
