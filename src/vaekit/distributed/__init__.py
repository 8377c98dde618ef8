"""The processes ("ranks") that train or evaluate one run together, as one process with the whole batch would.

`group` joins and leaves them and moves plain values; `rows` deals a batch out, computes what needs all of it, and
seeds each process's noise; `batch_norm` normalises over all rows. With one process nothing here does anything, and
`rows` costs an attribute look-up.
"""
# ruff: noqa: F401

from vaekit.distributed.batch_norm import BatchNorm1d, share_batch_norms
from vaekit.distributed.group import (
    broadcast_tensors,
    first_text,
    from_main,
    is_main,
    join_rows,
    launch,
    local_rank,
    rank,
    restarted,
    same_start,
    start,
    sum_in_place,
    sums,
    world,
)
from vaekit.distributed.rows import (
    alike,
    all_sum,
    any_of,
    counts,
    deal,
    gather,
    logsumexp,
    mean,
    mean_rows,
    narrow,
    part,
    share_of_mean,
    shared,
    sharing,
    some,
    take,
    total_rows,
)
