import numpy as np

from fer_edge.model.operators import operators
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES


def test_a_map_is_enlarged_as_keras_does_it_in_operators_that_xnnpack_has() -> None:
    import keras

    from fer_edge_export.networks.upsampling import Enlarge

    maps = np.random.default_rng(0).random((2, 3, 5, 4), np.float32)
    pictures = keras.Input((8, 8, 1))

    np.testing.assert_array_equal(Enlarge()(maps), keras.layers.UpSampling2D(2)(maps))
    network = keras.Model(pictures, Enlarge()(pictures))
    assert operators(convert(network, RECIPES["float32"])).keys() == {"CONCATENATION", "DEPTH_TO_SPACE"}
