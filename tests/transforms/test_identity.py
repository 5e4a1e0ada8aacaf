import numpy as np

from vqindex.transforms import Identity


def test_same_array_and_nothing_stored():
    fitted = Identity().fit(None, 3, 0)
    x = np.ones((2, 3), np.float32)
    assert fitted.apply(x) is x
    assert fitted.apply_query(x) is x
    assert fitted.inverse(x) is x
    assert fitted.arrays() == {}
