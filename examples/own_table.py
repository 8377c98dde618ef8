"""Train on a table with gaps: fill them in, draw rows, and rows under a condition.

Replace `table` by your own CSV file, or by a data frame: then data frames come back.
"""

import csv
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import vaekit

place = Path(tempfile.mkdtemp(prefix="vaekit-"))
table = place / "customers.csv"
chance = random.Random(0)
with table.open("w", newline="", encoding="utf-8") as file:
    rows = csv.writer(file)
    rows.writerow(["age", "income", "town", "member"])
    for _ in range(600):
        age = chance.randint(18, 80)
        income = round(chance.lognormvariate(9.5 + age / 80, 0.3), 2)
        row = [age, income, chance.choice(["York", "Hull", "Leeds"]), "yes" if income > 25_000 else "no"]
        rows.writerow(["" if chance.random() < 0.1 else cell for cell in row])

run = vaekit.train("tabular-vae", table, steps=300, seed=0, out=place / "run", progress=False, pictures=False)
found = run.evaluate(["iw_bound"], k=100)["iw_bound"]
print(f"log p(row) at least {found.value:.2f} ± {found.stderr:.2f} {found.unit}, {found.n} test rows")

full = run.impute(table).x  # a dict of columns for a file, a data frame for a data frame
print("filled in, first rows:", *zip(*(column[:3] for column in full.values())), sep="\n  ")

# Rows as text are the command's: vaekit sample RUN -n 4 --where "town=York,member=yes" --out new.csv
new = place / "new.csv"
asked = ["sample", str(place / "run"), "-n", "4", "--where", "town=York,member=yes", "--out", str(new)]
subprocess.run([sys.executable, "-m", "vaekit", *asked], check=True, capture_output=True)
print("new members from York:", new.read_text(encoding="utf-8"), sep="\n")
