"""The reader's copy of the chapters: new versions come in, what the reader changed stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from bioadv.lab import chapters as lab

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def book(tmp_path):
    folder = tmp_path / "it's a book"
    (folder / "_static" / "deep").mkdir(parents=True)
    for name in ("a.ipynb", "b.ipynb", "page.md", "_static/deep/x.svg", "a.py"):
        (folder / name).write_text(f"{name}, version 1")
    return folder


@pytest.fixture
def make(tmp_path):
    """A function that runs targets of the Makefile in a folder of its own."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "bioadv").mkdir()

    def call(*words, **variables):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("BIOADV_", "MAKE"))}
        made = subprocess.run(
            ["make", *words], cwd=tmp_path, env={**clean, **variables}, capture_output=True, text=True
        )
        assert made.returncode == 0, made.stderr
        return tmp_path / "_build"

    return call


def test_cleaning_leaves_the_readers_copy(make, tmp_path):
    for name in ("lab", "html"):
        (tmp_path / "_build" / name).mkdir(parents=True)
        (tmp_path / "_build" / name / "a.ipynb").write_text("mine")
    build = make("clean")
    assert [path.name for path in build.iterdir()] == ["lab"]
    assert (build / "lab" / "a.ipynb").read_text() == "mine"


def test_chapters_are_executed_anew_for_other_images_results_or_effort(make):
    """The file that they depend on is written when one of these is another, and only then."""
    settings = make("_build/settings") / "settings"
    assert settings.read_text() == ""
    seen = settings.stat().st_mtime_ns
    make("_build/settings")
    assert settings.stat().st_mtime_ns == seen
    for variable, value in (("BIOADV_EFFORT", "0.1"), ("BIOADV_DATA", "mnist"), ("BIOADV_RESULTS", "other runs")):
        make("_build/settings", **{variable: value})
        assert settings.read_text() == f"{variable}={value}\n"
    make("_build/settings", BIOADV_EFFORT="0.1", BIOADV_DATA="mnist")
    assert settings.read_text() == "BIOADV_DATA=mnist\nBIOADV_EFFORT=0.1\n"


def test_what_the_reader_changed_stays_and_the_new_version_lies_beside(book, tmp_path):
    copy = tmp_path / "lab"
    assert lab.refresh(book, copy) == []
    names = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    assert names == {"a.ipynb", "b.ipynb", "page.md", "_static/deep/x.svg", lab.COPIED}
    (copy / "a.ipynb").write_text("mine")
    assert lab.refresh(book, copy) == []  # nothing new in the book
    for name in ("a.ipynb", "b.ipynb"):
        (book / name).write_text(f"{name}, version 2")
        later = (copy / name).stat().st_mtime + 100
        os.utime(book / name, (later, later))
    [said] = lab.refresh(book, copy)
    assert said == f"{copy / 'a.ipynb'} is yours and stays as it is; the book's new version is a.new.ipynb beside it"
    assert (copy / "a.ipynb").read_text() == "mine"
    assert (copy / "a.new.ipynb").read_text() == "a.ipynb, version 2"
    assert (copy / "b.ipynb").read_text() == "b.ipynb, version 2"
    assert lab.refresh(book, copy) == []  # said once
    (copy / "a.new.ipynb").write_text("also mine")
    (book / "a.ipynb").write_text("version 3")
    assert "a.new1.ipynb" in lab.refresh(book, copy)[0]
    assert [(copy / f"a{new}.ipynb").read_text() for new in ("", ".new", ".new1")] == ["mine", "also mine", "version 3"]


def test_a_copy_of_an_earlier_version_of_the_tool_is_the_readers(book, tmp_path):
    copy = tmp_path / "lab"
    copy.mkdir()
    (copy / "a.ipynb").write_text("perhaps mine")
    (copy / "b.ipynb").write_text("b.ipynb, version 1")
    assert len(lab.refresh(book, copy)) == 1
    assert (copy / "a.ipynb").read_text() == "perhaps mine"
    (copy / lab.COPIED).write_text("[]")
    with pytest.raises(ValueError, match=r"copied\.json holds '\[\]', not a JSON object"):
        lab.refresh(book, copy)


@pytest.mark.skipif(os.geteuid() != 0, reason="is about root")
def test_root_is_told_what_to_do():
    """The real command; JupyterLab alone would refuse with a line that names an option of its own."""
    code = "from bioadv.lab import chapters; from tools import lab; chapters.refresh = lambda *given: []; lab.main([])"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "make lab: JupyterLab does not run as root. Run it as another user, or" in told.stderr
    assert "make lab OPTIONS=--allow-root" in told.stderr
    recipe = subprocess.run(["make", "-n", "lab", "OPTIONS=--allow-root"], cwd=ROOT, capture_output=True, text=True)
    assert "tools.lab --allow-root" in recipe.stdout


CHAPTER = """
# %%
import matplotlib.pyplot as plt
from bioadv.pages.notebook import begin

_ = plt.figure()
"""


def test_a_home_folder_that_cannot_be_written_puts_nothing_into_outputs(tmp_path):
    (tmp_path / "x.py").write_text(CHAPTER)
    command = [sys.executable, "-m", "tools.notebooks", "run", tmp_path / "x.py", "--out", tmp_path / "x.ipynb"]
    # A home below /proc cannot be made even by root.
    unset = (
        "MPLCONFIGDIR",
        "IPYTHONDIR",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        *(n for n in os.environ if "JUPYTER" in n),
    )
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    environment = {**kept, "HOME": "/proc/nobody", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(tmp_path / "x.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "stream"], outputs


def test_stored_notebooks_are_not_compared_with_other_images():
    """An exported BIOADV_DATA is named before any cell runs."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--collect-only", "-q", "book/claims.ipynb"]
    environment = {**os.environ, "BIOADV_DATA": "mnist"}
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 4, told.stdout
    wanted = "BIOADV_DATA = 'mnist' is set, and the stored notebooks were made without it: unset it"
    assert wanted in told.stdout + told.stderr
    recipe = subprocess.run(["make", "-n", "nbval-1"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "env -u BIOADV_DATA -u BIOADV_RESULTS" in recipe


def test_the_digests_of_the_copy_are_plain_json(book, tmp_path):
    lab.refresh(book, tmp_path / "lab")
    known = json.loads((tmp_path / "lab" / lab.COPIED).read_text())
    assert set(known) == {"a.ipynb", "b.ipynb", "page.md", "_static/deep/x.svg"}
