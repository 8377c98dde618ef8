"""Moving through a latent space: interpolation, traversal, arithmetic, manifolds."""
