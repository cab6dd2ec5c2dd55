"""A module described before it is allocated; the only importer of torchdistx.

torchdistx records how a module is built and replays it later; where it is not installed (it works
with torch 2.0), torch's own meta device describes the shapes. Either way the values are set
afterwards by the model's initialisers, so both give the same model.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def has_torchdistx() -> bool:
    """Whether torchdistx is installed."""
    return find_spec("torchdistx") is not None


def describe(build: Callable[[], Module]) -> Module:
    """The module that `build` makes, with shapes and types but without memory."""
    if has_torchdistx():
        from torchdistx.deferred_init import deferred_init

        described: Module = deferred_init(build)
        return described
    with torch.device("meta"):
        return build()


def materialise(module: Module, device: torch.device) -> Module:
    """Gives a described module its memory on `device`. The values are whatever was there.

    torchdistx replays on the CPU and moves; the meta device allocates on `device` straight away.
    """
    if has_torchdistx():
        from torchdistx.deferred_init import materialize_module

        # The replay draws what nn.Linear drew when it was described; dropout's random numbers must
        # not depend on it.
        with torch.random.fork_rng(devices=[]):
            materialize_module(module)
        return module.to(device)
    return module.to_empty(device=device)


def parameter_bytes(module: nn.Module) -> int:
    """Bytes that the parameters take or will take."""
    return sum(p.numel() * p.element_size() for p in module.parameters())
