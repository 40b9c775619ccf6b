"""Measurements of this library beside torch, plain Flax and Pillow."""
