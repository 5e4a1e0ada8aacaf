"""A headless Chromium, driven by its DevTools protocol through a pair of pipes."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 10  # seconds that an answer may take


def found():
    """The path of a browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page. `messages` holds what it wrote on its console and the errors it threw."""

    def __init__(self, program, profile, width=1280, height=900):
        (reads, tells), (hears, writes) = _pipe(), _pipe()
        # The protocol wants descriptors 3 and 4; a shell can put any there.
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" "$@" 3<&{reads} 4>&{writes}', program, *FLAGS,
             f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"],
            pass_fds=(reads, writes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(reads)
        os.close(writes)
        self._in, self._out = tells, hears
        self._numbers, self._rest, self._session = itertools.count(1), b"", None
        self.messages = []
        targets = self("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def __call__(self, method, **params):
        """The result of a method of the protocol; RuntimeError for an error."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _next(self):
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], max(0, until - time.monotonic()))
            part = os.read(self._out, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError("the browser ended, or did not answer in time")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def _note(self, event):
        kind, params = event.get("method"), event.get("params", {})
        if kind in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.messages.append(params)

    def open(self, path):
        """Show a file, and wait until it has been drawn."""
        self("Page.navigate", url=Path(path).resolve().as_uri())
        self.wait("document.readyState === 'complete' && document.querySelector('#table tr')")

    def value(self, expression):
        """What an expression gives, awaited if it is a promise; RuntimeError if it throws."""
        answer = self("Runtime.evaluate", expression=expression, awaitPromise=True,
                      returnByValue=True, userGesture=True)  # fmt: skip
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def wait(self, condition):
        """Until an expression is true."""
        until = time.monotonic() + PATIENCE
        while not self.value(f"Boolean({condition})"):
            if time.monotonic() > until:
                raise RuntimeError(f"never became true: {condition}")
            time.sleep(0.05)

    def point_at(self, selector, click=False):
        """Move the pointer to the middle of an element, which is scrolled into view."""
        x, y = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if click:
            for kind in ("mousePressed", "mouseReleased"):
                self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key):
        """A key, where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def resize(self, width, height, phone=False):
        """A window of another size, or a phone."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height,
             deviceScaleFactor=1, mobile=phone)  # fmt: skip

    def scheme(self, name):
        """Whether the reader prefers "light" or "dark"."""
        self("Emulation.setEmulatedMedia",
             features=[{"name": "prefers-color-scheme", "value": name}])  # fmt: skip

    def screenshot(self, path, whole=True):
        """A PNG of the page, all of its length."""
        shot = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(shot["data"]))


def _pipe():
    """A pipe whose descriptors a shell can redirect: above those it uses itself."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends)
    for end in ends:
        os.close(end)
    return high
