"""A value beside which all others vanish is named before training, whatever form the data have."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import vaekit
from vaekit.data import DataSettings
from vaekit.data.as_is import as_they_are
from vaekit.data.loading import read
from vaekit.errors import UserError

X = np.random.default_rng(0).normal(size=(60, 5))


def with_value(value: float, x: np.ndarray = X) -> np.ndarray:
    out = x.copy()
    out[17, 2] = value
    return out


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("form", ["arrays", "npy", "csv", "as they are", "use"])
def test_the_fill_value_of_netcdf_is_refused(form: str, dtype: str, tmp_path: Path) -> None:
    x = with_value(9.969209968386869e36).astype(dtype)
    with pytest.raises(UserError, match=r"row 1[78].*is 9\.96921e\+36, which netCDF writes for a missing value"):
        if form == "as they are":
            as_they_are(x, DataSettings(), "real")
        elif form == "use":
            vaekit.train("vae", X, steps=1, set={"model.hidden": "8"}).encode(x)
        elif form == "arrays":
            vaekit.train("vae", x, steps=1, out=tmp_path / "run")
        elif form == "npy":
            np.save(tmp_path / "x.npy", x)
            read(tmp_path / "x.npy", DataSettings())
        else:
            np.savetxt(tmp_path / "x.csv", x, delimiter=",", header="a,b,c,d,e", comments="")
            read(tmp_path / "x.csv", DataSettings())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [1e20, -1e30, 3e7])
def test_a_value_that_drowns_its_column_is_named(value: float) -> None:
    with pytest.warns(UserWarning, match=r"memory: row 17, column 2 is .*, over a million times as far") as told:
        vaekit.train("vae", with_value(value), steps=1, set={"model.hidden": "8"})
    assert f"{np.float32(value):.6g}" in str(told[0].message)
    with pytest.warns(UserWarning, match="row 17, column 2"):
        as_they_are(with_value(value), DataSettings(), "real")


ORDINARY = {
    "normal": X,
    "tiny": X * 1e-30,
    "huge": X * 1e30,
    "columns of many units": X * np.array([1e-20, 1, 1e9, 1e20, 1e-3]),
    "heavy tails": np.random.default_rng(0).pareto(0.8, size=(5000, 2)),
    "mostly zero": np.where(np.arange(300)[:, None] == [7, 9], [1.5, 1e5], 0.0),
    "constant": np.full((20, 3), 1e12),
    "dates": 1.7e9 + X,
    "one row": X[:1],
    "pictures": np.random.default_rng(0).random((9, 3, 8, 8)),
}


@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary_data_raise_no_alarm(case: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(ORDINARY[case], DataSettings())
