"""Training: optimizer, learning-rate controller, steps, loop and checkpoints."""

from .plateau import PlateauState, ReduceLROnPlateau

__all__ = ["PlateauState", "ReduceLROnPlateau"]
