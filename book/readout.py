# %% [markdown]
# (ch-readout)=
# # An unfinished readout
#
# ```{admonition} The question and the answer
# :class: answer
# Is it the hidden layer that makes the locally learned network hard to fool, or a readout whose training ended early?
#
# Both. The paper's own training, continued ten times as long, gets from {glue:text}`ro-longer-from` to {glue:text}`ro-longer-to` per cent of the CIFAR-10 test images and keeps {glue:text}`ro-longer-keeps` of the perturbation that is needed (one seed); the readout with the best penalty tried gets {glue:text}`ro-full-best` per cent and keeps {glue:text}`ro-full-loss`.
# Where both are equally accurate, KH's weights withstand {glue:text}`ro-full-over-random` times as much as random features, with their plain ReLU, at {glue:text}`ro-early`, and {glue:text}`ro-mid-over-random` times at {glue:text}`ro-mid`. Most of that needs no learning: at KH's accuracy, images drawn at random and used as weights withstand {glue:text}`ro-full-exemplars` times as much as KH's. The reason is the direction of the attack. Counted in standard deviations of the images along it, all these networks stand about equally far from another decision, to within a factor of {glue:text}`ro-dir-distance-span`; weights that look like images are attacked along what images differ in by much, and there a standard deviation is long. And with the best readout of each, weight decay is ahead of KH in accuracy and in robustness; brought to {glue:text}`ro-late` even the layer of plain backpropagation is level with it, and at {glue:text}`ro-later`, near the end of KH's path, ahead (trainings of it with such readouts: {glue:text}`ro-bp-seeds`). What labels add at equal accuracy is, in small networks, not direction but distance.
# ```
#
# {ref}`ch-robustness` ends where the paper does: of the models that were trained, KH withstands the largest perturbations. But a network has two halves. The hidden layer decides what can be told apart; the readout decides how hard to pull at it. Of KH only the readout
# was trained with labels, for a fixed number of epochs, and at the end its accuracy was still rising. So is it the *layer* that is robust? Or does any layer look robust while its readout is young?
#
# You will see that robustness is not a property of a network but of a place on a path, how to compare two layers where that matters, and what is left of the lead of local learning when it is compared with layers that learned nothing.
#
# ```{admonition} Our remark
# :class: remark
# This chapter is ours and not the authors'. Its predictions were written down, each with the rule that decides it, before the runs that they are about (`book/predictions.yaml`), and no verdict in it was typed. **Most of its numbers are from small networks**, {glue:text}`ro-units` hidden units and {glue:text}`ro-images` training images of CIFAR-10. {ref}`sec-ro-full`
# is about networks of the paper's size, with {glue:text}`ro-full-seeds` of KH and of some others, and fewer of the rest (the tables say how many). The authors are invited to reply.
# ```

# %% tags=["hide-input"]
import itertools
from dataclasses import replace

import numpy as np
import torch

from bioadv.data.datasets import ceiling, unit_lp
from bioadv.data.files import read_json
from bioadv.lab import (
    corrections,
    direction_numbers,
    frontier,
    live,
    predictions,
    readout_numbers,
    runs,
    scales,
    small_paths,
    statistics,
    study,
)
from bioadv.lab.readout_study import stored
from bioadv.measure import attacks, critical, directions, smallest, spectra
from bioadv.measure.critical import L2_GRID
from bioadv.measure.gradient_ascent import RECOMMENDED_L2
from bioadv.network import controls, kh_params, models, readout
from bioadv.network.hidden import Given
from bioadv.network.models import TwoLayer
from bioadv.pages import plots_readout as figures
from bioadv.pages import prediction_table, wording
from bioadv.pages.notebook import Table, begin, check, glue_all, observe, spread

# %% tags=["hide-input"]
data = begin(tests=40)
x, y = unit_lp(data.train), torch.tensor(data.train.labels)
x_test, y_test = unit_lp(data.test), torch.tensor(data.test.labels)

# %% [markdown]
# ## Why a readout that grows is fooled sooner
#
# Take a network that has learned its images well enough to get them right, and go on training. Cross-entropy is never content: it still rewards larger margins between the right logit and the others, and the cheapest way to a larger margin is to turn everything up. That alone would change nothing. If all logits are doubled, the
# decision boundaries stay where they are.
#
# But the readout does not only grow; it also finds directions that separate a few more training images, directions along which the images hardly vary. To use them it needs large weights. And where weights are large, small steps matter.
#
# In symbols: the margin of an image is $m(x) = z_y(x) - \max_{c \neq y} z_c(x)$. To first order, the boundary with the class whose logit comes closest is at a distance of
#
# $$
# r(x) = \frac{m(x)}{\lVert \nabla_x m(x) \rVert} ,
# \qquad
# \nabla_x m = M^\top \big( f'(h) \circ v \big) , \quad v = V_y - V_c ,
# $$ (eq-ro-linear)
#
# where $c$ is that class, so only the *ratio* counts. Scaling the readout and its bias cancels. Scaling the rows by a factor $s$ cancels as well, at every power $q$, once the bias is scaled by $s^q$; a readout that is trained anew sees to that. What remains is how the readout is spread over directions in which images vary much, or little. A penalty on the readout forbids the second kind, and relaxing it step by step lets them in:
#
# $$
# \min_{V, b} \; \frac1N \sum_{i=1}^N L\big(\tilde a_i V^\top + b,\; y_i\big) + \frac{\mu}{2} \lVert V \rVert^2 ,
# $$ (eq-ro-path)
#
# where in $\tilde a$ each unit is brought to variance 1, so that one $\mu$ means the same for every layer. This is penalised logistic regression, convex, with one $V$ for each $\mu$ (and one $b$, but for a constant that all classes share). Training by gradient descent from small weights walks along a similar path, from strong penalties to weak ones, and stopping it early is a penalty by another name.
#
# In a few lines, {func}`bioadv.network.readout.path` against the definition: at its solution the gradient of {eq}`eq-ro-path` vanishes.

# %%
sizes = scales.live_scale(data)
layer = live.train_layer(data).synapses

# %%
power = study.KH_POWER
given = Given(
    x, torch.zeros_like(layer), torch.Generator().manual_seed(0), 3.0, layer
)
rows = {
    "kh": controls.metric(layer, 3.0),
    "exemplars": controls.exemplars(given),
    "random-power": controls.white(given),
}


def network(rows, weights=None, bias=None):
    model = TwoLayer(rows.shape[1], len(rows), len(data.train.classes), power)
    with torch.no_grad():
        model.hidden.copy_(rows)
        if weights is not None:
            model.readout.copy_(weights)
            model.bias.copy_(bias)
    return model.eval().requires_grad_(requires_grad=False)


penalties = [1.0, 0.1, 0.01, 1e-3, 1e-4]
latents = {name: models.in_batches(network(m).after, x) for name, m in rows.items()}
paths = {
    name: readout.path(a, y, penalties, len(data.train.classes))
    for name, a in latents.items()
}

# %%
a, found = latents["kh"].double(), paths["kh"][2]
s = (a - a.mean(0)) / a.std(0).clamp_min(1e-30)
weights = (found.readout.double() * a.std(0)).requires_grad_()
z = s @ weights.T + found.bias + found.readout.double() @ a.mean(0)
loss = torch.nn.functional.cross_entropy(z, y) + 0.005 * weights.square().sum()
(slope,) = torch.autograd.grad(loss, weights)
check("largest entry of the gradient at the solution", slope.abs().max(), 0, 3e-5)

# %% [markdown]
# ## A look at photo patches
#
# Three hidden layers of {glue:text}`ro-live-units` units, all with $q = 4.5$: the KH layer of {ref}`ch-local-learning`, photo patches drawn at random and used as rows, and white random rows. Each gets five readouts, from the strongest penalty to the weakest. How far can test patches be moved?


# %%
def critical_norms(model, most=60):
    right = critical.correct(model, x_test, y_test)
    right = right[torch.linspace(0, len(right) - 1, min(most, len(right))).long()]
    subject = model, x_test[right], y_test[right]
    box = 0.0, ceiling(data.test)[right]
    params = replace(RECOMMENDED_L2, steps=10, step=0.25, random_start=False)
    attack = critical.pgd(*subject, params, box)
    near = critical.guess(*subject, L2_GRID, "l2")
    found = critical.search(*subject, attack, L2_GRID, near, below=())
    uphill, z = attacks.gradient(model, x_test[right], y_test[right], "margin")
    straight = attacks.margin(z, y_test[right]) / uphill.norm(dim=1)
    return np.median(found.epsilon), np.median(straight.numpy() / found.epsilon)


curves, ratios = {}, []
for name, path in paths.items():
    places = [network(rows[name], one.readout, one.bias) for one in path]
    accuracy = [
        float((m(x_test).argmax(1) == y_test).float().mean()) for m in places
    ]
    medians, straight = zip(*map(critical_norms, places), strict=True)
    curves[name] = np.array(accuracy), np.array(medians)
    ratios += straight
glue_all({"ro-live-units": len(layer)})

# %% mystnb={"figure": {"caption": "Photo patches, live: median critical $L^2$ norm against test accuracy, for five readouts on each of three hidden layers of 100 units, from the strongest penalty (upper left) to the weakest. One seed, 60 test patches.", "name": "fig-ro-live"}, "image": {"alt": "Three curves that fall to the right: as the accuracy rises, the median critical norm falls. The curve of random rows lies far below the other two."}} tags=["hide-input"]
_ = figures.live(curves, "median critical norm")

