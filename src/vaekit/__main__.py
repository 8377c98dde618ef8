"""`python -m vaekit` is the `vaekit` command."""

from vaekit.cli.main import run

if __name__ == "__main__":
    run()
