"""Small valid sources of every kind that vaekit reads, made by a seeded generator without vaekit."""

from __future__ import annotations

import io
import struct
import wave
from random import Random
from typing import Any, cast

import numpy as np

from attack.mutations import another_array, npy_bytes, npz_bytes

Files = dict[str, bytes]
MOLECULES = ("CCO", "c1ccccc1", "CC(=O)O", "C[C@H](N)C(=O)O", "[Na+].[Cl-]", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "C#N", "O")
LINES = ("To be, or not to be", "that is the question", "été à Zürich", "whether 'tis nobler", "日本語", "in the mind")


def _numpy(random: Random) -> np.random.Generator:
    return np.random.default_rng(random.randrange(2**32))


def _values(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    rng = _numpy(random)
    return random.choice(
        (
            rng.normal(size=shape).astype(random.choice(("f2", "f4", "f8"))),
            rng.integers(0, 256, shape, dtype=np.uint8),
            rng.integers(0, 2, shape).astype(bool),
            rng.integers(-5, 50, shape),
        )
    )


def _idx(x: np.ndarray) -> bytes:
    return bytes([0, 0, 8, x.ndim]) + b"".join(struct.pack(">I", n) for n in x.shape) + x.astype(np.uint8).tobytes()


def idx(random: Random) -> Files:
    """Return an IDX file of images, and maybe its labels."""
    rng = _numpy(random)
    files = {"train-images-idx3-ubyte": _idx(rng.integers(0, 256, (12, 4, 4)))}
    return files | ({"train-labels-idx1-ubyte": _idx(rng.integers(0, 3, 12))} if random.random() < 0.5 else {})


def idx_folder(random: Random) -> Files:
    """Return a folder as MNIST's."""
    rng = _numpy(random)
    files = {}
    for stem, n in (("train", 12), ("t10k", 5)):
        files[f"{stem}-images-idx3-ubyte"] = _idx(rng.integers(0, 256, (n, 4, 4)))
        files[f"{stem}-labels-idx1-ubyte"] = _idx(rng.integers(0, 3, n))
    return files


def npy(random: Random) -> Files:
    """Return an NPY file of vectors or images, of three rows or more."""
    n = random.choice((3, 9, 20))
    return {"a.npy": npy_bytes(_values(random, random.choice(((n, 5), (n, 4, 4), (n, 3, 4, 4), (n, 4, 4, 3)))))}


def series_npy(random: Random) -> Files:
    """Return an NPY file of series, of one channel or two."""
    n = random.choice((3, 9, 20))
    return {"a.npy": npy_bytes(_values(random, random.choice(((n, 5), (n, 6, 2)))))}


def npy_folder(random: Random) -> Files:
    """Return a folder of NPY files, maybe with labels beside them."""
    kind = random.choice(("f4", "u1"))
    values = {f"x-{i}.npy": npy_bytes(_values(random, (6, 4)).astype(kind)) for i in range(3)}
    labels = {f"y-{i}.npy": npy_bytes(np.arange(6) % 2) for i in range(3)}
    return values | (labels if random.random() < 0.5 else {})


def npz(random: Random) -> Files:
    """Return an NPZ of x and maybe y, or of splits."""
    n = random.choice((5, 12))
    x = _values(random, random.choice(((n, 5), (n, 4, 4))))
    y = random.choice((np.arange(n) % 3, np.linspace(0, 1, n), np.array(["a", "b", "c"] * n)[:n], np.eye(n, 2)))
    if random.random() < 0.5:
        return {"a.npz": npz_bytes({"x": x, "y": y} if random.random() < 0.7 else {"x": x}, random.random() < 0.5)}
    return {"a.npz": npz_bytes({"x_train": x, "y_train": y, "x_test": x[:3], "y_test": y[:3]})}


def npz_sparse(random: Random) -> Files:
    """Return a sparse matrix as scipy saves it."""
    from scipy import sparse

    stream, make = io.BytesIO(), cast(Any, sparse.random)
    matrix = make(12, 6, 0.3, format=random.choice(("csr", "csc", "coo", "bsr")), random_state=0)
    sparse.save_npz(stream, matrix)
    return {"a.npz": stream.getvalue()}


def csv(random: Random) -> Files:
    """Return a CSV of numbers in some form, with or without header and labels."""
    rng, mark = _numpy(random), random.choice(",,;\t")
    form = random.choice(("{:.3f}", "{:g}", "{:.0f}", "${:,.2f}", "{:.1f}%")) if mark != "," else "{:.3f}"
    rows = [[form.format(v) for v in row] for row in rng.normal(100, 30, (random.choice((4, 15)), 4))]
    header = ["a", "b", "c", "d"]
    if random.random() < 0.5:
        header, rows = [*header, "label"], [[*row, random.choice("xyz")] for row in rows]
    lines = [mark.join(row) for row in ([header] if random.random() < 0.8 else []) + rows]
    return {"a.csv": ("\n".join(lines) + "\n").encode()}


def images(random: Random) -> Files:
    """Return folders of small pictures, a class each."""
    from PIL import Image

    rng, kind = _numpy(random), random.choice(("png", "jpg", "bmp", "gif", "tif", "webp", "pgm"))
    mode = random.choice(("L", "RGB")) if kind != "pgm" else "L"
    files = {}
    for label in "ab":
        for i in range(3):
            pixels = rng.integers(0, 256, (6, 7) if mode == "L" else (6, 7, 3), dtype=np.uint8)
            stream = io.BytesIO()
            Image.fromarray(pixels, mode).save(stream, {"jpg": "jpeg", "tif": "tiff", "pgm": "ppm"}.get(kind, kind))
            files[f"{label}/{i}.{kind}"] = stream.getvalue()
    return files


def wav(random: Random) -> Files:
    """Return a folder of recordings."""
    rng = _numpy(random)
    files = {}
    width, channels = random.choice((1, 2, 3, 4)), random.choice((1, 2))
    for i in range(4):
        stream = io.BytesIO()
        with wave.open(stream, "wb") as out:
            out.setparams((channels, width, 8000, 0, "NONE", ""))
            out.writeframes(rng.integers(0, 256, 400 * width * channels, dtype=np.uint8).tobytes())
        files[f"{i}_anna_{i}.wav"] = stream.getvalue()
    return files


def text(random: Random) -> Files:
    """Return lines of text."""
    return {"a.txt": "\n".join(random.choices(LINES, k=20)).encode()}


def text_csv(random: Random) -> Files:
    """Return a table with a column of text."""
    rows = [f'{i},"{line}"' for i, line in enumerate(random.choices(LINES, k=12))]
    return {"a.csv": "\n".join(["n,text", *rows]).encode()}


def smiles(random: Random) -> Files:
    """Return a file of SMILES."""
    return {"a.smi": "\n".join(f"{m} {i}" for i, m in enumerate(random.sample(MOLECULES, 8))).encode()}


def smiles_csv(random: Random) -> Files:
    """Return a table with a column of SMILES."""
    return {
        "a.csv": "\n".join(["id,smiles", *(f"{i},{m}" for i, m in enumerate(random.sample(MOLECULES, 8)))]).encode()
    }


def _ring(n: int) -> np.ndarray:
    return np.array([(i, (i + 1) % n) if i + 1 < n else (0, n - 1) for i in range(n)] + [(0, 5), (2, 9), (3, 11)])


def graphs_npz(random: Random) -> Files:
    """Return one graph, several packed ones, or padded adjacencies."""
    rng, edges = _numpy(random), _ring(20)
    labels = rng.integers(0, 3, 20)
    features = rng.normal(size=(20, 3)).astype("f4")
    a = (rng.random((6, 5, 5)) < 0.5).astype(int)
    a = np.triu(a, 1) + np.triu(a, 1).swapaxes(1, 2)
    mask = np.ones((6, 5), int)
    cells = {"feature_rows": np.arange(20), "feature_cols": np.arange(20) % 4, "feature_shape": np.array([20, 4])}
    made: dict[str, Any] = random.choice(
        (
            {"edges": edges, "nodes": np.array(20), "labels": labels},
            {"edges": edges, "features": features},
            {"edges": edges, **cells, "feature_values": np.ones(20)},
            {"edges": np.concatenate([_ring(12) + 12 * i for i in range(6)]), "sizes": np.full(6, 12)},
            {"adjacency": a, "mask": mask, "features": rng.normal(size=(6, 5, 2))},
            {"adjacency": a * 0.5},
        )
    )
    return {"a.npz": npz_bytes(made)}


def graphs_npy(random: Random) -> Files:
    """Return edges or an adjacency."""
    a = np.zeros((20, 20))
    edges = _ring(20)
    a[edges[:, 0], edges[:, 1]] = a[edges[:, 1], edges[:, 0]] = 1
    return {"a.npy": npy_bytes(random.choice((edges, a, edges.T)))}


def edges(random: Random) -> Files:
    """Return a list of edges in text."""
    mark, names = random.choice(" ,\t;"), random.choice((str, "n{}".format, lambda n: str(n + 1)))
    rows = [[names(a), names(b)] for a, b in _ring(20).tolist()]
    if random.random() < 0.3:
        rows = [[*row, f"{random.random():.2f}"] for row in rows]
    header = [["source", "target", "weight"][: len(rows[0])]] if random.random() < 0.4 else []
    return {random.choice(("a.edges", "a.csv", "a.txt")): "\n".join(map(mark.join, header + rows)).encode()}


def _networkx() -> Any:
    import networkx

    graph = networkx.cycle_graph(20)
    for node in graph:
        graph.nodes[node]["label"] = f"c{node % 2}" if node % 3 else "c2"
    for edge in graph.edges.values():
        edge["weight"] = 0.5
    return graph


def gml(random: Random) -> Files:
    """Return a GML file."""
    nodes = "".join(f"  node [\n    id {i}\n    value {i % 3}\n  ]\n" for i in range(20))
    pairs = "".join(f"  edge [\n    source {a}\n    target {b}\n  ]\n" for a, b in _ring(20).tolist())
    return {"a.gml": f"graph [\n{nodes}{pairs}]\n".encode()}


def graphml(random: Random) -> Files:
    """Return a GraphML file."""
    import networkx

    return {"a.graphml": "\n".join(networkx.generate_graphml(_networkx())).encode()}


def midi(random: Random) -> Files:
    """Return a folder of MIDI files of two parts."""
    files = {}
    for i in range(4):
        tracks = [b"\x00\xff\x58\x04\x04\x02\x18\x08\x00\xff\x2f\x00"]
        for channel in range(2):
            body = b""
            for _ in range(16):
                pitch = random.randrange(40 + 24 * channel, 60 + 24 * channel)
                body += bytes((0, 0x90 | channel, pitch, 80, 96, 0x80 | channel, pitch, 0))
            tracks.append(body + b"\x00\xff\x2f\x00")
        data = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), 96)
        files[f"{i}.mid"] = data + b"".join(b"MTrk" + struct.pack(">I", len(t)) + t for t in tracks)
    return files