# %%
fall = {name: medians[0] / medians[-1] for name, (_, medians) in curves.items()}
observe(data, "strongest over weakest penalty, KH", fall["kh"], 1.3, 100)
observe(data, "margin over gradient by PGD, all", np.median(ratios), 0.9, 1.05)
lead = np.median(curves["kh"][1] / curves["random-power"][1])
observe(data, "KH over random rows at equal penalty", lead, 1.5, 100)
lead = np.median(curves["exemplars"][1] / curves["kh"][1])
observe(data, "images as rows over KH at equal penalty", lead, 0.3, 3)

# %% [markdown]
# How to read {numref}`fig-ro-live`: every dot is a network that somebody could publish. Go along a curve, and the layer stays what it is, while accuracy is bought with robustness. Go straight up or down, and accuracy stays what it is, while the layer changes. To compare two dots of different curves at different heights *and* different accuracies, as a table
# of trained models does, is to mix both.
#
# Patches as rows and KH's rows come out alike. What they share is what they look like, and random rows have nothing of it.
#
# How can looks matter? One more measurement on the same networks tells. The critical norm is the distance of an image from the boundary in standard deviations of the patches along its gradient, times that standard deviation ({ref}`sec-ro-directions` has the formula). Which of the two differs?

# %%
of, parts = spectra.moments(x), []
for name, path in paths.items():
    for one in path:
        model = network(rows[name], one.readout, one.bias)
        uphill, z = attacks.gradient(model, x_test, y_test, "margin")
        right = attacks.margin(z, y_test) > 0
        far = attacks.margin(z, y_test)[right] / uphill[right].norm(dim=1)
        long = directions.deviation(uphill[right], of)
        parts.append((float((far / long).median()), float(long.median())))
distances, lengths = np.array(parts).T
span = distances.max() / distances.min()
observe(data, "distances in standard deviations, largest over smallest", span, 1, 5)
span = lengths.max() / lengths.min()
observe(data, "length of a standard deviation, largest over smallest", span, 4, 100)

# %% [markdown]
# The distance hardly differs. What differs is the direction in which a network is attacked, and how far patches differ along it.
#
# ## CIFAR-10, at small scale
#
# The same for real: {glue:text}`ro-units` units, {glue:text}`ro-images` training images, and the same {glue:text}`ro-attacked` test images for all networks. The KH layer is not pruned. BP and L2 are trained by backpropagation, then their readouts are taken off, and solutions of {eq}`eq-ro-path` put in their place.
#
# The perturbation of an image is the smallest that any of these finds: PGD on the margin, by bisection; PGD on cross-entropy from random starts and Auto-PGD ({cite:t}`croce2020reliable`), both a little below what was found; and DDN ({cite:t}`rony2019decoupling`) in $L^2$.
#
# Robust accuracy is absolute, and radii are in units of the photograph: 8/255 is eight grey levels in every pixel,
# whatever norm the image was divided by on its way into the network ({func}`bioadv.measure.smallest.smallest`).

