"""One two-layer classifier for every model of the paper; they differ in how the hidden weights come about.

Shapes: x (B, D) images, M (H, D) hidden weights, h = x M^T (B, H) latent before the activation, a = ReLU(h)^q (B, H)
latent after it, z = a V^T + b (B, C) logits. There is no hidden bias. With batch norm, h is normalised before the ReLU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import linear

from bioadv.data import checks
from bioadv.data.files import read_tensors, write_tensors
from bioadv.network import products

Tensor = torch.Tensor


class TwoLayer(nn.Module):
    """z = V ReLU(M x)^q + b.

    inputs D, hidden H, classes C; power q >= 1 (the paper: 4.5 for KH, 1 for all others). Weights start at zero; see
    :func:`init`. Raises ``ValueError`` for sizes that are no whole numbers, too small ones, or another power.
    """

    def __init__(self, inputs: int, hidden: int, classes: int, power: float = 1.0, batch_norm: bool = False) -> None:
        super().__init__()
        checks.whole(inputs=inputs, hidden=hidden, classes=classes)
        checks.finite(power=power)
        for name, value, least in (("inputs", inputs, 1), ("hidden", hidden, 1), ("classes", classes, 2)):
            if value < least:
                raise ValueError(f"{name} = {value}; give at least {least}")
        if not power >= 1:
            raise ValueError(f"power = {power}; give q >= 1 (the paper uses 1 and 4.5)")
        self.power = power
        self.hidden = nn.Parameter(torch.zeros(hidden, inputs))
        self.readout = nn.Parameter(torch.zeros(classes, hidden))
        self.bias = nn.Parameter(torch.zeros(classes))
        self.norm = nn.BatchNorm1d(hidden) if batch_norm else None

    def before(self, x: Tensor) -> Tensor:
        """Latent before the activation, (B, H) in the precision of the weights.

        The product runs in the precision of ``x``: bfloat16 images make it several times faster on some processors.
        """
        h = products.linear(x, self.hidden.to(x.dtype)).to(self.hidden.dtype)
        return h if self.norm is None else self.norm(h)

    @torch.no_grad()
    def pull(self, g: Tensor) -> Tensor:
        """Gradient (B, D) by the images of what has the gradient g (B, H) by h, in evaluation mode: g M."""
        return products.against(g, folded(self)[0])

    def activate(self, h: Tensor) -> Tensor:
        """ReLU(h)^q, elementwise."""
        return activation(h, self.power)

    def after(self, x: Tensor) -> Tensor:
        """Latent after the activation, (B, H)."""
        return self.activate(self.before(x))

    def logits(self, a: Tensor) -> Tensor:
        """Logits (B, C) from the latent after the activation."""
        return linear(a, self.readout, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, C) of images (B, D)."""
        return self.logits(self.after(x))


def activation(h: Tensor, power: float) -> Tensor:
    """ReLU(h)^q, elementwise.

    >>> activation(torch.tensor([-1.0, 2.0]), power=2)
    tensor([0., 4.])
    """
    return h.relu() if power == 1 else h.relu().pow(power)


def slope(h: Tensor, power: float) -> Tensor:
    """Derivative of ReLU(h)^q, elementwise; 0 at h = 0.

    >>> slope(torch.tensor([-1.0, 2.0]), power=2)
    tensor([0., 4.])
    """
    return (h > 0).to(h.dtype) if power == 1 else power * h.relu().pow(power - 1)


def curvature(h: Tensor, power: float) -> Tensor:
    """Second derivative of ReLU(h)^q where it exists; 0 for h <= 0."""
    if power == 1:
        return torch.zeros_like(h)
    return power * (power - 1) * torch.where(h > 0, h.clamp_min(1e-30).pow(power - 2), 0.0)


def init(model: TwoLayer, generator: torch.Generator) -> TwoLayer:
    """Set random weights in place and return the model.

    Hidden: Gaussian with variance 2 / D (He; the paper's SHLP). Readout and bias: uniform within 1 / sqrt(H), as
    ``torch.nn.Linear`` does.
    """
    checks.generator(generator)
    with torch.no_grad():
        hidden, inputs = model.hidden.shape
        model.hidden.normal_(0, (2 / inputs) ** 0.5, generator=generator)
        for parameter in (model.readout, model.bias):
            parameter.uniform_(-(hidden**-0.5), hidden**-0.5, generator=generator)
    return model


