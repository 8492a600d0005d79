# %% [markdown]
# (ch-geometry)=
# # Geometry
#
# ```{admonition} The question and the answer
# :class: answer
# The landscape of the locally learned network looks smooth where the others look broken. Is that what it learned?
#
# No. Either of two things brings it about without learning: the steep activation, with any weights, or weights that have a large part in common, such as images, under which hardly a unit ever switches off. And at the median the steepness hides nothing from an attack.
# ```
#
# Robustness is a number; this chapter looks at the landscape behind it. Cut a plane through the space of images, colour each point by
# the network's decision and by how fast its hidden layer changes there, and one can see what an attack has to cross. The
# paper shows one such plane, and in its stored figure the landscape of the KH model varies smoothly while the others break into rays. (A review of the paper sums up otherwise: that KH, L2 and Jacobian look alike.)
#
# It does vary smoothly, and we can put numbers on it. The question of this chapter is where the smoothness comes from: from the learned weights,
# or from the activation, which in the KH model is not a ReLU but a steep power of it? Models with the same weights and the
# other activation answer that. And since a steep activation can also hide a gradient from an attack, we end with referees
# that need none.

# %% tags=["hide-input"]
import numpy as np
import torch
from torch.func import jacrev, vmap

from bioadv.data.datasets import unit_lp
from bioadv.data.files import read_arrays
from bioadv.lab import live, scales, study
from bioadv.lab.probe_landscape import ADVERSARIAL, LANDSCAPE
from bioadv.lab.probe_referees import REFEREES
from bioadv.lab.runs import paper, stored
from bioadv.measure import gradient_ascent, landscapes
from bioadv.network import layer_health, models
from bioadv.network.models import TwoLayer
from bioadv.pages import plots_geometry, wording
from bioadv.pages.notebook import Table, begin, check, glue_all, observe

data = begin(tests=40)
x_test, y_test = unit_lp(data.test), torch.tensor(data.test.labels)
sizes = scales.live_scale(data)

# %% [markdown]
# ## What the paper did
#
# ```{admonition} The paper
# :class: paper
# For each model {cite:p}`holzhausen2025exploring` draws a plane through one test image of CIFAR-10, spanned by two random orthogonal directions. The upper
# panels show the norm of the Jacobian of the hidden layer, the lower ones the decision, the more opaque the larger
# the softmax. In the stored figure the plane reaches {glue:text}`geo-radius` to either side of the image in
# $L^2$ units, with {glue:text}`geo-points` points per side. The reviews of an earlier version asked for a quantification.
# ```
#
# ## A plane is linear, and so is the latent on it
#
# Let $x$ be an image and $u, v$ two orthonormal directions. On the plane $x + su + tv$ the latent before the activation is
#
# $$
# h(x + s u + t v) = h(x) + s\, M u + t\, M v ,
# $$ (eq-geo-plane)
#
# three products for the whole plane. From {eq}`eq-reg-latent` the Jacobian of the latent after the activation, at one point, is
#
# $$
# \Big\lVert \frac{\partial a}{\partial x} \Big\rVert^2 = \sum_j f'(h_j)^2\, \lVert m_j \rVert^2 ,
# \qquad f'(h) = q \max(0, h)^{q-1} .
# $$ (eq-geo-jacobian)
#
# So ten thousand points cost one elementwise pass and one product with a vector. The definition asks for a
# backward pass per hidden unit instead, which takes thousands of times longer (`python -m benchmarks landscapes` measures it).


# %%
def jacobian_landscape(model, plane, radius, points):
    s = torch.linspace(-radius, radius, points)
    origin, u, v = torch.stack([plane.origin, plane.u, plane.v]) @ model.hidden.T
    h = origin + s[None, :, None] * u + s[:, None, None] * v  # (P, P, H)
    f = models.slope(h, model.power)
    return (f.square() @ model.hidden.square().sum(1)).sqrt()


# %%
def random_model(power):
    model = TwoLayer(data.train.inputs, 40, 10, power)
    return models.init(model, torch.Generator().manual_seed(0)).eval()


plane = landscapes.random_plane(x_test[0], torch.Generator().manual_seed(1))
for power in (1.0, 4.5):
    model = random_model(power)
    found = landscapes.landscape(model, plane, radius=5.0, points=5)
    short = jacobian_landscape(model, plane, 5.0, 5).detach().numpy()
    gap = np.abs(short / found.latent_jacobian - 1).max()
    check(f"short form against the package, q = {power:g}", gap, 0, 1e-4)
    points = torch.stack([plane.at(s, -5.0) for s in found.coordinates])
    rows = vmap(jacrev(lambda image, m=model: m.after(image[None])[0]))(points)
    plain = rows.square().sum((1, 2)).sqrt().detach().numpy()
    gap = np.abs(found.latent_jacobian[0] / plain - 1).max()
    check(f"package against the definition, q = {power:g}", gap, 0, 1e-3)

