"""The table of the weights that load."""

import pytest

from experiments.loadable_weights import of_timm, of_torchvision, table


@pytest.mark.parametrize(("read", "count"), [(of_timm, 150), (of_torchvision, 17)])
def test_every_one_loads(read, count):
    weights = list(read())
    assert len(weights) == count
    assert [row for row in weights if row.obstacle or row.transform is None] == []
    assert len(list(table(weights, every=True))) == count + 2
