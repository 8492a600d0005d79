"""Chapters as notebooks: run them, keep them in step with their py:percent files, and refuse bad ones.

``python -m tools.notebooks run book/x.py``            execute x.py and store its outputs in book/x.ipynb
``python -m tools.notebooks run book/x.py --out f.ipynb``  execute into another file, for the book
``python -m tools.notebooks reword book/x.py``         take over changed prose and captions, keep the stored outputs
``python -m tools.notebooks check book/*.ipynb``       list every fault of stored notebooks; exit 1 if there is any
"""

from __future__ import annotations

import argparse
import atexit
import difflib
import hashlib
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jupytext.config import load_jupytext_configuration_file
from nbclient import NotebookClient

from bioadv.data.files import atomic, versions, write_json

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "_build" / "figures"  # what the pages show in place of a notebook's PNGs, see bioadv.pages.press
LONGEST_CELL = 30  # lines of code; a reader should see a cell whole
CELL_SECONDS = int(os.environ.get("BIOADV_CELL_SECONDS", "300"))  # a dead kernel would otherwise hang for ever

# Threads that wait should sleep: on a busy machine spinning ones make small matrix products 30 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Where the home folder may not be written, Jupyter does not start, and matplotlib warns into the outputs of a chapter.
HOMES = ("MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
if not os.access(Path("~").expanduser(), os.W_OK):
    _place = tempfile.mkdtemp(prefix="bioadv-home-")
    atexit.register(shutil.rmtree, _place, ignore_errors=True)
    for _name in HOMES:
        os.environ.setdefault(_name, f"{_place}/{_name.lower()}")

# Metadata that differs between machines or runs says nothing about the chapter.
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}


def read_source(path: Path) -> Any:
    """Read a py:percent chapter as a notebook without outputs, with identifiers made from what the cells say."""
    config = load_jupytext_configuration_file(str(ROOT / "jupytext.toml"))
    notebook = jupytext.read(path, fmt="py:percent", config=config)
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        # From content, not at random: running again without a change leaves no difference in git.
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:10]
        seen[digest] += 1
        cell.id = f"{digest}-{seen[digest]}"
    return notebook


def write_source(notebook: Any) -> str:
    """The py:percent text of a notebook, as it should stand in its paired file."""
    config = load_jupytext_configuration_file(str(ROOT / "jupytext.toml"))
    text: str = jupytext.writes(notebook, fmt="py:percent", config=config)
    return text


def execute(source: Path, out: Path) -> float:
    """Execute a chapter in its folder and write the notebook to ``out``, whole or not at all; return the seconds taken.

    Raises ``nbclient.exceptions.CellExecutionError`` at the first cell that fails.
    """
    notebook = read_source(source)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(ROOT / "book")}},
    )
    # Checks leave out their values, and figures are filed for the book.
    settings = {"BIOADV_STORED": "1", "BIOADV_FIGURES": str(FIGURES)}
    start = time.perf_counter()
    client.execute(env={**os.environ, **settings})
    seconds = time.perf_counter() - start
    _store(notebook, out)
    return seconds


def reword(source: Path, out: Path) -> None:
    """Take over changed prose, captions and tags from ``source`` into the stored ``out`` and keep its outputs.

    Raises ``ValueError`` if any code has changed: then the outputs would no longer be its own.
    """
    notebook, stored = read_source(source), nbformat.read(out, as_version=4)
    new, old = ([cell for cell in book.cells if cell.cell_type == "code"] for book in (notebook, stored))
    if [cell.source for cell in new] != [cell.source for cell in old]:
        command = shlex.join(["python", "-m", "tools.notebooks", "run", str(source)])
        raise ValueError(f"{source} has other code than {out}; execute it: {command}")
    for cell, executed in zip(new, old, strict=True):
        cell.execution_count, cell.outputs = executed.execution_count, executed.outputs
    _store(notebook, out)


def _store(notebook: Any, out: Path) -> None:
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode(sorted(cell.metadata.items()))
    nbformat.validate(notebook)
    with atomic(out) as temporary:
        temporary.write_text(json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def faults(path: Path) -> list[str]:
    """Everything wrong with a stored notebook, one line each; an empty list for a good one."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        return [f"not a readable notebook ({error})"]
    found = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if not code:
        found.append("no code cell: nothing would be tested")
    for number, cell in enumerate(code, 1):
        where = f"code cell {number} ({cell.source.splitlines()[0][:40]!r})"
        if cell.execution_count is None:
            found.append(f"{where} was never run")
        elif cell.execution_count != number:
            found.append(f"{where} has execution count {cell.execution_count}: run all cells in order")
        if len([line for line in cell.source.splitlines() if line.strip()]) > LONGEST_CELL:
            found.append(f"{where} is longer than {LONGEST_CELL} lines: move code into the package")
        found += [f"{where}: {fault}" for output in cell.outputs for fault in _output_faults(output)]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found += [f"typed number {number!r} in prose: glue it" for number in typed_numbers(cell.source)]
    return found + _pair_faults(path, notebook)


def _output_faults(output: Any) -> list[str]:
    if output.output_type == "error":
        return [f"error output {output.ename}"]
    if output.output_type == "stream" and output.name == "stderr":
        return [f"stderr output {output.text.strip()[:60]!r}"]
    text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
    paths = re.findall(r"(?:/home|/root|/tmp|/work|/Users|[A-Z]:\\)[^\s'\"]*", text)
    return [f"path of one machine {found!r} in the output" for found in paths]


def _pair_faults(path: Path, notebook: Any) -> list[str]:
    pair = path.with_suffix(".py")
    if not pair.is_file():
        return [f"no paired file {pair.name}"]
    stored, expected = pair.read_text(), write_source(notebook)
    if stored == expected:
        return []
    lines = difflib.unified_diff(stored.splitlines(), expected.splitlines(), pair.name, path.name, "", "", 0, "")
    changed = [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]
    return [f"out of step with {pair.name}: {changed[0][:80]!r} and {len(changed) - 1} more lines; run `make run`"]


def typed_numbers(markdown: str) -> list[str]:
    """Decimal numbers and percentages that stand in prose, outside code, formulas, roles, directives and links."""
    prose = re.sub(r"(?ms)^(`{3,})(?:\w|\{(?:math|code|eval-rst))[^\n]*\n.*?^\1\s*$", " ", markdown)
    prose = re.sub(r"(?m)^(?:`{3,}|:{3,}).*$|^:\w[\w-]*:.*$", " ", prose)  # directive lines and their options
    prose = re.sub(r"(?s)\$\$.*?\$\$|\$[^$]*\$|\{[\w:]+\}`[^`]*`|`[^`]*`|\]\([^)]*\)|<[^>]*>", " ", prose)
    return re.findall(r"(?<![\w.-])\d+(?:\.\d+)?\s?%|(?<![\w.-])\d+\.\d+(?![\w.]*\d)", prose)


def main(arguments: list[str] | None = None) -> int:
    """Run, reword or check chapters; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "reword", "check"])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="with run: the notebook to write (one chapter)")
    options = parser.parse_args(arguments)
    status = 0
    for file in options.files:
        if options.action == "run":
            out = options.out or file.with_suffix(".ipynb")
            print(f"running {file} ...", flush=True)
            seconds = execute(file, out)
            print(f"running {file} took {seconds:.0f} s", flush=True)
            if options.out:
                write_json(out.with_suffix(".json"), {"chapter": file.stem, "seconds": round(seconds, 1), **versions()})
        elif options.action == "reword":
            reword(file, file.with_suffix(".ipynb"))
        else:
            for fault in faults(file):
                print(f"{file}: {fault}")
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
