"""The family of networks: sizes that fit the devices they are for."""

import pytest

from fer_edge_export.networks.load import facts
from fer_edge_train.training.networks import make_network


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [("nano", 103_184, 9_414_592), ("small", 307_684, 20_156_032), ("edge", 857_944, 61_379_584)],
)
def test_sizes_of_the_family_at_48_pixels(name: str, parameters: int, macs: int) -> None:
    network = facts(make_network(name, 8, 48), name)

    assert (network.parameters, network.macs) == (parameters, macs)
