"""Train on a folder of pictures, look at samples, find the codes of your files.

Replace `folder` by your own: PNG, JPEG and others, in one folder or in one for each class.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import vaekit

place = Path(tempfile.mkdtemp(prefix="vaekit-"))
folder = place / "pictures"
digits = load_digits()
for i, (picture, label) in enumerate(zip(digits.images[:600], digits.target)):
    (folder / str(label)).mkdir(parents=True, exist_ok=True)
    Image.fromarray((picture * 15.9).astype(np.uint8)).save(folder / str(label) / f"{i:04d}.png")

run = vaekit.train("vae", folder, steps=300, seed=0, out=place / "run", progress=False, pictures=False)
found = run.evaluate(["elbo"])["elbo"]
print(f"ELBO {found.value:.2f} ± {found.stderr:.2f} {found.unit}, {found.n} test pictures")

samples = run.sample(16)  # (16, 1, 8, 8), from 0 to 1
grid = np.concatenate([np.concatenate(list(row), -1) for row in np.asarray(samples)[:, 0].reshape(4, 4, 8, 8)], -2)
Image.fromarray((255 * grid).astype(np.uint8)).resize((256, 256)).save(place / "samples.png")

codes = run.encode(folder)
print(f"codes of {len(codes)} files, {codes.shape[1]} numbers each; samples in {place / 'samples.png'}")
