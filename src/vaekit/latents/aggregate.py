"""The aggregate posterior q(z) = mean over the data of q(z|x), as a mixture of normals to sample from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.errors import UserError


@dataclass(frozen=True)
class Mixture:
    """A mixture of normals: weights (C,), means (C, D), Cholesky factors (C, D, D)."""

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    factors: NDArray[np.float64]

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw n codes (n, D), float32."""
        rng = np.random.default_rng(seed)
        of = rng.choice(len(self.weights), n, p=self.weights)
        noise = rng.standard_normal((n, self.means.shape[1]))
        codes = self.means[of] + np.einsum("nij,nj->ni", self.factors[of], noise)
        return torch.from_numpy(codes.astype(np.float32))


def fit_mixture(z: Tensor, components: int = 10, seed: int = 0) -> Mixture:
    """Fit a mixture of full-covariance normals to samples of the aggregate posterior z (N, D).

    A prior has mass where no example is encoded, and there the decoder is untrained; samples of this mixture avoid such
    regions (Ghosh et al. 2020, arXiv:1903.12436, §4).

    >>> z = torch.cat([torch.randn(200, 2) * 0.1 - 3, torch.randn(200, 2) * 0.1 + 3])
    >>> fit_mixture(z, 2).means.round().astype(int).tolist() in ([[-3, -3], [3, 3]], [[3, 3], [-3, -3]])
    True
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if not 1 <= components <= len(z):
        raise UserError(
            f"a mixture of {components} components cannot be fitted to {len(z)} codes; ask for 1 to {len(z)} components"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a looser fit is still a mixture to sample from
        fitted: Any = GaussianMixture(components, reg_covar=1e-4, random_state=seed).fit(z.double().numpy())
    return Mixture(fitted.weights_, fitted.means_, np.linalg.cholesky(fitted.covariances_))
