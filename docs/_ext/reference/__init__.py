"""The reference, as text: what the registries, settings, commands and docstrings hold, page by page. No Sphinx here."""