# %% [markdown]
# Two things can be read off {eq}`eq-geo-jacobian` before anything is trained.
#
# * For $q = 1$ the slope is zero or one. The Jacobian is then constant between the lines on which some $h_j$ changes sign, and jumps there: a
#   landscape of facets. Far from the origin it depends on the direction only, which is why facets become rays.
# * For $q > 1$ the slope is itself a power, with no jump. And it grows: $f'(c\,h) = c^{\,q-1} f'(h)$ for $c > 0$, so that
#   far out the Jacobian grows with the distance to the power $q - 1$.
#
# ## Landscapes, live
#
# The networks are small ones on photo patches: {glue:text}`geo-hidden` hidden units, {glue:text}`geo-epochs` epochs. Besides the models of the paper's
# figure there are two controls: the KH weights with an ordinary ReLU, and random weights with the KH model's power.
# "Random" are features at their random initial values, which, as far as its spectra and its Jacobian tell, is what the paper's spectral model has as well ({ref}`ch-regularization`).

# %% tags=["hide-input"]
glue_all({"geo-radius": f"{landscapes.PAPER_RADIUS:g}"})
glue_all({"geo-points": landscapes.PAPER_POINTS, "geo-near": LANDSCAPE["near"]})
glue_all({"geo-hidden": sizes.layer.hidden, "geo-epochs": sizes.epochs})
glue_all({"geo-power": study.KH_POWER, "geo-power-less": study.KH_POWER - 1})
critical = {k: paper()["critical"][k]["values"]["kh"] for k in ("fgsm", "pgd")}
glue_all(
    {"geo-fgsm-pgd": f"{100 * (critical['fgsm'] / critical['pgd'] - 1):.0f} %"}
)

# %%
layer = live.train_layer(data).synapses
health = layer_health.health(layer, x_test, sizes.layer)
observe(data, "share of converged KH units", health.converged, 0.9, 1)
observe(data, "share of live KH units", health.live, 0.95, 1)
observe(data, "share of KH units that win", health.winning, 0.5, 1)

# %%
names = study.members("live")
everyone = [*names, "kh-linear", "random-power"]
fitted = {name: live.train(name, data, layer).model for name in everyone}


# %% [markdown]
# {numref}`fig-geo-far` has the layout of the paper's figure and its radius.


# %%
def maps(names, plane, radius, points=201):
    return {
        name: landscapes.landscape(fitted[name], plane, radius, points)
        for name in names
    }


first = int(np.flatnonzero(data.test.labels == data.test.labels[-1])[0])
image = x_test[first]
plane = landscapes.random_plane(image, torch.Generator().manual_seed(1))
far = maps(names, plane, landscapes.PAPER_RADIUS)

# %% mystnb={"figure": {"caption": "The paper's figure, live on photo patches: a random plane through one of them (circle), out to the paper's radius. For each model, above: norm of the Jacobian of the hidden layer after the activation, on a colour scale of its own. Below: decisions; white lines where the confidence passes one half and nine tenths. Axes in $L^2$ units. Networks of 100 hidden units, one seed.", "name": "fig-geo-far"}, "image": {"alt": "A pair of maps for each of KH, BP, L2, Jacobian and random. Jacobian norm: KH is one smooth surface that rises towards a corner; BP, L2 and Jacobian are broken into flat facets with straight edges and look much alike; random has rays that run outwards from the centre. Decisions: KH, BP, L2 and Jacobian have a few large regions, those of the last three nearly the same; random has a single one but for a speck at the centre."}} tags=["hide-input"]
_ = plots_geometry.landscapes(far, data.train.classes)

# %% [markdown]
# How to read it: let the eye go to the upper maps first, and then to the colour bars below them. KH is a smooth surface on which the Jacobian more than
# doubles towards the rim. The others are mosaics of facets with straight edges, which for random features are rays from the centre, but on a much narrower scale: what looks like
# strong structure there is a variation by a fifth or a quarter from end to end. A colour scale of its own for each panel hides that. BP, L2 and Jacobian, which
# started from the same random weights, have nearly the same regions too.
#
# ### How far is that?
#
# In the same units an image has a norm of about three and a half (pixels are divided by the $L^3$ norm of the image). The
# paper's radius is {glue:text}`geo-norms` times that of a CIFAR-10 image. Almost all of the plane has large negative pixels and is no image of anything.

# %%
norms = x_test.norm(dim=1)
ratio = landscapes.PAPER_RADIUS / float(norms.median())
observe(data, "the paper's radius over the median norm of an image", ratio, 5, 7)
corner = plane.at(landscapes.PAPER_RADIUS, landscapes.PAPER_RADIUS)
observe(
    data,
    "share of negative pixels in a corner",
    (corner < 0).float().mean(),
    0.3,
    0.6,
)

