"""Graphs: one large graph whose edges are held out, or many graphs."""
