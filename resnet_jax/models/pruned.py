"""Channels of the two pruned ECA-ResNets, whose convolutions have lost channels one by one.

References:
    Aflalo et al. 2020, https://arxiv.org/abs/2002.08258; the numbers are those of the published
    weights `ecaresnet50d_pruned` and `ecaresnet101d_pruned`.
"""

from __future__ import annotations

Widths = tuple[tuple[tuple[int, int, int], ...], ...]


def _widths(*stages: tuple[int, list[tuple[int, int]]]) -> Widths:
    """Return the channels of each convolution, by stage and block.

    Args:
        *stages: the output channels of a stage, and those of the first two convolutions of each of
            its blocks.
    """
    return tuple(
        tuple((first, second, features) for first, second in blocks) for features, blocks in stages
    )


# fmt: off
ECA_RESNET_50 = _widths(
    (19, [(47, 18), (52, 22), (64, 35)]),
    (171, [(85, 37), (107, 80), (120, 85), (125, 87)]),
    (818, [(198, 126), (255, 232), (256, 233), (253, 235), (256, 225), (256, 239)]),
    (2022, [(492, 237), (512, 500), (512, 490)]),
)
ECA_RESNET_101 = _widths(
    (26, [(45, 25), (53, 20), (60, 27)]),
    (142, [(81, 24), (93, 49), (102, 54), (122, 78)]),
    (278, [
        (101, 25), (239, 160), (234, 156), (250, 176), (253, 191), (251, 175), (230, 128),
        (244, 154), (244, 159), (238, 97), (244, 149), (253, 181), (245, 119), (255, 216),
        (256, 201), (253, 149), (254, 141), (256, 190), (256, 217), (255, 156), (256, 155),
        (256, 232), (256, 214),
    ]),
    (2042, [(499, 289), (512, 512), (512, 502)]),
)
# fmt: on
