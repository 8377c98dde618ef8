"""The processes ("ranks") that train or evaluate one run together, as one process with the whole batch would.

`group` starts and ends them and moves plain values; `rows` deals a batch out and puts together what needs all of it;
`draws` makes the random numbers of a rank's rows those that one process would have drawn for them. With one process
nothing here does anything, and `rows` costs an attribute look-up.
"""

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
    all_sum,
    any_of,
    counts,
    gather,
    logsumexp,
    mean,
    mean_rows,
    my_rows,
    narrow,
    pairs_of,
    share_of_mean,
    sharing,
    some,
    take,
    total_rows,
    whole,
)

__all__ = [
    "all_sum",
    "any_of",
    "broadcast_tensors",
    "counts",
    "first_text",
    "from_main",
    "gather",
    "is_main",
    "join_rows",
    "launch",
    "local_rank",
    "logsumexp",
    "mean",
    "mean_rows",
    "my_rows",
    "narrow",
    "pairs_of",
    "rank",
    "restarted",
    "same_start",
    "share_of_mean",
    "sharing",
    "some",
    "start",
    "sum_in_place",
    "sums",
    "take",
    "total_rows",
    "whole",
    "world",
]
