"""Batch normalisation over a shared batch: mean and variance are those of all processes' rows.

`torch.nn.SyncBatchNorm` does as much, but refuses tensors on the processor.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaekit.distributed.rows import all_sum, dealt_out


class _OverAllRows(nn.modules.batchnorm._BatchNorm):
    def forward(self, input: Tensor) -> Tensor:
        """Return w (x - μ) / √(σ² + ε) + b for x (N, C, ...); the running variance takes the unbiased σ²."""
        if dealt_out() is None or not (self.training or self.running_mean is None):
            return super().forward(input)
        x = input.float()
        axes = [axis for axis in range(x.dim()) if axis != 1]
        shape = [1, x.shape[1], *[1] * (x.dim() - 2)]
        sums = all_sum(torch.cat([x.sum(axes), x.new_full((1,), x.numel() / x.shape[1])]))
        mean, n = sums[:-1] / sums[-1], sums[-1].detach()
        off = x - mean.view(shape)
        variance = all_sum(off.square().sum(axes)) / n
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_(variance.detach() * n / (n - 1), momentum)
        out = off * torch.rsqrt(variance + self.eps).view(shape)
        out = out if self.weight is None else out * self.weight.view(shape)
        out = out if self.bias is None else out + self.bias.view(shape)
        return out.to(input.dtype)


class BatchNorm1d(_OverAllRows, nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` with the statistics of all processes' rows; alone, the same."""


class BatchNorm2d(_OverAllRows, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with the statistics of all processes' rows; alone, the same."""


class BatchNorm3d(_OverAllRows, nn.BatchNorm3d):
    """`torch.nn.BatchNorm3d` with the statistics of all processes' rows; alone, the same."""


_SHARED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: BatchNorm1d,
    nn.BatchNorm2d: BatchNorm2d,
    nn.BatchNorm3d: BatchNorm3d,
}


def share_batch_norms(module: nn.Module) -> None:
    """Turn every torch.nn.BatchNorm layer of `module` into the one of this file, in place, with its weights.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    >>> share_batch_norms(net)
    >>> isinstance(net[1], BatchNorm1d)
    True
    """
    for part in module.modules():
        if type(part) in _SHARED:
            part.__class__ = _SHARED[type(part)]
