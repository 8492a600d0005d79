"""The page on extending, typed in and run as it stands, in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bioadv.lab import scales

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(python|diff|bash)\n(?:# (\S+\.(?:py|yaml|yml))\n)?(.*?)^```$", re.M | re.S)
PAGE = (ROOT / "book" / "extending.md").read_text()


def blocks(text):
    """Kind, file (or an empty text) and content of each block of code."""
    return [match.groups(default="") for match in BLOCK.finditer(text)]


def patched(text, diff):
    """A text after a diff: its lines, without those added, have to stand there, once."""
    lines = diff.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if line[:1] in " -")
    after = "".join(f"{line[1:]}\n" for line in lines if line[:1] in " +")
    assert text.count(before) == 1, before
    return text.replace(before, after)


@pytest.fixture
def clone(tmp_path):
    for name in ("bioadv", "tools", "workflow", "book"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.ipynb"))
    for name in ("_toc.yml", "jupytext.toml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "results").symlink_to(ROOT / "results")
    return tmp_path


@pytest.mark.slow
def test_everything_on_the_page_runs_and_makes_nothing_stale(clone):
    given = {
        "PYTHONPATH": str(clone),
        scales.EFFORT_VARIABLE: "0.2",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    given |= {"MPLBACKEND": "agg"}
    kept = {name: value for name, value in os.environ.items() if name not in ("BIOADV_DATA", "BIOADV_RESULTS")}

    def run(*words):
        done = subprocess.run(words, cwd=clone, env=kept | given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words[-1], done.stdout[-1500:], done.stderr[-3000:])
        return done.stdout

    printed = ""
    for kind, file, content in blocks(PAGE):
        if kind == "diff":
            (clone / file).write_text(patched((clone / file).read_text(), content))
        elif file:
            assert not (clone / file).exists()
            (clone / file).write_text(content)
        elif kind == "python":
            printed += run(sys.executable, "-c", content)
        else:
            printed += run("bash", "-euc", content)
    assert "runs/digits.npz/sparse/seed-0/activity.npz" in printed
    assert re.search(r"kh \{0: [\d.]+.*\nbp \{0: ", printed)
    assert re.search(r"bp: \d+% correct, penalty 0.0000\nshort-quiet: \d+% correct, penalty 0\.\d*[1-9]", printed)
    assert re.search(r"half of the images are lost with \d+% of their contrast; \d+ never are", printed)
    assert (clone / "book" / "activity.ipynb").is_file()
    assert ", 0 stale" in run(sys.executable, "-m", "bioadv.lab.accept", "results")
    assert "sparse                 control" in run("bioadv", "list")
    run(sys.executable, "-c", CONFIGURATIONS)
    run(sys.executable, "-m", "ruff", "check", "bioadv", "book/activity.py")


CONFIGURATIONS = """
import yaml
from bioadv.lab import experiments, plan, study
for name in ("cifar10", "photo-patches"):
    chosen = plan.read(yaml.safe_load(open(f"workflow/config/{name}.yaml")))
    assert {"sparse", "short-quiet"} <= {run.model for stage in chosen.stages for run in stage.runs}
assert all("sparse" in study.members(place) for place in experiments.SETS)
"""


def test_a_kind_of_hidden_layer_is_one_module_and_at_most_ten_lines_elsewhere():
    section = PAGE[PAGE.index("## A kind of hidden layer") : PAGE.index("## A penalty")]
    new = [file for kind, file, _ in blocks(section) if kind == "python" and file]
    added = [line for kind, _, content in blocks(section) if kind == "diff" for line in content.splitlines()]
    assert new == ["bioadv/network/sparse.py"]
    assert 0 < sum(line.startswith("+") for line in added) <= 10


def test_a_diff_that_does_not_fit_is_noticed():
    assert patched("a\nb\nc\n", " b\n+x\n-c\n") == "a\nb\nx\n"
    with pytest.raises(AssertionError):
        patched("a\nb\n", " c\n+x\n")
    with pytest.raises(AssertionError):
        patched("a\na\n", " a\n+x\n")