# %% tags=["hide-input"]
small, trainings = stored("paths"), stored("epochs")
# Of the untrained layers, those that the comparison is about.
drawn = [name for name in study.members("readouts") if name in small]
shown = {name: small[name] for name in drawn}
kh = small["kh"]
glue_all({"ro-units": small_paths.SIZES.layer.hidden})
glue_all(
    {"ro-images": f"{small_paths.IMAGES:,}", "ro-attacked": len(kh[0]["images"])}
)
seeds = sorted({len(paths) for paths in shown.values()})
glue_all({"ro-seeds": " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))})

# %% tags=["hide-input"]
layers = runs.in_folder(statistics.folder("small", "cifar10"), "kh", "paths.json")
health = [
    read_json(run.measured("paths"))["health"]["converged"]
    for run in layers.values()
]
glue_all({"ro-converged": f"{100 * np.mean(health):.0f} %"})


def pairs(one, other, scale="small"):
    """Paths of two layers, of all seeds of the one that has more."""
    root = statistics.folder(scale, "cifar10")
    return readout_numbers.paired(one, other, root)


def factor(one, other, accuracy):
    """Critical norm of one layer over that of another at an accuracy, by seed."""
    logs = [
        readout_numbers.at_accuracy(a, accuracy)
        - readout_numbers.at_accuracy(b, accuracy)
        for a, b in pairs(one, other)
    ]
    return np.exp([log for log in logs if np.isfinite(log)])


# %% tags=["hide-input"]
fall = readout_numbers.ratio(readout_numbers.first_beside_best(kh))
glue_all({"ro-fall": str(fall)})
for key, *both, accuracy in (
    ("random", "kh", "random", 0.32),
    ("exemplars", "exemplars", "kh", 0.34),
):
    found = readout_numbers.over(pairs(*both), accuracy)
    glue_all({f"ro-{key}-factor": str(found)})
    glue_all({f"ro-{key}-at": f"{100 * accuracy:.0f} %"})

# %% mystnb={"figure": {"caption": "Robust accuracy against clean accuracy on CIFAR-10, a panel for each norm and radius in units of the photograph. A line for each hidden layer and seed (five of each), its dots the readouts from the strongest penalty on to that of the best accuracy; large markers are the readouts that BP and L2 were trained with. 100 units, 10,000 training images. Dotted: nothing is lost.", "name": "fig-ro-fronts"}, "image": {"alt": "Seven panels. In each, curves of hidden layers from low to high clean accuracy. The curves of KH, of images as weights and of Gaussian rows lie close together and bend down at 40 per cent; those of BP and L2 begin there, at least as high, and reach further to the right; those of random features end at a lower clean accuracy and lie far lower."}} tags=["hide-input"]
_ = figures.fronts(shown)

# %% [markdown]
# How to read {numref}`fig-ro-fronts`: a layer dominates another where its curve lies above and to the right. At small radii a better readout is at first a more robust one as well, since wrong images count as fooled. Then the curves bend over, the sooner the larger the radius: for each there is a penalty beyond which more accuracy means less robust accuracy. *Which* network is best depends on the radius that one cares about,
# and a single published dot answers none of this.
#
# Two comparisons stand out. KH, images as weights and Gaussian rows can hardly be told apart until near the end of their paths. And the hidden layers of BP and L2, with a strong penalty on their readouts, start where these three give in: where they are equally accurate, they are at least as robust.
#
# {numref}`fig-ro-along` has the same readouts with the median critical norm, the measure of the paper, and adds the paper's own training of KH's readout: Adam at its rate, for up to a thousand epochs of fifty steps. It walks down a similar path, from the robust end. After a thousand epochs, where the paper stops, it is well short of the best accuracy of its layer, and more robust than the readouts that have it. (With the very strongest penalty the median is a little lower again: that readout decides few images, and different ones.)

# %% mystnb={"figure": {"caption": "CIFAR-10, at small scale. Top: median critical $L^2$ norm of the images decided correctly, against clean accuracy; dashed, with crosses: KH's readout along the training of the paper, with the number of epochs. Bottom: the same norm against that of the readout, on units of variance 1. A line for each seed, five of each layer and of the training; large markers: BP and L2 as trained.", "name": "fig-ro-along"}, "image": {"alt": "Top: curves of several hidden layers that rise a little and then fall towards higher accuracy, with a dashed one from the upper left for KH's readout in training; KH, images as weights and Gaussian rows close together, BP and L2 to their right, random features about ten times lower. Bottom: the critical norm rises a little, for some layers, and then falls as the norm of the readout grows, for random features from a much lower start."}} tags=["hide-input"]
_ = figures.along(shown, trainings)

# %% [markdown]
# ## What is due to what
#
# A critical norm depends on the hidden layer, on the power of its activation, and on the place on the path. {numref}`tab-ro-parts` takes them apart at matched accuracy. Read along a row, and only the place changes; down a column, and only the layer does; from a layer to the same one with another $q$, and it is the power.

# %% tags=["hide-input"]
ACCURACIES = (0.3, 0.32, 0.34, 0.36, 0.38, 0.4)


def at_accuracies(paths):
    cells = []
    for accuracy in ACCURACIES:
        logs = [readout_numbers.at_accuracy(path, accuracy) for path in paths]
        norms = [1000 * np.exp(log) for log in logs if np.isfinite(log)]
        few = 0 < len(norms) < len(paths)
        cells.append(spread(norms, 0) + few * f" ({len(norms)})")
    return cells


# %% mystnb={"figure": {"caption": "Median critical $L^2$ norm, in thousandths of the unit-$L^3$ image, by hidden layer and accuracy of its readout; CIFAR-10, 100 units. Of each network on the test images that it decides correctly. Mean and standard deviation over five seeds, or in brackets of how many, where not all get there; a dash where none does. Last: the best accuracy of any readout that was tried.", "name": "tab-ro-parts"}} tags=["hide-input"]
Table(
    ["hidden layer", *(f"{100 * a:.0f} %" for a in ACCURACIES), "best accuracy"],
    [
        [
            study.title(name),
            *at_accuracies(seeds),
            spread([float(np.nanmax(path["accuracy"])) for path in seeds]),
        ]
        for name, seeds in small.items()
    ],
)

# %% [markdown]
# The published comparison sets KH at one place against L2 at another. The table shows how much of a difference can come from that alone: along KH's own row the norm falls by a factor of {glue:text}`ro-row` between an accuracy of {glue:text}`ro-row-from` and one of {glue:text}`ro-row-to`. The layer is worth more: at {glue:text}`ro-column-at`, from random features to images as weights with the same plain ReLU it is a factor of {glue:text}`ro-column`.
#
# And the power? With $q = 1$ KH's rows withstand {glue:text}`ro-power` times what they do with $q = 4.5$, at the same {glue:text}`ro-column-at`; further along, at {glue:text}`ro-power-at`, {glue:text}`ro-power-late` times. The power lets the layer go further, up to {glue:text}`ro-power-best` instead of {glue:text}`ro-plain-best` per cent accuracy, for KH's rows as for rows that are images. Random rows it makes less accurate ({glue:text}`ro-random-power-best` instead of {glue:text}`ro-random-best`).

# %% tags=["hide-input"]
ALONG, DOWN, FURTHER = (0.34, 0.4), 0.32, 0.36
ends = [
    [readout_numbers.at_accuracy(path, accuracy) for accuracy in ALONG]
    for path in kh
]
row = np.exp(np.mean([first - last for first, last in ends]))
glue_all({"ro-row": f"{row:.1f}", "ro-column-at": f"{100 * DOWN:.0f} %"})
glue_all(
    {
        f"ro-row-{k}": f"{100 * a:.0f} %"
        for k, a in zip(("from", "to"), ALONG, strict=True)
    }
)
glue_all(
    {"ro-column": f"{np.mean(factor('exemplars-linear', 'random', DOWN)):.0f}"}
)
for key, accuracy in (("", DOWN), ("-late", FURTHER)):
    power = factor("kh-linear", "kh", accuracy)
    glue_all({f"ro-power{key}": wording.of_seeds(power, places=2)})
glue_all({"ro-power-at": f"{100 * FURTHER:.0f} %"})
for label, name in (
    ("power", "kh"),
    ("plain", "kh-linear"),
    ("random-power", "random-power"),
    ("random", "random"),
):
    found = [100 * readout_numbers.best_accuracy(path) for path in small[name]]
    glue_all({f"ro-{label}-best": wording.of_seeds(found, places=1)})

# %% [markdown]
# ### Margin over gradient, and what curvature adds
#
# Is there more to a critical norm than {eq}`eq-ro-linear`? {numref}`tab-ro-scale` says how well margin over gradient norm at the unperturbed image predicts the smallest perturbation that any attack finds. If the median of the ratio is 1, curvature has no part in the median; the spread of its logarithm, against the spread of the critical norms themselves, says how much of the difference between images is left.
#
# The same table has certificates: radii within which
# no perturbation whatsoever changes the decision, as a share of the smallest perturbation found. The linear one is that of {ref}`ch-robustness`: it puts a chord over each unit, as wide as that unit alone could move, and a tangent under it. The one of *second order* keeps the gradient as it is and bounds what curvature can take away from the margin,
#
# $$
# m(x + \delta) \ge m(x) - r\, \lVert \nabla m(x) \rVert - \tfrac{r^2}{2}\, \Lambda , \qquad \lVert \delta \rVert \le r ,
# $$ (eq-ro-second)
#
# with $\Lambda$ no smaller than any curvature that the ball can hold ({mod}`bioadv.measure.certificates`). It has to pay where a unit is near the kink of a plain ReLU, $h$ away: no parabola that lies above the kink is flatter than $1/(2|h|)$. A steep power has no kink.

# %% tags=["hide-input"]
HEADER = [
    "model",
    "ratio",
    "spread of ratio",
    "spread of norms",
    "linear certificate",
    "second order",
    "larger of both",
    "black box",
]


def about_scale(paths):
    found = []
    for path in paths:
        place = readout_numbers.own(path)
        tried = np.isfinite(path["black_box"])
        boxed = path["black_box"][tried] / path["l2"][tried]
        certified = [
            readout_numbers.certified(path, place, order)
            for order in ("first", "second", "larger")
        ]
        box = float(boxed.min()) if len(boxed) else float("nan")
        found.append([*readout_numbers.linear(path, place), *certified, box])
    return [f"{value:.2f}" for value in np.mean(found, axis=0)]


# %% tags=["hide-input"]
def certified_images(path):
    return int(np.isfinite(path["second"][readout_numbers.own(path)]).sum())


step = float(np.mean(np.diff(np.log(smallest.GRIDS["l2"]))))
glue_all(
    {
        "ro-step": wording.share(step),
        "ro-half-step": wording.share(1 - np.exp(-step / 2)),
        "ro-certified": certified_images(kh[0]),
        "ro-boxed": int(np.isfinite(kh[0]["black_box"]).any(0).sum()),
    }
)


# %% mystnb={"figure": {"caption": "Critical $L^2$ norms as predicted by margin over gradient norm, at the readout that a model was trained with, or else the most accurate one: median ratio of prediction to smallest perturbation found, standard deviation of its logarithm and of that of the norms; median ratio of certified radius to smallest perturbation, for the linear certificate, that of second order, and of each image the larger one; and the smallest ratio of what HopSkipJump, which sees decisions only, found for a handful of images. CIFAR-10, at small scale, means over five seeds.", "name": "tab-ro-scale"}} tags=["hide-input"]
Table(
    HEADER,
    [[study.title(name), *about_scale(seeds)] for name, seeds in small.items()],
)

# %% [markdown]
# The attack that sees decisions only, with the few thousand questions that it was allowed, never does better than those with gradients. That is a weak test: {glue:text}`ro-boxed` images of each network, on which it usually ends well above what gradients find, so that a gradient hidden by less than that would not show. {ref}`sec-geo-referees` has more images, and stronger attackers of networks of full size.
#
# The linear prediction is good for every network in the table, and what it misses is how finely strengths were tried, {glue:text}`ro-step` apart: the first that is enough is half a step too long on average, {glue:text}`ro-half-step`. So curvature has no part in who is harder to fool; to first order, the critical norm *is* margin per gradient. That is not yet a reason why one layer has more of it than another, but it says why the readout has so much to say.
#
# Curvature does have a part in what can be *proved*. The bound of second order certifies more than the linear one where the power is steep, and with a plain ReLU no more, or less (medians over {glue:text}`ro-certified` images of each network). Both hold, so the larger one counts.
#
# (sec-ro-directions)=
# ## Along what a network is attacked
#
# Why should one layer have more margin per gradient than another? Split {eq}`eq-ro-linear` once more. Write $g = \nabla_x m$ for the gradient of an image's margin, and $\Sigma_x$ for the covariance of the images, with variances $\lambda_n$ along its principal components $e_n$:
#
# $$
# r = \frac{m}{\lVert g \rVert} = \zeta \, \sigma_m , \qquad
# \sigma_m^2 = \frac{g^\top \Sigma_x\, g}{\lVert g \rVert^2} = \sum_n \frac{(g \cdot e_n)^2}{\lVert g \rVert^2}\, \lambda_n , \qquad
# \zeta = \frac{m}{\sqrt{g^\top \Sigma_x\, g}} .
# $$ (eq-ro-deviation)
#
# $\sigma_m$ is a length: the standard deviation of the images along the gradient, how far photographs differ in the direction in which this network is attacked. $\zeta$ is a pure number: how many of these standard deviations the image is away from where the decision changes.
#
# Photographs differ by much in their brightness and in their large outlines, the first components, and by next to nothing in their fine detail, the last ones. A network that listens to outlines has its gradient there; one standard deviation is long, and a perturbation has to be about as long as what sets one photograph apart from another. A network that listens to detail can be fooled by as little as photographs differ in that.
#
# For two kinds of rows the length can be had from the images alone, if all units have an equal part in the gradient. Rows without any preferred direction have $\sigma_m^2 = \operatorname{tr} \Sigma_x / D$, the mean variance of a component. Rows that are images have gradients made of images, and $\sigma_m^2 = \operatorname{tr} \Sigma_x^2 / \operatorname{tr} \Sigma_x$, the mean variance weighted by itself ({func}`bioadv.measure.directions.of_layer`). On CIFAR-10 the roots are {glue:text}`ro-dir-even` and {glue:text}`ro-dir-images`: a factor of {glue:text}`ro-dir-factor` before any readout has been trained.
#
# {eq}`eq-ro-deviation` is an identity; what could be found out is which of its factors differs between networks. Is it the direction, $\sigma_m$, or the distance, $\zeta$? We wrote down that it is direction, with numbers that could have failed, before a single gradient had been looked at ({numref}`tab-ro-predictions`). {numref}`fig-ro-directions` has what came out.

# %% tags=["hide-input"]
along = {
    name: paths for name, paths in stored("directions").items() if name in shown
}
variances = along["kh"][0]["variances"].astype(float)
even, of_images = (
    float(np.sqrt(value))
    for value in (variances.mean(), (variances**2).sum() / variances.sum())
)
glue_all({"ro-dir-even": f"{even:.3f}", "ro-dir-images": f"{of_images:.2f}"})
glue_all({"ro-dir-factor": f"{of_images / even:.0f}"})


def at(name, part, accuracy, scale=None):
    """A part where the readouts have an accuracy, mean over the seeds that do."""
    logs = [
        direction_numbers.log_at(p, part, accuracy) for p in (scale or along)[name]
    ]
    return float(np.exp(np.nanmean(logs))) if np.isfinite(logs).any() else np.nan


every = [path for paths in along.values() for path in paths]
spans = direction_numbers.ranges(every)
for part, (low, high) in spans.items():
    places = 1 if part == "distance" else 0
    glue_all({f"ro-dir-{part}-span": f"{high / low:.{places}f}"})
low, high = spans["distance"]
glue_all({"ro-dir-low": f"{low:.2f}", "ro-dir-high": f"{high:.2f}"})
glue_all({"ro-dir-count": sum(len(direction_numbers.rising(p)) for p in every)})

# %% mystnb={"figure": {"caption": "CIFAR-10, at small scale. Left: median margin over gradient norm, which is the critical norm to first order, against the median standard deviation of the images along the gradient; a line for each hidden layer and seed (five of each), its dots the readouts from the strongest penalty to that of the best accuracy; large markers are the readouts that BP and L2 were trained with; dotted, the same number of standard deviations for all. Right: share of the gradient that lies on the first principal components, against their number, where readouts are right on about 32 per cent, of BP and L2 at the strongest penalty; means over images, a line for each seed.", "name": "fig-ro-directions"}, "image": {"alt": "Left: the points of all layers lie along one rising diagonal, random features at its lower left end, BP and L2 at its middle or a little above it, KH, images as weights and Gaussian rows from the middle to the upper right. Right: the curves of KH, images and Gaussian rows reach four fifths within the first ten components, those of L2 and BP one half at sixty or seventy, those of random features only beyond a thousand."}} tags=["hide-input"]
MATCHED = 0.32
chosen = {
    name: [readout_numbers.nearest(path, MATCHED) for path in paths]
    for name, paths in along.items()
}
_ = figures.directions(along, chosen)

# %% tags=["hide-input"]
for key, name, accuracy in (
    ("random", "random", 0.32),
    ("kh", "kh", 0.32),
    ("late", "kh", 0.4),
    ("l2", "l2", 0.4),
    ("bp", "bp", 0.4),
):
    for part in direction_numbers.PARTS:
        glue_all(
            {f"ro-dir-{key}-{part}": wording.number(at(name, part, accuracy), 2)}
        )
shares = {
    entry.id: [one.statistic for one in predictions.evaluate(entry).measured]
    for entry in predictions.read()
    if entry.id.startswith("direction-")
}
for key in ("random", "path", "exemplars"):
    text = wording.of_seeds(shares[f"direction-{key}"], places=2)
    glue_all({f"ro-dir-share-{key}": text})
check("share of direction, KH over random", min(shares["direction-random"]), 0.67)
check("share of direction, along KH's path", min(shares["direction-path"]), 0.67)
check("distance in standard deviations, all", high / low, 1, 4)
check("deviation, all", spans["deviation"][1] / spans["deviation"][0], 8)

# %% tags=["hide-input"]
for name in ("l2", "bp"):
    gain = direction_numbers.over(along[name], along["kh"], 0.4)
    for part, ratios in gain.items():
        glue_all({f"ro-gain-{name}-{part}": wording.of_seeds(ratios, places=2)})
    longer_by = float(np.mean(np.log(gain["deviation"]) / np.log(gain["linear"])))
    check(f"share of direction in what labels add, {name}", longer_by, -0.5, 0.5)
    check(f"distance, {name} over KH", min(gain["distance"]), 1.1, 1.5)

# %% [markdown]
# **Mostly it is direction.** Over the {glue:text}`ro-dir-count` networks in the figure, the median image is {glue:text}`ro-dir-low` to {glue:text}`ro-dir-high` standard deviations away from being decided otherwise, whatever the layer and however far its readout was trained. How long a standard deviation is differs by a factor of {glue:text}`ro-dir-deviation-span`, and so does the critical norm, by one of {glue:text}`ro-dir-linear-span`; how far away the median image is, by one of {glue:text}`ro-dir-distance-span`.
#
# * *Between layers.* Where both are right on {glue:text}`ro-column-at`, random features are attacked along directions in which images differ by {glue:text}`ro-dir-random-deviation`, KH along such in which they differ by {glue:text}`ro-dir-kh-deviation`. That is {glue:text}`ro-dir-share-random` of the logarithm of what one withstands over the other (1 would be all of it; we had predicted two thirds or more).
# * *Along a path.* From {glue:text}`ro-row-from` to {glue:text}`ro-row-to` KH's readout turns to directions in which images differ by less and less, {glue:text}`ro-dir-late-deviation` in the end. That is {glue:text}`ro-dir-share-path` of the logarithm of what it loses. This is what {eq}`eq-ro-path` was said to do.
# * *Learned or drawn.* Images as rows are attacked along directions in which images differ as much as for KH (logarithm of the ratio at {glue:text}`ro-row-from`: {glue:text}`ro-dir-share-exemplars`).
# * *What labels add* is distance. At {glue:text}`ro-row-to`, the layers of L2 and BP withstand {glue:text}`ro-gain-l2-linear` and {glue:text}`ro-gain-bp-linear` times as much as KH's, and only the smaller part of that, or none, is that images differ by more along their gradients: {glue:text}`ro-gain-l2-deviation` and {glue:text}`ro-gain-bp-deviation` times as much. But their images are {glue:text}`ro-dir-l2-distance` and {glue:text}`ro-dir-bp-distance` standard deviations away, those of KH {glue:text}`ro-dir-late-distance`. No prediction was about this.
#
# So the sentence "weights that look like images are hard to fool" has a reason: their gradients are made of images, and lie where images differ by much.
#
# (sec-ro-full)=
# ## At the paper's scale
#
# Now KH at its full size: {glue:text}`ro-full-units` units, pruned as in the paper, trained on all images of CIFAR-10 for as long as in the paper. Beside it stand layers as large that nobody trained: two like the small ones above, cluster centres and principal components of the images, and the random features of the other chapters, whose activation is the plain ReLU. Four more were trained with labels: those of the published BP, L2 and Jacobian models, and that of the spectral model as logged. All are attacked on the same {glue:text}`ro-full-attacked` test images.

# %% tags=["hide-input"]
full = stored("paths", "paper")
matched = {}
for name in full:
    both = pairs(name, "kh", "paper")
    accuracies = [kh["accuracy"][readout_numbers.own(kh)] for _, kh in both]
    matched[name] = readout_numbers.over(both, accuracies)

# %% tags=["hide-input"]
AT = "log best at KH's accuracy"  # as the predictions have it
over = statistics.ratios(AT, "exemplars", "kh")
best = {
    n: [100 * readout_numbers.best_accuracy(path) for path in seeds]
    for n, seeds in full.items()
}
own = [100 * path["accuracy"][readout_numbers.own(path)] for path in full["kh"]]
unlike_own = readout_numbers.best_beside_own(full["kh"])
gains, kept = readout_numbers.ahead(unlike_own), readout_numbers.ratio(unlike_own)
count = len(own)
glue_all({"ro-full-units": kh_params.PAPER_CIFAR10.hidden})
glue_all({"ro-full-attacked": len(full["kh"][0]["images"])})
glue_all({"ro-full-seeds": wording.count(count, "seed")})
glue_all({"ro-full-own": wording.of_seeds(own, places=1)})
glue_all({"ro-full-loss": str(kept)})
for name in full:
    key = "ro-full-best" + f"-{name}" * (name != "kh")
    glue_all({key: wording.of_seeds(best[name], places=1)})
    glue_all({f"ro-full-{name}": str(matched[name])})
backprop = [n for n in study.members("paper") if n not in ("kh", "random")]
without = [study.title(name) for name in backprop if name not in full]
glue_all({"ro-full-without": " and ".join(without)})
glue_all({"ro-full-each": ", ".join(f"{ratio:.2f}" for ratio in over.values())})


def reached(found, seeds):
    """As text; of how many seeds, where not all get there."""
    few = 0 < len(found.seeds) < seeds
    return str(found) + few * f" ({len(found.seeds)} of {seeds})"


# %% mystnb={"figure": {"caption": "CIFAR-10 at the paper's scale, 2000 units: robust accuracy against clean accuracy, as in {numref}`fig-ro-fronts`. A line for each seed of seven of the hidden layers; large markers are the readouts of KH, BP, L2 and Jacobian as the paper trains them.", "name": "fig-ro-full"}, "image": {"alt": "Seven panels. KH, images as weights and Gaussian rows share one curve over the left half of the accuracies; over the right half KH lies a little above and to the right of both. L2 and Jacobian begin near where KH as trained stands and lie above KH further to the right; BP begins a little further to the right, near KH's curve, and ends furthest. KH as trained is a point on its curve, near its top at small radii and where it has begun to fall at large ones; L2 as trained is about as high, at a higher accuracy; Jacobian as trained stands near the end of its curve, and lower at large radii; BP as trained below the end of its own, at zero for the largest radius. Random features lie far below, at zero for the largest radius."}} tags=["hide-input"]
_ = figures.fronts({n: full[n] for n in study.members("readouts") if n in full})


# %% tags=["hide-input"]
def norm_at_best(path):
    return readout_numbers.log_best(path, readout_numbers.rising(path)[-1])


EARLY, LATE = 0.42, 0.5
early, late = (
    {n: readout_numbers.over(pairs(n, "kh", "paper"), accuracy) for n in full}
    for accuracy in (EARLY, LATE)
)
for when, accuracy, found in (("early", EARLY, early), ("late", LATE, late)):
    glue_all({f"ro-{when}": f"{100 * accuracy:.0f} %"})
    glue_all({f"ro-{when}-{name}": str(one) for name, one in found.items()})
MID = 0.45
glue_all({"ro-mid": f"{100 * MID:.0f} %"})
for key, accuracy in (("full", EARLY), ("mid", MID)):
    over_random = readout_numbers.over(pairs("kh", "random", "paper"), accuracy)
    glue_all({f"ro-{key}-over-random": str(over_random)})
    check(f"KH over random features, at {accuracy}", over_random.value, 2, 5)

# %% tags=["hide-input"]
longer = stored("epochs", "paper")["kh"][0]
ends = [list(longer["place"]).index(stop) for stop in (1000, 10_000)]
before, after = (100 * float(longer["accuracy"][end]) for end in ends)
glue_all({"ro-longer-from": f"{before:.1f}", "ro-longer-to": f"{after:.1f}"})
trained_on = readout_numbers.ratio([((longer, ends[1]), (longer, ends[0]))])
glue_all({"ro-longer-keeps": str(trained_on)})
late_epochs = [
    run.arrays("log")["test_accuracy"][-100:]
    for run in runs.at_hand("kh", "manifest.json").values()
]
steps = [np.abs(np.diff(one[np.isfinite(one)])).max() for one in late_epochs]
glue_all({"ro-flicker": f"{100 * max(steps):.1f}"})
same = full["kh"][0]  # the path of penalties of the same layer
start, stop = readout_numbers.own(same), readout_numbers.nearest(same, after / 100)
both = readout_numbers.right(same, start) & readout_numbers.right(same, stop)
as_accurate = readout_numbers.at_accuracy(same, after / 100, both)
as_far = np.exp(as_accurate - readout_numbers.log_best(same, start, both))
glue_all({"ro-longer-path": f"{as_far:.2f}"})
apart = (as_far - trained_on.value) / trained_on.error
check("path of penalties less the longer training, in its error", apart, -1, 1)

# %% tags=["hide-input"]
decay = readout_numbers.over_own(pairs("kh", "l2", "paper"))
trained = [100 * path["accuracy"][readout_numbers.own(path)] for path in full["l2"]]
glue_all({"ro-decay": str(decay)})
glue_all({"ro-decay-own": wording.of_seeds(trained, places=1)})
glue_all({"ro-decay-seeds": len(trained)})

# %% tags=["hide-input"]
bests, keeps = {}, {}
for name, key in (("l2", "best"), ("jreg", "jreg"), ("bp", "bp")):
    both = readout_numbers.best_of_both(pairs(name, "kh", "paper"))
    points = [100 * points for points in readout_numbers.ahead(both)]
    bests[name] = readout_numbers.ratio(both)
    own_too = readout_numbers.best_beside_own(full[name])
    keeps[name] = readout_numbers.ratio(own_too)
    glue_all({f"ro-{key}-ahead": wording.of_seeds(points, places=1)})
    glue_all({f"ro-{key}-over": str(bests[name])})
    glue_all({f"ro-{key}-keeps": str(keeps[name])})
glue_all({"ro-jreg-seeds": len(full["jreg"]), "ro-bp-seeds": len(full["bp"])})
LATER = 0.52
later = {
    n: readout_numbers.over(pairs(n, "kh", "paper"), LATER)
    for n in ("bp", "l2", "jreg")
}
glue_all({"ro-later": f"{100 * LATER:.0f} %"})
glue_all({f"ro-later-{name}": str(one) for name, one in later.items()})
bent = np.exp(
    [
        bend
        for name in ("kh", "l2", "jreg", "bp")
        for path in full[name]
        for bend in readout_numbers.bends(path)
    ]
)
glue_all(
    {"ro-bends": f"{np.median(bent):.1f}", "ro-bends-most": f"{bent.max():.1f}"}
)

# %% tags=["hide-input"]
by_itself = [100 * p["accuracy"][readout_numbers.own(p)] for p in full["bp"]]
glue_all({"ro-bp-own": wording.of_seeds(by_itself, places=1)})
check("layer of BP over KH's, late", late["bp"].value, 0.9, 1.2)
check("layer of BP over KH's, later", later["bp"].value, 1.1, 1.5)
by_training = (min(bests["bp"].seeds), max(bests["bp"].seeds))
check("best readouts, BP's layer over KH's, least", by_training[0], 0.75, 1.05)
check("best readouts, BP's layer over KH's, most", by_training[1], 1.05, 1.5)
check("critical norm that BP's best keeps", keeps["bp"].value, 1, 1.4)
glue_all({"ro-bp-over-least": f"{by_training[0]:.2f}"})
glue_all({"ro-bp-over-most": f"{by_training[1]:.2f}"})
check("best readouts, L2's layer over KH's", min(bests["l2"].seeds), 1.2, 2)
check("critical norm that L2's best keeps", min(keeps["l2"].seeds), 0.7, 0.9)
check("layer of L2 over that of KH, late", late["l2"].value, 1, 1.6)
check("KH where it is as accurate as L2, over L2", max(decay.seeds), 0, 1.2)


# %% mystnb={"figure": {"caption": "Layers at the paper's scale: median critical $L^2$ norm over that of KH where both have an accuracy, on images that both decide correctly, with the error of a bootstrap over seeds and images (one that has fewer than KH stands beside each of KH's; a dash where the readouts of the layer do not reach down or up to that accuracy: those of BP, L2 and Jacobian are all more accurate, the others' less); in the middle at the accuracy of KH's published readout, and in how many seeds, where not all get there. Best test accuracy of any readout that was tried; and the median critical norm there, in thousandths of the unit-$L^3$ image.", "name": "tab-ro-full"}} tags=["hide-input"]
Table(
    [
        "hidden layer",
        "seeds",
        f"over KH at {100 * EARLY:.0f} %",
        "at KH's",
        f"at {100 * LATE:.0f} %",
        "best accuracy",
        "norm at best",
    ],
    [
        [
            study.title(name),
            len(seeds),
            *(
                str(early[name]),
                reached(matched[name], len(seeds)),
                str(late[name]),
            ),
            spread([value / 100 for value in best[name]]),
            f"{1000 * np.exp(np.mean([norm_at_best(path) for path in seeds])):.0f}",
        ]
        for name, seeds in full.items()
    ],
)

# %%
for gain, norm in zip(gains, kept.seeds, strict=True):
    check("KH, accuracy that its best readout gains", gain, 0.01, 0.1)
    check("KH, critical norm that it keeps", norm, 0.2, 0.75)
for factor_of in matched["exemplars"].seeds:
    check("images as rows over KH, equal accuracy", factor_of, 0.8, 1.25)
shared = [
    [readout_numbers.at_accuracy(path, 0.45) for path in full[name]]
    for name in ("kh", "random")
]
lead = np.exp(np.mean(shared[0]) - np.mean(shared[1]))
check("KH over random features, at 45 per cent", lead, 2, 10)
for name, like in (("kmeans", "exemplars"), ("pca", "random")):
    alike = early[name].value / early[like].value
    check(f"{study.title(name)} over {study.title(like)}, early", alike, 0.7, 1.3)

# %% [markdown]
# Between readouts, whose penalties are a factor of ten apart, the logarithm of the norm is interpolated, here and in {numref}`tab-ro-parts`. The curves bend, so that in between the norm is a little larger than that, the more the further apart two readouts are, and BP's are far apart: leave a readout out, and interpolation across it, over twice the distance, falls short of its norm by a factor of {glue:text}`ro-bends` at the median and {glue:text}`ro-bends-most` at the most. ± does not know of this.
#
# The published readout stands in the middle of its path ({numref}`fig-ro-full`). With a weaker penalty, the best of those in the figure (on the test images, as for all layers here), the same layer gets from {glue:text}`ro-full-own` to {glue:text}`ro-full-best` per cent, and there its critical norm is {glue:text}`ro-full-loss` times what it was, on images that both readouts decide correctly. Counted as robust accuracy at small radii, the early end was a good one: the curve is near its top there, going on gains a few points at the most, and in the end what is gained on unchanged images is lost on changed ones. A training that simply goes on, ten times as long (one seed; begun anew, and in the last hundred epochs of the published trainings the accuracy jumps by up to {glue:text}`ro-flicker` points between two looks at it, so that it need not have that of the published readout after as many epochs), gets from {glue:text}`ro-longer-from` to {glue:text}`ro-longer-to` per cent and keeps {glue:text}`ro-longer-keeps` of the critical norm (± is the error over images; the prediction had three quarters or less, so that it holds on the edge); on the path of penalties the same layer keeps {glue:text}`ro-longer-path` where it is as accurate, the same within that error. In short, what the paper's comparison shows of KH is in part when its training ended.
#
# KH, images and Gaussian rows begin as one curve, and towards the right KH pulls away from the other two ({numref}`tab-ro-full`). Training images drawn at random need {glue:text}`ro-early-exemplars` times KH's perturbation at {glue:text}`ro-early`, {glue:text}`ro-full-exemplars` times at KH's own accuracy, and {glue:text}`ro-late-exemplars` times at {glue:text}`ro-late`. Our prediction allowed for {glue:text}`ro-allowed` at KH's accuracy, and that is just about what there is: counted as it was written down, on the images that four layers decide correctly, it holds on the edge (by seed {glue:text}`ro-full-each`). Gaussian rows with the images' mean and covariance fall behind sooner, {glue:text}`ro-full-gaussian` times at KH's accuracy:
# at this size two moments are not all that counts. Random features hardly get as accurate as KH: their best readout is right on {glue:text}`ro-full-best-random` per cent. On the way there they are far below all others, the further the more accurate both are: KH withstands {glue:text}`ro-full-over-random` times as much at {glue:text}`ro-early`, {glue:text}`ro-mid-over-random` times at {glue:text}`ro-mid`, and where one layer of random features gets to KH's accuracy, just, it withstands {glue:text}`ro-full-random` times as much as KH. Cluster centres, which are means over a few images, go along with images; principal components, turned at random, with random features.
#
# So learning the rows does add something at this size, the more the further the readout is trained: some accuracy at the end of the path, and robustness on the way there. Most of what sets KH apart from random features, images have without it.
#
# What do the hidden layers of weight decay do with other readouts? The published L2 model (trainings: {glue:text}`ro-decay-seeds`) is right on {glue:text}`ro-decay-own` per cent, and the best readout of its layer on {glue:text}`ro-full-best-l2`, with {glue:text}`ro-best-keeps` of the critical norm, where KH's best keeps {glue:text}`ro-full-loss`. **With the best readout of each, weight decay is ahead on both counts:** {glue:text}`ro-best-ahead` points more accurate, and {glue:text}`ro-best-over` times the perturbation on images that both decide correctly. At {glue:text}`ro-late` its layer withstands {glue:text}`ro-late-l2` times as much as KH's. And where readouts on KH's rows are as accurate as the published L2 model, they withstand {glue:text}`ro-decay` times as much as it does. So further along, at the paper's scale too, it is weight decay that is ahead.
#
# The hidden layer of the published Jacobian model, whose penalty is a weight decay of the hidden weights as well ({ref}`ch-regularization`), goes the same way (trainings: {glue:text}`ro-jreg-seeds`). Its best readout is right on {glue:text}`ro-full-best-jreg` per cent and keeps {glue:text}`ro-jreg-keeps` of the critical norm; it is {glue:text}`ro-jreg-ahead` points ahead of KH's best, with {glue:text}`ro-jreg-over` times the perturbation. At {glue:text}`ro-late` it withstands {glue:text}`ro-late-jreg` times as much as KH's, at {glue:text}`ro-later` {glue:text}`ro-later-jreg` times. That of the spectral model as logged goes with random features: {glue:text}`ro-early-specreg-logged` times KH's perturbation at {glue:text}`ro-early`, where they have {glue:text}`ro-early-random`. Of the model "{glue:text}`ro-full-without`" no readouts but its own were measured at this size.
#
# **And the hidden layer of BP itself?** It has no penalty of any kind, and its own readout is right on {glue:text}`ro-bp-own` per cent and easier to fool than those of L2 and Jacobian (trainings with other readouts: {glue:text}`ro-bp-seeds`). Give it readouts that are penalised instead. At {glue:text}`ro-late` it withstands {glue:text}`ro-late-bp` times as much as KH's, and at {glue:text}`ro-later` {glue:text}`ro-later-bp` times, where the layer of L2 has {glue:text}`ro-later-l2` times. Its best readout is right on {glue:text}`ro-full-best-bp` per cent, {glue:text}`ro-bp-ahead` points ahead of KH's best, with {glue:text}`ro-bp-over` times the perturbation, and {glue:text}`ro-bp-keeps` times that of its own readout. (That differs between trainings, {glue:text}`ro-bp-over-least` to {glue:text}`ro-bp-over-most` times KH's: two neighbouring penalties are about as accurate, the weaker of them is easier to fool, and now one and now the other is the best.) So KH's published lead over BP, too, is in good part that the two readouts stand at different places: where they are brought to one accuracy, near the end of KH's path, there is none.
#
# ### What grows along the path
#
# {numref}`fig-ro-anatomy` has both sides of {eq}`eq-ro-linear`. As the penalty gets weaker margins grow, as cross-entropy rewards them; but the gradient grows more, and their ratio, the critical norm, falls. Along KH's path, from the strongest penalty to the weakest, the median margin grows by a factor of {glue:text}`ro-grow-margin` and the median gradient by {glue:text}`ro-grow-slope`. Layers differ in the price: for the same margin random features need the larger gradient.

# %% mystnb={"figure": {"caption": "CIFAR-10 at the paper's scale: medians, over the test images that are decided correctly, of the margin of the right class, of the norm of its gradient, and of the critical $L^2$ norm, against clean accuracy. A line for each hidden layer and seed, its dots the readouts from the strongest penalty on to that of the best accuracy; large markers: KH, BP, L2 and Jacobian as trained.", "name": "fig-ro-anatomy"}, "image": {"alt": "Three panels against clean accuracy. Margin: all layers rise together, from about 0.35 to above 1. Gradient norm: KH, images as weights and Gaussian rows rise along one curve, from 2 to 40; BP, L2 and Jacobian lie to the right, random features far above, from 10 to 70. Critical norm: all fall; random features lie far below the others, BP, L2 and Jacobian furthest to the right, BP as trained lowest of these."}} tags=["hide-input"]
members = [n for n in study.members("readouts") if n in full]
_ = figures.anatomy({n: full[n] for n in members})


# %% tags=["hide-input"]
def growth(path):
    """Of median margin and gradient, from the strongest penalty to the best readout."""
    ends = [
        readout_numbers.parts(path, readout_numbers.rising(path)[i])
        for i in (0, -1)
    ]
    return np.divide(ends[1], ends[0])


grown = np.array([growth(path) for path in full["kh"]])
for number, key in enumerate(("margin", "slope")):
    glue_all({f"ro-grow-{key}": wording.of_seeds(grown[:, number], places=1)})

# %% [markdown]
# ### Directions at this size
#
# And {eq}`eq-ro-deviation`? {numref}`fig-ro-full-directions` has the layers that it was measured on at full size, with the number of trainings or draws: {glue:text}`ro-fulldir-which`. It is the same picture: the median image is {glue:text}`ro-fulldir-low` to {glue:text}`ro-fulldir-high` standard deviations away from another decision, for every layer from its strongest penalty to its best accuracy, and one standard deviation is up to {glue:text}`ro-fulldir-span` times as long for one network as for another.
#
# So the published lead of KH over BP is one of direction. KH as published is attacked where images differ by {glue:text}`ro-fulldir-kh-own`, BP where they differ by {glue:text}`ro-fulldir-bp-own`, a ratio of {glue:text}`ro-fulldir-lead`, where that of their margins over gradients is {glue:text}`ro-fulldir-lead-linear`; in standard deviations both are about as far from their boundary. {glue:text}`ro-fulldir-kh-hundred` of a hundred parts of KH's gradient lie on the first hundred of {glue:text}`ro-fulldir-inputs` components, {glue:text}`ro-fulldir-bp-hundred` of BP's. And it can be lost: from its published readout to its best one, {glue:text}`ro-fulldir-share-path` of what KH loses (in logarithms) is that it turns to directions in which images differ by less, {glue:text}`ro-fulldir-kh-best` in the end, which is about where BP stands. Between KH and random features, where both are right on {glue:text}`ro-early`, direction is {glue:text}`ro-fulldir-share-random` of the difference (more than all of it, as counted in standard deviations random features are the farther from their boundary there).
#
# At equal accuracy further on, at {glue:text}`ro-late`, labels add distance here, too, if less of it. The gradients of L2's layer lie where images differ by {glue:text}`ro-fulldir-l2-deviation` times as much as along those of KH's (for BP's layer {glue:text}`ro-fulldir-bp-deviation` times, so by less), and its images stand {glue:text}`ro-fulldir-l2-distance` times as many standard deviations away (BP's {glue:text}`ro-fulldir-bp-distance` times; one training of KH here, of the others as many as it says above). Images as weights fall behind KH on this stretch, and that is direction: by then they are attacked where images differ by {glue:text}`ro-fulldir-exemplars-deviation` times as much as for KH, and have {glue:text}`ro-fulldir-exemplars-linear` times its margin over gradient. So what learning the rows without labels adds is that the readout turns away later.
#
# How the two share is a matter of the place, though. At {glue:text}`ro-later`, near the end of KH's path, when its own readout has turned away, the gradients of L2's layer lie where images differ by {glue:text}`ro-fulldir-late-l2-deviation` times as much as along KH's, and its images are {glue:text}`ro-fulldir-late-l2-distance` times as many standard deviations away: there direction is the larger part. For BP's layer it is distance still: {glue:text}`ro-fulldir-late-bp-deviation` times as much, from {glue:text}`ro-fulldir-late-bp-distance` times as many.

# %% mystnb={"figure": {"caption": "As {numref}`fig-ro-directions`, for layers of 2000 units at the paper's scale, CIFAR-10; a line for each seed. Right: the readouts of KH, BP, L2, Jacobian and the spectral model as logged as they were trained, and of KH with q = 1 the one that its own training made, which is less accurate; of all others those whose accuracy is nearest to that of KH as trained.", "name": "fig-ro-full-directions"}, "image": {"alt": "Left: the points of all layers lie on one rising diagonal, closer to it than at small scale: random features and the ends of principal components at the lower left, then the spectral model as logged, BP, Jacobian and L2 as trained, and in the upper half KH, images as weights, cluster centres, Gaussian rows and KH with q = 1, whose paths begin at the upper right. Right, from left to right: KH with q = 1 reaches one half within twenty components, KH and images at fifty, L2 at sixty, cluster centres a little later, Gaussian rows at a hundred, Jacobian at two hundred, BP at four hundred, principal components, the spectral model as logged and random features beyond a thousand."}} tags=["hide-input"]
full_along = stored("directions", "paper")
target = float(np.mean(own)) / 100
own_too = {
    name: [
        readout_numbers.own(p)
        if np.isnan(p["place"]).any()
        else readout_numbers.nearest(p, target)
        for p in paths
    ]
    for name, paths in full_along.items()
}
_ = figures.directions(full_along, own_too)

# %% tags=["hide-input"]
wide = direction_numbers.ranges([p for paths in full_along.values() for p in paths])
low, high = wide["distance"]
check("distance in standard deviations, full size", high / low, 1, 3)
glue_all({"ro-fulldir-low": f"{low:.2f}", "ro-fulldir-high": f"{high:.2f}"})
glue_all({"ro-fulldir-span": f"{wide['deviation'][1] / wide['deviation'][0]:.0f}"})
numbered = [f"{study.title(n)} ({len(paths)})" for n, paths in full_along.items()]
glue_all({"ro-fulldir-which": "; ".join(numbered)})


def as_trained(name, part):
    logs = [direction_numbers.log_own(p, part) for p in full_along[name]]
    return float(np.exp(np.mean(logs)))


for name in ("kh", "bp"):
    glue_all({f"ro-fulldir-{name}-own": f"{as_trained(name, 'deviation'):.3f}"})
    hundred = [p["energy"][readout_numbers.own(p)][99] for p in full_along[name]]
    glue_all({f"ro-fulldir-{name}-hundred": f"{100 * np.mean(hundred):.0f}"})
leads = [
    as_trained("kh", part) / as_trained("bp", part)
    for part in ("deviation", "linear")
]
check("deviation, KH over BP as trained", leads[0], 2, 4)
for key, value in zip(("lead", "lead-linear"), leads, strict=True):
    glue_all({f"ro-fulldir-{key}": f"{value:.1f}"})
glue_all({"ro-fulldir-inputs": f"{full_along['kh'][0]['energy'].shape[1]:,}"})
ends = [direction_numbers.log_best(p, "deviation") for p in full_along["kh"]]
glue_all({"ro-fulldir-kh-best": f"{np.exp(np.mean(ends)):.3f}"})
for key in ("random", "path"):
    found = shares[f"direction-{key}-paper"]
    glue_all({f"ro-fulldir-share-{key}": wording.of_seeds(found, places=2)})
    check(f"share of direction, full size, {key}", min(found), 0.67)
check("the same, over random features", min(shares["direction-random-paper"]), 1)

# %% tags=["hide-input"]
over_kh = {
    (name, accuracy): direction_numbers.over(
        full_along[name], full_along["kh"], accuracy
    )
    for name, accuracy in (
        ("exemplars", LATE),
        *itertools.product(("l2", "bp"), (LATE, LATER)),
    )
}
for (name, accuracy), gain in over_kh.items():
    for part, ratios in gain.items():
        key = f"{'late-' if accuracy == LATER else ''}{name}-{part}"
        glue_all({f"ro-fulldir-{key}": wording.of_seeds(ratios, places=2)})
for (name, accuracy), low, high in (
    (("exemplars", LATE), 0.6, 0.9),
    (("l2", LATE), 0.9, 1.2),
    (("bp", LATE), 0.6, 1),
    (("l2", LATER), 1.1, 1.5),
    (("bp", LATER), 0.8, 1.05),
):
    found = np.mean(over_kh[name, accuracy]["deviation"])
    check(f"deviation over KH's at {accuracy}, {name}", found, low, high)

# %% tags=["hide-input"]
of_own = {
    order: {
        n: [
            readout_numbers.certified(path, readout_numbers.own(path), order)
            for path in full[n]
        ]
        for n in ("kh", "bp", "l2", "jreg", "random")
    }
    for order in ("second", "larger")
}
for order, by_model in of_own.items():
    for name, found in by_model.items():
        glue_all({f"ro-{order}-{name}": wording.of_seeds(found, places=2)})
for name in ("kh", "exemplars", "gaussian"):
    # Places are penalties, falling; a readout that was trained comes after them.
    weakest = [np.flatnonzero(np.isfinite(p["place"]))[-2:] for p in full[name]]
    last = [
        100 * float(np.diff(path["accuracy"][ends])[0])
        for path, ends in zip(full[name], weakest, strict=True)
    ]
    glue_all({f"ro-last-{name}": wording.of_seeds(last, places=1)})
    check(f"still rising, {study.title(name)}", min(last), 0, 3)

# %% tags=["hide-input"]
ends_of, far = stored("ends", "paper"), {}
for name in ("kh", "exemplars", "gaussian"):
    far[name] = [100 * readout_numbers.best_accuracy(p) for p in ends_of[name]]
    glue_all({f"ro-end-{name}": wording.of_seeds(far[name], places=1)})
    for path in ends_of[name]:
        past = int(path["accuracy"].argmax()) < len(path["accuracy"]) - 1
        check(f"its best lies before the end, {study.title(name)}", int(past), 1)
count = len(far["exemplars"])
glue_all({"ro-end-seeds": wording.count(count, "seed")})
lead_end = float(np.mean(far["kh"]) - np.mean(far["exemplars"]))
glue_all({"ro-end-lead": f"{lead_end:.1f}"})
check("KH's best over that of images, at the end", lead_end / 100, 0.005, 0.03)

# %% tags=["hide-input"]
allowed = {entry.id: entry.tolerance for entry in predictions.read()}
worst = max(
    float(np.nanmax(path["gradient"]))
    for of in (small, full)
    for seeds in of.values()
    for path in seeds
)
glue_all(
    {
        "ro-allowed": f"{np.exp(-allowed['readout-exemplars']):.2f}",
        "ro-gradient": wording.number(worst, 2),
        "ro-tolerance": wording.number(readout.TOLERANCE, 1),
    }
)
check("largest entry of a gradient, stored", worst, 0, 3e-5)
check(
    "gradient grows more than the margin, KH",
    (grown[:, 1] / grown[:, 0]).min(),
    1.5,
    20,
)

# %% mystnb={"figure": {"caption": "As {numref}`tab-ro-scale`, for layers at the paper's scale; CIFAR-10, means over the seeds that are given.", "name": "tab-ro-full-scale"}} tags=["hide-input"]
Table(
    [HEADER[0], "seeds", *HEADER[1:]],
    [
        [study.title(name), len(seeds), *about_scale(seeds)]
        for name, seeds in full.items()
    ],
)

# %% [markdown]
# Margin over gradient says as much at this size ({numref}`tab-ro-full-scale`): once more what it misses is about half a step. For certificates we had predicted that the bound of second order reaches six tenths of the best attack for every model. KH's does, at {glue:text}`ro-second-kh`, and BP's, at {glue:text}`ro-second-bp`; that of random features does not, at {glue:text}`ro-second-random`, for their kinks; and Jacobian and L2 lie on both sides from training to training, at {glue:text}`ro-second-jreg` and {glue:text}`ro-second-l2`. With the larger of both bounds it is {glue:text}`ro-larger-kh`, {glue:text}`ro-larger-l2` and {glue:text}`ro-larger-random`. All of these are medians over no more than {glue:text}`ro-certified` images of each training.
#
# The paths are not all at their end. Between the two weakest penalties that were tried KH still gains {glue:text}`ro-last-kh` points of accuracy, images {glue:text}`ro-last-exemplars` and Gaussian rows {glue:text}`ro-last-gaussian`, while random features have long begun to lose. So penalties were made weaker still, down to a thousandth of the weakest ({glue:text}`ro-end-seeds`). There all three get past their best, with {glue:text}`ro-end-kh` per cent for KH, {glue:text}`ro-end-exemplars` for images and {glue:text}`ro-end-gaussian` for Gaussian rows: what learning the rows adds to the best accuracy is {glue:text}`ro-end-lead` points over images. (The largest entry of the gradient of {eq}`eq-ro-path` at any stored solution is {glue:text}`ro-gradient`; the solver stops at {glue:text}`ro-tolerance`, or when it cannot get further.)
#
# (sec-ro-trained)=
# ### Images in KH's place
#
# The most direct test needs no path at all. Take the paper's training as it is, a thousand epochs at its rate, and put other rows in KH's place. {numref}`tab-ro-trained` has what comes out, beside KH and beside backpropagation with as much weight decay as makes it equally accurate ({numref}`fig-beyond-frontier`).

# %% tags=["hide-input"]
BALL = "PGD in an L2 ball"
drawn = [n for n in full if n != "kh" and not study.EXPERIMENTS[n].kind.trained]
names = ["kh", *drawn, "kh-linear"]  # the readout alone was trained
attacked = {n: runs.at_hand(n, "perturbations.json") for n in names}
attacked = {n: found for n, found in attacked.items() if found}
beside = {
    n: (
        corrections.lead(n, "kh", BALL, common=True),
        frontier.lead_at(n, BALL, "accuracy", common=True),
    )
    for n in attacked
}
for n, (over_kh, over_decay) in beside.items():
    accuracy = [100 * run.accuracy for run in attacked[n].values()]
    glue_all({f"ro-trained-{n}": str(over_kh)})
    glue_all({f"ro-trained-{n}-decay": str(over_decay)})
    accuracy = wording.of_seeds(accuracy, places=1)
    glue_all({f"ro-trained-{n}-accuracy": accuracy})
count = len(attacked["exemplars"])
glue_all({"ro-trained-seeds": wording.count(count, "seed")})
for n in ("exemplars", "gaussian", "kh"):
    line = beside[n][1].value
    check(f"{study.title(n)} over weight decay of its accuracy", line, 0.9, 1.15)

# %% mystnb={"figure": {"caption": "Readouts trained as the paper trains KH's, on rows that are learned and on others, at the paper's scale: test accuracy; median critical norm in an $L^2$ ball over that of KH, and over that of weight decay of the same accuracy, on images that both decide correctly, with the error of a bootstrap over images and over KH's seeds and the layer's own. Rows that nobody learned have the lengths of KH's.", "name": "tab-ro-trained"}} tags=["hide-input"]
Table(
    ["hidden layer", "seeds", "accuracy", "over KH", "over weight decay"],
    [
        [
            study.title(name),
            len(found),
            spread([run.accuracy for run in found.values()]),
            "–" if name == "kh" else str(beside[name][0]),
            str(beside[name][1]),
        ]
        for name, found in attacked.items()
    ],
)

# %% [markdown]
# With images in KH's place the training gets {glue:text}`ro-trained-exemplars-accuracy` per cent of the test images right, where KH gets {glue:text}`ro-trained-kh-accuracy`; at the median they need {glue:text}`ro-trained-exemplars` times KH's perturbation. Backpropagation with as much weight decay as makes it equally accurate needs as much, nearly: images have {glue:text}`ro-trained-exemplars-decay` times its norm, KH {glue:text}`ro-trained-kh-decay` times. Not even whole images are needed: Gaussian rows with their mean and covariance get {glue:text}`ro-trained-gaussian-accuracy` per cent, and need {glue:text}`ro-trained-gaussian` times KH's perturbation and {glue:text}`ro-trained-gaussian-decay` times that of weight decay. All of these lie on one line, on which more accuracy is paid for with less robustness ({numref}`fig-intro-hero`), and KH is further down it than the layers that nobody trained. (No direction in these rows was learned. Their lengths are those of KH's rows, and where one of KH's was pruned there is none; along the paths above that makes no difference, as each unit is brought to variance 1.) The paper's random features do not lie on it, with {glue:text}`ro-trained-random-decay` times the norm of weight decay.
#
# And the power? We had predicted that without it the same training would go further down the path, to two thirds of KH's critical norm or less. It does not: with $q = 1$ on KH's rows it gets {glue:text}`ro-trained-kh-linear-accuracy` per cent right, and needs {glue:text}`ro-trained-kh-linear` times KH's perturbation. So in a given time the power makes KH more accurate, and hardly easier to fool.
#
# ## The predictions
#
# {numref}`tab-ro-predictions` has every prediction of this chapter. Of {glue:text}`ro-count`, these hold: {glue:text}`ro-holds`; in part: {glue:text}`ro-holds-in-part`; these fail: {glue:text}`ro-fails`; withdrawn, with the reason: {glue:text}`ro-withdrawn` (an entry that was withdrawn stays so, whatever is measured later); not measured: {glue:text}`ro-not-measured`. Where a number was known for some seeds when its prediction was written, only the other seeds decide.

# %% tags=["hide-input"]
entries = [entry for entry in predictions.read() if entry.hypothesis == 2]
outcomes = [predictions.evaluate(entry) for entry in entries]
counts = predictions.summary(outcomes)
glue_all(
    {f"ro-{label.replace(' ', '-')}": number for label, number in counts.items()}
)
glue_all({"ro-count": len(outcomes)})

# %% mystnb={"figure": {"caption": "Predictions on readouts: what was predicted, what was measured (mean and standard deviation over the seeds that decide, or both of two), the verdict by the rule that was written down with it, and the number of seeds. Critical norms and their ratios are given by their natural logarithms, those after ten times the epochs as they are.", "name": "tab-ro-predictions"}} tags=["hide-input"]
prediction_table.table(outcomes)

# %% [markdown]
# ## What follows for "local learning makes robust"
#
# Two things that a table of trained models cannot tell apart come apart here. Part of a network's robustness belongs to its place on the path. Any layer can have that, by a penalty on its readout or by stopping early. The other part belongs to the layer. How large is each? At the paper's scale, from KH's published readout to its best one the critical norm falls to {glue:text}`ro-full-loss` of what it was. From random features to KH it grows by a factor of {glue:text}`ro-full-over-random` at {glue:text}`ro-early` and of {glue:text}`ro-mid-over-random` at {glue:text}`ro-mid`, and by more where KH's published readout is. How the two compare depends on how far one follows the path: here it ends with the best penalty that was tried. At {glue:text}`ro-early` the two are about as large, and from there on the layer's part is the larger one; in the small networks it is, too. And both parts are one thing, the direction in which a network is attacked: rows that look like images have gradients along what images differ in by much, and a readout that is trained further turns away from it ({ref}`sec-ro-directions`). Only what labels add to a layer, at equal accuracy, is something else in small networks, distance; at the paper's scale it is either, from layer to layer and from place to place.
#
# But that is a property of the rows and not of how they came about. Images drawn from the training set have most of it without any learning, and Gaussian rows with the mean and the covariance of the images a good part. If the local rule contributes to robustness, then by making rows similar to images, and drawing them from a hat does that as well. What learning adds shows towards the far end of the path: some accuracy, {glue:text}`ro-end-lead` points over images with the best readout of each, and, at the paper's scale, robustness, of which images as weights have {glue:text}`ro-late-exemplars` times as much at {glue:text}`ro-late`.
#
# Nor need the local rule be the best way to such rows. At the highest accuracy in {numref}`tab-ro-parts` the hidden layers that were trained with labels withstand more than KH's, with weight decay most of all, and from there on they go where KH cannot follow. That is near the end of KH's path, and only {glue:text}`ro-converged` of the units of these small KH layers have reached their norm, the others being noise; but the published lead of KH over L2 is a comparison of two places on two paths, and at equal accuracy, near the end of KH's, it is the other way round: at this size, and at the paper's, where the layer of plain backpropagation draws level and goes ahead as well ({ref}`sec-ro-full`).
#
# ## What would refute it
#
# * More seeds at the paper's scale in which images as weights, at KH's accuracy, fall behind by more than we allowed for.
# * KH's readout, trained ten times as long, keeps its critical norms.
# * A readout on KH's rows that withstands a fifth more than weight decay at weight decay's accuracy.
# * A layer that nobody trained with labels, that withstands much more than another at equal accuracy, and is not attacked along directions in which images differ by more. (With labels there are two: L2's and BP's at {glue:text}`ro-row-to`, see above.)
# * An attack that does without our gradients and finds smaller perturbations than ours, for one of the layers and not for the others.
#
# The first four are lines of {numref}`tab-ro-predictions`. The fifth is put to the test in {ref}`sec-geo-referees`, and weakly by the last column of {numref}`tab-ro-scale`.
#
# ## What we conclude
#
# * How robust a network is depends on its hidden layer and on how far its readout was trained. The published readout of KH is unfinished: trained ten times as long it gains accuracy and keeps {glue:text}`ro-longer-keeps` of the critical norm, and the best one that was tried keeps {glue:text}`ro-full-loss`.
# * At KH's accuracy, images drawn at random and used as weights withstand {glue:text}`ro-full-exemplars` times as much as KH, and random features hardly get there. So KH's robustness is real, and what learning the rows adds to it is the smaller part, which grows along the path: rows that look like images have the larger.
# * The reason is mostly direction. All networks measured, whatever their layer and readout, have the median image at {glue:text}`ro-dir-low` to {glue:text}`ro-dir-high` standard deviations from another decision, along its gradient; what differs, by a factor of {glue:text}`ro-dir-deviation-span`, is how far images differ in that direction. What labels add to a layer at equal accuracy is, in small networks, distance.
# * Put in KH's place in the paper's own training, images, and Gaussian rows like them, lie on the same line of accuracy and robustness as KH, and as backpropagation with weight decay.
# * With the best readout of each, weight decay is ahead of KH in both: {glue:text}`ro-best-ahead` points more accurate, and {glue:text}`ro-best-over` times the perturbation. At the same accuracy, towards the end of KH's path, it has {glue:text}`ro-late-l2` times as much at {glue:text}`ro-late`; the layer of plain backpropagation has as much as KH's there, {glue:text}`ro-late-bp` times, and {glue:text}`ro-later-bp` times at {glue:text}`ro-later`.
#
# The third is about small networks with {glue:text}`ro-seeds` seeds of each layer, and, with fewer, about the paper's scale. All others are about the paper's scale: the first two with {glue:text}`ro-full-seeds` (the longer training has one), the fourth with {glue:text}`ro-trained-seeds` of images and Gaussian rows, the fifth with {glue:text}`ro-decay-seeds` trainings of L2 (and {glue:text}`ro-bp-seeds` of BP). The rest of the chapter is about small networks of {glue:text}`ro-units` units, with {glue:text}`ro-seeds` seeds of each layer.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-ro-whiten
# Whiten the images, so that they have variance one along every direction. What becomes of $\sigma_m$, and of everything that this chapter says about directions? Which networks would you expect to be hard to fool then?
# ```
#
# ```{solution} ex-ro-whiten
# :class: dropdown
# With $\Sigma_x = I$ the standard deviation along every gradient is one, whatever the network: direction cannot matter, and by {eq}`eq-ro-deviation` only the distance $\zeta$ is left to differ. A perturbation of a whitened image is another thing when it is carried back to pixels, though: there it is short where images hardly differ. So whitening does not make a network robust; it hides in the units what makes it fragile.
# ```
#
# ```{exercise}
# :label: ex-ro-scale
# Double the readout of a network, weights and bias. What happens to its loss, its Jacobian, its critical norms? And what if only the bias is doubled?
# ```
#
# ```{solution} ex-ro-scale
# :class: dropdown
# All logits double, so that no decision changes anywhere and critical norms stay exactly what they are; the Jacobian of the logits doubles, and the loss changes. A Jacobian alone says nothing about robustness: it has to be compared with the margin, as in {eq}`eq-ro-linear`. With the bias alone boundaries move, and so do critical norms.
# ```
