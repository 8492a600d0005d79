"""No two purposes share a seed, and no seed is set elsewhere."""

import ast
import itertools
from pathlib import Path

import pytest

from bioadv.network import streams

PACKAGE = Path(__file__).resolve().parent.parent / "bioadv"
STREAMS = {name: value for name, value in vars(streams).items() if name.isupper()}


def test_no_two_streams_share_a_seed():
    assert len(STREAMS) >= 7
    for (one, first), (other, second) in itertools.combinations(STREAMS.items(), 2):
        assert max(first[0], second[0]) > min(first[-1], second[-1]), (one, other)
    assert max(values[-1] for values in STREAMS.values()) < 2**32  # what other libraries take


def test_a_place_outside_of_a_stream_is_refused():
    assert streams.pick(streams.ORDER, 7) == 10_007
    for place in (-1, 10_000):
        with pytest.raises(ValueError, match=f"seed = {place}; give an integer from 0 to 9999"):
            streams.pick(streams.ORDER, place)


def test_generators_of_torch_are_seeded_from_the_table():
    """By a name or a setting, never by a number written elsewhere in the package."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "manual_seed":
                numbers = [n for a in node.args for n in ast.walk(a) if isinstance(n, ast.Constant) and n.value != 1000]
                assert not [n for n in numbers if isinstance(n.value, int)], f"{path}:{node.lineno}"
