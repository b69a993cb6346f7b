"""Simulated traffic as real requests: GET over HTTP, many at once, timed one by one."""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import numpy as np

from infra.settings import masked_url
from schemas.errors import ServerError
from schemas.options.simulate import SimulateConfig
from tasks.ingest.record import Progress, no_progress
from tasks.simulate.traffic import START_US, SimulatedTraffic, simulated_traffic

DEFAULT_CLIENTS = 8
TIMEOUT_S = 30.0
CHUNK_ROWS = 4_096  # made between two requests
REPORTED_EVERY = 100


@dataclass(frozen=True)
class SentTraffic:
    """What became of requests that were sent.

    Attributes:
        name: what they were.
        base_url: where they went, without a password.
        clients: how many asked at once.
        requests: how many were sent.
        statuses: status code -> how many answers.
        errors: kind of failure (a name of httpx) -> how many requests that got no answer.
        received_bytes: of the answers' bodies, as they came over the line.
        seconds: from the first request to the last answer.
        rate: requests a second that were reached.
        wanted_rate: that were asked for; None: as many as possible.
        late_s: by how much the most belated request began after its time; 0 without a pace.
        latency_p50_ms, latency_p95_ms: of the answers, from sending to the last byte.
    """

    name: str
    base_url: str
    clients: int
    requests: int
    statuses: dict[str, int]
    errors: dict[str, int]
    received_bytes: int
    seconds: float
    rate: float
    wanted_rate: float | None
    late_s: float
    latency_p50_ms: float
    latency_p95_ms: float


def send_simulated(config: SimulateConfig, on_progress: Progress = no_progress) -> SentTraffic:
    """Send the traffic that `config` asks for to `config.base_url`, at its pace or as fast as it is answered.

    A request that fails is counted, and the others go on. With a pace, a request that finds all clients waiting for
    answers begins late.

    Raises:
        SourceError: the OpenAPI file cannot be used.
        ServerError: the very first request got no answer.
    """
    traffic = simulated_traffic(config)
    sender = _Sender(config, traffic, on_progress)
    asyncio.run(sender.run())
    return sender.result()


@dataclass
class _Sender:
    """Sends requests and counts what becomes of them."""

    config: SimulateConfig
    traffic: SimulatedTraffic
    on_progress: Progress
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    latencies_ms: "array[float]" = field(default_factory=lambda: array("f"))
    received_bytes: int = 0
    requests: int = 0
    late_s: float = 0.0
    started_s: float = 0.0
    ended_s: float = 0.0

    @property
    def base_url(self) -> str:
        return str(self.config.base_url).rstrip("/")

    @property
    def clients(self) -> int:
        return self.config.clients or DEFAULT_CLIENTS

    async def run(self) -> None:
        limits = httpx.Limits(max_connections=self.clients, max_keepalive_connections=self.clients)
        scheduled = self._scheduled()
        async with httpx.AsyncClient(limits=limits, timeout=TIMEOUT_S) as client:
            first = next(scheduled)  # makes the traffic, which takes its time
            self.started_s = time.perf_counter()
            await self._reach(client, *first)
            async with asyncio.TaskGroup() as group:
                for _ in range(self.clients):
                    group.create_task(self._work(client, scheduled))
            self.ended_s = time.perf_counter()

    def _scheduled(self) -> Iterator[tuple[float, str]]:
        """When each request is due, in seconds from the first one's clock, and its path."""
        stretch = self.config.total_s / self.traffic.span_s if self.config.paced else 0.0
        for rows in self.traffic.chunks(CHUNK_ROWS):
            due_s = (rows.column("timestamp").to_numpy() - START_US) / 1e6 * stretch
            paths = (key.removeprefix("GET ") for key in rows.column("cache_key").to_pylist())
            yield from zip(due_s.tolist(), paths, strict=True)

    async def _reach(self, client: httpx.AsyncClient, due_s: float, path: str) -> None:
        """Send the first request alone: without an answer to it there is no server to speak of."""
        try:
            await self._ask(client, due_s, path)
        except (httpx.HTTPError, UnicodeError) as error:  # the latter of a host's name
            told = f"base_url: {masked_url(self.base_url)} does not answer ({error or type(error).__name__})"
            raise ServerError(f"{told}: start the server, or mend the address") from error

    async def _work(self, client: httpx.AsyncClient, scheduled: Iterator[tuple[float, str]]) -> None:
        for due_s, path in scheduled:  # which all clients share: each request is sent once
            try:
                await self._ask(client, due_s, path)
            except httpx.HTTPError as error:
                self.errors[type(error).__name__] += 1

    async def _ask(self, client: httpx.AsyncClient, due_s: float, path: str) -> None:
        wait_s = self.started_s + due_s - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        elif self.config.paced:
            self.late_s = max(self.late_s, -wait_s)
        self.requests += 1
        if self.requests % REPORTED_EVERY == 0 or self.requests == self.traffic.requests:
            self.on_progress(self.requests, self.traffic.requests)
        sent_s = time.perf_counter()
        answer = await client.get(self.base_url + path)
        self.latencies_ms.append(1e3 * (time.perf_counter() - sent_s))
        self.statuses[answer.status_code] += 1
        self.received_bytes += answer.num_bytes_downloaded

    def result(self) -> SentTraffic:
        seconds = self.ended_s - self.started_s
        p50_ms, p95_ms = np.percentile(np.frombuffer(self.latencies_ms, np.float32), [50, 95])
        return SentTraffic(
            name=self.traffic.name,
            base_url=masked_url(self.base_url),
            clients=self.clients,
            requests=self.requests,
            statuses={str(code): count for code, count in sorted(self.statuses.items())},
            errors=dict(self.errors.most_common()),
            received_bytes=self.received_bytes,
            seconds=round(seconds, 3),
            rate=round(self.requests / seconds, 3),
            wanted_rate=self.traffic.requests / self.config.total_s if self.config.paced else None,
            late_s=round(self.late_s, 3),
            latency_p50_ms=round(float(p50_ms), 3),
            latency_p95_ms=round(float(p95_ms), 3),
        )
