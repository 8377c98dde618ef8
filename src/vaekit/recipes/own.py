"""The recipe that a hand-made model stands in for: its parts are the model's own, and so are no settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from torch import nn

from vaekit.conditional import Likelihood, Wants
from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.models.base import Model
from vaekit.models.vae import latent_of
from vaekit.objectives.base import Objective, Term
from vaekit.objectives.elbo import negative_elbo
from vaekit.recipes.base import RECIPES, Built, Recipe
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, SettingsOf
from vaekit.registry import Entry
from vaekit.training.hooks import Callback, Metric, named_metrics
from vaekit.training.stages import Stage

CUSTOM = "custom"


class OwnModel(ModelSettings):
    """What a record says of a hand-made model: the names of its parts."""

    net: str = "own"
    posterior: str = "own"
    prior: str = "own"
    likelihood: str = "own"


def as_model(model: Any) -> Model:
    """Return the model; a UserError for a module that makes no traces."""
    if isinstance(model, Model):
        return model
    kind = f"{type(model).__name__} is a plain module" if isinstance(model, nn.Module) else f"{model!r} is no module"
    raise UserError(
        f"{kind} that does not say what p(x|z) and q(z|x) are: put its networks into vaekit.VAE(posterior="
        "vaekit.DiagonalNormal(encoder), prior=vaekit.StandardNormal(latent), likelihood=vaekit.Gaussian(decoder)), or "
        "make it a vaekit.Model with trace(x, y, k, hard)"
    )


def wants_of(model: Model) -> Wants:
    """Return which data the model's likelihood is a distribution of; "any" if the model has no single one."""
    return getattr(getattr(model, "likelihood", None), "wants", "any")


def own_stages(
    objective: Any = None,
    metrics: Mapping[str, Metric] | Iterable[Metric] = (),
    callbacks: Iterable[Callback] = (),
    settings: ObjectiveSettings | None = None,
) -> tuple[Stage, ...]:
    """Return the stages of training on an objective, a term, a plain function of the trace, or stages.

    None is the negative ELBO with what the settings say of β and free bits.
    """
    if objective is None:
        o = settings or ObjectiveSettings()
        objective = negative_elbo(o.beta, o.free_bits, o.free_per, o.k)
    if isinstance(objective, Stage):
        objective = [objective]
    if isinstance(objective, list | tuple):
        stages = [one for one in objective if isinstance(one, Stage)]
        if len(stages) != len(objective):
            return own_stages(Objective(*objective), metrics, callbacks)
    elif isinstance(objective, Objective):
        stages = [Stage(objective)]
    elif isinstance(objective, Term) or callable(objective):
        stages = [Stage(Objective(cast(Callable[..., Any], objective)))]
    else:
        raise UserError(f"the objective is a {type(objective).__name__}; give an Objective, terms, or a function")
    named, called = named_metrics(metrics), tuple(callbacks)
    return tuple(replace(one, metrics={**one.metrics, **named}, callbacks=(*one.callbacks, *called)) for one in stages)


def own_recipe(
    model: Any,
    objective: Any = None,
    metrics: Mapping[str, Metric] | Iterable[Metric] = (),
    callbacks: Iterable[Callback] = (),
) -> Recipe[Any, Any]:
    """Return the recipe whose model is this one; the settings of the objective are those of the negative ELBO."""
    made = as_model(model)

    def build(settings: SettingsOf[OwnModel, ObjectiveSettings], data: DataInfo) -> Built:
        return Built(made, own_stages(objective, metrics, callbacks, settings.objective))

    return Recipe(CUSTOM, build, {"model": _parts(made)}, wants=wants_of(made))


def _parts(model: Model) -> dict[str, Any]:
    """Return the names of a model's parts, and how many numbers its latent has."""
    own = {name: getattr(model, name, None) for name in ("posterior", "prior", "likelihood")}
    names: dict[str, Any] = {name: _name(part) for name, part in own.items() if part is not None}
    likelihood, prior = own["likelihood"], own["prior"]
    if isinstance(likelihood, Likelihood):
        known = [entry.name for entry in LIKELIHOODS if entry.part is type(likelihood)]
        names["likelihood"] = known[0] if known else names["likelihood"]
    if prior is not None:
        shape = latent_of(prior)
        names |= {"latent": shape[0]} if len(shape) == 1 else {}
    return names


def _name(part: Any) -> str:
    return type(getattr(part, "module", part)).__name__


def entry_of(name: str) -> Entry[Recipe[Any, Any]]:
    """Return the entry of a recipe by its name, that of hand-made models among them.

    >>> entry_of("custom").summary
    'A model put together by hand.'
    """
    if name != CUSTOM:
        return RECIPES[name]
    return Entry(CUSTOM, Recipe(CUSTOM, _no_model), "A model put together by hand.")


def _no_model(settings: SettingsOf[OwnModel, ObjectiveSettings], data: DataInfo) -> Built:
    raise UserError("this is a hand-made model, which its own module makes: pass module=")
