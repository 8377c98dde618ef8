"""Training: fit, stages and players, checkpoints, logs."""
