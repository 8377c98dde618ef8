"""A recipe's graphical model as a small picture: what is drawn given what, and what is inferred from what."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from reference.facts import models


@dataclass(frozen=True)
class Graph:
    """A graphical model.

    Attributes:
        rows: variables from top to bottom, "z / x y": x, y, t and a are observed, [c] is discrete, y? seen sometimes.
        edges: "z>x": x is drawn given z; "c>c": element after element of c itself.
        inferred: "x>z": q of z is given x; drawn dashed.
        p: the model, as a formula.
        q: the posterior, as a formula.
    """

    rows: str
    edges: str
    inferred: str
    p: str
    q: str


GRAPHS = {
    "BottomUp": Graph(
        "z2 / z1 / x",
        "z2>z1 z1>x",
        "x>z1 z1>z2",
        r"p(z_2)\,p(z_1 \mid z_2)\,p(x \mid z_1)",
        r"q(z_1 \mid x)\,q(z_2 \mid z_1)",
    ),
    "TopDown": Graph(
        "z2 / z1 / x",
        "z2>z1 z1>x",
        "x>z1 x>z2",
        r"p(z_2)\,p(z_1 \mid z_2)\,p(x \mid z_1)",
        r"q(z_2 \mid x)\,q(z_1 \mid z_2, x)",
    ),
    "VAE": Graph("z / x", "z>x", "x>z", r"p(z)\,p(x \mid z)", r"q(z \mid x)"),
    "ConditionedVAE": Graph("z y / x", "z>x y>x", "x>z y>z", r"p(z)\,p(x \mid z, y)", r"q(z \mid x, y)"),
    "ConditionedTableVAE": Graph("y z / x", "z>x y>x y>z", "x>z", r"p(z \mid y)\,p(x \mid z, y)", r"q(z \mid x, y)"),
    "TwoStage": Graph(
        "u / z / x", "u>z z>x", "x>z z>u", r"p(u)\,p(z \mid u)\,p(x \mid z)", r"q(z \mid x)\,q(u \mid z)"
    ),
    "CodeVAE": Graph("[c] / x", "c>c c>x", "x>c", r"\prod_i p(c_i \mid c_{<i})\;p(x \mid c)", r"c = c(x)"),
    "TwoLevelCodes": Graph(
        "[c2] / [c1] / x",
        "c2>c2 c2>c1 c1>c1 c1>x c2>x",
        "x>c1 x>c2",
        r"p(c_2)\,p(c_1 \mid c_2)\,p(x \mid c_1, c_2)",
        r"c_2 = c_2(x),\ c_1 = c_1(x, c_2)",
    ),
    "SetVAE": Graph(
        "c / z1 z2 / x1 x2",
        "c>z1 c>z2 z1>x1 z2>x2 c>x1 c>x2",
        "x1>z1 x2>z2",
        r"p(c) \prod_n p(z_n \mid c)\,p(x_n \mid z_n, c)",
        r"q(c \mid x_1, \ldots, x_N) \prod_n q(z_n \mid x_n, c)",
    ),
    "GraphVAE": Graph(
        "z1 z2 / a12",
        "z1>a12 z2>a12",
        "a12>z1 a12>z2",
        r"\prod_i p(z_i) \prod_{i<j} p(a_{ij} \mid z_i, z_j)",
        r"\prod_i q(z_i \mid A, X)",
    ),
    "Stacked": Graph(
        "[y?] z2 / z1 / x",
        "y>z1 z2>z1 z1>x",
        "x>z1 z1>z2 z1>y y>z2",
        r"p(y)\,p(z_2)\,p(z_1 \mid y, z_2)\,p(x \mid z_1)",
        r"q(z_1 \mid x)\,q(y \mid z_1)\,q(z_2 \mid z_1, y)",
    ),
    "JointVAE": Graph("z [c] / x", "z>x c>x", "x>z x>c", r"p(z)\,p(c)\,p(x \mid z, c)", r"q(z \mid x)\,q(c \mid x)"),
    "CausalVAE": Graph(
        "u1 u2 r / x",
        "u1>u2 u1>x u2>x r>x",
        "x>u1 x>u2 x>r",
        r"\prod_i p(u_i \mid u_{\mathrm{pa}(i)})\;p(r)\,p(x \mid u, r)",
        r"q(u, r \mid x)",
    ),
    "PredictiveVAE": Graph("z / x t?", "z>x z>t", "x>z", r"p(z)\,p(x \mid z)\,p(t \mid z)", r"q(z \mid x)"),
    "MultimodalVAE": Graph(
        "z / x1? x2? x3?",
        "z>x1 z>x2 z>x3",
        "x1>z x2>z x3>z",
        r"p(z) \prod_m p(x_m \mid z)",
        r"q(z \mid x_1, \ldots, x_M)",
    ),
}
"""By the name of a model, the most particular that a recipe names, or by a recipe's own name."""
STATES = Graph(
    "z1 z2 z3 / x1 x2 x3",
    "z1>z2 z2>z3 z1>x1 z2>x2 z3>x3",
    "",
    r"p(z_1) \prod_t p(z_t \mid z_{t-1}) \prod_t p(x_t \mid z_t)",
    r"q(z_1, \ldots, z_T \mid x_1, \ldots, x_T)",
)
RECURRENT = Graph(
    STATES.rows,
    f"{STATES.edges} z1>z3 z1>x2 z2>x3",
    "",
    r"\prod_t p(z_t \mid z_{<t})\,p(x_t \mid z_{\le t})",
    STATES.q,
)
BITS = Graph("[z] / x", "z>x", "x>z", r"p(z)\,p(x \mid z)", r"q(z \mid x)")
POINT = r"z = f(x)"
AUTOENCODER = Graph("z / x", "z>x", "x>z", r"p(x \mid z)", POINT)
MATCHED = Graph("z / x", "z>x", "x>z", r"p(z)\,p(x \mid z)", POINT)
GRAPHS |= {
    "state-space-vae": STATES,
    "variational-rnn": RECURRENT,
    "ae": AUTOENCODER,
    **dict.fromkeys(("wae-mmd", "wae-gan", "adversarial-ae"), MATCHED),
    **dict.fromkeys(("categorical-vae", "vimco", "reinforce", "rebar", "wake-sleep"), BITS),
    "identifiable-vae": Graph("y / z / x", "y>z z>x", "x>z y>z", r"p(z \mid y)\,p(x \mid z)", r"q(z \mid x, y)"),
    "pixel-vae": Graph("z / x", "z>x x>x", "x>z", r"p(z) \prod_i p(x_i \mid x_{<i}, z)", r"q(z \mid x)"),
    **dict.fromkeys(
        ("sequence-vae", "music-vae"),
        Graph("z / x", "z>x x>x", "x>z", r"p(z) \prod_i p(x_i \mid x_{<i}, z)", r"q(z \mid x)"),
    ),
    "molecule-vae": Graph(
        "z / x t?", "z>x x>x z>t", "x>z", r"p(z) \prod_i p(x_i \mid x_{<i}, z)\;p(t \mid z)", r"q(z \mid x)"
    ),
    "very-deep-vae": Graph(
        "z3 / z2 / z1 / x",
        "z3>z2 z2>z1 z1>x z3>z1 z2>x z3>x",
        "x>z1 x>z2 x>z3",
        r"p(z_L) \prod_l p(z_l \mid z_{>l})\;p(x \mid z)",
        r"\prod_l q(z_l \mid z_{>l}, x)",
    ),
}


