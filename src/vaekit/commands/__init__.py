"""The command line: arguments to experiment calls, no logic."""
