"""A training step recorded as one CUDA graph: at this model's size a GPU waits for launches, not for arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import torch

Tensor = torch.Tensor
Step = Callable[[Tensor, Tensor, Tensor | None], Tensor]
WARMUP = 3  # steps before recording, so that allocations and library handles exist


def captured(step: Step, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Step:
    """Wrap a step (inputs, labels, directions) -> results so that it is recorded once and then replayed.

    The weights and the optimizer's state are saved before the warm-up steps and put back after them. The optimizer
    must be ``capturable``. Batches of another shape than the first (a shorter last one) run the step as it is.
    """
    recorded: dict[str, object] = {}

    def run(inputs: Tensor, labels: Tensor, directions: Tensor | None) -> Tensor:
        if "graph" not in recorded:
            with torch.cuda.device(inputs.device):  # streams and graphs belong to the current device
                _record(recorded, step, model, optimizer, inputs, labels, directions)
        static: list[Tensor | None] = recorded["static"]  # type: ignore[assignment]
        given = (inputs, labels, directions)
        if any(a is not None and b is not None and a.shape != b.shape for a, b in zip(static, given, strict=True)):
            return step(inputs, labels, directions)
        for buffer, value in zip(static, given, strict=True):
            if buffer is not None and value is not None:
                buffer.copy_(value)
        recorded["graph"].replay()  # type: ignore[attr-defined]
        return recorded["results"].clone()  # type: ignore[attr-defined]

    return run


def _record(
    recorded: dict[str, object],
    step: Step,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    directions: Tensor | None,
) -> None:
    static = [inputs.clone(), labels.clone(), None if directions is None else directions.clone()]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    moments = {p: {k: v.clone() for k, v in s.items()} for p, s in optimizer.state.items()}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARMUP):
            step(*static)  # type: ignore[arg-type]
    torch.cuda.current_stream().wait_stream(side)
    optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step(*static)  # type: ignore[arg-type]
    with torch.no_grad():  # in place: the graph holds the addresses
        for name, value in model.state_dict().items():
            value.copy_(weights[name])
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                value.copy_(moments[parameter][key]) if parameter in moments else value.zero_()
    recorded.update(static=static, graph=graph, results=results)
