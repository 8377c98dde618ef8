"""The tables, a module a family; `vaekit.published.base.TABLES` finds them."""