# %% [markdown]
# {numref}`fig-geo-near` is the same plane within {glue:text}`geo-near` of the image's norm.

# %%
near_radius = LANDSCAPE["near"] * float(image.norm())
near = maps(names, plane, near_radius)

# %% mystnb={"figure": {"caption": "The centre of the plane above, within three tenths of the image's norm: photo patches, networks of 100 hidden units, one seed.", "name": "fig-geo-near"}, "image": {"alt": "Pairs of maps as before. Jacobian norm: KH is a smooth gradient of colour; BP, L2 and Jacobian have a few flat facets with straight edges, or one; random is a mosaic of many. Decisions: all maps have a single colour, except for a second region of random that reaches from the upper left to the centre."}} tags=["hide-input"]
_ = plots_geometry.landscapes(near, data.train.classes)

# %% [markdown]
# Near the data there is little to see, and that is the finding: Jacobians that vary by a few per cent (more for random features, whose units all
# switch), no more than a few edges for the trained networks, and decisions that hardly change. A random direction is a harmless one.
#
# ## Weights or activation?
#
# The KH model differs from the others in two ways at once: its weights were learned by the local rule, and its activation is
# $\max(0, h)^q$ with $q$ = {glue:text}`geo-power`. {numref}`fig-geo-controls` exchanges the activation.

# %%
four = ["kh", "kh-linear", "random-power", "random"]
swapped = maps(four, plane, landscapes.PAPER_RADIUS)

# %% mystnb={"figure": {"caption": "The same hidden weights with a steep and with an ordinary ReLU, the readout trained for each: photo patches, plane as above, 100 hidden units, one seed.", "name": "fig-geo-controls"}, "image": {"alt": "Pairs of maps for KH and random weights, each with power 4.5 and with power 1. Both landscapes with power 4.5 are smooth and rise towards the rim, for random weights a thousandfold. Both with power 1 are facets: for KH weights a few large flat ones, the largest around the centre; for random weights rays from the centre."}} tags=["hide-input"]
_ = plots_geometry.landscapes(swapped, data.train.classes)

# %% [markdown]
# On these patches the smoothness far out goes with the power: random weights have it too when they are given $q$ = {glue:text}`geo-power`, and these small KH layers lose it
# there with $q = 1$. (At the paper's size they do not, as we shall see.) To say that in numbers we use the *structure function*: the mean squared difference between points that are a distance $d$ apart
# grows as $d^{2e}$, with $e = 1$ for a differentiable function that the grid resolves and $e = 1/2$ for one made of steps.
#
# There is one thing that the KH weights do contribute. Their units are hardly ever switched off, since nearly all of their weights are positive, and so are
# pixels. With $q = 1$ the hidden layer is then simply *linear* on the data.


# %%
def median_smoothness(name, images=4):
    found = []
    for index in torch.linspace(0, len(x_test) - 1, images).long():
        generator = torch.Generator().manual_seed(1000 + int(index))
        plane = landscapes.random_plane(x_test[index], generator)
        one = landscapes.landscape(fitted[name], plane, 20.0, 201)
        found.append(landscapes.smoothness(one.latent_jacobian))
    return float(np.nanmedian(found))


for name in everyone:
    smooth = study.experiment(name).power > 1
    band = (0.94, 1.02) if smooth else (0.42, 0.62)
    observe(data, f"exponent, {study.title(name)}", median_smoothness(name), *band)

# %%
with torch.no_grad():
    on = {name: fitted[name].before(x_test) > 0 for name in ("kh", "bp", "random")}
switching = {k: float((h.any(0) & ~h.all(0)).float().mean()) for k, h in on.items()}
observe(data, "share of units that switch, KH", switching["kh"], 0, 0.2)
observe(data, "share of units that switch, BP", switching["bp"], 0.4, 1)
observe(data, "share of units that switch, random", switching["random"], 0.8, 1)

# %% [markdown]
# ## Planes that matter
#
# A random direction is nearly orthogonal to everything. {numref}`fig-geo-adversarial` turns the plane: its first axis points at an adversarial
# example of the model itself (an $L^2$ attack on the margin, {ref}`ch-robustness`), its second at the nearest photo patch of another class.


# %%
def telling_plane(name, radius=0.75):
    model = fitted[name]
    with torch.no_grad():
        decision = model(image[None]).argmax(1)
    target = gradient_ascent.pgd(model, image[None], decision, radius, ADVERSARIAL)[
        0
    ]
    other = x_test[y_test != y_test[first]]
    other = other if len(other) else x_test[x_test.ne(image).any(1)]
    nearest = other[(other - image).norm(dim=1).argmin()]
    if bool((target == image).all()):  # no gradient here: units that are dead
        return landscapes.plane_towards(image, nearest, random)
    return landscapes.plane_towards(image, target, nearest)


