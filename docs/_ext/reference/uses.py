"""When a recipe is the one to take: a sentence or two each, beside what the registry knows of it."""

USES = {
    "vae": "The default, and the baseline of every comparison on these pages. Start here with images and vectors.",
    "beta-vae": "To lower the rate: fewer nats in the latents, which are then often easier to read. Reconstructions "
    "get worse, and so does the plain ELBO.",
    "capacity-vae": "As `beta-vae`, where reconstructions are to recover: the rate is held at a target that grows.",
    "sigma-vae": "For real values and greys with a Gaussian likelihood: σ, which balances reconstruction and KL, is "
    "computed from the errors and not tuned.",
    "cvae": "When samples are to be asked for by a label, a number or attributes. What is bounded is log p(x|y).",
    "linear-vae": "As a check, since its optimum is known exactly, and for data that a linear model describes.",
    "ae": "When codes and reconstructions are all that is wanted. Nothing ties the codes to a prior, and there is no "
    "bound on log p(x).",
    "iwae": "When the bound matters more than the posterior, and K decoder passes a step can be afforded.",
    "dreg": "As `iwae`, with many samples: the signal-to-noise ratio of the encoder's plain gradient falls as K grows.",
    "miwae": "As `iwae`, where the encoder should stay useful by itself: a mean of several smaller bounds.",
    "ciwae": "Between `vae` and `iwae`: one weight goes from the one to the other.",
    "flow-vae": "When a diagonal normal is too simple for the posterior. A step takes longer.",
    "semi-amortised-vae": "When the encoder is what limits the bound, and some gradient steps on each example can be "
    "afforded, in training and in use.",
    "thermodynamic-vae": "For a bound tighter than the ELBO without gradients through samples, so also with discrete "
    "latents.",
    "vamp-vae": "When the standard normal prior is what limits bound and samples: the prior moves to where the codes "
    "are.",
    "gmm-vae": "When the data come in clusters that are to be found: p(c|z) assigns each code to one.",
    "spherical-vae": "When codes are to be compared by their angle, with no centre that all are drawn towards.",
    "identifiable-vae": "When each example comes with a class or condition, and the sources themselves are to be "
    "recovered rather than some rotation of them.",
    "two-stage-vae": "For samples, when the codes of a Gaussian VAE do not fill its prior.",
    "factor-vae": "For latent dimensions that are independent of each other, at less cost in reconstruction than a "
    "larger β. It trains a critic beside the model.",
    "beta-tc-vae": "For latent dimensions that are independent of each other, without a critic: the total correlation "
    "is estimated in the batch.",
    "dip-vae": "For latent dimensions that are uncorrelated, with neither a critic nor an estimate of log q(z).",
    "info-vae": "When the KL of each example is to weigh less, so that codes tell of x, and the codes of all together "
    "are still to follow the prior.",
    "wae-mmd": "For an autoencoder that one can sample from, without a critic. It has no bound on log p(x).",
    "wae-gan": "For an autoencoder that one can sample from, where a critic judges the codes. It has no bound on log "
    "p(x).",
    "adversarial-ae": "As `wae-gan`, with the critic's verdict weighing as much as one nat of reconstruction.",
    "vae-gan": "For images that are to be compared by features learned on the way rather than pixel by pixel.",
    "categorical-vae": "For latents that are choices among a few values. Quick to train; the relaxation makes its "
    "gradient biased.",
    "joint-vae": "For data with a class-like factor and continuous ones beside it, without labels.",
    "vq-vae": "For discrete codes on a map: images as tokens, and samples by an autoregressive prior over them.",
    "vq-vae-2": "As `vq-vae`, for images large enough to have coarse and fine structure.",
    "fsq": "As `vq-vae`, without a codebook that has to be kept in use.",
    "vimco": "For discrete latents with the importance-weighted bound and unbiased gradients.",
    "reinforce": "For discrete latents with the plain ELBO and unbiased gradients, which need no relaxation.",
    "rebar": "For discrete latents with unbiased gradients that vary less than those of `reinforce`.",
    "wake-sleep": "For discrete latents, where decoder and encoder may have objectives of their own.",
    "rate-vae": "When it is known how many nats the latents are to carry: β is found on the way.",
    "geco-vae": "When it is known how good reconstructions have to be: the least rate that allows it is found.",
    "delta-vae": "With strong decoders: the rate cannot fall below what the posterior is committed to, so it cannot "
    "collapse.",
    "hierarchical-vae": "When one layer of latents is not enough. Upper layers often stay unused: compare "
    "`ladder-vae`.",
    "ladder-vae": "For several layers of latents that are used.",
    "very-deep-vae": "For images, when time allows many groups of latents on several grids.",
    "pixel-vae": "For images whose fine detail independent pixels cannot model. Look at the KL: a decoder that sees "
    "the pixels before can do without z.",
    "semi-supervised-vae": "For classification with few labels and many examples without.",
    "set-vae": "For classes that were never trained on, known from a few examples each.",
    "causal-vae": "When labels name concepts that cause one another, and the effect of setting one is asked for.",
    "series-vae": "For time series of one length or many, with gaps: one code a series.",
    "state-space-vae": "For series whose dynamics are nearly linear: filtering, smoothing and forecasts.",
    "variational-rnn": "For series whose dynamics are not linear: filtering, smoothing and forecasts.",
    "sequence-vae": "For lines of text, when a code for each line is wanted.",
    "molecule-vae": "For molecules written as SMILES, also to seek ones with more of a property.",
    "music-vae": "For some bars of music from MIDI files: samples, and ways between two pieces.",
    "graph-vae": "For the links of one graph, or for many small graphs: a latent for each node.",
    "tabular-vae": "For tables of mixed columns with missing cells: imputation, synthetic rows, anomalies.",
    "tabular-cvae": "As `tabular-vae`, when rows are to be asked for by some of their columns.",
    "multimodal-vae": "For examples in several forms (picture, sound, text, cells), any of which may be missing.",
}
