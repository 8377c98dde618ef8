"""How the documentation is built: `make docs`, offline, from the pages of this folder and from the registries."""

import os
import sys
from pathlib import Path

import vaekit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
# The blocks of pages train small models: one thread each, and runs in a folder that is no part of the pages.
os.environ.setdefault("OMP_NUM_THREADS", "1")

project, author = "vaekit", "The vaekit developers"
copyright = author
version = release = vaekit.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "generated",
    "formulas",
    "code_links",
]
exclude_patterns = ["_build", "_ext", "published", "own-models.ipynb"]
source_suffix = {".md": "myst-nb"}

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
nb_execution_mode = os.environ.get("VAEKIT_DOCS_EXECUTE", "cache")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
html_math_renderer = "mathml"

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"
# Types of other packages, as signatures write them: no pages of theirs are linked.
nitpick_ignore_regex = [
    (r"py:.*", r"(torch|nn|numpy|np|collections|pathlib|pydantic|sklearn|matplotlib|types|annotated_types)\b.*"),
    (r"py:class", r"Tensor|Path|PositiveFloat|PositiveInt"),
]

html_theme = "furo"
html_title = "vaekit"
html_static_path = ["_static"]
html_css_files = ["vaekit.css"]
html_copy_source = False
html_show_sourcelink = False
pygments_style, pygments_dark_style = "friendly", "github-dark"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
