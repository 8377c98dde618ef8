"""How a model is trained: settings with their defaults, checked by type."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt

from vaekit.data.settings import SettingsBase
from vaekit.schedules import Schedule


def _length(value: int | str) -> int | str:
    if value not in (0, "0"):
        Schedule.parse(f"linear 0 1 {value}")
    return value


def _names(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Share = Annotated[float, Field(ge=0, lt=1)]
Length = Annotated[int | str, AfterValidator(_length)]


class TrainSettings(SettingsBase):
    """Settings of a training run."""

    model_config = ConfigDict(allow_inf_nan=False)

    epochs: PositiveInt | None = Field(
        default=None,
        description="passes over the training data; default 20, on small data enough for least_steps",
    )
    least_steps: PositiveInt = Field(default=2000, description="steps of a run without a length, at least")
    steps: PositiveInt | None = Field(default=None, description="optimiser steps; overrides epochs")
    batch_size: PositiveInt = Field(default=128, description="examples a step")
    accumulate: PositiveInt | Literal["auto"] = Field(
        default="auto", description="parts in which a step is computed, for memory; auto: as many as it needs"
    )
    lr: PositiveFloat = Field(default=2e-3, description="peak learning rate")
    lr_encoder: PositiveFloat | None = Field(default=None, description="peak learning rate of the encoder; default lr")
    lr_decoder: PositiveFloat | None = Field(default=None, description="peak learning rate of the decoder; default lr")
    encoder_steps: PositiveInt = Field(
        default=1, description="steps of the encoder for each of the decoder's, while it is ahead (He et al. 2019)"
    )
    encoder_ahead: Length = Field(default="20%", description="how long encoder_steps lasts: steps, '2ep' or '10%'")
    lr_sigma_factor: PositiveFloat = Field(
        default=5.0, description="what the learning rate is multiplied by for learned scales (σ, ν, dispersions)"
    )
    lr_players: PositiveFloat | None = Field(default=None, description="peak learning rate of critics; default lr")
    warmup: Length = Field(default="10%", description="linear warm-up: steps, '2ep' or '10%'")
    decay: Literal["cosine", "linear", "none"] = Field(default="cosine", description="learning rate after the warm-up")
    betas: tuple[Share, Share] = Field(default=(0.9, 0.999), description="Adam's moment decays")
    eps: PositiveFloat = Field(default=1e-8, description="Adam's ε")
    weight_decay: float = Field(default=0.0, ge=0, description="decoupled weight decay (AdamW)")
    clip: PositiveFloat | None = Field(default=None, description="gradient norm above which gradients are scaled down")
    skip_above: PositiveFloat | None = Field(default=None, description="skip steps with a gradient norm above this")
    max_bad_steps: PositiveInt = Field(default=50, description="non-finite steps in a row that end the run")
    freeze: Names = Field(
        default=(), description="parts that stay as they are: encoder, decoder, or names as posterior, likelihood.net"
    )
    ema: float | None = Field(default=None, gt=0, lt=1, description="decay of the weight average, e.g. 0.999")
    early_stop: PositiveInt | None = Field(
        default=None, description="epochs without a better held-out score that end it"
    )
    keep: Literal["last", "best"] | None = Field(default=None, description="weights kept; best under early_stop")
    validate_every: PositiveInt = Field(default=1, description="epochs between held-out evaluations")
    checkpoint_seconds: float = Field(default=30.0, ge=0, description="seconds between checkpoints; 0: every step")
    checkpoint_steps: PositiveInt | None = Field(default=None, description="steps between checkpoints")
    log_every: PositiveInt = Field(default=50, description="steps between log records")
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of initial weights, order, noise")
    shard: bool = Field(default=False, description="share the weights out over the processes (see 'vaekit train')")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "tf32", "bf16"] = Field(default="auto", description="arithmetic of the networks")
    graph: bool | Literal["auto"] = Field(
        default="auto",
        description="replay steps as CUDA graphs; auto: on CUDA, unless a module is of another package",
    )
    compile: bool = Field(
        default=False, description="compile the networks (torch.compile); slow to start, pays on CUDA and in long runs"
    )
