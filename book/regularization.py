# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (ch-regularization)=
# # Regularization
#
# The local rule of {ref}`ch-local-learning` shapes a representation without ever being told what smooth means. The paper
# sets it against networks that *are* told: trained by backpropagation, with a term in the loss that punishes large weights,
# a large sensitivity to the input, or a covariance spectrum of the wrong shape. This chapter says what each of these
# terms is, what it becomes in the authors' code, and what it does to a network.
#
# Two surprises are worth the read even if you know the methods. The Jacobian penalty, as it is applied, *is* a weight decay.
# And the spectral penalty, as it is stated, has a target without a scale, which makes the first step of training so
# expensive that the optimiser all but stops.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch.func import jacrev, vmap

from bioadv import models, plots, regularizers, study, training
from bioadv.datasets import unit_lp
from bioadv.models import TwoLayer
from bioadv.notebook import begin, check, glue_all, observe
from bioadv.regularizers import JacobianPublished, Spectral

data = begin()
x, x_test = unit_lp(data.train), unit_lp(data.test)
y, y_test = torch.tensor(data.train.labels), torch.tensor(data.test.labels)
sizes = study.scale(data)

# %% [markdown]
# ## What the paper did
#
# ```{admonition} The paper
# :class: paper
# Networks with one hidden layer of {glue:text}`hidden` ReLU units are trained on CIFAR-10 with cross-entropy and Adam, for
# {glue:text}`epochs` epochs in batches of {glue:text}`batch`, without a penalty ("BP") or with one of three: on all weights
# ("L2"), on the Jacobian of the hidden layer, following {cite:t}`hoffman2019robust`, or on the deviation of the hidden layer's
# covariance spectrum from $1/n$, following {cite:t}`nassar2020on`. The authors say in the discussion that they could not
# reproduce the results of the latter, and give differences in modelling as the probable reason.
# ```
#
# Throughout, $M$ is the $H \times D$ matrix of hidden weights, $h = xM^\top$ the latent before the activation,
# $a = \max(0, h)^n$ the latent after it, and $z = aV^\top + b$ are the logits. All norms of matrices are Frobenius norms.
#
# ```{table} The penalties and their constants in the authors' code.
# :name: tab-reg-constants
# | model | term in the loss | strength | learning rate |
# |---|---|---|---|
# | L2 | $c\,\lVert\theta\rVert^2$ over all parameters | {glue:text}`l2-strength` | falls in steps |
# | Jacobian | $c\,\lVert \partial h/\partial x \rVert^2$, estimated | {glue:text}`jreg-strength` | falls in steps |
# | spectral | $c\,R_S$ of {eq}`eq-reg-spectral`, $\alpha$ = {glue:text}`spec-alpha`, $\tau$ = {glue:text}`spec-tau` | {glue:text}`spec-strength` | falls exponentially |
# ```

# %% tags=["hide-input"]
l2, jreg, spec = (
    study.EXPERIMENTS[name].recipe.penalty for name in ("l2", "jreg", "specreg")
)
recipe = study.EXPERIMENTS["bp"].recipe
glue_all({"hidden": 2000, "epochs": recipe.epochs, "batch": recipe.batch})
glue_all({"l2-strength": l2.strength, "jreg-strength": jreg.strength})
glue_all({"jreg-factor": f"{jreg.factor:.3f}", "projections": jreg.projections})
glue_all({"jreg-effective": f"{jreg.strength * jreg.factor:.2e}"})
glue_all(
    {"spec-alpha": spec.alpha, "spec-tau": spec.tau, "spec-strength": spec.strength}
)
glue_all({"kh-alpha": study.KH_ALPHA})

# %% [markdown]
# ## L2: a decay inside the optimiser
#
# A term $c\,\lVert\theta\rVert^2$ in the loss adds $2c\,\theta$ to the gradient. Adam has a parameter for exactly this, its
# `weight_decay` $= 2c$ (the decay enters the gradient before the moments, so this is not AdamW). Using it costs
# nothing, and is the same training, which we check over a few steps.


# %%
def small_network(seed=0, hidden=30, power=1.0):
    generator = torch.Generator().manual_seed(seed)
    return models.init(
        TwoLayer(data.train.inputs, hidden, 10, power), generator
    ).double()


def few_steps(c, inside_adam):
    model = small_network()
    adam = torch.optim.Adam(
        model.parameters(), weight_decay=2 * c if inside_adam else 0
    )
    for part, labels in zip(x[:500].double().split(100), y[:500].split(100)):
        loss = F.cross_entropy(model(part), labels)
        if not inside_adam:
            loss = loss + c * sum(
                theta.square().sum() for theta in model.parameters()
            )
        adam.zero_grad()
        loss.backward()
        adam.step()
    return model.hidden.detach()