def _steps(random: Random) -> str:
    return ",".join(
        f"{random.gauss(0, 1):.2f}" if random.random() < 0.95 else "?" for _ in range(random.randrange(3, 9))
    )


def ts(random: Random) -> Files:
    """Return a .ts file: plain, of two channels, or with times."""
    kind = random.randrange(3)
    lines = ["# a comment", "@problemName p", "@classLabel true a b", "@data"]
    if kind == 2:
        lines.insert(1, "@timeStamps true")
    for i in range(10):
        body = _steps(random) if kind == 0 else f"{_steps(random)}:{_steps(random)}"
        if kind == 2:
            body = ",".join(f"({t},{random.random():.2f})" for t in range(random.randrange(2, 6)))
        lines.append(f"{body}:{'ab'[i % 2]}")
    return {"a.ts": "\n".join(lines).encode()}


def series_csv(random: Random) -> Files:
    """Return series in long form, or one a row."""
    if random.random() < 0.5:
        times = random.choice((str, lambda t: f"2024-01-{t + 1:02d}", lambda t: str(1.7e9 + 60 * t)))
        rows = [f"s{i},{times(t)},{random.random():.2f},{i}" for i in range(6) for t in range(5)]
        return {"a.csv": "\n".join(["id,time,speed,load", *rows]).encode()}
    rows = [f"{random.choice('xy')}," + _steps(random).replace("?", "") for _ in range(8)]
    return {"a.csv": "\n".join([",".join(["label", *(f"t{i}" for i in range(9))]), *rows]).encode()}


