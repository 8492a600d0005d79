"""The lock without CUDA: its format, what makes it, and that make uses it; the index is a folder served here."""

import os
import re
import subprocess
import sys

import pytest

from tests.mirror import serve
from tools import cpu_lock
from tools.cpu_lock import LOCK, blocks, version
from tools.edition import ROOT

PINNED = {name: version(block) for name, block in blocks(LOCK.read_text()).items()}


@pytest.fixture
def index(tmp_path):
    """A folder as the index has it: files of several Pythons, older versions, and builds for CUDA."""
    for name in ("torch", "torchvision"):
        files = [(f"{name}-{PINNED[name]}%2Bcpu-cp{v}-cp{v}-manylinux_2_28_x86_64.whl", str(v)[-1]) for v in (311, 312)]
        files += [(f"{name}-{PINNED[name]}%2Bcu130-cp311-cp311-linux_x86_64.whl", "c")]
        files += [(f"{name}-1.0.0%2Bcpu-cp311-cp311-linux_x86_64.whl", "d")]
        links = [f'<a href="/whl/cpu/{file}#sha256={digit * 64}" data-x="y">{file}</a><br>' for file, digit in files]
        (tmp_path / "whl" / name).mkdir(parents=True)
        (tmp_path / "whl" / name / "index.html").write_text("\n".join(links))
    return tmp_path


def test_it_is_the_first_lock_without_cuda(index):
    with serve(index) as (url, _):
        made = cpu_lock.cpu_lock(LOCK.read_text(), f"{url}whl")
    first, second = blocks(LOCK.read_text()), blocks(made)
    left_out = first.keys() - second.keys()
    assert left_out == {name for name in first if name.startswith(("nvidia-", "cuda-")) or name == "triton"}
    assert len(left_out) > 10
    for name, block in second.items():
        if name in ("torch", "torchvision"):
            assert re.findall(r"sha256:(.)", block) == ["1", "2"]
            assert version(block) == f"{PINNED[name]}+cpu"
        else:
            assert block == first[name]
    assert made.splitlines()[1] == f"--extra-index-url {url}whl"


def test_an_index_without_the_version_is_named(index):
    (index / "whl" / "torch" / "index.html").write_text("<a href='x'>x</a>")
    with serve(index) as (url, _), pytest.raises(ValueError, match=rf"no torch {PINNED['torch']}\+cpu; wait until"):
        cpu_lock.cpu_lock(LOCK.read_text(), f"{url}whl")


def test_an_index_that_cannot_be_reached_is_named():
    environment = {**os.environ, cpu_lock.INDEX_VARIABLE: "http://127.0.0.1:9/whl"}
    command = [sys.executable, "-m", "tools.cpu_lock"]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "http://127.0.0.1:9/whl cannot be reached" in told.stderr
    assert "leave TORCH=cpu out" in told.stderr


def test_make_installs_by_it(tmp_path):
    """With a stand-in for Python, see tests/test_book.py: what pip is told, and that a missing lock is made."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "python").write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '  *"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;\n'
        '  *tools.cpu_lock*) echo made > requirements-cpu.lock; echo "$*" >> calls ;;\n'
        '  *"pip install"*) echo "$*" >> calls ;;\n'
        "esac\n"
    )
    (tmp_path / "python").chmod(0o755)

    def make(*words):
        command = ["make", *words, f"PYTHON={tmp_path / 'python'}"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    told = make("setup", "TORCH=cpu")
    assert told.returncode == 0, told.stderr
    assert "about 2 GB" in told.stdout
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == "-m tools.cpu_lock"
    assert "--require-hashes -r requirements-cpu.lock" in calls[1]
    assert "installing" not in make("setup", "TORCH=cpu").stdout
    assert "TORCH = gpu is not known; give TORCH=cpu" in make("setup", "TORCH=gpu").stderr


@pytest.mark.skipif(not cpu_lock.CPU_LOCK.is_file(), reason="requirements-cpu.lock is made by a workflow")
def test_the_stored_second_lock_follows_the_first():
    first, second = blocks(LOCK.read_text()), blocks(cpu_lock.CPU_LOCK.read_text())
    kept = {name for name in first if not cpu_lock.CUDA.match(name)}
    assert {name: version(second[name]).removesuffix("+cpu") for name in second} == {n: PINNED[n] for n in kept}
