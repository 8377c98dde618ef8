"""Compare two runs fairly: the same test examples, paired differences with their error, and more than one seed."""

import numpy as np

import vaekit

differences = []
for seed in (0, 1, 2):
    values = {}
    for name, settings in {"beta 1": {}, "beta 2": {"objective.beta": 2}}.items():
        recipe = "beta-vae" if settings else "vae"
        run = vaekit.train(recipe, "digits", steps=300, seed=seed, set=settings, progress=False, pictures=False)
        found = run.evaluate(["elbo"])["elbo"]
        print(f"seed {seed}, {name}: ELBO {found.value:.2f} ± {found.stderr:.2f} {found.unit}, {found.n} examples")
        values[name] = run.values()["elbo"]
    each = np.asarray(values["beta 1"] - values["beta 2"])
    print(f"  difference {each.mean():+.2f} ± {each.std(ddof=1) / len(each) ** 0.5:.2f}, paired by example")
    differences.append(each.mean())
print(f"over seeds: {np.mean(differences):+.2f}, spread {np.std(differences, ddof=1):.2f} nats/example")