gap = float((few_steps(0.01, True) - few_steps(0.01, False)).abs().max())
check("decay in Adam against the term in the loss", gap, 0, 1e-9)

# %% [markdown]
# ## The Jacobian that is a weight decay
#
# The idea of Jacobian regularisation is that the output should change little when the input does. In the authors' code the
# output in question is the *linear* latent $h$. Its Jacobian takes five lines:
#
# $$
# \begin{aligned}
# h_j &= \textstyle\sum_i M_{ji}\, x_i \\
# \frac{\partial h_j}{\partial x_i} &= M_{ji} \qquad\text{for every image} \\
# \Big\lVert \frac{\partial h}{\partial x} \Big\rVert^2 &= \textstyle\sum_{ji} M_{ji}^2 = \lVert M \rVert^2 \\
# \frac{\partial}{\partial M} \, c\, \lVert M \rVert^2 &= 2 c\, M \\
# &= \text{a weight decay on the hidden layer, and nothing else.}
# \end{aligned}
# $$ (eq-reg-jacobian)

# %%
model = small_network()
few = x[:5].double()
jacobians = vmap(jacrev(lambda image: model.hidden @ image))(few)  # (5, H, D)
spread = float(jacobians.std(0).max())
gap = float(
    (jacobians[0].square().sum() - model.hidden.square().sum()).detach().abs()
)
check("difference of the Jacobian between images", spread, 0, 1e-12)
check("squared norm of the Jacobian minus that of the weights", gap, 0, 1e-9)

# %% [markdown]
# So the paper's Jacobian model and its L2 model are the same method with two strengths, but for the readout, which only L2 decays.
# That they behave alike in all of the paper's figures is no coincidence.
#
# ### The estimator, and a slip in it
#
# The code does not use {eq}`eq-reg-jacobian`; it estimates the norm with {glue:text}`projections` random projections per step,
# as one has to when the Jacobian is out of reach. From the second projection on, the random vectors are normalised
# over the whole batch instead of image by image. Their contribution then is smaller by the size of the batch $B$, and the mean of the
# estimator is
#
# $$
# \mathbb{E}\, R_J = \frac{1}{3}\Big(1 + \frac{2}{B}\Big) \lVert M \rVert^2 .
# $$ (eq-reg-factor)
#
# At the paper's batch the factor is {glue:text}`jreg-factor`, and the effective strength {glue:text}`jreg-effective`.
# {numref}`fig-reg-estimator` shows what the estimator returns, drawn many times for one network. We use its mean, as a decay
# inside Adam: the same model without the noise.


# %%
def published_estimate(h, inputs, generator, projections=3):
    """Written from the description of the code; v is normalised over everything from the second projection on."""
    total = 0.0
    for m in range(projections):
        v = torch.randn(h.shape, generator=generator, dtype=h.dtype)
        v = v / (v.norm(dim=1, keepdim=True) if m == 0 else v.norm())
        (projected,) = torch.autograd.grad(h, inputs, v, retain_graph=True)
        total += h.shape[1] / (projections * len(h)) * projected.square().sum()
    return float(total)


inputs = x[:20].double().requires_grad_()
h, generator = model.before(inputs), torch.Generator().manual_seed(0)
draws = np.array([published_estimate(h, inputs, generator) for _ in range(2000)])
norm = float(model.hidden.detach().square().sum())
factor = JacobianPublished(batch=20).factor
check(
    "mean of the draws over its prediction",
    draws.mean() / (factor * norm),
    0.99,
    1.01,
)

# %% mystnb={"figure": {"caption": "Two thousand draws of the published estimator of the Jacobian's squared norm, in units of the true value, for one random network of 30 units and 20 photo patches (one seed). The true value is at one.", "name": "fig-reg-estimator"}, "image": {"alt": "A histogram of relative estimates, narrow around a third. A line marks the predicted mean at 0.367, another line at 1 marks the true value, far to the right of all draws."}} tags=["hide-input"]
figure, axes = plt.subplots(figsize=(plots.WIDTH, 2.4))
axes.hist(draws / norm, bins=40, color=plots.BLUE)
axes.axvline(factor, color=plots.ORANGE, label="predicted mean")
axes.axvline(1, color=plots.RED, label="true value")
_ = axes.set(xlabel=r"estimate / $\|M\|^2$", ylabel="draws", xlim=(0, 1.05))
_ = axes.legend(loc="upper center")