def graph(recipe: str) -> Graph:
    """Return a recipe's graph: its own, or that of the last of its models that has one.

    >>> graph("vae").edges, graph("set-vae").rows
    ('z>x', 'c / z1 z2 / x1 x2')
    """
    known = [recipe, *(one.__name__ for one in reversed(models(recipe))), "VAE"]
    return next(GRAPHS[name] for name in known if name in GRAPHS)


# -- drawing -----------------------------------------------------------------------------------------------------------

STEP_X, STEP_Y, RADIUS, EDGE, FREE = 120.0, 92.0, 23.0, 50.0, 55.0


def svg(drawn: Graph, title: str) -> str:
    """Return the picture as one line of SVG, in the colours of the text around it."""
    rows = [row.split() for row in drawn.rows.split("/")]
    wide = max(map(len, rows)) * STEP_X + 2 * EDGE - STEP_X + 60
    place: dict[str, tuple[float, float]] = {}
    shapes: list[str] = []
    for i, row in enumerate(rows):
        for j, spec in enumerate(row):
            name = spec.strip("[]").rstrip("?").rstrip("]?")
            place[name] = (wide / 2 + (j - (len(row) - 1) / 2) * STEP_X, EDGE + i * STEP_Y)
            shapes.append(_node(name, *place[name], discrete="[" in spec, sometimes="?" in spec))
    lines = [*_arrows(drawn.edges, place, False), *_arrows(drawn.inferred, place, True)]
    high = EDGE * 2 + (len(rows) - 1) * STEP_Y
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto-start-reverse"><path d="M0 0 8 4 0 8Z" fill="currentColor"/></marker>'
    )
    return (
        f'<svg class="graphical-model" role="img" aria-label="{escape(title)}" viewBox="0 0 {wide:g} {high:g}" '
        f'width="{wide:g}" style="max-width:100%;height:auto" fill="none" stroke="currentColor" stroke-width="1.6">'
        f"<defs>{tip}</defs>{''.join(lines)}{''.join(shapes)}</svg>"
    )


