"""Doubly linked lists threaded through arrays: every operation is O(1) and allocates nothing.

A node is an object code in [0, n_nodes); list j has the head -1 - j, whatever the number of nodes, as arrays count
negative indices from their end. A list is a circle through its head, so that no operation has a special case: behind
the head comes the newest node, before it the oldest. A node is in one list at most.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel


class Links(NamedTuple):
    """The neighbours of each node, int32 (n_nodes + n_lists,); the heads are the last n_lists entries."""

    older: NDArray[np.int32]
    newer: NDArray[np.int32]


def empty_links(n_nodes: int, n_lists: int) -> Links:
    """Return `n_lists` empty lists over `n_nodes` nodes; list j has the head -1 - j."""
    itself = np.arange(n_nodes + n_lists, dtype=np.int32)
    itself[n_nodes:] -= n_nodes + n_lists
    return Links(older=itself, newer=itself.copy())


@inner_kernel
def push(links: Links, head: int, node: int) -> None:
    """Make `node`, which is in no list, the newest of the list at `head`."""
    second = links.older[head]
    links.older[head] = node
    links.newer[node] = head
    links.older[node] = second
    links.newer[second] = node


@inner_kernel
def unlink(links: Links, node: int) -> None:
    """Take `node` out of the list that it is in."""
    older, newer = links.older[node], links.newer[node]
    links.older[newer] = older
    links.newer[older] = newer


@inner_kernel
def oldest(links: Links, head: int) -> int:
    """Return the oldest node of the list at `head`, or `head` itself, which is below 0, when the list is empty."""
    return int(links.newer[head])
