"""The example on the page for teachers, typed in and run as it stands, but for the length of its trainings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "book" / "teaching.md").read_text()


@pytest.mark.slow
def test_the_example_of_the_assignment_ends_in_a_verdict(tmp_path):
    trainings, judging = (re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.M | re.S)[1] for kind in ("bash", "python"))
    assert trainings.count("bioadv train") == 2
    short = re.sub(r"(bioadv train .*)", r"\1 --epochs 1 --no-progress", trainings)
    given = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for words in (["bash", "-euc", short], [sys.executable, "-c", judging]):
        done = subprocess.run(words, cwd=tmp_path, env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    verdict = r"Verdict\(label='(not )?reproduced( in part)?', seeds=3, values=\{'accuracy, bp': \[0"
    assert re.match(verdict, done.stdout)
