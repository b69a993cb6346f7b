"""A real browser for the pages that servers on the loopback show: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

WIDTH, HEIGHT = 1600, 1000
TIMEOUT_MS = 60_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium as long as the context lasts; skip the test where it is missing, fail with ERS_REQUIRE_ALL=1.

    Close it before the test ends: while Playwright runs, nothing else in the thread can run an event loop.
    """
    path = shutil.which("chromium")
    if path is None:
        reason = "no chromium: install Debian's package of that name"
        (pytest.fail if os.environ.get("ERS_REQUIRE_ALL") == "1" else pytest.skip)(reason)
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(browser: Browser) -> Iterator[Page]:
    """Open a page of 1600 x 1000; at the end no script of it has failed, and it has asked no other host."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.set_default_timeout(TIMEOUT_MS)
    failures: list[str] = []
    asked: set[str] = set()
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("request", lambda request: asked.add(request.url.split("/")[2].split(":")[0]))
    yield page
    page.close()
    assert failures == []
    assert {host for host in asked if host} <= {"127.0.0.1"}