# %% [markdown]
# ### What a Jacobian penalty was meant to be
#
# After the activation the Jacobian does depend on the image: row $j$ of $\partial a/\partial x$ is $f'(h_j)\, m_j$, where $m_j$ is the
# unit's row of $M$ and $f' $ the slope of the activation. Both exact penalties have a closed form in this network, so no
# random projection is needed at all. With $F = f'(h)$, of shape $B \times H$, and $\circ$ for products element by element,
#
# $$
# \frac1B \sum_b \Big\lVert \frac{\partial a}{\partial x} \Big\rVert^2 = \sum_j \overline{f'(h_j)^2}\; \lVert m_j \rVert^2 ,
# $$ (eq-reg-latent)
#
# $$
# \frac1B \sum_b \Big\lVert \frac{\partial z}{\partial x} \Big\rVert^2
# = \frac1B \sum_{jk} \big( M M^\top \circ V^\top V \circ F^\top F \big)_{jk} .
# $$ (eq-reg-logits)
#
# The first weighs the decay of each unit by how often it is active. The second, the one of {cite:t}`hoffman2019robust`, also knows
# which units the readout listens to. {func}`bioadv.regularizers.latent_jacobian` and
# {func}`bioadv.regularizers.logit_jacobian` against one Jacobian per image by automatic differentiation:


# %%
def mean_square_jacobian(function):
    return vmap(jacrev(function))(few).square().sum((1, 2)).mean()


for power in (1.0, 4.5):
    model = small_network(power=power)
    h = model.before(few)
    with_autograd = mean_square_jacobian(lambda image: model.after(image))
    closed = regularizers.latent_jacobian(model.hidden, h, power)
    check(
        f"latent, n = {power:g}",
        float((closed / with_autograd - 1).detach()),
        -1e-9,
        1e-9,
    )
    with_autograd = mean_square_jacobian(lambda image: model(image))
    closed = regularizers.logit_jacobian(model.hidden, model.readout, h, power)
    check(
        f"logits, n = {power:g}",
        float((closed / with_autograd - 1).detach()),
        -1e-9,
        1e-9,
    )

# %% [markdown]
# ## A spectrum with a target
#
# Let $\lambda_n$ be the variance of the latent along the $n$-th principal direction, largest first. The spectral penalty is
#
# $$
# R_S = \frac{1}{H} \sum_{n > \tau} \Big[ \Big(\frac{\lambda_n}{\gamma_n} - 1\Big)^2 + \max\Big(0, \frac{\lambda_n}{\gamma_n} - 1\Big) \Big] ,
# \qquad \gamma_n = n^{-\alpha} .
# $$ (eq-reg-spectral)
#
# The directions are computed once per epoch, and the $\lambda_n$ of a batch are the column variances of its projection on them.
#
# There is a difference to {cite:t}`nassar2020on` that decides everything. They compare with
# $\gamma_n = \lambda_{\tau+1} \left( (\tau+1)/n \right)^{\alpha}$, a target that is anchored at the current spectrum and so asks only for its *slope*.
# Without the anchor, {eq}`eq-reg-spectral` prescribes the *size* of each variance: $\lambda_1 = 1$, $\lambda_{100} = 1/100$
# for $\alpha = 1$. Nobody would choose these numbers for images of unit norm, and for a steeper target the ratio
# $\lambda_n n^\alpha$ reaches millions in the tail.
#
# ### The first steps of Adam
#
# What happens when such a penalty meets Adam? In its first step Adam moves every weight by the full learning rate, in the direction
# of the sign of its gradient. All pixels are positive, so if the signs agree across a unit's weights, its latent shifts by the same sign for all
# images at once. {numref}`fig-reg-first-steps` follows the first steps of training for the target as stated, and for
# the steeper target with the estimator that the stored log of the paper fits ({ref}`sec-reg-code`).


# %%
def first_steps(kind, steps=100):
    model = models.init(
        TwoLayer(data.train.inputs, sizes.layer.hidden, 10),
        torch.Generator().manual_seed(0),
    )
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    directions = regularizers.principal_directions(kind, model, x[: sizes.batch])
    start, penalty, moved = model.hidden.detach().clone(), [], []
    for step in range(steps):
        chosen = torch.arange(step, step + sizes.batch) % len(x)
        h = model.before(x[chosen])
        value = regularizers.penalty(kind, model, h, directions)
        loss = F.cross_entropy(model.logits(model.activate(h)), y[chosen]) + value
        adam.zero_grad()
        loss.backward()
        adam.step()
        penalty.append(float(value.detach()))
        moved.append(float((model.hidden.detach() - start).norm() / start.norm()))
    return penalty, moved


