"""The command line: one file a command, which reads, calls a run, and writes."""