random = torch.Generator().manual_seed(2)
towards = {
    name: landscapes.landscape(fitted[name], telling_plane(name), 1.5, 201)
    for name in names
}

# %% mystnb={"figure": {"caption": "Photo patches, planes through the same one, each model's own: to the right lies an adversarial example, the nearest patch of another class in the upper half. 100 hidden units, one seed.", "name": "fig-geo-adversarial"}, "image": {"alt": "Pairs of maps. Decisions: each model has a boundary a little to the right of the centre, more or less upright and almost straight there. Jacobian norm: KH is smooth and brightens towards the right; the others are facets with many upright edges."}} tags=["hide-input"]
_ = plots_geometry.landscapes(towards, data.train.classes)

# %% [markdown]
# Now there is a boundary within reach, and where it passes the image it is nearly straight and at right angles to the direction of the attack. So between an image and its adversarial example
# these networks are close to linear, facets or not. (That FGSM and PGD agree so well is no sign of it: in the paper's box plots the median critical norm of FGSM
# exceeds that of PGD by {glue:text}`geo-fgsm-pgd` for KH, but {ref}`ch-robustness` finds that both climb the same second-best loss.) What decides here is the *slope* of the margin, more than the roughness of the landscape.
#
# For KH the upper panel has a scale of its own once more: along this axis the Jacobian changes by an order of magnitude, more than on a random plane out to the paper's radius. A random direction
# is nearly orthogonal to the rows of $M$; this one is made of them.
#
# ## Several images, several planes
#
# One plane is an anecdote. {numref}`fig-geo-quantities` has four quantities for several images: the relative spread of the Jacobian over the plane (standard deviation over mean), the
# exponent of its structure function, the number of connected decision regions, and the length of the boundaries
# in units of the plane's side (Cauchy–Crofton, from crossings of the grid).


# %%
quantity = {"spread": "relative spread of the Jacobian norm"}
quantity |= {"smoothness": "exponent of the structure function"}
quantity |= {"regions": "decision regions", "boundary": "length of boundaries"}
chosen = torch.linspace(0, len(x_test) - 1, 8).long()
live = {name: ([], []) for name in everyone}
for index in chosen:
    generator = torch.Generator().manual_seed(1000 + int(index))
    plane = landscapes.random_plane(x_test[index], generator)
    radii = LANDSCAPE["near"] * float(x_test[index].norm()), landscapes.PAPER_RADIUS
    for name in everyone:
        for found, radius in zip(live[name], radii, strict=True):
            one = landscapes.landscape(fitted[name], plane, radius, 101)
            found.append(landscapes.summary(one))


def collected(key):
    return {
        name: np.array([[one[key] for one in found] for found in live[name]])
        for name in everyone
    }


# %% mystnb={"figure": {"caption": "Four quantities of landscapes on random planes through eight photo patches: a dot for each, a bar at the median; near the data (three tenths of the image norm) and out to the paper's radius. Networks of 100 hidden units, one seed. Maps that are constant have no spread and no exponent and are left out.", "name": "fig-geo-quantities"}, "image": {"alt": "Four panels with a row for each of seven models. Spread, logarithmic: far out about a third for KH, more for random weights with power 4.5, a few hundredths for all others; near the data it is smaller for all. Exponent: about 1 for the two models with power 4.5, about one half for the others. Regions: one near the data, two or three for random weights; far out about four, and about twelve for random weights with power 4.5. Boundary length far out: one to three sides of the plane, more than four for random weights with power 4.5."}} tags=["hide-input"]
values = {key: collected(key) for key in quantity}
values["spread"] = {
    name: np.where(spread > landscapes.FLAT, spread, np.nan)
    for name, spread in values["spread"].items()
}
_ = plots_geometry.quantities(values, quantity, log=["spread"])

# %%
spread = {name: np.nanmedian(values["spread"][name], 1) for name in ("kh", "bp")}
observe(
    data, "spread far out, KH over BP", spread["kh"][1] / spread["bp"][1], 3, 100
)
observe(data, "spread near the data, KH", spread["kh"][0], 0.003, 0.08)
for key in ("regions", "boundary"):
    fine = np.concatenate([array[1] for array in collected(key).values()])
    coarse = np.concatenate(
        [array[1] for array in collected(f"{key}_coarse").values()]
    )
    observe(
        data, f"{key} at half the resolution", coarse.sum() / fine.sum(), 0.85, 1.1
    )