targets = {
    rf"$\alpha$ = {spec.alpha:g}, as stated": spec,
    rf"$\alpha$ = {study.KH_ALPHA}, as logged": study.EXPERIMENTS[
        "specreg-logged"
    ].recipe.penalty,
}
traces = {name: first_steps(kind) for name, kind in targets.items()}

# %% mystnb={"figure": {"caption": "First hundred Adam steps with the spectral penalty without a scale, on photo patches, small network, one seed. Left: the penalty. Right: how far the hidden weights have moved, relative to their initial norm.", "name": "fig-reg-first-steps"}, "image": {"alt": "Left panel, logarithmic: both penalties jump up in the first steps, the steeper target by many orders of magnitude, then fall slowly. Right panel: the weights move by a few per cent at most and then hardly at all for the steeper target."}} tags=["hide-input"]
figure, (left, right) = plt.subplots(1, 2, figsize=(plots.WIDTH, 2.8))
for name, (penalty, moved) in traces.items():
    left.plot(penalty, label=name)
    right.plot(moved)
left.set(yscale="log", xlabel="step", title="penalty $R_S$")
right.set(xlabel="step", title="distance moved by the weights", ylim=(0, None))
_ = figure.legend(
    *left.get_legend_handles_labels(), loc="outside lower center", ncols=2
)

# %%
logged_penalty, logged_moved = traces[list(targets)[1]]
observe(
    data,
    "largest over first penalty, as logged",
    max(logged_penalty) / logged_penalty[0],
    10,
    1e12,
)
observe(
    data, "relative distance after 100 steps, as logged", logged_moved[-1], 0, 0.2
)

# %% [markdown]
# How to read it: in the left panel the penalty of the steeper target jumps within a step or two. The gradient of such a
# step is enormous, and Adam's second moment remembers it for about a thousand steps. Until it has decayed, every update is divided
# by that memory, and the weights stand still (right panel). By then the learning rate of the published model has decayed as well. What
# is left to train is the readout: a random feature model.
#
# ## All of them, live
#
# Now we train each variant on the photo patches, {glue:text}`live-hidden` hidden units, {glue:text}`live-epochs` epochs, the
# same initial weights and the same order of images for all.

# %%
names = ["bp", "l2", "jreg", "jreg-latent", "jreg-logits"]
names += ["specreg", "specreg-logged", "specreg-scalefree", "random"]
glue_all({"live-hidden": sizes.layer.hidden, "live-epochs": sizes.epochs})


def train(name):
    chosen = study.experiment(name)
    start = TwoLayer(data.train.inputs, sizes.layer.hidden, len(data.train.classes))
    model = models.init(start, torch.Generator().manual_seed(0))
    given = {"schedule": chosen.recipe.schedule, "penalty": chosen.recipe.penalty}
    recipe = training.Recipe(**given, epochs=sizes.epochs, batch=sizes.batch)
    frozen = chosen.hidden == "random"
    see = model.after if frozen else (lambda images: images)
    with torch.no_grad():
        inputs, test = see(x), {"test": (see(x_test), y_test)}
    generator = torch.Generator().manual_seed(0)
    options = {"evaluate": test, "readout_only": frozen, "progress": False}
    return training.fit(model, inputs, y, recipe, generator, **options)


fitted = {name: train(name) for name in names}

# %% mystnb={"figure": {"caption": "Training on photo patches with each penalty: cross-entropy on the training images, accuracy on test images, and norm of the Jacobian before the activation, which is the norm of the hidden weights. 100 hidden units, one seed.", "name": "fig-reg-training"}, "image": {"alt": "Three panels against the epoch. Cross-entropy falls for most variants. Test accuracies reach about one half for most. The Jacobian norm grows for BP, shrinks for L2 and Jacobian, and stays where it started for the spectral penalty as logged and for random features."}} tags=["hide-input"]
titles = {name: study.experiment(name).title for name in names}
_ = plots.training_curves({titles[name]: run.log for name, run in fitted.items()})

# %%
jacobian = {name: run.log["jacobian"][-1] for name, run in fitted.items()}
observe(
    data, "Jacobian of BP over that of L2", jacobian["bp"] / jacobian["l2"], 1.1, 10
)
observe(
    data,
    "Jacobian of BP over that of Jacobian, as published",
    jacobian["bp"] / jacobian["jreg"],
    1.1,
    10,
)
observe(
    data,
    "Jacobian, as logged, over that of random features",
    jacobian["specreg-logged"] / jacobian["random"],
    0.9,
    1.1,
)

