"""libCacheSim (GPL, only for tests and benchmarks) on our traces, each run in a process of its own.

Its S3-FIFO needs 20 objects and its W-TinyLFU a window of one; its LFU-DA does not end; a crash would end Python.
"""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from cachesim.capacity import Capacity
from cachesim.oracle import NEVER, next_request
from schemas.trace import Trace

PEERS = {
    "lru": "LRU",
    "fifo": "FIFO",
    "clock": "Clock",
    "lfu": "LFU",
    "sieve": "Sieve",
    "s3-fifo": "S3FIFO",
    "2q": "TwoQ",
    "slru": "SLRU",
    "arc": "ARC",
    "lirs": "LIRS",
    "lhd": "LHD",
    "w-tinylfu": "WTinyLFU",
    "hyperbolic": "Hyperbolic",
    "gdsf": "GDSF",
    "random": "Random",
    "belady": "Belady",
}
OURS_AS_PEERS = {"lhd": {"update_period": 1 << 20}}  # options that make ours what libCacheSim's is
HASH_POWER = 18
RUN_TIMEOUT_S = 300
_RECORD = np.dtype([("time_s", "<u4"), ("key", "<u8"), ("size_bytes", "<u4"), ("next_request", "<i8")])


def write_oracle_general(trace: Trace, path: Path, unit: str = "objects") -> None:
    """Write a trace in libCacheSim's format oracleGeneral; with `objects` every object has one byte."""
    following = next_request(trace.key, trace.n_keys)
    rows = np.zeros(len(trace), _RECORD)
    rows["time_s"] = np.arange(len(trace))
    rows["key"] = trace.key + 1  # 0 means none there
    rows["size_bytes"] = trace.size_bytes if unit == "bytes" else 1
    rows["next_request"] = np.where(following == NEVER, -1, following + 1)
    rows.tofile(path)


def hit_ratios(path: Path, policy: str, capacity: Capacity, warm_up: int) -> tuple[float, ...]:
    """Return hit ratio and byte hit ratio of all requests of the file, and of those after the first `warm_up` ones.

    Raises:
        ChildProcessError: libCacheSim crashed or did not end.
    """

    def work() -> tuple[float, ...]:
        whole, parted = _opened(path, policy, capacity), _opened(path, policy, capacity)
        parted[0].process_trace(parted[1], 0, warm_up)
        missed = (*whole[0].process_trace(whole[1], 0, -1), *parted[0].process_trace(parted[1], warm_up, -1))
        return tuple(1 - ratio for ratio in missed)

    return _apart(work)


def replay_seconds(path: Path, policy: str, capacity: Capacity) -> tuple[float, float]:
    """Return how long one replay of the file took, in seconds, and its hit ratio.

    Raises:
        ChildProcessError: libCacheSim crashed or did not end.
    """

    def work() -> tuple[float, ...]:
        cache, reader = _opened(path, policy, capacity)
        started = time.perf_counter()
        missed, _ = cache.process_trace(reader, 0, -1)
        return time.perf_counter() - started, 1 - missed

    seconds, hit_ratio = _apart(work)
    return seconds, hit_ratio


def _opened(path: Path, policy: str, capacity: Capacity):  # type: ignore[no-untyped-def]
    import libcachesim as lcs

    options = {"window_size": max(0.01, 1 / capacity.limit)} if policy == "w-tinylfu" else {}
    cache = getattr(lcs, PEERS[policy])(cache_size=capacity.limit, hashpower=HASH_POWER, **options)
    in_objects = lcs.ReaderInitParam(ignore_obj_size=capacity.unit == "objects")
    reader = lcs.TraceReader(
        trace=str(path), trace_type=lcs.TraceType.ORACLE_GENERAL_TRACE, reader_init_params=in_objects
    )
    return cache, reader


def _apart(work: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
    """Return what `work` returns in a forked process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run(answer: Connection) -> None:
        answer.send(work())

    process = context.Process(target=run, args=(sender,), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(RUN_TIMEOUT_S):
            raise ChildProcessError("libCacheSim did not end")
        result: tuple[float, ...] = receiver.recv()
    except EOFError:
        raise ChildProcessError("libCacheSim crashed") from None
    finally:
        process.kill()
        process.join()
    return result
