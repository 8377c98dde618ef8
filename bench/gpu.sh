#!/bin/sh
# One command on a machine with a CUDA device: the table of docs/performance.md for it, in at most six minutes.
#   bash bench/gpu.sh                        prints the table, writes bench/results/gpu.json
#   bash bench/gpu.sh --device cpu --small   runs every part to its end in a tiny form, on any machine
# VAEKIT_DATA names the folder that holds mnist/; without MNIST the digits, enlarged, stand in for it.
cd "$(dirname "$0")/.." || exit 1
PYTHONPATH=src:tests${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python3}" bench/gpu.py "$@"