# %% [markdown]
# How to read {numref}`fig-geo-quantities`: here the exponent separates the models by their power $q$ and by nothing else. The spread does so far out, where that of the Jacobian is *larger* for the
# steep activation, by about a factor of ten: in the sense of "the sensitivity is the same everywhere" the KH landscape is less smooth than those of BP and its relatives.
# It is smooth in the other sense, that the sensitivity has no jumps. On the decisions, in the other two panels, KH, BP, L2 and Jacobian are alike; random features have more
# and smaller regions near the data with either power, and far out with the steep one. Halving the resolution hardly changes these counts, so there are no slivers that the grid misses.
#
# ## The same at the paper's scale
#
# {numref}`fig-geo-paper` has the maps on CIFAR-10, on one random plane through the first test image;
# {numref}`tab-geo-paper` has the range of the Jacobian over such planes beside the ends of the paper's colour bars. The paper's plane was not
# published, so the ranges can agree in size only. The explorer has <a href="explorer.html#landscape">these planes with a point to drag</a>, and such planes through images that can be shown.
#
# ```{admonition} Our remark
# :class: remark
# First seeds were measured on other random planes than later ones, by a slip of ours. Later ones share theirs (so does the spectral model as stated, with its one seed), and how well they agree says nothing of other planes: KH's spread far out is {glue:text}`geo-kh-spread-first` on those of the first seed and {glue:text}`geo-kh-spread-later` on those of the others. Every mean over seeds holds both. For first seeds, too, the plane through this image is spanned by two rows of the initial weights, those of two units of two thousand; whether that has an effect was not checked.
# ```

# %% mystnb={"figure": {"caption": "The paper's figure at the paper's scale: CIFAR-10, 2000 hidden units, first test image, one random plane out to the paper's radius, first seed of each model.", "name": "fig-geo-paper"}, "image": {"alt": "Pairs of maps for the models at the paper's scale. Jacobian norm: KH is a smooth hillside; the others are made of fine fibres that run outwards, on a colour scale that spans a tenth or so. The maps of decisions have a few regions each."}} tags=["hide-input"]
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer"]
CIFAR10 += ["dog", "frog", "horse", "ship", "truck"]
at_scale = {name: study.title(name) for name in study.members("paper")}
runs = {name: stored(name, "landscape.npz") for name in at_scale}
probes = {
    name: {seed: read_arrays(run / "landscape.npz") for seed, run in found.items()}
    for name, found in runs.items()
}


def stored_map(arrays, place=1, kind=0):
    names = ("coordinates", "jacobian", "classes", "confidence")
    s, jacobian, classes, sure = (
        arrays[f"map_{name}"][place, kind] for name in names
    )
    return landscapes.Landscape(s, jacobian, None, classes, sure / 255)


# specreg, which the paper does not show, was measured on other random planes.
shown = [name for name in at_scale if probes[name] and name != "specreg"]
if shown:
    first = {n: next(iter(probes[n].values())) for n in shown}
    stored_maps = {name: stored_map(arrays) for name, arrays in first.items()}
    _ = plots_geometry.landscapes(stored_maps, CIFAR10)

# %% mystnb={"figure": {"caption": "Range of the Jacobian's norm over a random plane through a CIFAR-10 test image out to the paper's radius: medians over images of the lowest and highest value, mean over training seeds, beside the ends of the authors' colour bars for one image. Spread (standard deviation over mean), exponent and number of decision regions: medians over images.", "name": "tab-geo-paper"}} tags=["hide-input"]
theirs = paper()["plane_jacobian"]["values"]
in_paper = {"random": "specreg", "specreg": None, "specreg-logged": "specreg"}


def over_seeds(name, key, place=1, kind=0):
    found = [
        np.nanmedian(arrays[key][place, kind]) for arrays in probes[name].values()
    ]
    return float(np.mean(found))


def row(name, title):
    reported = theirs.get(in_paper.get(name, name))
    cells = ["{} to {}".format(*reported) if reported else "–"]
    if probes[name]:
        low, high = over_seeds(name, "low"), over_seeds(name, "high")
        cells += [
            f"{low:.1f} to {high:.1f}",
            f"{over_seeds(name, 'spread', 0):.3f}",
        ]
        cells += [
            f"{over_seeds(name, key):.3f}" for key in ("spread", "smoothness")
        ]
        cells.append(f"{over_seeds(name, 'regions'):.1f}")
    return [title, *cells, *["–"] * (6 - len(cells)), len(probes[name])]


header = ["model", "Jacobian norm, authors", "Jacobian norm, ours"]
header += ["spread near the data", "spread far out", "exponent", "regions", "seeds"]
Table(header, [row(name, title) for name, title in at_scale.items()])


# %% tags=["hide-input"]
def constant(found):
    """In how many of all cases the Jacobian with the other power is constant."""
    spreads = np.concatenate([arrays["other_spread"][1] for arrays in found])
    return f"{(spreads < landscapes.FLAT).sum()} of {len(spreads)}"


