"""Which settings of a search are worth timing: those that find neither too few nor all."""

from collections.abc import Sequence

from vqindex.evaluate.trial import Parameters, Trial

LEAST, ENOUGH = 0.8, 0.995  # recalls between which speed is measured
GAIN = 0.0005  # recall that more effort is to add


def worth_timing(
    trial: Trial, ladder: Sequence[Parameters], k: int, batch: int
) -> list[Parameters]:
    """Settings of recalls@k from LEAST to just over ENOUGH, or until more effort gains nothing.

    The last that was tried where none finds so many, so that there always is one.

    trial    is built here, if it is not
    ladder   settings of ever more effort
    batch    queries in a call
    Where the trial fails it is the first alone: a contest of it fails likewise, and says why.
    """
    found, tried, before = [], ladder[0], 0.0
    try:
        trial.build()
        for tried in ladder:
            share = trial.quality(tried, batch).recall[str(k)]
            if 0 < share < before + GAIN:
                break
            if share >= LEAST:
                found.append(tried)
            if share >= ENOUGH:
                break
            before = share
    except Exception:  # a peer's are its own
        return [ladder[0]]
    return found or [tried]
