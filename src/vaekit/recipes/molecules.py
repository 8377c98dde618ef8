"""The variant for molecules."""

from __future__ import annotations

from pydantic import Field

from vaekit.data.info import DataInfo
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.predictive import PredictiveVAE
from vaekit.nets.base import Widths
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.objectives.prediction import Prediction
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.sequences import SequenceSettings, token_vae
from vaekit.recipes.settings import ObjectiveSettings, SettingsOf
from vaekit.schedules import ScheduleSetting


class MoleculeModel(SequenceSettings):
    """Networks over a molecule's tokens, and the head that predicts its property."""

    head: Widths = Field(default=(128,), description="hidden widths of the network that predicts data.property")


class MoleculeObjective(ObjectiveSettings):
    """What is minimised."""

    prediction: ScheduleSetting = Field(default=1.0, description="weight of the property's -log p(t|z)")


@recipe(
    "molecule-vae",
    headline=("validity", "novelty", "same_molecule", "iw_bound", "active_units"),
    reference="Gómez-Bombarelli et al. 2018, arXiv:1610.02415; SELFIES: Krenn et al. 2020, arXiv:1905.13741",
    takes="molecules",
    model={"latent": 64, "embedding": 64, "dropout": 0.0, "word_dropout": 0.0},
    # with β up to 1 the posterior collapses: 0.3 nats of KL on NCI; 0.05 is what MOSES's VAE ends at
    objective={"beta": "linear 0 0.05 30%"},
    train={"batch_size": 128, "lr": 2e-3, "clip": 5.0},
)
def molecule_vae(settings: SettingsOf[MoleculeModel, MoleculeObjective], data: DataInfo) -> Built:
    """A VAE of molecules as SELFIES or SMILES tokens; with data.property, its latent learns to predict it."""
    m, o = settings.model, settings.objective
    flat = token_vae(m, data)
    terms = [Reconstruction(k=o.k), Rate(o.beta, o.free_bits, o.free_per)]
    if "property" not in data.facts:
        return Built.of(flat, Objective(*terms))
    target = Gaussian(mlp(m.latent, 1, m.head, act=m.act), scale="shared")
    model = PredictiveVAE(flat.posterior, flat.prior, flat.likelihood, target)
    return Built.of(model, Objective(*terms, Prediction(o.prediction)))
