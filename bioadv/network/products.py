"""Large matrix products, each by the library that is fastest on this processor. All are exact: IEEE precision.

torch computes products with its own BLAS (MKL on x86), with oneDNN when asked to, and numpy brings OpenBLAS. They
differ in the order of their sums and, depending on the processor, by up to a factor of three in time. Which one is
used is a rule and no measurement, so that a run that goes on in another process makes the same choice and the same
bits; manifests name it. ``BIOADV_PRODUCTS=torch``, ``onednn`` or ``numpy`` overrules the rule.

Symbols: images x (B, D), weights m (H, D), and g (B, H), as a gradient by x m^T is.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

Tensor = torch.Tensor
LIBRARIES = ("torch", "onednn", "numpy")
VARIABLE = "BIOADV_PRODUCTS"
LARGE = 10**6  # weights from which on the choice matters


@cache
def library() -> str:
    """The library for large products in this process; ``ValueError`` for an unknown or absent one in the variable."""
    asked = os.environ.get(VARIABLE, "auto")
    if asked not in ("auto", *LIBRARIES):
        raise ValueError(f"{VARIABLE} = {asked!r} is not known; choose from auto, {', '.join(LIBRARIES)}")
    if asked == "onednn" and not torch.backends.mkldnn.is_available():
        raise ValueError(f"{VARIABLE} = 'onednn', but this torch was built without it; choose torch or numpy")
    if asked != "auto":
        return asked
    # Both variables are read by numpy's OpenBLAS, whose threads spin beside torch's own if there are several.
    threads = os.environ.get("OPENBLAS_NUM_THREADS", os.environ.get("OMP_NUM_THREADS"))
    processor = torch.cpu.get_capabilities().get("cpu_name", "")
    return rule(str(processor), torch.backends.cpu.get_cpu_capability(), threads == "1")


def rule(processor: str, instructions: str, one_thread: bool) -> str:
    """The fastest library on a processor with these vector instructions (``AVX2``, ``AVX512``, ...).

    MKL is written for Intel's processors. On AMD's it leaves AVX-512 unused, where oneDNN takes under half of its time;
    with AVX2 alone OpenBLAS is the fastest by a tenth, by four tenths in float64 (``python -m benchmarks products``).
    """
    if not processor.startswith("AMD"):
        return "torch"
    if instructions == "AVX512" and torch.backends.mkldnn.is_available():
        return "onednn"
    return "numpy" if one_thread else "torch"


@torch.no_grad()
def product(x: Tensor, m: Tensor) -> Tensor:
    """``x m^T`` (B, H), without a gradient."""
    chosen = _chosen(x, m)
    if chosen == "numpy":
        return _numpy(x, m.T)
    return _onednn(x, m) if chosen == "onednn" else x @ m.T


@torch.no_grad()
def against(g: Tensor, m: Tensor) -> Tensor:
    """``g m`` (B, D), without a gradient: how g is carried back through x m^T to x."""
    chosen = _chosen(g, m)
    if chosen == "numpy":
        return _numpy(g, m)
    return _onednn(g, m.T) if chosen == "onednn" else g @ m


@torch.no_grad()
def outer(g: Tensor, x: Tensor) -> Tensor:
    """``g^T x`` (H, D), without a gradient: the sum over images that is the gradient of x m^T by m."""
    chosen = _chosen(g, x, g.shape[1] * x.shape[1])
    if chosen == "numpy":
        return _numpy(g.T, x)
    return _onednn(g.T, x.T) if chosen == "onednn" else g.T @ x


def linear(x: Tensor, m: Tensor) -> Tensor:
    """``x m^T`` (B, H) with gradients, if any are asked for, by the same library (once, not twice, differentiable)."""
    if _chosen(x, m) == "torch":
        return functional.linear(x, m)
    if torch.is_grad_enabled() and (x.requires_grad or m.requires_grad):
        return _Linear.apply(x, m)
    return product(x, m)


class Packed:
    """Weights m (H, D) that many products share, laid out once as the library likes them; they must not change."""

    def __init__(self, m: Tensor) -> None:
        self.m = m.detach()
        self.laid_out: tuple[Tensor, Tensor] | None = None
        if _chosen(self.m, self.m) == "onednn":
            self.laid_out = self.m.to_mkldnn(), self.m.T.contiguous().to_mkldnn()

    def linear(self, x: Tensor) -> Tensor:
        """``x m^T`` (B, H), with a gradient by x, if one is asked for."""
        return _Packed.apply(x, self) if torch.is_grad_enabled() and x.requires_grad else self.product(x)

    def product(self, x: Tensor) -> Tensor:
        """``x m^T`` (B, H), without a gradient."""
        if self.laid_out is None:
            return product(x, self.m)
        return functional.linear(x.detach().to_mkldnn(), self.laid_out[0]).to_dense()

    def against(self, g: Tensor) -> Tensor:
        """``g m`` (B, D), without a gradient."""
        if self.laid_out is None:
            return against(g, self.m)
        return functional.linear(g.detach().contiguous().to_mkldnn(), self.laid_out[1]).to_dense()


class _Packed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Packed) -> Tensor:
        ctx.packed = packed
        return packed.product(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return ctx.packed.against(g), None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, m: Tensor) -> Tensor:
        ctx.save_for_backward(x, m)
        return product(x, m)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, m = ctx.saved_tensors
        to_x, to_m = ctx.needs_input_grad
        return against(g, m) if to_x else None, outer(g, x) if to_m else None


def _chosen(a: Tensor, b: Tensor, weights: int = 0) -> str:
    """The library for a product of these two; torch for all that is small, elsewhere than on the CPU, or inexact."""
    if max(weights, b.numel()) < LARGE or not a.is_cpu or a.dtype != b.dtype:
        return "torch"
    exact = a.dtype == torch.float32 or (a.dtype == torch.float64 and library() == "numpy")
    return library() if exact else "torch"


def _numpy(a: Tensor, b: Tensor) -> Tensor:
    return torch.from_numpy(a.detach().numpy() @ b.detach().numpy())


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    """``a b^T``; both are copied into oneDNN's own layout, which costs a few per cent of a large product."""
    return functional.linear(a.detach().contiguous().to_mkldnn(), b.detach().contiguous().to_mkldnn()).to_dense()
