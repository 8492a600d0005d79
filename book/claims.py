# %% [markdown]
# (ch-claims)=
# # Claims
#
# ```{admonition} The question and the answer
# :class: answer
# Which of the paper's statements hold when someone else runs the study?
#
# Of {glue:text}`claims` statements and numbers of the authors, from the abstract, from sentences of the paper that are quoted in public reviews, and from the figures stored with its code, {glue:text}`count-reproduced` are reproduced, {glue:text}`count-reproduced-in-part` in part, and {glue:text}`count-not-reproduced` are not; {glue:text}`count-not-testable` cannot be tested here. Most numbers come out again. What does
# not is the exponent of KH in double precision (in the authors' arithmetic it comes closer), how many units are pruned, and the largest Jacobian norm on a plane, of which they show one. Counted apart are {glue:text}`readings` readings: of these, which make words and figures definite enough to be tested, {glue:text}`readings-held` hold{glue:text}`readings-verb`.
# ```
#
# This chapter is a ledger. Each entry is a claim, in our words; what our runs on CIFAR-10 say about it; and a verdict, computed when this page is
# built. The claims and the rules that decide them stand in one file, `book/claims.yaml`. It was committed before most of the runs it
# judges were finished, and no result has changed a rule (one reading of ours was given smaller layers before it was run). The sentences of explanation and the wording of some claims came afterwards, as did the last nine numbers and most of the readings, for some of which it was known what decides them; the head of the file says which.
#
# A number agrees if the mean over our seeds is within a tolerance of theirs: one percentage point for accuracies, a tenth for exponents, a tenth of the value for critical perturbations and norms on planes, a twentieth for the Jacobian norms of the training logs. Each entry has it beside the paper's number.

# %%
from bioadv.lab import claims
from bioadv.pages import ledger as shown
from bioadv.pages import plots
from bioadv.pages.notebook import glue_all

plots.use_style()
ledger = claims.read()
verdicts = {claim.id: claims.judge(claim) for claim in ledger}
counts = claims.summary([verdicts[one.id] for one in claims.papers(ledger)])
glue_all({"claims": len(claims.papers(ledger))})
readings = [verdicts[one.id] for one in ledger if one.reading]
glue_all({"readings": len(readings)})
held = claims.summary(readings)[claims.REPRODUCED]
glue_all({"readings-held": held or "none", "readings-verb": "s" * (held < 2)})
glue_all({f"count-{label.replace(' ', '-')}": n for label, n in counts.items()})

# %% [markdown]
# ## The verdicts at a glance
#
# {numref}`fig-claims-groups` sorts the verdicts by what the claims are about.
#
# * *Reproduced*: a number agrees within the tolerance of its rule, or an order or a bound holds in every training seed.
# * *Reproduced in part*: the number is within three tolerances, or the order or the bound holds in at least half of the comparisons.
# * *Not reproduced*: neither.
# * *Not testable*: nothing that could be run here would decide it, and the entry says why.
#
# A verdict rests on as many training seeds as stand beside it (none, where it is about the images themselves); it says *divided* where single seeds would have got different ones. With one seed it compares one training of ours with one of the authors',
# and says no more than that.

# %% mystnb={"figure": {"caption": "Verdicts by kind of claim; CIFAR-10, 2000 hidden units, all training seeds. Computed from the stored results by the rules of the ledger.", "name": "fig-claims-groups"}, "image": {"alt": "Horizontal stacked bars, one for each part of the ledger. Accuracies and critical perturbations are all reproduced. Among the statements that the argument rests on, the exponents, and the Jacobian norms and pruned units some are reproduced in part or not; of the readings none is."}} tags=["hide-input"]
_ = shown.verdict_bars(shown.count(ledger, verdicts))

# %% [markdown]
# ## The ledger
#
# Look first at the statements that the argument rests on, then at the numbers behind them: that a number agrees is the weakest kind of support,
# since it only shows that our code does what theirs did. Where two values stand for one model they are two seeds; with three seeds or more there is a mean and a
# standard deviation. The explorer shows <a href="explorer.html#ledger">what each claim rests on</a>, seed by seed.

# %% tags=["hide-input"]
shown.Page(ledger, verdicts)

# %% [markdown]
# ## What we conclude
#
# * Accuracies, critical perturbations and most exponents of the authors' code can be had again from its description, within the tolerances, and so can the order of the models in robustness.
# * Where a claim is *not reproduced* there are three possible reasons, and the chapters try to tell them apart: the authors' code does not do
#   what its description says, the quantity depends on a choice that is not stated, or it varies more between trainings than one training can show.
#
# ```{admonition} Our remark
# :class: remark
# The numbers of the paper were read from the figures and printed outputs that are stored in the authors' public
# code at commit `e1b82cd`, and may differ from those in print. The authors are invited to reply, and to correct any line of
# `book/claims.yaml`.
# ```
#
# ## Exercises
#
# ```{exercise}
# :label: ex-claims-rule
# Choose a line of the ledger whose verdict you doubt. Which rule would you have written, and does the verdict change?
# ```
#
# ```{solution} ex-claims-rule
# :class: dropdown
# `claims.judge(dataclasses.replace(claim, tolerance=...))` applies another tolerance to the same runs. If the verdict depends on a factor of
# two in it, then the honest verdict is that one does not know.
# ```
