"""Published tables as definitions that run: their figures, by their protocol, beside ours."""
