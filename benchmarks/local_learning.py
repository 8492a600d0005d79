"""One step of local learning at the paper's size, beside its matrix product and a dense step that is written well."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.timing import interleaved, report
from bioadv.data.datasets import load, unit_lp
from bioadv.network import kh_params
from bioadv.network import local_learning as ll

Tensor = torch.Tensor


def dense_step(w: Tensor, m: Tensor, x: Tensor, params: kh_params.KHParams, rate: float) -> None:
    """The rule with dense matrices but no sort, no needless copies and a cached metric: what one would write first."""
    response, unit = ll.responses(x, m).topk(params.k, dim=1)
    response, unit = response[:, [0, -1]], unit[:, [0, -1]]
    g = torch.zeros(len(x), len(w))
    g.scatter_(1, unit[:, :1], 1.0).scatter_(1, unit[:, 1:], -params.delta)
    signs = response.new_tensor([1.0, -params.delta])
    decay = torch.zeros(len(w)).index_add_(0, unit.flatten(), (signs * response).flatten())
    change = torch.addcmul(g.T @ x, decay[:, None], w, value=-1)
    low, high = change.aminmax()
    w.add_(change.mul_(rate / torch.maximum(-low, high)))
    torch.mul(w, w.abs(), out=m)


def main() -> None:
    """Print the ratios for float32, and for bfloat16 products where the processor has them."""
    params = kh_params.PAPER_CIFAR10
    x_all = unit_lp(load("photo-patches").train)
    generator = torch.Generator().manual_seed(0)
    w = ll.init(params, x_all.shape[1], generator)
    m = ll.metric(w, params.p)
    for chosen in torch.randperm(len(x_all), generator=generator).repeat(20).split(params.batch):
        ll.step(w, m, x_all[chosen], params, 0.02)  # so that many units compete, as in most of the training
    x = x_all[: params.batch].clone()
    touched = len(torch.unique(ll.responses(x, m).topk(2, dim=1)[1]))
    w2, m2 = w.clone(), m.clone()
    functions = {
        "product x @ M": lambda: ll.responses(x, m),
        "the same by torch's default BLAS": lambda: x @ m.T,
        "fast step": lambda: ll.step(w, m, x, params, 1e-9),
        "dense step": lambda: dense_step(w2, m2, x, params, 1e-9),
    }
    report(f"KH step, 1000 x 3072 -> 2000, {touched} rows change, float32", interleaved(functions), "product x @ M")
    mkldnn: Any = torch.backends.mkldnn  # its settings are not annotated
    before = mkldnn.matmul.fp32_precision
    mkldnn.matmul.fp32_precision = "bf16"
    try:
        report("the same with bfloat16 products", interleaved(functions), "product x @ M")
    finally:
        mkldnn.matmul.fp32_precision = before


if __name__ == "__main__":
    main()
