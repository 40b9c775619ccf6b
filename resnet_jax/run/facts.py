"""What must be known of a run's data to use its network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class DataFacts(NamedTuple):
    """What must be known of a run's data to use its network.

    Attributes:
        class_names: names in label order.
        side: height and width of the images in memory, in pixels.
        mean: subtracted from each channel, as a fraction of the full scale.
        std: divides each channel, as a fraction of the full scale.
    """

    class_names: tuple[str, ...]
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataFacts:
        """Return the facts that `values` hold.

        Args:
            values: JSON values under the names of the attributes.

        Raises:
            ValueError: if they are not such facts.
        """
        try:
            return cls(
                class_names=tuple(map(str, values["class_names"])),
                side=int(values["side"]),
                mean=tuple(map(float, values["mean"])),
                std=tuple(map(float, values["std"])),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(repr(error)) from error
