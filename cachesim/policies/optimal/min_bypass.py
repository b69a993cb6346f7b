"""MIN with bypass: Belady's MIN that also refuses what comes next later than all residents. A bound, not a choice.

Belady: A study of replacement algorithms for a virtual-storage computer. IBM Systems Journal 5 (2), 1966.
Michaud: Some mathematical facts about optimal cache replacement. ACM Transactions on Architecture and Code Optimization
13 (4), 2016.

With capacity in objects no policy hits more often; with capacity in bytes it is a yardstick, not a bound: the object
that comes next the latest goes, be it a resident or the incoming one, until the incoming one fits or is refused. Room
that was made before it is refused stays free. An object that never comes again enters only where there is room.
"""

from cachesim.compiled import inner_kernel
from cachesim.oracle import NEVER
from cachesim.policies.optimal import belady
from cachesim.policies.optimal.belady import State, access, following, knows, remove, start
from cachesim.policies.parts.ledger import REJECTIONS, admissible, book_eviction, is_full
from cachesim.policies.parts.loop import kernels_with
from cachesim.requests import Requests
from cachesim.structures.heap import pop, top

__all__ = ["State", "access", "admit", "knows", "remove", "replay", "start", "steps"]


@inner_kernel
def _comes_last(state: State) -> bool:
    """Return whether the object of the current request comes again after all residents, or never."""
    mine, farthest = following(state), -state.farthest.priority[top(state.farthest)]
    return bool(mine == NEVER or mine > farthest)


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter and a resident is needed later than it; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        if _comes_last(state):
            state.ledger.counts[REJECTIONS] += 1
            return False
        book_eviction(state.ledger, pop(state.farthest))
    return bool(belady.admit(state, requests, i))


replay, steps = kernels_with(globals())
