"""Anomaly scores: trained on benign tumours, asked about malignant ones, beside the nearest neighbours' distance."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

import vaekit

data = load_breast_cancer()
benign, malignant = data.data[data.target == 1].astype(np.float32), data.data[data.target == 0].astype(np.float32)
train, unseen = benign[:250], np.concatenate([benign[250:], malignant])
anomalous = np.arange(len(unseen)) >= len(benign) - 250

run = vaekit.train("vae", train, steps=600, seed=0, progress=False, pictures=False)
found = run.detect(unseen)  # scores in nats; the threshold is of held-out benign examples
print(f"flagged: {found.anomaly[~anomalous].mean():.0%} of benign, {found.anomaly[anomalous].mean():.0%} of malignant")
print(f"AUROC {roc_auc_score(anomalous, found.scores):.3f}")

scaler = StandardScaler().fit(train)
distance = NearestNeighbors(n_neighbors=5).fit(scaler.transform(train)).kneighbors(scaler.transform(unseen))[0]
print(f"AUROC {roc_auc_score(anomalous, distance.mean(1)):.3f} by the 5 nearest neighbours")
