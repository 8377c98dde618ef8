"""`python -m vaekit` is the `vaekit` command."""

from vaekit.commands.main import run

if __name__ == "__main__":
    run()
