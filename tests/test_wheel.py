"""The wheel and the source archive: whole, and enough to read and run the book in an empty folder.

The environment of these tests has the packages that bioadv needs, but not bioadv itself, nor what builds the book.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import bioadv
from tests import tiny
from tests.mirror import serve
from tools import gather_release, notebooks, reader_notebooks
from tools.edition import ROOT, Edition, project_version

# Hides the repository, which is installed here, and the packages that only the build of the book needs.
BLIND = """
import os, sys
sys.path[:] = [p for p in sys.path if not os.path.isfile(os.path.join(p, "bioadv", "__init__.py")) or p == {own!r}]
sys.modules["myst_nb"] = sys.modules["jupytext"] = sys.modules["tools"] = None
"""


def build(target, out, root=ROOT):
    """Build an archive with the hatchling that is installed; a few seconds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB")}
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", out]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = Path(out).glob({"wheel": "*.whl", "sdist": "*.tar.gz"}[target])
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """The variables of an environment without bioadv, and the folder from which it could be imported."""
    if (Path(sysconfig.get_path("purelib")) / "bioadv").is_dir():
        pytest.fail("bioadv lies among the packages that it needs, so it cannot be hidden here; pip install -e .")
    place, hook = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(BLIND.format(own=str(place)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BIOADV", "PYTHONPATH"))}
    return {**kept, "PYTHONPATH": f"{hook}{os.pathsep}{place}", "OMP_NUM_THREADS": "1"}, place


@pytest.fixture(scope="module")
def installed(wheel, blind):
    """The same with the wheel installed there."""
    environment, place = blind
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", place, wheel]
    subprocess.run(command, check=True, capture_output=True)
    return environment, place


def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def tracked(*paths):
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *paths]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git repository: this is a source archive")
    return {path for path in listed.stdout.split("\0") if path and (ROOT / path).is_file()}


def test_the_wheel_carries_its_data(wheel):
    found = names(wheel)
    wanted = {path for path in tracked("results") if path.endswith((".json", ".npz"))} | tracked("book/*.yaml")
    assert len(wanted) > 50
    assert {f"bioadv/shipped/{path}" for path in wanted} <= found
    chapters = {f"bioadv/shipped/notebooks/{Path(path).name}" for path in tracked("book/*.ipynb")}
    assert {path for path in found if path.endswith(".ipynb")} == chapters
    assert not [path for path in found if path.endswith((".safetensors", ".tmp", ".lock"))]
    # Five seeds of the whole study would make about fifty; PyPI takes a hundred.
    assert wheel.stat().st_size < 60e6


def test_the_source_archive_is_whole_and_builds_the_same_wheel(wheel, tmp_path):
    archive = build("sdist", tmp_path)
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    inside = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert tracked() - inside <= {".gitignore"}
    assert inside - tracked() <= {"PKG-INFO"}
    again = build("wheel", tmp_path / "again", source)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {i.filename: i.CRC for i in first.infolist()} == {i.filename: i.CRC for i in second.infolist()}


def command(installed, cwd, *words):
    environment, place = installed
    words = [sys.executable, place / "bin" / "bioadv", *words]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_command_of_the_wheel(installed, tmp_path):
    assert command(installed, tmp_path, "--version").stdout == f"bioadv {bioadv.__version__}\n"
    assert bioadv.__version__ == project_version()
    told = command(installed, tmp_path, "book", "--copy")
    assert told.returncode == 0, told.stderr
    assert {path.name for path in (tmp_path / "bioadv-book").glob("*.ipynb")} == {
        path.name for path in (ROOT / "book").glob("*.ipynb")
    }
    (tmp_path / "bioadv-book" / "intro.ipynb").write_text("mine")
    assert command(installed, tmp_path, "book", "--copy").returncode == 0
    assert (tmp_path / "bioadv-book" / "intro.ipynb").read_text() == "mine"


def test_results_and_claims_come_from_the_wheel(installed, tmp_path):
    code = (
        "import json, bioadv; from bioadv.lab import claims, runs; "
        "print(json.dumps([bioadv.__file__, len(claims.read()), str(runs.stored('kh')[0])]))"
    )
    environment, place = installed
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    package, claims, run = json.loads(told.stdout)
    assert Path(package).is_relative_to(place)
    assert Path(run).is_relative_to(place)
    assert claims > 40


@pytest.mark.slow
def test_fetched_weights_are_probed_in_an_empty_folder(installed, tmp_path):
    """Train, gather a release, serve it; then somewhere else fetch and probe, with the wheel alone."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    tiny.write(tmp_path / "tiny.npz")
    images = ["--data", tmp_path / "tiny.npz", "--no-progress"]
    told = command(installed, here, "train", "random", "--epochs", "1", *images)
    assert told.returncode == 0, told.stderr
    gather_release.gather(tmp_path / "release", [here / "results"], [])
    with serve(tmp_path / "release") as (url, _):
        given = ["--data", "tiny.npz", "--list", tmp_path / "release" / "weights.json", "--mirror", url]
        environment = {**installed[0], "BIOADV_CACHE": str(tmp_path / "cache")}
        told = command((environment, installed[1]), there, "fetch", "random", "--no-progress", *given)
    assert told.returncode == 0, told.stderr
    told = command(installed, there, "probe", "results/tiny.npz/random/seed-0", "--probe", "landscape", *images)
    assert told.returncode == 0, told.stderr
    assert (there / "results" / "tiny.npz" / "random" / "seed-0" / "landscape.json").is_file()


def execute(path, environment, cwd):
    """Run a notebook there; raises at the first cell that fails. Returns it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    patience = max(600, notebooks.CELL_SECONDS)
    place = {"metadata": {"path": str(cwd)}}
    client = NotebookClient(notebook, timeout=patience, kernel_name="python3", resources=place)
    client.execute(env=environment, cwd=str(cwd))
    return notebook


def shown(notebook):
    """Tables and texts that a notebook shows, without what its first cell says."""
    cells = [
        cell for cell in notebook.cells if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", [])
    ]
    data = [output.get("data", {}) for cell in cells for output in cell.outputs]
    return [one["text/html"] for one in data if "text/html" in one]


@pytest.mark.slow
def test_a_notebook_installs_the_package_where_it_is_missing(wheel, blind, tmp_path):
    """As on Colab: the first cell finds no bioadv, and the rest runs from an empty folder."""
    environment, _ = blind
    hook = environment["PYTHONPATH"].partition(os.pathsep)[0]
    own = tmp_path / "packages"
    (tmp_path / "sitecustomize.py").write_text((Path(hook) / "sitecustomize.py").read_text())
    about = Edition(project_version(), package=f"bioadv @ {wheel.as_uri()}")
    reader_notebooks.generate(tmp_path / "notebooks", about)
    empty = tmp_path / "empty"
    own.mkdir()
    empty.mkdir()
    environment = {**environment, "PYTHONPATH": f"{tmp_path}{os.pathsep}{own}", "PIP_TARGET": str(own)}
    environment |= {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"}
    notebook = execute(tmp_path / "notebooks" / "claims.ipynb", environment, empty)
    assert (own / "bioadv" / "shipped" / "results").is_dir()
    stored = nbformat.read(ROOT / "book" / "claims.ipynb", as_version=4)
    assert shown(notebook) == shown(stored)
    assert shown(notebook)


ALL = sorted(path.stem for path in (ROOT / "book").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("chapter", ALL if os.environ.get("BIOADV_LIVE") == "all" else ["intro"])
def test_the_notebooks_of_readers_run_from_an_empty_folder(installed, tmp_path, chapter):
    """One of them in every run; all with BIOADV_LIVE=all, as in `make live`."""
    environment, place = installed
    notebook = execute(place / "bioadv" / "shipped" / "notebooks" / f"{chapter}.ipynb", environment, tmp_path)
    said = [o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "stream"]
    assert not [output.text for output in said if output.name == "stderr"]
    assert not list(tmp_path.iterdir())