@torch.no_grad()
def folded(model: TwoLayer) -> tuple[Tensor, Tensor]:
    """Weights (H, D) and offset (H,) of the latent before the activation, h = x W^T + offset.

    Batch norm is multiplied in as it is in evaluation mode; without it these are M and zeros.
    """
    norm, weights = model.norm, model.hidden.detach()
    if norm is None:
        return weights, model.offset if isinstance(model, Frozen) else torch.zeros_like(weights[:, 0])
    assert norm.running_var is not None  # BatchNorm1d's defaults
    assert norm.running_mean is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return weights * scale[:, None], norm.bias - norm.running_mean * scale


class Frozen(TwoLayer):
    """A model in evaluation mode that is looked at many times: the same logits and gradients at less cost.

    Batch norm is multiplied into the weights, these are laid out once, and units whose weights are all zero leave, for
    they respond to no image: pruned ones, and those that a decay has emptied. So H is smaller. It does not follow later
    changes of the model it was made from.
    """

    def __init__(self, model: TwoLayer) -> None:
        weights, offset = folded(model)
        kept = weights.any(1) | (offset != 0)
        kept[0] |= not kept.any()  # a model of no units is none
        super().__init__(weights.shape[1], 1, len(model.bias), model.power)
        self.hidden = nn.Parameter(weights[kept], requires_grad=False)
        self.readout = nn.Parameter(model.readout.detach()[:, kept], requires_grad=False)
        self.bias = nn.Parameter(model.bias.detach(), requires_grad=False)
        self.offset, self.shifted = offset[kept], bool(offset.any())
        self.packed = products.Packed(self.hidden)
        self.train(model.training)

    def before(self, x: Tensor) -> Tensor:
        """Latent before the activation, (B, H)."""
        h = self.packed.linear(x)
        return h + self.offset if self.shifted else h

    def pull(self, g: Tensor) -> Tensor:
        """Gradient (B, D) by the images of what has the gradient g (B, H) by h."""
        return self.packed.against(g)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Frozen:
        """What ``to`` and ``double`` do, for all that the latent is computed with."""
        super()._apply(fn, recurse)
        self.offset, self.packed = fn(self.offset), products.Packed(self.hidden)
        return self


def frozen(model: TwoLayer) -> Frozen:
    """The model for measurements that look at it many times; a frozen one as it is."""
    return model if isinstance(model, Frozen) else Frozen(model)


def check_evaluation(model: TwoLayer) -> None:
    """``ValueError`` for a model with batch norm in training mode, in which a look at an image changes it."""
    if model.training and model.norm is not None:
        raise ValueError("model is in training mode, in which batch norm learns; call model.eval() first")


def unit_rows(model: TwoLayer) -> Tensor:
    """Rows of length 1, (H, D), for a hidden layer whose lengths make no difference: the readout makes up for them."""
    rows = torch.zeros_like(model.hidden.detach())
    rows[:, 0] = 1.0
    return rows


@contextlib.contextmanager
def kept_statistics(model: TwoLayer) -> Iterator[None]:
    """Put back the running statistics of batch norm afterwards: looking at latents is no step of training."""
    kept = {name: value.clone() for name, value in model.named_buffers()}
    try:
        yield
    finally:
        for name, value in model.named_buffers():
            value.copy_(kept[name])


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], x: Tensor, size: int = 1000) -> Tensor:
    """Apply a function to consecutive batches of x (N, D), without gradients, and join what it returns."""
    return torch.cat([function(part) for part in x.split(size)])


def save(model: TwoLayer, path: Path | str, **about: object) -> None:
    """Write the weights as safetensors; the shape of the model and the keywords go into the file's header as JSON.

    Raises ``ValueError`` for a frozen model with the offsets of a batch norm, which a file has no place for.
    """
    if isinstance(model, Frozen) and model.shifted:
        raise ValueError("model is frozen and had batch norm; save the model that it was made from")
    hidden, inputs = model.hidden.shape
    shape = {
        "inputs": inputs,
        "hidden": hidden,
        "classes": len(model.bias),
        "power": model.power,
        "batch_norm": model.norm is not None,
    }
    write_tensors(path, model.state_dict(), model=shape, **about)


def load(path: Path | str) -> TwoLayer:
    """Read a model written by :func:`save`, in evaluation mode.

    Raises ``FileNotFoundError``, or ``ValueError`` if the file is truncated or holds no model.
    """
    tensors, about = read_tensors(path)
    shape = about.get("model")
    if not isinstance(shape, dict):
        raise ValueError(
            f"{path} holds no model (its header describes {sorted(about)}); give a file written by bioadv train"
        )
    try:
        model = TwoLayer(**shape)
        model.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not fit the model it describes ({error}); delete it") from error
    return model.eval()
