"""The book's own machinery: guards that must catch every kind of broken notebook, and a build that must be whole."""

import copy
import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from tools import build_book, notebooks
from tools.notebooks import ROOT, faults, typed_numbers

CHAPTERS = sorted(ROOT.glob("book/*.py"))

GOOD = """# %% [markdown]
# # A chapter

# %%
value = 6 * 7
print("answer", value)

# %%
print("after")
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    (folder / "good.py").write_text(GOOD)
    notebooks.execute(folder / "good.py", folder / "good.ipynb")
    return folder / "good.ipynb"


@pytest.fixture
def broken(good, tmp_path):
    """A function that writes the good pair, changed by ``change(notebook)``, and returns its path."""

    def make(change=lambda notebook: None, source=GOOD):
        notebook = nbformat.read(good, as_version=4)
        change(notebook)
        (tmp_path / "x.py").write_text(source)
        (tmp_path / "x.ipynb").write_text(json.dumps(notebook))
        return tmp_path / "x.ipynb"

    return make


def nbval(path):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        ROOT / "pyproject.toml",
        "--rootdir",
        path.parent,
        "-p",
        "conftest",
    ]
    command += ["--nbval", "--nbval-current-env", "-q", "-p", "no:randomly", path]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=path.parent)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def never_run(notebook):
    code(notebook)[1].update(execution_count=None, outputs=[])


def out_of_order(notebook):
    code(notebook)[0].execution_count, code(notebook)[1].execution_count = 2, 1


def error_output(notebook):
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="bad", traceback=[])
    code(notebook)[1].outputs = [error]


def stderr_output(notebook):
    code(notebook)[1].outputs.append(nbformat.v4.new_output("stream", name="stderr", text="a warning"))


def machine_path(notebook):
    code(notebook)[1].outputs = [nbformat.v4.new_output("stream", text="read /home/me/data.npz")]


def stale_cell(notebook):
    code(notebook)[0].source = "value = 6 * 8\nprint('answer', value)"


def typed_number(notebook):
    notebook.cells[0].source += "\n\nThe accuracy is 0.47."


def no_code(notebook):
    notebook.cells = notebook.cells[:1]


BROKEN = {
    never_run: "was never run",
    out_of_order: "execution count",
    error_output: "error output ValueError",
    stderr_output: "stderr output",
    machine_path: "path of one machine '/home/me/data.npz'",
    stale_cell: "out of step with x.py",
    typed_number: "typed number '0.47'",
    no_code: "no code cell",
}


def test_a_good_notebook_has_no_fault_and_passes(good):
    assert faults(good) == []
    result = nbval(good)
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout


@pytest.mark.parametrize("change", BROKEN, ids=lambda change: change.__name__)
def test_each_fault_is_named(broken, change):
    assert any(BROKEN[change] in fault for fault in faults(broken(change))), faults(broken(change))


@pytest.mark.parametrize("change", [never_run, stale_cell, error_output], ids=lambda change: change.__name__)
def test_nbval_fails_on_faults(broken, change):
    result = nbval(broken(change))
    assert result.returncode == 1, result.stdout
    assert BROKEN[change] in result.stdout


def test_nbval_fails_on_a_changed_number_and_stops_there(broken):
    def changed(notebook):
        code(notebook)[0].outputs[0].text = "answer 43\n"

    result = nbval(broken(changed))
    assert result.returncode == 1
    assert "1 failed, 1 skipped" in result.stdout
    assert "answer 43" in result.stdout
    assert "an earlier cell of this notebook failed" in result.stdout


def test_a_missing_or_different_pair_is_named(broken):
    path = broken(source=GOOD.replace("after", "before"))
    assert any("out of step with x.py" in fault for fault in faults(path))
    path.with_suffix(".py").unlink()
    assert faults(path) == ["no paired file x.py"]


def test_an_unreadable_notebook_is_named(tmp_path):
    (tmp_path / "x.ipynb").write_text('{"cells": [')
    assert "not a readable notebook" in faults(tmp_path / "x.ipynb")[0]


def test_long_cells_are_named(broken):
    def long(notebook):
        code(notebook)[0].source = "\n".join(f"x{i} = {i}" for i in range(31))

    assert any("longer than 30 lines" in fault for fault in faults(broken(long)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("an accuracy of 0.47 on", ["0.47"]),
        ("about 30 % of the units, or 7.5%", ["30 %", "7.5%"]),
        ("by {glue:text}`acc` in $x = 0.5$ and `rate=0.1`", []),
        ("$$\n0.5 x\n$$ and (version 3.11 or newer)", ["3.11"]),
        ("```python\nx = 0.5\n```\nfine", []),
        ("see [here](file-0.5.html), python3.11, at 10 images", []),
        (":::{figure} x-0.5.png\n:width: 0.5\nA figure.\n:::", []),
    ],
)
def test_typed_numbers_are_found_in_prose_only(text, found):
    assert typed_numbers(text) == found


def test_execution_is_repeatable_and_sorted(good, tmp_path):
    notebooks.execute(good.with_suffix(".py"), tmp_path / "again.ipynb")
    assert (tmp_path / "again.ipynb").read_bytes() == good.read_bytes()
    notebook = json.loads(good.read_text())
    assert "execution" not in notebook["cells"][1]["metadata"]
    assert notebook["metadata"]["language_info"].keys() == notebooks.LANGUAGE.keys()


def test_rewording_keeps_outputs_and_refuses_other_code(broken):
    path = broken(source=GOOD.replace("# A chapter", "# Another title"))
    assert any("out of step" in fault for fault in faults(path))
    outputs = [cell.outputs for cell in code(nbformat.read(path, as_version=4))]
    notebooks.reword(path.with_suffix(".py"), path)
    again = nbformat.read(path, as_version=4)
    assert faults(path) == []
    assert "# Another title" in [cell.source for cell in again.cells]
    assert [cell.outputs for cell in code(again)] == outputs
    path.with_suffix(".py").write_text(GOOD.replace("6 * 7", "6 * 8"))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"x\.py has other code .* execute it: python -m tools\.notebooks run"):
        notebooks.reword(path.with_suffix(".py"), path)
    assert path.read_bytes() == before


def test_a_failing_cell_leaves_no_notebook(tmp_path):
    (tmp_path / "bad.py").write_text(GOOD + "\n# %%\n1 / 0\n")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        notebooks.execute(tmp_path / "bad.py", tmp_path / "bad.ipynb")
    assert not (tmp_path / "bad.ipynb").exists()


def test_a_killed_execution_leaves_no_notebook(tmp_path):
    started = tmp_path / "started"
    last = f"import time\n\nopen({str(started)!r}, 'w').close()\ntime.sleep(60)\n"
    (tmp_path / "slow.py").write_text(f"{GOOD}\n# %%\n{last}")
    command = [sys.executable, "-m", "tools.notebooks", "run", tmp_path / "slow.py", "--out", tmp_path / "slow.ipynb"]
    child = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if started.exists():
                break
            time.sleep(0.1)
        assert started.exists()
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        subprocess.run(["pkill", "-9", "-g", str(child.pid)], check=False)
    assert not (tmp_path / "slow.ipynb").exists()
    assert not (tmp_path / "slow.json").exists()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_stored_chapters_have_no_fault(chapter):
    assert faults(chapter.with_suffix(".ipynb")) == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_figures_of_chapters_are_complete(chapter):
    """Every cell that draws has a name, a caption that says on what, and an alternative text; and is referred to."""
    notebook = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for cell in code(notebook):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            about = cell.metadata["mystnb"]
            assert len(about["image"]["alt"]) > 40, cell.source
            assert re.search("[Pp]hoto patch|CIFAR-10|MNIST|synthetic", about["figure"]["caption"]), cell.source
            assert re.search(r"\bseeds?\b|four test images", about["figure"]["caption"]), cell.source
            assert f"{{numref}}`{about['figure']['name']}`" in text, about["figure"]["name"]


def test_pages_and_files_agree():
    pages = set(build_book.pages())
    files = {f"book/{path.stem}" for path in [*ROOT.glob("book/*.md"), *CHAPTERS]}
    assert pages == files


@pytest.fixture
def small_book(tmp_path, monkeypatch):
    """A rendered book of two pages, and the settings that make the checks look at it."""
    html = tmp_path / "html"
    (html / "book").mkdir(parents=True)
    (html / "_images").mkdir()
    (html / "_images" / "a.png").write_bytes(b"png")
    page = '<html><p id="fig-a"><img src="../_images/a.png" alt="a curve"></p><a href="two.html#there">x</a>'
    page += '<a href="explorer.html#spectra?models=kh&amp;first=3">x</a></html>'
    (html / "book" / "one.html").write_text(page)
    (html / "book" / "two.html").write_text('<p id="there"></p><a href="one.html">back</a><a href="https://x.y">x</a>')
    (html / "book" / "explorer.html").write_text('<p id="more"></p>')
    (html / "index.html").write_text("")
    executed = {"cells": [{"metadata": {"mystnb": {"figure": {"name": "fig-a"}}}}, {"metadata": {}}]}
    (tmp_path / "executed").mkdir()
    (tmp_path / "executed" / "one.ipynb").write_text(json.dumps(executed))
    monkeypatch.setattr(build_book, "pages", lambda: ["book/one", "book/two", "book/explorer"])
    monkeypatch.setattr(build_book, "EXECUTED", tmp_path / "executed")
    return html


def test_a_whole_book_is_accepted(small_book):
    assert build_book.verify(small_book) == []


def test_a_link_may_say_how_a_page_is_shown(small_book):
    page = small_book / "book" / "one.html"
    page.write_text(page.read_text().replace("two.html#there", "two.html?guess=1#there"))
    assert build_book.verify(small_book) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("book/two.html", None, None, "page book/two was not rendered"),
        ("index.html", None, None, "index.html is missing"),
        ("_images/a.png", None, None, "image ../_images/a.png is missing"),
        ("book/one.html", 'id="fig-a"', "", "figure fig-a is missing"),
        ("book/one.html", 'alt="a curve"', "", "no alternative text"),
        ("book/one.html", "#there", "#nowhere", "names a missing place"),
        ("book/one.html", "two.html", "three.html", "leads nowhere"),
        ("book/one.html", "two.html#there", "two.html?guess=1#nowhere", "names a missing place"),
        ("book/one.html", "<html>", "<html>Fig. ???", "unresolved"),
        (
            "book/one.html",
            "<html>",
            '<script src="../_static/explorer/x.js"></script>',
            "_static/explorer/x.js is missing",
        ),
        ("book/one.html", "two.html#there", "explorer.html#nowhere", "names a missing place"),
    ],
)
def test_what_is_missing_is_named(small_book, file, old, new, words):
    if old is None:
        (small_book / file).unlink()
    else:
        text = (small_book / file).read_text()
        assert old in text
        (small_book / file).write_text(text.replace(old, new))
    assert any(words in fault for fault in build_book.verify(small_book)), build_book.verify(small_book)


FAKE_PYTHON = """#!/bin/sh
# Stands in for Python: makes an environment whose pip records its calls, and dies on demand.
case "$*" in
  *"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; touch .venv/made-$$ ;;
  *"pip install"*) echo "$*" >> calls; if [ -e die ]; then kill -9 $PPID; kill -9 $$; fi ;;
