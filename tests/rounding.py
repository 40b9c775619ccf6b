"""Compare sums within the rounding that the size of their terms allows.

The error of a floating-point sum grows with the absolute values of its terms, however much of them
cancels. A tolerance relative to the sum, or the same for all sums, therefore fails with another
machine's order of summation, or is blind to real errors. The bound here is a few roundings of the
sum of absolute values. For a function made of sums and products alone (a convolution, its
gradients, a polynomial of them), that is the function of the absolute values of its operands.

References:
    Higham 2002, Accuracy and Stability of Numerical Algorithms, section 4.2
"""

import jax.numpy as jnp
import numpy as np

ROUNDINGS = 8
"""The roundings allowed; convolutions of thousands of random products differ by up to 3."""


def assert_sums_close(ours, theirs, magnitudes, roundings=ROUNDINGS):
    """Fail unless `|ours - theirs| <= roundings · eps · magnitudes` everywhere.

    Args:
        ours: The sums; `eps` is that of their dtype.
        theirs: The expected sums, of the same shape, in the same dtype or a wider one.
        magnitudes: The sums of the absolute values of the terms; 0 allows no difference.
        roundings: How many roundings of the magnitude are allowed.
    """
    eps = float(jnp.finfo(ours.dtype).eps)
    ours, theirs, magnitudes = (np.asarray(a, np.float64) for a in (ours, theirs, magnitudes))
    assert ours.shape == theirs.shape == magnitudes.shape
    errors = np.abs(ours - theirs)
    # Not `>`, which NaN would pass.
    wrong = ~(errors <= roundings * eps * magnitudes)
    if wrong.any():
        at = np.unravel_index(np.argmax(np.where(wrong, errors, 0)), wrong.shape)
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} sums differ by more than {roundings} roundings; the "
            f"worst, at {[int(i) for i in at]}, is {ours[at]} instead of {theirs[at]}, with terms "
            f"of {magnitudes[at]} in absolute value"
        )
