"""The options of the flows that make things up: `simulate` and `seed`."""

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from schemas.options.train import FlowConfig

Profile = Literal["energy", "zipf", "uniform", "flash-crowd", "write-heavy", "scan", "drift", "diurnal"]
TABLE = "table"
CSV_ENDINGS = (".csv", ".csv.gz")
DEFAULT_REQUESTS, MOST_REQUESTS = 100_000, 100_000_000
DEFAULT_DURATION_S = 86_400.0
DEFAULT_OBJECTS = 10_000
DEFAULT_EXPONENT = 1.0
MOST_CONNECTIONS = 1_000
WITHOUT_POPULARITY = ("uniform", "scan")
_OTHER = re.compile(r"[?#\s]")  # what a path is not put behind
PACE_OPTIONS = ("rate", "duration_s", "clients")  # mean something over HTTP whatever the profile


class SimulateConfig(FlowConfig):
    """Make up traffic: into `cache_metrics`, into a file, or as requests to a server."""

    requests: int | None = Field(
        default=None, ge=1, le=MOST_REQUESTS, description="how many; unset = rate x duration_s, or 100,000"
    )
    profile: Profile | None = Field(
        default=None, description="what is asked for, see docs/simulate.md; unset = energy, with openapi zipf"
    )
    openapi: str | None = Field(
        default=None, description="OpenAPI or Swagger file (JSON, YAML) whose GET operations are asked for"
    )
    rate: float | None = Field(default=None, gt=0, le=1_000_000, description="requests a second, on average")
    duration_s: float | None = Field(
        default=None,
        gt=0,
        le=31_622_400,
        allow_inf_nan=False,
        description="seconds that the traffic takes; unset = requests / rate, or a day; energy takes ten days",
    )
    clients: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="how many ask, each again for what it asked before; to a server also at once; "
        "unset = nobody asks again, and to a server 8",
    )
    objects: int | None = Field(
        default=None, ge=1, le=10_000_000, description="distinct objects to ask for, at most; unset = 10,000"
    )
    exponent: float | None = Field(
        default=None, ge=0, le=5, description="popularity of rank i is i**-exponent; unset = 1; not uniform, scan"
    )
    to: str = Field(default=TABLE, description="table = cache_metrics, or a file to write: .csv or .csv.gz")
    base_url: str | None = Field(
        default=None,
        description="send the requests to this server instead, http://HOST:PORT; "
        "without rate and duration_s as fast as it answers",
    )
    seed: int = Field(default=0, ge=0, description="the same seed gives the same traffic")

    @model_validator(mode="after")
    def _one_amount(self) -> "SimulateConfig":
        if None not in (self.requests, self.rate, self.duration_s):
            raise ValueError("give two of requests, rate and duration_s, not all three: one follows from the others")
        if not 1 <= self.total_requests <= MOST_REQUESTS:
            raise ValueError(
                f"rate x duration_s is {self.total_requests:,} requests: must lie between 1 and {MOST_REQUESTS:,}"
            )
        return self

    @model_validator(mode="after")
    def _one_destination(self) -> "SimulateConfig":
        if self.to != TABLE and self.base_url is not None:
            raise ValueError("give one destination, not to and base_url")
        if self.to != TABLE and not self.to.lower().endswith(CSV_ENDINGS):
            raise ValueError(f"to: takes table, or a file named .csv or .csv.gz, got {self.to!r}")
        if self.base_url is not None and not _is_address(self.base_url):
            raise ValueError("base_url: takes an address such as http://127.0.0.1:8000, with a path or without")
        if self.base_url and (self.clients or 1) > MOST_CONNECTIONS:
            raise ValueError(f"clients: at most {MOST_CONNECTIONS:,} ask a server at once, got {self.clients:,}")
        return self

    @model_validator(mode="after")
    def _options_of_the_profile(self) -> "SimulateConfig":
        if self.profile == "energy" and self.openapi is not None:
            raise ValueError("openapi: the profile energy has an API of its own; choose another profile, or none")
        given = [name for name in self._others_options() if getattr(self, name) is not None]
        if given:
            raise ValueError(f"{' and '.join(given)}: not an option of the profile {self.chosen_profile}")
        return self

    def _others_options(self) -> tuple[str, ...]:
        if self.chosen_profile == "energy":
            return ("objects", "exponent", *(() if self.base_url else PACE_OPTIONS))
        return ("exponent",) if self.chosen_profile in WITHOUT_POPULARITY else ()

    @property
    def chosen_profile(self) -> Profile:
        """The profile that is given, or that follows from the rest."""
        return self.profile or ("energy" if self.openapi is None else "zipf")

    @property
    def total_requests(self) -> int:
        """How many requests to make."""
        if self.rate is not None and self.duration_s is not None:
            return round(self.rate * self.duration_s)
        return self.requests or DEFAULT_REQUESTS

    @property
    def paced(self) -> bool:
        """Whether a pace is given."""
        return self.rate is not None or self.duration_s is not None

    @property
    def total_s(self) -> float:
        """How many seconds the requests take, by the pace that is given; a day without one."""
        if self.duration_s is not None:
            return self.duration_s
        return self.total_requests / self.rate if self.rate is not None else DEFAULT_DURATION_S


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_host = bool(parts.hostname) and parts.port != 0 and parts.netloc.count("@") <= 1
    except ValueError:  # a port that is none, brackets that do not match
        return False
    return is_host and parts.scheme in ("http", "https") and not _OTHER.search(text)


class SeedConfig(FlowConfig):
    """Fill the tables of the demo's energy data API with made-up hours."""

    days: int = Field(
        default=30, ge=1, le=400, description="days of hours; the last one is the last day of the simulated traffic"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="the same seed gives the same hours")
