import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
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
    show = 'show: ; @printf "%s|" "$${BIOADV_DATA:-}" "$${BIOADV_DATA_DIR:-}"'

    def given(*words, **variables):
        """What recipes see, by the environment; the same on make's command line, where ``$`` is make's own."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("BIOADV")}
        shown = []
        for more, environment in ((words, variables), ([f"{n}={v}" for n, v in variables.items()], {})):
            command = ["make", "-s", "-f", ROOT / "Makefile", f"--eval={show}", "show", *more]
            run = subprocess.run(command, cwd=tmp_path, env={**plain, **environment}, capture_output=True, check=True)
            shown.append([value for value in run.stdout.decode().split("|") if value])
        assert shown[0] == shown[1]
        return shown[0]

    assert given() == []
    assert given(BIOADV_DATA="my-photos/") == [str(tmp_path / "my-photos")]
    assert given(BIOADV_DATA="cifar10", BIOADV_DATA_DIR="data") == ["cifar10", str(tmp_path / "data")]
    odd = """it's a "test" {x} $(shell touch PWNED) `touch PWNED`;, touch PWNED"""
    for name in ("my photos", odd):
        (tmp_path / name).mkdir()
        assert given(BIOADV_DATA=name + "/", BIOADV_DATA_DIR=name) == [str(tmp_path / name)] * 2
    assert not (tmp_path / "PWNED").exists()
    assert given(BIOADV_DATA="elsewhere.npz") == ["elsewhere.npz"]  # its absence is the chapter's to report


def test_the_locked_pair_is_what_runs():
    pins = dict(locked())
    for name in ("torch", "torchvision", "jupyter-book", "nbval", "jupytext", "safetensors"):
        assert version(name).split("+")[0] == pins[name]


def test_uv_reads_the_lock_as_pip_does():
    """With uv, as the book describes it, this environment is what the lock asks for: it has nothing to install."""
    uv = Path(sys.prefix) / "bin" / "uv"
    if not uv.is_file() or "+cpu" in version("torch"):
        pytest.skip("not the environment of requirements.lock, which has uv")
    command = [uv, "pip", "sync", "--dry-run", "--offline", "--no-config", "--no-cache", "requirements.lock"]
    assert "uv pip sync requirements.lock" in (ROOT / "book" / "running.md").read_text()
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stderr
    resolved = re.search(r"(?:Resolved|Audited) (\d+) packages", told)
    assert resolved, told
    assert int(resolved[1]) > 100
    assert "Would install" not in told, told


def test_extras_and_python_version():
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert set(PROJECT["project"]["optional-dependencies"]) == {"book", "test", "study", "referees"}


def test_floors_are_those_of_pyproject():
    """What the job with the oldest versions installs is what pyproject.toml promises."""
    floors = dict(re.findall(r"(?m)^([a-z-]+)==(\S+)$", (ROOT / "constraints" / "floors.txt").read_text()))
    promised = dict(re.match(r"([a-z-]+)>=([\d.]+)$", text).groups() for text in PROJECT["project"]["dependencies"])
    assert floors.keys() == promised.keys()
    for name, floor in promised.items():
        assert (floors[name] + ".").startswith(floor + "."), name
    colab = {"torch": "2.11.0", "torchvision": "0.26.0", "numpy": "2.1.3", "scikit-image": "0.25.2"}
    assert {name: floors[name] for name in colab} == colab


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


# What runs on other people's machines

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_actions_are_pinned_by_commit():
    """A tag can be moved to other code; the comment says which one the commit had."""
    lines = [line for path in WORKFLOWS for line in path.read_text().splitlines() if re.search(r"\buses:", line)]
    assert lines
    for line in lines:
        assert re.search(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_jobs_install_what_tests_of_the_wheel_can_hide():
    """These tests import bioadv from the wheel alone, so no job may put it among the other packages."""
    steps = [
        step.get("run", "")
        for path in WORKFLOWS
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        for step in job["steps"]
    ]
    installs = [run for run in steps if re.search(r"pip install .*\.\[", run)]
    assert len(installs) == 2
    assert all(' -e ".[' in run for run in installs)


MAY_WRITE = {
    ("pages", "deploy"): {"pages", "id-token"},
    ("pages", "notebooks"): {"contents"},
    ("release", "publish"): {"contents"},
    ("versions", "report"): {"issues"},
}


def test_every_job_has_the_least_permissions():
    """None by default, and what a job needs is stated by the job."""
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {}, path
        for name, job in workflow["jobs"].items():
            granted = job["permissions"]
            writing = {scope for scope, level in granted.items() if level == "write"}
            assert writing == MAY_WRITE.get((path.stem, name), set()), (path, name)
            if writing:  # such a job runs nothing that was installed, and no code of a pull request
                used = {step.get("uses", "").partition("@")[0] for step in job["steps"]} - {""}
                assert used <= {"actions/deploy-pages", "actions/download-artifact"}, (path, name)
                assert not any(re.search(r"pip |make |python", step.get("run", "")) for step in job["steps"]), (
                    path,
                    name,
                )
            for step in job["steps"]:
                if "actions/checkout" in step.get("uses", ""):
                    assert step["with"]["persist-credentials"] is False, (path, name)


def test_dependabot_keeps_the_pins_current():
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} >= {"github-actions", "pip"}