# %% [markdown]
# {numref}`fig-reg-training` shows the families. BP lets its weights grow as long as it pays. L2 and the published Jacobian term hold them
# down, side by side, since they are the same thing. The exact Jacobian penalties do so more selectively. The spectral penalty as logged
# leaves the hidden weights where they started, and its accuracy is that of random features.
#
# (sec-reg-code)=
# ## What the authors' code does
#
# ```{admonition} The authors' code
# :class: code
# * **Jacobian.** It acts on the latent before the activation, so it is a weight decay; and two of three projections are lost to the
#   normalisation over the batch. The plotted "Jacobian norm" is the estimator's value, a third of the squared norm divided by the number of units.
# * **Spectral, exponent.** The stored training log has a penalty of the order of ten to the ninth per epoch from the first to the last. We evaluated
#   {eq}`eq-reg-spectral` at random initial weights: with the stated exponent it is smaller by seven orders of magnitude, with
#   $\alpha$ = {glue:text}`kh-alpha`, the exponent the authors measured for their KH layer, it agrees. So the run that was logged had, in all likelihood, the steeper
#   target. Settings of the penalty are class attributes in that code, shared by all trainers in a session, which would explain it. This is an
#   inference.
# * **Spectral, estimator.** Its covariance takes the last batch only and second moments instead of central ones. Half of the directions then
#   lie outside of what the batch spans.
# * **Batch norm.** The notebook asks for it in the spectral models, and the constructor at the time of the submission ignored it.
# * **Schedule.** Epoch $t$ uses the learning rate for epoch $t - 1$. We keep this.
# * **Evaluation** runs in training mode, looks at the test set after each epoch, and there is no validation split. We evaluate in
#   evaluation mode, and the corrected variants hold a tenth of the training images back.
# ```
#
# ## What we conclude
#
# Of the paper's three penalties two are the same weight decay, and the third, as far as its log can tell, left the hidden layer at its random initial
# weights. Comparing KH with them is therefore a comparison with *weight decay of two strengths* and with *random features*. That is still
# a comparison worth making, and the rest of this book makes it. It also adds penalties that do what they say.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-reg-adamw
# Replace Adam's `weight_decay` by AdamW's. Is that still the L2 penalty? What happens to the effective strength for a weight with a large gradient?
# ```
#
# ```{solution} ex-reg-adamw
# :class: dropdown
# No. AdamW subtracts the decay from the weight *after* the division by the second moment, so all weights shrink at the same
# relative rate. In Adam with an L2 term the decay passes through that division: a weight with large gradients is hardly
# decayed, one with small gradients strongly. The published model uses the latter.
# ```
#
# ```{exercise}
# :label: ex-reg-factor
# Derive {eq}`eq-reg-factor`. What would the factor be with a single projection?
# ```
#
# ```{solution} ex-reg-factor
# :class: dropdown
# For $v$ uniform on the unit sphere in $H$ dimensions, $\mathbb{E}\, v v^\top = I / H$, so $\mathbb{E}\, \lVert v^\top M \rVert^2 = \lVert M \rVert^2 / H$, and each correct
# projection contributes $\tfrac{H}{3B} \cdot B \cdot \lVert M \rVert^2 / H = \lVert M \rVert^2 / 3$. If instead the $B \times H$ array has unit norm as a whole,
# each row has squared norm $1/B$ on average, and the contribution is $\lVert M \rVert^2 / (3B)$. With one projection the factor is one: the slip shows
# only from the second on.
# ```
#
# ```{exercise}
# :label: ex-reg-anchor
# Multiply all hidden weights by ten. What happens to {eq}`eq-reg-spectral`, and what to the target of {cite:t}`nassar2020on`?
# ```
#
# ```{solution-start} ex-reg-anchor
# :class: dropdown
# ```

# %%
model = fitted["bp"].model
with torch.no_grad():
    latent = model.before(x[:500])
for variant in ("stated", "scale-free"):
    kind = Spectral(variant=variant, tau=10)
    directions = regularizers.principal_directions(kind, model, x[:500])
    one, ten = (
        float(regularizers.spectral(kind, c * latent, directions)) for c in (1, 10)
    )
    check(
        f"{variant}: penalty of ten times the weights over that of one",
        ten / one,
        *((10, 1e9) if variant == "stated" else (0.99, 1.01)),
    )

# %% [markdown]
# The variances grow by a hundred. The absolute target is missed by a hundred times more (and the penalty is
# quadratic in that), the anchored one does not notice.
#
# ```{solution-end}
# ```
