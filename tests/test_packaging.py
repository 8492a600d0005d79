import os
import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked():
    return re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ \\;]+)", LOCK, re.MULTILINE)


def test_every_requirement_is_pinned_with_hashes_and_comes_from_no_particular_place():
    blocks = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", LOCK, flags=re.MULTILINE).strip())
    assert len(blocks) > 100
    for block in blocks:
        assert re.match(r"[a-z0-9._-]+==\S+", block), block
        assert "--hash=sha256:" in block, block
    assert not re.search(r"://|file:|--index|--extra-index|--find-links|@", LOCK)


def test_the_lock_covers_all_direct_requirements():
    names = {name for name, _ in locked()}
    extras = PROJECT["project"]["optional-dependencies"]
    direct = [*PROJECT["project"]["dependencies"], *(r for rs in extras.values() for r in rs)]
    wanted = {re.match(r"[A-Za-z0-9_-]+", r)[0].lower().replace("_", "-") for r in direct} - {"bioadv"}
    assert wanted <= names, wanted - names
    assert {"hatchling", "editables"} <= names  # what an installation without build isolation needs


def test_make_hands_on_paths_that_hold_in_any_folder(tmp_path):
    """Notebooks run in folders of their own: a relative path of images would be looked for there."""
    (tmp_path / "my-photos").mkdir()
    show = "show: ; @echo $${BIOADV_DATA:-} $${BIOADV_DATA_DIR:-}"

    def given(**variables):
        command = ["make", "-s", "-f", ROOT / "Makefile", f"--eval={show}", "show"]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("BIOADV")}
        return subprocess.run(
            command, cwd=tmp_path, env={**plain, **variables}, capture_output=True, text=True, check=True
        ).stdout.split()

    assert given() == []
    assert given(BIOADV_DATA="my-photos/") == [str(tmp_path / "my-photos")]
    assert given(BIOADV_DATA="cifar10", BIOADV_DATA_DIR="data") == ["cifar10", str(tmp_path / "data")]
    assert given(BIOADV_DATA="elsewhere.npz") == ["elsewhere.npz"]  # its absence is the chapter's to report


def test_the_locked_pair_is_what_runs():
    pins = dict(locked())
    for name in ("torch", "torchvision", "jupyter-book", "nbval", "jupytext", "safetensors"):
        assert version(name).split("+")[0] == pins[name]


def test_extras_and_python_version():
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert set(PROJECT["project"]["optional-dependencies"]) == {"book", "test", "study", "referees"}


def test_conda_environment_defers_to_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [d for d in environment["dependencies"] if isinstance(d, str)]
    (pip,) = (d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert {re.match(r"[a-z]+", d)[0] for d in conda} == {"python", "pip", "make"}
    assert pip == ["-e .[book,test,study,referees]"]


def test_readme_commands_exist():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    used = set(re.findall(r"`?make ([a-z0-9-]+)", readme))
    assert {"book", "test"} <= used <= targets


def test_no_pickle_anywhere():
    for file in [*ROOT.glob("bioadv/**/*.py"), *ROOT.glob("book/*.py"), *ROOT.glob("tools/*.py")]:
        assert not re.search(r"allow_pickle=True|import pickle|torch\.(load|save)\(", file.read_text()), file
