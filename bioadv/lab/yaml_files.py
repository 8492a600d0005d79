"""Read YAML files and check them against :mod:`bioadv.lab.schemas`; each fault is told in a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class _Once(yaml.SafeLoader):
    """A loader that refuses a key which stands twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set[Any]()
        for key, _ in node.value:
            name = key.value
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a list or a table; give text", key.start_mark
                )
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {name!r} stands twice; leave one", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def read(path: Path) -> Any:
    """Read a YAML file; ``ValueError`` with its name, and the line, if it is not UTF-8, no YAML, or has a key twice."""
    try:
        return yaml.load(path.read_bytes().decode("utf-8-sig"), Loader=_Once)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (at byte {error.start}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ValueError(f"{where}: {problem or ' '.join(str(error).split())}; correct the YAML") from None


def check(model: type[Model], value: Any, file: str | Path) -> Model:
    """``value`` as ``model``; ``ValueError`` with a line per fault: file, key, value and what to give instead."""
    if not isinstance(value, dict):
        raise ValueError(f"{file}: {_short(value)} is not a table of keys; see the shipped files for one")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        lines = dict.fromkeys(_line(model, fault) for fault in error.errors(include_url=False))
        raise ValueError("\n".join(f"{file}: {line}" for line in lines)) from None


def _line(model: type[BaseModel], fault: Any) -> str:
    steps = [step for step in fault["loc"] if step not in ("float", "str")]
    keys, help_, place = _walk(model, steps)
    name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    if fault["type"] == "missing":
        return f"{name} is missing; give {help_}"
    if fault["type"] == "extra_forbidden":
        return f"{name} is not a key{place}; choose from {', '.join(keys)}"
    return f"{name} = {_short(fault['input'])}; give {help_ or fault['msg']}"


def _walk(model: type[BaseModel], steps: list[Any]) -> tuple[list[str], str, str]:
    """For a place in a file: the keys there, what the innermost described key wants, and a name for the place."""
    kind, keys, help_, place = model, list(model.model_fields), "", ""
    inner: Any = model
    for step in steps:
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            kind, keys = inner, list(inner.model_fields)
            field = kind.model_fields.get(step)
            if field is None:
                break
            help_, inner = field.description or help_, _core(field.annotation)
        else:
            place = f" of {step}" if isinstance(step, str) else place
            inner = _core(get_args(inner)[-1]) if get_args(inner) else None
    return keys, help_, place


def _core(annotation: Any) -> Any:
    """A type without its annotations; of a union, the first."""
    if get_origin(annotation) is Annotated:
        return _core(get_args(annotation)[0])
    arguments = [one for one in get_args(annotation) if one is not type(None)]
    is_union = get_origin(annotation) not in (list, dict, None)
    return _core(arguments[0]) if is_union and arguments else annotation


def _short(value: Any, show: Callable[[Any], str] = repr) -> str:
    text = show(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