unlearned = [
    read_arrays(run / "landscape.npz")
    for name in ("exemplars", "gaussian")
    for run in stored(name, "landscape.npz").values()
]
keys = "norms", "kh-constant", "kh-linear", "planes", "kh-high-planes"
keys += "kh-spread-first", "kh-spread-later"
glued = {f"geo-{key}": "–" for key in keys}
glued["geo-unlearned-constant"] = constant(unlearned) if unlearned else "–"
if probes["kh"]:
    every = list(probes["kh"].values())
    sizes_of = np.concatenate([arrays["norms"] for arrays in every])
    glued["geo-norms"] = f"{landscapes.PAPER_RADIUS / sizes_of.mean():.1f}"
    glued["geo-kh-constant"] = constant(every)
    glued["geo-planes"] = f"{len(every[0]['norms'])}"
    high = [arrays["high"][1, 0].std(ddof=1) for arrays in every]
    glued["geo-kh-high-planes"] = f"{np.mean(high):.0f}"
    spreads = [np.median(arrays["spread"][1, 0]) for arrays in every]
    glued["geo-kh-spread-first"] = f"{spreads[0]:.2f}"
    glued["geo-kh-spread-later"] = wording.of_seeds(spreads[1:], places=2)
    lowest = np.concatenate([arrays["other_low"] for arrays in every], axis=1)
    glued["geo-kh-linear"] = f"{np.median(lowest):.1f}"
glue_all(glued)

# %%
at_hand = [name for name in at_scale if probes[name]]
ends = {
    name: [over_seeds(name, end) for end in ("low", "high")] for name in at_hand
}
apart = [
    max(ends[name][0] - theirs[of][1], theirs[of][0] - ends[name][1])
    for name in at_hand
    if (of := in_paper.get(name, name)) in theirs
]
check(
    "gap between our range and the authors' (overlap: below 0)", max(apart), high=0
)
off = np.abs(np.subtract(ends["random"], theirs["specreg"])).max()
check("ends of the range: random features minus their spectral", off, high=0.6)
for place, where in enumerate(("near the data", "far out")):
    spread = {name: over_seeds(name, "spread", place) for name in at_hand}
    others = max(value for name, value in spread.items() if name != "kh")
    check(f"KH's spread {where} over the next", spread["kh"] / others, 1)
near, far = (over_seeds("kh", "spread", place) for place in (0, 1))
check("KH's spread near the data, over that far out", near / far, 0, 0.1)
for place in (0, 1):
    regions = {m: over_seeds(m, "regions", place) for m in ("kh", "bp", "random")}
    over = regions["bp"] / regions["random"]
    check("regions of BP over those of random features", over, 0.5, 2)
    if not place:
        glue_all({f"geo-near-{m}": f"{n:.1f}" for m, n in regions.items()})

# %% [markdown]
# Four things to note in the table. The rows are medians over {glue:text}`geo-planes` images, one plane each, and planes differ: KH's highest value has a standard deviation of {glue:text}`geo-kh-high-planes` over them. Our ranges overlap with the authors' for all models, and KH's is the widest for its mean (the spread), near the data as well as far out. The row of random features agrees with what the authors plot as their spectral model to within about half a unit, another sign that
# this model hardly left its initial weights. The spread of KH is large only far out; near the data
# it is smaller by an order of magnitude. And with $q = 1$ on the
# same KH weights the Jacobian is not just smooth but *constant*, {glue:text}`geo-kh-linear`, over the whole plane in {glue:text}`geo-kh-constant` cases ({glue:text}`geo-planes` images, every training of KH), out to the paper's
# radius: none of the units ever switches. In those cases everything that can be seen in the KH column comes from the power. That needs no learning either. It is what rows do that have a large part in common, the mean image: a response to an image is then larger than what any direction of the plane takes away from it. With images as weights, or Gaussian rows like images, the Jacobian is constant in {glue:text}`geo-unlearned-constant` cases. Far out BP has about as many regions as random features, as on the photo patches; near the data, too, {glue:text}`geo-near-bp` and {glue:text}`geo-near-random` at the median, where KH has {glue:text}`geo-near-kh`.
#
# (sec-geo-referees)=
# ## Robust, or hard to differentiate?
#
# Where the activation is so steep, gradients span many orders of magnitude, and an attack that follows them may fail
# for that reason alone {cite:p}`athalye2018obfuscated`. The test is to attack without gradients. We use other people's attacks ({func}`bioadv.measure.referees.ddn` and its neighbours), two with
# gradients and two without:
#
# ```{list-table} The referees.
# :name: tab-geo-referees
# :header-rows: 1
# * - attack
#   - sees
#   - makes small
#   - images
# * - DDN {cite:p}`rony2019decoupling`
#   - gradient of the cross-entropy
#   - $L^2$ norm
#   - {glue:text}`ref-images`
# * - Auto-PGD {cite:p}`croce2020reliable`, with cross-entropy and with the ratio of logit differences
#   - gradient
#   - $L^\infty$ norm, by bisection for each image
#   - {glue:text}`ref-images`
# * - HopSkipJump {cite:p}`chen2020hopskipjump`
#   - decisions only
#   - $L^2$ norm
#   - {glue:text}`ref-hsj-images`
# * - Square {cite:p}`andriushchenko2020square`
#   - logits
#   - $L^\infty$ norm, on a ladder of {glue:text}`ref-ladder` values
#   - {glue:text}`ref-square-images`
# ```
#
# A model that hides its gradient would let the last two find *smaller* perturbations than the first two. If it does not,
# they need larger ones, since they know less.