def series_tsv(random: Random) -> Files:
    """Return series as the UCR archive has them."""
    rows = ["\t".join([str(i % 2 + 1), *_steps(random).replace("?", "NaN").split(",")]) for i in range(8)]
    return {"a_TRAIN.tsv": "\n".join(rows).encode(), "a_TEST.tsv": "\n".join(rows[:3]).encode()}


def series_npz(random: Random) -> Files:
    """Return series in arrays, with lengths, labels or splits."""
    rng = _numpy(random)
    x = rng.normal(size=random.choice(((8, 12), (8, 12, 2), (8, 2, 12))))
    lengths, y = rng.integers(1, 6, 8), np.arange(8) % 2
    made = random.choice(
        (
            {"values": x, "y": y},
            {"values": rng.normal(size=int(lengths.sum())), "lengths": lengths},
            {"values": rng.normal(size=(8, 6)), "lengths": lengths, "y": y},
            {"x_train": x, "y_train": y, "x_test": x[:2], "y_test": y[:2]},
        )
    )
    return {"a.npz": npz_bytes(made)}


def _table(random: Random) -> dict[str, list[Any]]:
    n = random.choice((6, 30))
    return {
        "age": [random.choice((random.randrange(90), None)) for _ in range(n)],
        "city": random.choices(("Leeds", "Ulm, west", "Zürich"), k=n),
        "income": [round(random.lognormvariate(8, 1), 2) for _ in range(n)],
        "when": [f"2024-0{random.randrange(1, 10)}-11" for _ in range(n)],
        "paid": random.choices(("yes", "no"), k=n),
        "id": list(range(n)),
    }


