"""A real browser, and a service for it to visit."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Service:
    """A running service; ``answering.off`` is its kill switch."""

    url: str
    answering: object


@contextmanager
def running(serving, settings):
    """A loaded bundle behind HTTP, on a free port of this machine."""
    import uvicorn

    from ltr.serving.answering import Answering
    from ltr.serving.app import app

    made, ready = {}, threading.Event()

    async def main(listening):
        answering = Answering(serving, settings)
        config = uvicorn.Config(app(answering, settings), log_level="critical", lifespan="off")
        made["answering"], made["server"] = answering, uvicorn.Server(config)
        ready.set()
        try:
            await made["server"].serve(sockets=[listening])
        finally:
            answering.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: asyncio.run(main(listening)), name="service for a browser")
        thread.start()
        try:
            assert ready.wait(30)
            yield Service(f"http://127.0.0.1:{listening.getsockname()[1]}/", made["answering"])
        finally:
            if "server" in made:
                made["server"].should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@contextmanager
def chromium():
    """Chromium; absent it is a reason to skip, but not where CI promises it."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs a browser: one of {', '.join(NAMES)}")
    from playwright.sync_api import sync_playwright

    # A sandbox of its own is refused to the superuser.
    alone = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=alone)
        yield browser
        browser.close()


class Tab:
    """One page in a context of its own, and what it did: what the console said, and which requests left."""

    def __init__(self, browser, url, *, width=1280, height=900, **options):
        self.url = url
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.errors, self.requests = [], []
        self.page = self.new_page()

    def new_page(self):
        """Another page of the same visitor."""
        page = self.context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda told: self.errors.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        return page

    def open(self, path=""):
        """Go there, and wait for what the page has to say."""
        self.page.goto(self.url + path)
        self.page.locator(":is(#welcome, #orders, #key, #notice h2):visible").first.wait_for()
        self.settled()

    def search(self, query):
        """Search as people do; the answer that the page got."""
        with self.page.expect_response("**/search") as came:
            self.page.fill("#query", query)
            self.page.press("#query", "Enter")
        self.settled()
        return came.value.json()

    def settled(self):
        """Wait until the page shows what it was asked for."""
        self.page.locator("main:not([aria-busy])").wait_for(state="attached")

    def expected(self, words):
        """Errors with these words were to be; whether there were any."""
        before = len(self.errors)
        self.errors[:] = [text for text in self.errors if words not in text]
        return len(self.errors) < before

    def texts(self, selector):
        """The text of each element, as it is seen."""
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]

    def open_product(self, rank):
        """Open the details of the product of this rank, and wait for what explains it."""
        self.page.locator("#reranked h3 button").nth(rank - 1).click()
        details = self.page.locator("#reranked .details").nth(rank - 1)
        details.locator(".why > :first-child").wait_for()
        return details


# Each text of a page that can be seen, with its contrast (WCAG 2.2: relative luminances, from 1 to 21) and what is needed.
CONTRASTS = """() => {
  const parsed = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = ([r, g, b, a], under) => [r, g, b].map((one, at) => one * a + under[at] * (1 - a));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const colour = parsed(getComputedStyle(element).backgroundColor);
    return colour[3] === 1 ? colour.slice(0, 3) : over(colour, behind(element.parentElement));
  };
  const light = (colour) => colour
    .map((one) => one / 255).map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest(".heard, noscript")) continue;
    const style = getComputedStyle(element);
    const under = behind(element);
    const [one, other] = [light(over(parsed(style.color), under)), light(under)];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    found.push({ text, ratio, needed: large ? 3 : 4.5 });
  }
  return found;
}"""