# %% tags=["hide-input"]
hop = REFEREES["hop_skip_jump"]
glue_all({"ref-images": REFEREES["images"], "ref-hsj-images": hop["images"]})
glue_all({"ref-square-images": REFEREES["square"]["images"]})
glue_all({"ref-ladder": len(REFEREES["square"]["epsilons"])})
judged = {
    name: {
        seed: read_arrays(run / "referees.npz")
        for seed, run in stored(name, "referees.npz").items()
    }
    for name in at_scale
}


def verdict(arrays):
    ddn, hsj = arrays["ddn_l2"], arrays["hop_skip_jump_l2"]
    white = np.fmin(arrays["apgd_ce_linf"], arrays["apgd_dlr_linf"])
    square = arrays["square_linf"]
    return [
        np.median(ddn),
        np.median(hsj / ddn[: len(hsj)]),
        100 * np.mean(hsj < ddn[: len(hsj)]),
        1000 * np.median(white),
        np.median(arrays["apgd_ce_linf"] / arrays["apgd_dlr_linf"]),
        np.median(square / white[: len(square)]),
        100 * np.mean(square < white[: len(square)]),
    ]


# %% mystnb={"figure": {"caption": "Smallest perturbations found with and without gradients on CIFAR-10, images that the model classifies correctly; one seed of each model. DDN and Auto-PGD: median norms, for images of unit $L^3$ norm. Ratios are medians over images; the shares are of images for which the attack without gradients found less. Loss: Auto-PGD with cross-entropy over Auto-PGD with the ratio of logits.", "name": "tab-geo-verdict"}} tags=["hide-input"]
def verdict_row(name, title):
    found = [verdict(arrays) for arrays in judged[name].values()]
    forms = (
        "{:.3f}",
        "{:.2f}",
        "{:.0f} %",
        "{:.2f}",
        "{:.2f}",
        "{:.1f}",
        "{:.0f} %",
    )
    means = [
        form.format(value)
        for form, value in zip(forms, np.mean(found, axis=0), strict=True)
    ]
    return [title, *means]


header = ["model", "DDN, L2", "HopSkipJump over DDN", "share less"]
header += ["Auto-PGD, L∞ × 1000", "loss", "Square over Auto-PGD", "share less"]
heard = {name: title for name, title in at_scale.items() if judged[name]}
Table(header, [verdict_row(name, title) for name, title in heard.items()])

# %% mystnb={"figure": {"caption": "For each image the perturbation found without gradients (HopSkipJump) against the one found with them (DDN): CIFAR-10, first seed of each model. On the grey line both are equal; below it the attack without gradients found a shorter way.", "name": "fig-geo-referees"}, "image": {"alt": "A scatter plot for each model on logarithmic axes. The points lie along the grey diagonal and almost all of them above it."}} tags=["hide-input"]
pairs = {}
for name, found in judged.items():
    for arrays in list(found.values())[:1]:
        hsj = arrays["hop_skip_jump_l2"]
        pairs[name] = arrays["ddn_l2"][: len(hsj)], hsj
_ = plots_geometry.paired(pairs, "with gradients (DDN)", "without (HopSkipJump)")
for name, (ddn, hsj) in pairs.items():
    deepest = wording.share(max(0, 1 - (hsj / ddn).min()))
    glue_all({f"ref-deepest-{name}": deepest})
    glue_all({f"ref-below-{name}": int((hsj < ddn).sum()) or "none"})

