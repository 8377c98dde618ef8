"""Your own networks in a vaekit model: any `nn.Module` as encoder and decoder, trained, bounded and saved by vaekit."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import vaekit
from vaekit import VAE, Bernoulli, DiagonalNormal, StandardNormal, bounds


class Encoder(nn.Module):
    """Pictures (B, 1, 8, 8) → mean and log variance of z, (B, L) each."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.SiLU(), nn.Flatten())
        self.mean, self.log_variance = nn.Linear(256, latent), nn.Linear(256, latent)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log variance."""
        h = self.body(x)
        return self.mean(h), self.log_variance(h)


def decoder(latent: int) -> nn.Module:
    """z (B, L) → one logit a pixel."""
    return nn.Sequential(nn.Linear(latent, 128), nn.SiLU(), nn.Linear(128, 64), nn.Unflatten(1, (1, 8, 8)))


torch.manual_seed(0)
model = VAE(posterior=DiagonalNormal(Encoder(8)), prior=StandardNormal(8), likelihood=Bernoulli(decoder(8)))
x = torch.tensor(load_digits().images > 8).float().unsqueeze(1)

result = vaekit.fit(model, x[:1500], valid=x[1500:], epochs=10, seed=0, progress=False)
print(f"held-out ELBO {result.held_out.elbo:.1f} nats/example, {result.held_out.n} examples")

with torch.no_grad():
    elbo = bounds.elbo(model.trace(x[1500:], k=50)).mean()
    tight = bounds.log_likelihood(model, x[1500:], k=500)
print(f"ELBO {elbo:.2f}, {tight.estimator} {tight.values.mean():.2f} nats/example")
