"""A progress bar over the steps of something long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def bar(steps: Sequence[T], progress: bool | str) -> Iterable[T]:
    """The steps with a progress bar, if one is asked for; a text is its title."""
    return tqdm(steps, progress if isinstance(progress, str) else "search", disable=not progress, leave=False)
