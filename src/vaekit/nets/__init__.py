"""Networks: features only, no probability."""