# %% [markdown]
# How to read them: a ratio above one says that gradients helped the attack. They do. HopSkipJump is behind by about the same factor for KH as for random features with their ordinary ReLU; Square is behind by less for KH than for BP or random features, though behind.
#
# In {numref}`fig-geo-referees` the points lie close above the line; the few far above it are images on which HopSkipJump got stuck.
# A few lie below: {glue:text}`ref-below-kh` of {glue:text}`ref-hsj-images` for KH, {glue:text}`ref-below-random` for random features, {glue:text}`ref-below-bp` for BP; those of KH by up to {glue:text}`ref-deepest-kh`, those of random features by up to {glue:text}`ref-deepest-random`. So on a few images of KH an attack without gradients was clearly better than this one with them. The Square attack, on a ladder of strengths of which each is twice the last, broke no image at a strength below the one that Auto-PGD found; an advantage of less than two it could miss.
#
# Auto-PGD itself does a little better with the
# ratio of logit differences than with cross-entropy for KH and for random features alike, and hardly for BP. So the choice of the loss matters for some models, but it is not a matter of the steep activation.
#
# ```{admonition} Our remark
# :class: remark
# The rows of {numref}`tab-geo-verdict` are each for a model's own correct images, as in the paper; the comparison within a row is image by image. Black-box attacks were given some thousand
# queries per image. More queries would bring them closer to the line from above, hardly below it.
# ```
#
# ## What the authors' code does
#
# ```{admonition} The authors' code
# :class: code
# * It draws one random test image and one random plane, and reads the plane from a file that is not in the repository. Nothing in the figure is a statistic.
# * The colour image and the contour lines over it use different orders of the two axes, so the contours
#   are reflected in the diagonal with respect to the colours.
# * The loop over the hidden units for the Jacobian is exact, like {eq}`eq-geo-jacobian`, and takes one backward pass per unit.
# * Its "spectral" landscape is that of a network whose hidden weights, in all likelihood, are the random ones it began with ({ref}`sec-reg-code`).
# ```
#
# ```{admonition} Our remark
# :class: remark
# Two libraries needed care. HopSkipJump in foolbox gives its random directions and its estimated gradient unit norm over a whole *batch* instead of over each image, so the result
# depends on the size of the batch; {func}`bioadv.measure.referees.hop_skip_jump` corrects it. DDN takes steps in absolute units, made for pixels that fill the range from
# zero to one; ours are smaller, and images and box are scaled for it.
# ```
#
# ## What we conclude
#
# * The landscape of the KH model is smooth: its Jacobian has no jumps. The activation $\max(0, h)^q$ with $q$ = {glue:text}`geo-power` has that with any weights, and at the paper's size KH's weights have it with an ordinary ReLU. The paper's comparison varies both at once. What only the power brings is the slow rise towards the rim.
# * What the weights contribute is a hidden layer whose units practically never switch off, so that it is linear on the data but for the power. Images as weights contribute the same.
# * The contrast in the paper's figure is a matter of scale as well: its plane goes far beyond any image, and each panel has its own colours. Near the data, on random planes, all models are nearly flat.
# * At the median the steep activation hides nothing: attacks that see no gradient find no shorter way than attacks that follow it (one training of each model). On {glue:text}`ref-below-kh` of {glue:text}`ref-hsj-images` images of KH they did. The robustness of KH at the median ({ref}`ch-robustness`) is then no artefact of a gradient that cannot be used.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-geo-ray
# Follow a ray from the origin through an image, $c\,x$ with $c$ from one to a hundred. How does $\lVert \partial a/\partial x \rVert$ change with $c$ for $q = 1$, and for the KH model? Why has the plane through
# the image no such simple law?
# ```
#
# ```{solution-start} ex-geo-ray
# :class: dropdown
# ```

# %%
for name, degree in (("random", 0.0), ("kh", study.KH_POWER - 1)):
    model = fitted[name]
    with torch.no_grad():
        f = models.slope(
            model.before(torch.stack([image, 100 * image])), model.power
        )
        size = (f.square() @ model.hidden.square().sum(1)).sqrt()
    measured_degree = float(torch.log(size[1] / size[0])) / np.log(100)
    check(
        f"degree, {study.title(name)}",
        measured_degree,
        degree - 0.01,
        degree + 0.01,
    )

# %% [markdown]
# There is no hidden bias, so $h(c\,x) = c\,h(x)$, and the Jacobian is homogeneous of degree $q - 1$: constant for a ReLU, and growing with $c$ to the power {glue:text}`geo-power-less`
# for KH. The plane passes beside the origin at the distance of the image's norm, so a ray in the plane is no ray from the origin; only
# far out do the two become alike.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-geo-crofton
# Counting the grid edges between points of different class, times the spacing, overestimates the length of a boundary. By how much at worst? Why does
# {func}`bioadv.measure.landscapes.boundary_length` also look along the diagonals?
# ```
#
# ```{solution} ex-geo-crofton
# :class: dropdown
# A line at an angle $\theta$ crosses $|\cos\theta| + |\sin\theta|$ edges per spacing of its length: at worst $\sqrt 2$ times too many, on the diagonal. By the Cauchy–Crofton formula the length is the mean
# number of crossings over all directions. Two directions give that mean crudely, four to a few per cent.
# ```
#
# ```{exercise}
# :label: ex-geo-exponent
# A network with $q = 2$ has a continuous Jacobian with kinks. Which exponent of the structure function do you expect on a fine grid? Try it with `random_model(2.0)`.
# ```
#
# ```{solution} ex-geo-exponent
# :class: dropdown
# A function that is continuous and piecewise linear changes in proportion to the distance almost everywhere, so mean squared differences
# grow as $d^2$ and the exponent is one, as for $q$ = {glue:text}`geo-power`. The kinks show only in differences of higher order. The exponent tells jumps from no jumps, not
# how often the function can be differentiated.
# ```
