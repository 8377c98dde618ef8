"""vaekit sample."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from vaekit.commands.common import USE, Count, Flag, Folder, Picture, Seed, Use, Whole, Words, at_least, words
from vaekit.commands.files import ARRAYS, check_out, formats, pictures, write_examples
from vaekit.commands.output import note
from vaekit.errors import UserError


def sample(
    run: Folder,
    /,
    *,
    n: Count | None = None,
    label: str | None = None,
    where: str | None = None,
    like: str | None = None,
    constraint: Words = None,
    temperature: float = 1.0,
    draw: Flag = False,
    greedy: Flag = False,
    top_p: float = 1.0,
    token_temperature: float = 1.0,
    source: Annotated[Literal["prior", "aggregate"], Parameter(name="--from")] = "prior",
    components: Whole = 10,
    seed: Seed = 0,
    use: Use = USE,
    out: Picture,
) -> None:
    """Sample from the model: a PNG grid, an NPZ of arrays, or the data's own form (text, CSV, MIDI, ...).

    Parameters
    ----------
    n
        How many: by default 64, with --like of a table as many as it has rows.
    label
        The label to sample, a class or a number, for conditional models; default every class in turn, or numbers and
        attributes of training examples.
    where
        What samples are to have, status=fraud,amount=100..500: attributes of a conditional model, columns of a table. A
        value, a range a..b, a.. or ..b, choices a|b; nothing after the = leaves an attribute out.
    like
        A table's run: a table of rows, some of whose cells are given (columns may be lacking). They stay as they are,
        and the others are drawn given them; with -n rows are taken in turn. A set-vae: examples to have more of,
        numbers of the test split or files, 3,17,a.png; their class may be new.
    constraint
        A rule that every row of a table is to meet, "start <= end", "net + tax == gross", "unique(id)" (no two rows
        alike in it) or "seen(city, zip)" (a combination that training rows have); may be given several times. Rows
        that break one are drawn again; a number alone on one side of == is computed from the other.
    temperature
        Multiplies the prior's standard deviation.
    draw
        Draw x from p(x|z) instead of showing its mean.
    greedy
        Sequences: take the likeliest token at each place.
    top_p
        Sequences: draw among the likeliest tokens that hold this much probability together (nucleus).
    token_temperature
        Sequences: draw tokens in proportion to p^(1/this).
    source
        Where codes come from: the prior, or the aggregate posterior (a mixture of normals fitted to training codes).
    components
        Normals in that mixture.
    """
    from vaekit.distributions.tokens import Sampling

    at_least("-n", 1 if n is None else n)
    if not 0 < temperature < float("inf"):
        raise UserError(f"--temperature must be above 0 and finite, not {temperature:g}")
    if source == "aggregate" and (temperature != 1 or draw):
        raise UserError(
            "--temperature and --draw belong to sampling from the prior; leave them out with --from aggregate"
        )
    if where is not None and (label is not None or source == "aggregate"):
        raise UserError("--where says all that samples are to have; leave --label and --from aggregate out")
    if constraint is not None and (label is not None or source == "aggregate"):
        raise UserError("--constraint goes with --where; leave --label and --from aggregate out")
    opened = use.load(run)
    if like is not None and opened.info.kind == "table":
        if label is not None or where is not None or constraint is not None or source == "aggregate":
            raise UserError("--like says all that rows are to have; leave --label, --where, --constraint, --from out")
        suffix = check_out(out, formats(opened), (run, like), opened)
        rows = opened.rows_like(like, n, seed=seed)
        if suffix == ".npz":
            write_examples(opened, out, rows.x)
        else:
            rows.write(out)
        note(f"{len(rows.x)} rows like those of {like} in {out}")
        return
    n = 64 if n is None else n
    if like is not None:
        from vaekit.runs.examples import picked

        if label is not None or where is not None or constraint is not None or source == "aggregate":
            raise UserError("--like says all that samples are to be; leave --label, --where and --from out")
        check_out(out, (*formats(opened), *pictures(opened)), (run,), opened)
        given = picked(opened, words(like, "--like"))
        write_examples(opened, out, opened.sample_like(given, n, temperature=temperature, draw=draw, seed=seed), None)
        note(f"{n} samples like {len(given)} examples in {out}")
        return
    if source == "aggregate":
        check_out(out, ARRAYS, (run,), opened)
        from vaekit.data.save import write_images, write_npz

        x, z = opened.sample_aggregate(n, label, components=components, seed=seed)
        if out.suffix.lower() == ".png":
            write_images(out, opened.picture(x))
        else:
            write_npz(out, x=x, z=z, y=opened.labels(n, label, seed=seed))
        note(f"{n} samples of the aggregate posterior ({components} normals fitted to training codes) in {out}")
        return
    check_out(out, (*formats(opened), *pictures(opened)), (run,), opened)
    sampling = Sampling(greedy=greedy, top_p=top_p, temperature=token_temperature)
    if not opened.draw_tokens(sampling) and sampling != Sampling():
        raise UserError(f"--greedy, --top-p and --token-temperature are for sequences, and {opened.info.name} has none")
    if where is not None or constraint is not None:
        made = opened.given(n, where, constraint or (), temperature=temperature, draw=draw, seed=seed)
        write_examples(opened, out, made.x, made.y)
        asked = ", ".join([*([] if where is None else [where]), *(constraint or ())])
        note(f"{n} samples with {asked} in {out}: {made.how}")
        return
    x = opened.sample(n, label, temperature=temperature, draw=draw, seed=seed, form="array")
    write_examples(opened, out, x, opened.labels(n, label, seed=seed))
    note(f"{n} samples in {out}")
