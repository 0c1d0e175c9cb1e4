import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance_xai.attribution.methods import leave_one_out, leave_one_out_masks


@settings(deadline=None)
@given(st.integers(1, 40))
def test_each_mask_leaves_out_one_feature(n):
    masks = leave_one_out_masks(n)
    assert masks.shape == (n + 1, n)
    assert masks[0].all()
    assert ((~masks[1:]).sum(axis=1) == 1).all()
    assert ((~masks[1:]).sum(axis=0) == 1).all()


def test_scores_are_signed_differences():
    scores = leave_one_out(np.array([[-1.0, -2.0], [-1.5, -0.5], [-1.0, -2.0]]))
    assert scores.tolist() == [[0.5, -1.5], [0.0, 0.0]]
    assert scores.dtype == np.float32