def table_csv(random: Random) -> Files:
    """Return a table of mixed columns."""
    columns, mark = _table(random), random.choice(",;\t")
    rows = [["" if v is None else f'"{v}"' if "," in str(v) else str(v) for v in row] for row in zip(*columns.values())]
    text = "\n".join(mark.join(row) for row in [list(columns), *rows])
    return {random.choice(("a.csv", "a.csv", "a.tsv")): text.encode()}


def table_parquet(random: Random) -> Files:
    """Return the same as Parquet."""
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(_table(random)), stream, compression=random.choice(("snappy", "gzip", "none")))
    return {"a.parquet": stream.getvalue()}


def memory(random: Random) -> Any:
    """Return something that a person may pass in memory, right or wrong."""
    import torch
    from scipy import sparse as scipy_sparse

    rng, masked, sparse = _numpy(random), cast(Any, np.ma.masked_array), cast(Any, scipy_sparse)
    n = random.choice((0, 1, 3, 12))
    x: Any = _values(random, random.choice(((n,), (n, 4), (n, 4, 4), (n, 3, 4, 4), (n, 4, 0), (n, 2, 3, 4, 5))))
    x = another_array(random, x) if random.random() < 0.5 else x
    y = random.choice(([0, 1] * n, ["a"] * n, [None] * n, np.linspace(0, 1, n), {"a": [1] * n}, "abc", 3, [[1, 2]] * n))
    tensor = torch.zeros(n, 4)
    made: tuple[Any, ...] = (
        x,
        (x, y),
        x.tolist(),
        (x, y, y),
        {"x": x, "y": y},
        {"x_train": x, "y_train": y, "x_test": x[:2] if x.ndim else x},
        {"edges": x, "nodes": y},
        {"adjacency": x},
        {"values": x, "lengths": y},
        masked(rng.integers(0, 5, (n, 4)), rng.random((n, 4)) < 0.3),
        [masked(rng.normal(size=4), [0, 1, 0, 0])] * n,
        {"a": [1.5] * n, "b": random.choices(("u", "v", None), k=n)},
        {"a": masked([1.5] * n, [i == 1 for i in range(n)]), 1: [2] * n, "1": [3] * n},
        {"a": [1], "b": [1, 2]},
        {i: [(i + 1) % 12, (i - 1) % 12] for i in range(12)},
        {0: 1, 1: 0},
        [{0: [1], 1: [0]}] * 9,
        random.choice((tensor, tensor.to("meta"), tensor.to_sparse(), tensor.bfloat16(), tensor + 1j, tensor[0:0])),
        torch.utils.data.TensorDataset(*[tensor] * random.choice((1, 2, 3))),
        sparse.random(max(n, 1), 5, 0.4, format=random.choice(("csr", "coo", "csc"))),
        sparse.eye(12, format="csr", dtype=random.choice((float, int, bool, complex))),
        list(LINES) * n,
        [*MOLECULES, None],
        list(MOLECULES),
        ([b"bytes"] * n, None),
        [["1_0", "2"], ["3", "4"]],
        [[1, 2, 3], [4, 5], [6, None]],
        [2**60, 2**70],
        [[2**53 + i, 1] for i in range(6)],
        [object()] * 3,
        "no such data",
        "x" * 5000,
        "a\0b",
        b"bytes",
        None,
        7,
        iter([]),
        (i for i in range(3)),
        lambda: 3,
    )
    return random.choice(made)
