"""Sampler, loop, loader and Horovod: what happens on a worker."""
