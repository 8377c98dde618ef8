"""Files: every format read as written, every kind of damage named with its file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from PIL import Image

from vaekit.data import DataSettings, load
from vaekit.errors import UserError

ALL = DataSettings(valid=0, test=0)
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (12, 5, 4)).astype(np.uint8)
Y = RNG.integers(0, 3, 12).astype(np.uint8)


def idx(x: np.ndarray) -> bytes:
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[x.dtype.str[1:]]
    sizes = b"".join(n.to_bytes(4, "big") for n in x.shape)
    return bytes([0, 0, code, x.ndim]) + sizes + x.astype(x.dtype.newbyteorder(">")).tobytes()


def test_idx_folder_with_a_test_split(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(X)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(Y))
    (tmp_path / "t10k-images.idx3-ubyte").write_bytes(idx(X[:5]))
    (tmp_path / "t10k-labels.idx1-ubyte.gz").write_bytes(gzip.compress(idx(Y[:5])))
    data = load(tmp_path, DataSettings(valid=2, test=3))  # the source's own test split wins over test=3
    assert (data.info.n_train, data.info.n_valid, data.info.n_test) == (10, 2, 5)
    assert (data.test.x[:, 0].numpy() == X[:5]).all()
    assert data.test.y is not None and (data.test.y.numpy() == Y[:5]).all()


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_idx_types(kind: str, tmp_path: Path) -> None:
    x = (RNG.integers(0, 100, (6, 3)) + 0.5).astype(kind)
    (tmp_path / "a.idx").write_bytes(idx(x))
    assert (load(tmp_path / "a.idx", ALL).train.x.numpy() == x).all()


def test_idx_file_finds_its_labels(tmp_path: Path) -> None:
    (tmp_path / "some-images-idx3-ubyte").write_bytes(idx(X))
    (tmp_path / "some-labels-idx1-ubyte").write_bytes(idx(Y))
    data = load(str(tmp_path / "some-images-idx3-ubyte"), ALL)
    assert data.train.y is not None and (data.train.y.numpy() == Y).all()


def test_npy_and_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "xy.npz", x=X, y=Y)
    np.savez_compressed(tmp_path / "split.npz", x_train=X[:8], x_valid=X[8:10], x_test=X[10:])
    assert (load(tmp_path / "x.npy", ALL).train.x[:, 0].numpy() == X).all()
    assert load(tmp_path / "xy.npz", ALL).train.y is not None
    info = load(tmp_path / "split.npz").info
    assert (info.n_train, info.n_valid, info.n_test) == (8, 2, 2)


def write(folder: Path, name: str, x: np.ndarray | None = None, **options) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (6, 5)).astype(np.uint8) if x is None else x).save(path, **options)
    return path


def test_image_folder(tmp_path: Path) -> None:
    greys = {name: RNG.integers(0, 256, (6, 5)).astype(np.uint8) for name in ("cat/a.png", "cat/b.png", "dog/c.png")}
    for name, x in greys.items():
        write(tmp_path, name, x)
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    data = load(tmp_path, ALL)
    assert data.info.shape == (1, 6, 5) and data.info.classes == ("cat", "dog")
    assert (data.train.x[:, 0].numpy() == np.stack(list(greys.values()))).all()
    assert data.train.y is not None and data.train.y.tolist() == [0, 0, 1]


@pytest.mark.parametrize(("colour", "grey", "channels"), [(2, 1, 3), (1, 2, 1), (1, 1, 1)])
def test_colour_is_kept_by_majority(colour: int, grey: int, channels: int, tmp_path: Path) -> None:
    for i in range(colour):
        write(tmp_path, f"c{i}.png", RNG.integers(0, 256, (6, 5, 3)).astype(np.uint8))
    for i in range(grey):
        write(tmp_path, f"g{i}.png")
    assert load(tmp_path, ALL).info.shape == (channels, 6, 5)


def test_image_folder_with_splits_and_transparency(tmp_path: Path) -> None:
    clear = np.zeros((6, 5, 4), np.uint8)
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            write(tmp_path, f"{split}/{name}/0.png", clear)
    data = load(tmp_path)
    assert (data.info.n_train, data.info.n_valid, data.info.n_test) == (2, 2, 2)
    assert data.info.classes == ("a", "b") and (data.train.x == 255).all()  # wholly clear over white


def test_images_of_several_sizes(tmp_path: Path) -> None:
    write(tmp_path, "a.png")
    odd = write(tmp_path, "b.png", np.zeros((7, 9), np.uint8))
    with pytest.raises(UserError, match=rf"{odd.name} differs in size \(9×7, a.png 5×6\); give size=N"):
        load(tmp_path, ALL)
    assert load(tmp_path, ALL.model_copy(update={"size": 4})).info.shape == (1, 4, 4)


@pytest.mark.parametrize("stream", [False, True])
def test_an_image_of_another_size_is_not_decoded(stream: bool, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (70, 90), dtype=np.uint8)
    for name in "acde":
        write(tmp_path, f"{name}.png")
    odd = write(tmp_path, "b.png", noise)
    odd.write_bytes(odd.read_bytes()[:200])  # its size can be read, and its pixels cannot
    with pytest.raises(UserError, match=r"b.png differs in size \(90×70, a.png 5×6\)"):
        load(tmp_path, ALL.model_copy(update={"stream": stream}))


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,"b, c",label\r\n1,2.5,yes\r\n-3,4e1,no\r\n\r\n5,6,yes\r\n', encoding="utf-8-sig")
    data = load(path, ALL)
    assert data.train.x.tolist() == [[1, 2.5], [-3, 40], [5, 6]]
    assert data.info.classes == ("no", "yes") and data.train.y is not None and data.train.y.tolist() == [1, 0, 1]
    assert data.info.kind == "real"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty|nothing in it"),
        ("a,b\n", "only a header"),
        ("a,b\n1,2\n3\n", "row 2 has 1 cells, the header 2"),
        ("a,b\n1,2\n3,x\n", "row 2, column 'b': 'x' is not a number"),
        ("a,b\n1,2\n3,\n", "row 2, column 'b': the cell is empty"),
        ("a,b\n1,2\n3,nan\n", "row 2, column 'b' is nan"),
        ('a,b\n1,"2\n', "not a readable CSV"),
    ],
)
def test_bad_csv(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        load(tmp_path / "t.csv")


def test_binary_wish_names_a_tables_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n0,1\n1,0.5\n")
    with pytest.raises(UserError, match=r"row 2, column 'b' is 0\.5"):
        load(tmp_path / "t.csv", ALL, wants="binary")


def damage(folder: Path) -> dict[str, tuple[Path, str]]:
    """Every damaged file we know to make, with the words its error must hold."""
    whole = {"idx": idx(X), "gz": gzip.compress(idx(X))}
    np.save(folder / "whole.npy", X)
    np.savez(folder / "whole.npz", x=X)
    np.save(folder / "object.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    np.savez(folder / "names.npz", images=X)
    files = {
        "short.idx": (whole["idx"][:-3], "is cut short: 253 bytes where shape .12, 5, 4. needs 256"),
        "long.idx": (whole["idx"] + b"0", "is too long"),
        "header.idx": (whole["idx"][:9], "cut short within its header"),
        "type.idx": (b"\0\0\x07\x01" + whole["idx"][4:], "is not an IDX file"),
        "short.idx.gz": (whole["gz"][:-20], "damaged gzip"),
        "flipped.idx.gz": (whole["gz"][:40] + b"\xff\xff\xff" + whole["gz"][43:], "damaged gzip"),
        "plain.idx.gz": (whole["idx"], "named .gz but is not gzip"),
        "short.npy": ((folder / "whole.npy").read_bytes()[:-9], "not a readable array"),
        "short.npz": ((folder / "whole.npz").read_bytes()[:-60], "damaged NPZ"),
        "empty.bin": (b"", "is empty"),
        "what.bin": (b"hello there", "not a file vaekit reads"),
        "bytes.csv": (b"a,b\n1,\xff\x81\n", "not UTF-8"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    made = {name: (folder / name, words) for name, (_, words) in files.items()}
    made["object.npy"] = (folder / "object.npy", "save numbers of one shape")
    made["names.npz"] = (folder / "names.npz", "holds images.npy; name its arrays x and y")
    return made


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_sparse_matrices_that_scipy_saved_are_rows(form: str, tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(0.3, (20, 30))
    scipy.sparse.save_npz(tmp_path / "x.npz", scipy.sparse.coo_array(counts).asformat(form))
    data = load(tmp_path / "x.npz", ALL)
    assert data.info.kind == "counts" and (data.train.x.numpy() == counts).all()
    np.savez(tmp_path / "bad.npz", format=np.array(b"csr"), shape=np.array([2, 2]), data=np.ones(1))
    with pytest.raises(UserError, match=r"bad\.npz is not a readable sparse matrix"):
        load(tmp_path / "bad.npz")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for name, (path, words) in damage(tmp_path).items():
        with pytest.raises(UserError, match=words) as caught:
            load(path)
        assert name in str(caught.value), name


def test_bad_images_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a/x.png")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"x\.png cannot be read as an image"):
        load(tmp_path)
    path.write_text("not a picture")
    with pytest.raises(UserError, match=r"x\.png cannot be read as an image"):
        load(tmp_path)


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no images"):
        load(tmp_path)
    with pytest.raises(UserError, match="there is no file or folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="did you mean 'fashion-mnist'"):
        load("fashion-minst")
    with pytest.raises(UserError, match=r"Known by name: .*digits, dsprites, fashion-mnist, "):
        load("qqq")


def test_labels_for_some_splits_only(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X)
    with pytest.raises(UserError, match="labels for train only"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x_train=X, x_test=X[:, :2])
    with pytest.raises(UserError, match="differ in shape"):
        load(tmp_path / "b.npz")


def test_own_set_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "all.npz", x=X)
    monkeypatch.setenv("VAEKIT_DATA", f"{tmp_path / 'other'}:{tmp_path}")
    assert (load("mine", ALL).train.x[:, 0] == torch.from_numpy(X)).all()
