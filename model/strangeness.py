"""How far slides lie from what is usual among patients, without a word of what that means."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]  # [slides, numbers]; NaN where a slide lacks one

LEAST_SPREAD = 0.02  # numbers are logarithms: a difference of 2 % is none
NORMAL = 1.4826  # median deviations in a standard deviation of normal values


def spreads_off(slides: Numbers, known: Numbers) -> Numbers:
    """How far each number lies from the median of those known, in their spreads; [slides, numbers].

    Spreads are median absolute deviations (Rousseeuw & Croux 1993): few odd slides among those
    known change nothing. NaN where any slide lacks the number.
    """
    median = np.median(known, axis=0)
    spread = NORMAL * np.median(np.abs(known - median), axis=0)
    return (slides - median) / np.maximum(spread, LEAST_SPREAD)


def strangeness(patients: Sequence[Numbers]) -> npt.NDArray[np.float64]:
    """Each patient against all others: root mean square of spreads off, of its worst slide.

    Symmetric in the patients, so that ranks among them are conformal (Vovk et al. 2005).
    """
    every = np.concatenate(patients)
    told = ~np.isnan(every).any(axis=0)
    owner = np.repeat(np.arange(len(patients)), [len(slides) for slides in patients])
    scores = [
        np.square(spreads_off(slides[:, told], every[owner != number][:, told])).mean(axis=1).max()
        for number, slides in enumerate(patients)
    ]
    return np.sqrt(scores)
