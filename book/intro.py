# %% [markdown]
# (ch-intro)=
# # Local learning, spectra and robustness
#
# Networks trained by backpropagation are accurate and fragile: a change of an image too small to see can change their
# answer. Brains do not seem to have this weakness. One suggestion is that it has to do with *geometry*. If nearby
# inputs are to have nearby representations, the variance of a neural population must fall off fast enough along its
# principal components; in mouse visual cortex it falls like a power law, close to the slowest decay that still allows a
# smooth representation {cite}`stringer2019high`.
#
# Holzhausen, Merlid, Torvik, Malthe-Sørenssen and Lepperød asked whether a mechanism known from biology produces such
# representations by itself {cite}`holzhausen2025exploring`. This book reproduces their study, checks it, and extends it.
# Everything in it is computed by code that you can read and run.
#
# ## The question in one table
#
# All models of the paper have two layers, and differ only in how the hidden one comes about:
#
# ```{list-table} The models compared.
# :name: tab-intro-models
# :header-rows: 1
# * - model
#   - hidden layer
# * - **KH**
#   - learned without labels by a local rule in which units compete for each image {cite}`krotov2019unsupervised`
# * - **BP**
#   - learned by backpropagation
# * - **L2**, **Jacobian**, **spectral**
#   - learned by backpropagation with a penalty on the weights, on the sensitivity to the input
#     {cite}`hoffman2019robust`, or on the deviation of the covariance spectrum from a power law {cite}`nassar2020on`
# ```
#
# The paper reports three things about them: the spectrum of the hidden layer's covariance, the size of the smallest
# perturbation that changes a decision, and pictures of how decisions and sensitivities vary over planes through the space
# of images. Its thesis is that the local rule yields power-law spectra and robust decisions, and so is a possible
# mechanism behind both.

# %%
from bioadv.lab import claims
from bioadv.lab.runs import stored
from bioadv.pages import plots
from bioadv.pages.notebook import glue_all

plots.use_style()
ledger = claims.read()
verdicts = [claims.judge(claim) for claim in ledger]
counts = claims.summary(verdicts)
runs = [len(stored(model)) for model in ("kh", "bp", "l2", "jreg", "random")]
few, many = min(runs), max(runs)
seeds = f"{few} to {many} training seeds" if few < many else f"{few} training seeds"
glue_all({"intro-seeds": "one training seed" if few == many == 1 else seeds})
glue_all({"intro-claims": len(ledger)})
glue_all({f"intro-{label.replace(' ', '-')}": n for label, n in counts.items()})

# %% [markdown]
# ## What holds
#
# The main statements that are known to us have a line in the ledger ({ref}`ch-claims`). Of {glue:text}`intro-claims` claims
# {glue:text}`intro-reproduced` are reproduced so far, {glue:text}`intro-reproduced-in-part` in part and {glue:text}`intro-not-reproduced` are not;
# {glue:text}`intro-not-testable` cannot be tested here, and {glue:text}`intro-not-measured-yet` wait for runs that are not finished. {numref}`fig-intro-verdicts`
# is computed from the stored results whenever the book is built.

# %% mystnb={"figure": {"caption": "What became of the paper's claims: verdicts from our runs at the paper's scale, CIFAR-10, with the seeds at hand. The ledger has each line.", "name": "fig-intro-verdicts"}, "image": {"alt": "One stacked horizontal bar with the number of claims that were reproduced, reproduced in part, not reproduced, not testable and not measured yet."}} tags=["hide-input"]
_ = plots.verdict_bars({"all claims": counts})

# %% [markdown]
# In short, from {glue:text}`intro-seeds` of each model, as the figures state:
#
# * **The numbers come out again.** Accuracies, Jacobian norms before the activation, critical perturbations and most exponents are those of the public code; where not, the ledger says by how much.
# * **KH does resist more than plain backpropagation (BP),** under all attacks tried; KH's median certificate lies above BP's median attack. Its steep activation does not hide the gradient.
# * **But so does weight decay.** KH leads the published L2 model under all three attacks, by less on common images, and it is less accurate. A network with a weight decay that makes it just as accurate as KH is about as robust ({ref}`ch-beyond`).
# * **The power law before the activation ends earlier than a public summary of the paper says:** its long reach is rounding in single precision ({ref}`ch-spectra`). After the activation there is one, as there is for random features.
# * **The spectral model in the stored figures is, in all likelihood, close to random features:** trained with the exponent that its stored log fits, the hidden layer hardly leaves its initial weights, and the accuracy is the one in the figures ({ref}`ch-regularization`).
# * **A spectrum near $1/n$ is not enough.** The spectral penalty as the authors state it, trained to the end, brings one about after the activation, at BP's accuracy. The network is less robust than BP ({ref}`ch-beyond`).
# * **The smooth landscape comes from the activation,** not from learning ({ref}`ch-geometry`).
#
# ## What this book does
#
# Each chapter takes one section of the paper and follows the same path: the question in plain words, what the paper did,
# the equation, a few lines of code, a check that two formulations agree, a live experiment, how to read its figure, what
# the authors' code does differently from its description, and exercises with solutions.
#
# Three voices are kept apart by colour:
#
# ```{admonition} The paper
# :class: paper
# What the paper, its abstract or its public reviews say.
# ```
#
# ```{admonition} The authors' code
# :class: code
# What the public code does where that adds to the text or differs from it. It always means commit `e1b82cd` of
# `github.com/holzhauk/LocalLearning`, never "the paper".
# ```
#
# ```{admonition} Our remark
# :class: remark
# What we conclude, and what we could not settle.
# ```
#
# The body of the paper was not at hand when this was written. It is known here from its abstract, from the public reviews
# that quote it, and from the authors' public code with the figures stored in it. Where a statement rests on an
# inference, it is called one. If you are one of the authors and find something misread, please tell us.
#
# ## Two scales
#
# *Live cells* train small networks in seconds on patches of real photographs that install with the book, so that you can
# change a number and see what happens on a laptop without a network. *Paper-scale figures* load what the same code wrote
# when it ran on CIFAR-10 at the paper's size. Each caption says which of the two it shows, on which images, and with how
# many random seeds. The two are never mixed in one figure.
#
# ## How to read it
#
# If you have ten minutes, read this page and the first and last section of a chapter. If you want to understand the
# methods, read {ref}`ch-local-learning` with the notebook open ({ref}`ch-running` says how). If you want to trust a
# number, look at the check next to it, change the code, and see the check fail. Terms and symbols are collected in
# {ref}`ch-notation`.
