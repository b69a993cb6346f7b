"""Asks servers by HTTP."""

import base64
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from schemas.errors import ServerError

TIMEOUT_S = 30.0
MAX_REASON_CHARS = 300
MISSING = 404
BUSY = 503  # its SQLite file was locked: nothing was done, and Prefect's own client asks again too
BUSY_TIMEOUT_S = 60.0
BUSY_DELAY_S = 0.5


def answers(url: str) -> bool:
    """Return whether a server answers at `url`, be it that it wants a password first."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code in (401, 403)
    except (OSError, ValueError):
        return False


class PrefectApi:
    """The REST API of a Prefect server.

    Attributes:
        url: its address, which ends in /api.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def get(self, path: str) -> Any:
        """Return what is at `path`, None where there is nothing; ServerError when the server fails."""
        return self._ask("GET", path)

    def post(self, path: str, body: object) -> Any:
        """Send `body` as JSON and return the answer; ServerError when the server fails or refuses."""
        return self._ask("POST", path, body)

    def put(self, path: str, body: object) -> None:
        """Replace what is at `path`; ServerError when the server fails or refuses."""
        self._ask("PUT", path, body)

    def patch(self, path: str, body: object) -> None:
        """Change what is at `path`; ServerError when the server fails or refuses."""
        self._ask("PATCH", path, body)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **_authorization()}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        deadline_s = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                with error:
                    reason = " ".join(error.read().decode(errors="replace").split())[:MAX_REASON_CHARS]
                if error.code == BUSY and time.monotonic() < deadline_s:
                    time.sleep(BUSY_DELAY_S)
                elif error.code == MISSING and method == "GET":
                    return None
                else:
                    raise ServerError(f"Prefect server {self.url}{path}: {error.code} {reason}") from error
            except (OSError, ValueError) as error:
                raise ServerError(f"Prefect server {self.url} cannot be reached ({error})") from error


def _authorization() -> dict[str, str]:
    """Return the header that says who asks, from the variables that Prefect's own command line reads."""
    if key := os.environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    if pair := os.environ.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}
