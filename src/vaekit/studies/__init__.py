"""Studies: many runs that differ in a few settings, with several seeds each, and what their numbers say together."""