def _observed(name: str) -> bool:
    return name[0] in "xyta"


def _node(name: str, x: float, y: float, *, discrete: bool, sometimes: bool) -> str:
    """Return a variable: shaded where it is observed, half so where sometimes, a square where it is discrete."""
    shade = ("0.08" if sometimes else "0.18") if _observed(name) else "0"
    dashed = ' stroke-dasharray="5 3"' if sometimes else ""
    look = f'fill="currentColor" fill-opacity="{shade}"{dashed}'
    side = 2 * RADIUS
    shape = (
        f'<rect x="{x - RADIUS:g}" y="{y - RADIUS:g}" width="{side:g}" height="{side:g}" rx="5" {look}/>'
        if discrete
        else f'<circle cx="{x:g}" cy="{y:g}" r="{RADIUS:g}" {look}/>'
    )
    letter, number = re.fullmatch(r"([a-z])(\d*)", name).groups()  # pyright: ignore[reportOptionalMemberAccess]
    small = f'<tspan dy="5" font-size="12">{number}</tspan>' if number else ""
    look = 'text-anchor="middle" font-size="19" font-style="italic" fill="currentColor" stroke="none"'
    return f'{shape}<text x="{x:g}" y="{y + 6:g}" {look}>{letter}{small}</text>'


def _arrows(edges: str, place: dict[str, tuple[float, float]], dashed: bool) -> Iterator[str]:
    """Yield arrows from rim to rim; dashed ones, and those that pass a row, are bent."""
    for edge in edges.split():
        a, b = (place[name] for name in edge.split(">"))
        if a == b:
            x, y = a[0] + RADIUS * 0.85, a[1]
            path = f"M{x:g} {y - 12:g}C{x + 44:g} {y - 30:g} {x + 44:g} {y + 30:g} {x + 2:g} {y + 13:g}"
        else:
            dx, dy = b[0] - a[0], b[1] - a[1]
            length = (dx * dx + dy * dy) ** 0.5
            passes = abs(dy) > STEP_Y or (dy == 0 and abs(dx) > STEP_X)
            bend = (29.0 * max(2.0, abs(dy) / STEP_Y) if passes else 34.0) if dashed or passes else 0.0
            others = [at for at in place.values() if at not in (a, b)]
            # dashed to the left of the way up, the other side of what is drawn downwards, unless another is in the way
            sides = [(a[0] + dx / 2 + s * bend * dy / length, a[1] + dy / 2 - s * bend * dx / length) for s in (1, -1)]
            middle = max(sides, key=lambda at: min(FREE, *(math.dist(at, other) for other in others), FREE))
            start, end = _rim(a, middle if bend else b), _rim(b, middle if bend else a)
            curve = f"Q{middle[0]:g} {middle[1]:g} " if bend else "L"
            path = f"M{start[0]:.1f} {start[1]:.1f}{curve}{end[0]:.1f} {end[1]:.1f}"
        style = ' stroke-dasharray="5 4" opacity="0.65"' if dashed else ""
        yield f'<path d="{path}" marker-end="url(#tip)"{style}/>'


def _rim(centre: tuple[float, float], towards: tuple[float, float]) -> tuple[float, float]:
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    length = (dx * dx + dy * dy) ** 0.5
    return centre[0] + (RADIUS + 3) * dx / length, centre[1] + (RADIUS + 3) * dy / length
