"""Models: the only makers of traces."""