esac
"""


def test_an_interrupted_installation_is_made_anew(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    python = tmp_path / "fake-python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)

    def make():
        return subprocess.run(["make", "setup", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True)

    (tmp_path / "die").touch()
    assert make().returncode != 0
    assert not (tmp_path / ".venv" / ".ready").exists()
    (half,) = (tmp_path / ".venv").glob("made-*")
    (tmp_path / "die").unlink()
    result = make()
    assert result.returncode == 0, result.stderr
    assert (tmp_path / ".venv" / ".ready").exists()
    assert not half.exists()  # the half-made environment is gone
    calls = (tmp_path / "calls").read_text().splitlines()
    assert "--require-hashes -r requirements.lock" in calls[-2]
    assert "--no-deps --no-build-isolation -e ." in calls[-1]
    assert make().stdout.count("installing") == 0  # ready: nothing to do


def test_an_old_python_is_refused(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c \"import sys; sys.version_info=(3, 9); sys.version='3.9.1 x'; $2\"\n"
    )
    python.chmod(0o755)
    command = ["make", "setup", f"PYTHON={python}"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode != 0
    assert "Python 3.11 or newer is needed, found 3.9.1; set PYTHON" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_faults_do_not_change_the_notebook(good):
    before = copy.copy(good.read_bytes())
    faults(good)
    assert good.read_bytes() == before
