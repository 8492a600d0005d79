"""The second lock, without CUDA: ``python -m tools.cpu_lock`` writes ``requirements-cpu.lock``.

It is ``requirements.lock`` but for torch and torchvision, which come in the same versions from PyTorch's own index of
builds for processors, with the digests that the index states, and for the packages of CUDA, which go. It needs
the network and nothing but Python.
"""

from __future__ import annotations

import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
LOCK, CPU_LOCK = ROOT / "requirements.lock", ROOT / "requirements-cpu.lock"
INDEX = "https://download.pytorch.org/whl/cpu"
INDEX_VARIABLE = "BIOADV_TORCH_INDEX"
FROM_INDEX = ("torch", "torchvision")
CUDA = re.compile(r"nvidia-|cuda-|triton$")
HEAD = """\
# Made from requirements.lock by `make lock TORCH=cpu`: the same versions, torch for processors, nothing of CUDA.
--extra-index-url {index}
"""


def blocks(lock: str) -> dict[str, str]:
    """The requirements of a lock by name: each with its version, marker and digests."""
    found = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^(?:#|--).*\n", "", lock).strip())
    return {re.split(r"==", block)[0]: block for block in found}


def version(block: str) -> str:
    """The version that a requirement is pinned to."""
    match = re.match(r"[a-z0-9._-]+==([^ \\;]+)", block)
    if not match:
        raise ValueError(f"{block.splitlines()[0]!r} is not NAME==VERSION; make the lock anew with `make lock`")
    return match[1]


def digests(page: str, name: str, pinned: str) -> list[str]:
    """SHA-256 of all files of a build for processors on an index page; ``ValueError`` if the index has none."""
    links = re.findall(r'href="[^"#]*/([^"/#]+)#sha256=([0-9a-f]{64})"', page)
    found = [digest for file, digest in links if unquote(file).startswith(f"{name}-{pinned}+cpu-")]
    if not found:
        raise ValueError(f"the index has no {name} {pinned}+cpu; wait until it has, or `make lock` another version")
    return sorted(set(found))


def cpu_lock(lock: str, index: str) -> str:
    """The text of the second lock; ``OSError`` if the index cannot be reached."""
    lines = [HEAD.format(index=index).rstrip()]
    for name, block in blocks(lock).items():
        if CUDA.match(name):
            continue
        if name in FROM_INDEX:
            pinned = version(block)
            with urllib.request.urlopen(f"{index.rstrip('/')}/{name}/", timeout=60) as answer:
                found = digests(answer.read().decode(), name, pinned)
            block = " \\\n".join([f"{name}=={pinned}+cpu", *(f"    --hash=sha256:{digest}" for digest in found)])
        lines.append(block)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    index = os.environ.get(INDEX_VARIABLE, INDEX)
    try:
        text = cpu_lock(LOCK.read_text(), index)
    except (urllib.error.URLError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        sys.exit(f"cpu_lock: {index} cannot be reached ({reason}); try where it can, or leave TORCH=cpu out")
    except ValueError as error:
        sys.exit(f"cpu_lock: {error}")
    temporary = CPU_LOCK.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(CPU_LOCK)


if __name__ == "__main__":
    main()
