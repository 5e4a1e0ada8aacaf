"""Trials in processes of their own: each has its memory to itself, and may die alone."""

import multiprocessing
import os
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, final

from benchmarks import data
from benchmarks.systems import competitor
from vqindex.evaluate import Build, LocalTrial, Quality, TrialError, reason, warm


@dataclass(frozen=True)
class Request:
    """What a process is to measure, and on what."""

    system: str
    spec: str
    dataset: str
    queries: int
    seed: int
    level: str | None
    k: int
    threads: int
    singles: int


@final
class RemoteTrial:
    """A trial whose process starts with its build; see vqindex.evaluate.Trial.

    patience_s   seconds that any step may take; the process is ended then
    What the library writes goes to a file, and its last line into the reason if the process dies.
    Once it has ended, every step has the reason of that.
    """

    def __init__(self, request: Request, patience_s: float) -> None:
        self._request, self._patience_s = request, patience_s
        self._process: Any = None
        self._pipe: Any = None
        self._log: Path | None = None
        self._ended: str | None = None

    def build(self) -> Build:
        """See Trial. The process takes affinity and environment from this one."""
        handle, name = tempfile.mkstemp(suffix=".log")
        os.close(handle)
        self._log = Path(name)
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        arguments = (other, self._request, name)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        self._process = process  # once there is one to be stopped
        other.close()
        found: Build = self._call("build")
        return found

    def quality(self, parameters: Any, batch: int) -> Quality:
        """See Trial."""
        found: Quality = self._call("quality", dict(parameters), batch)
        return found

    def round(self, parameters: Any, batch: int) -> tuple[int, list[float]]:
        """See Trial."""
        found: tuple[int, list[float]] = self._call("round", dict(parameters), batch)
        return found

    def _call(self, *step: Any) -> Any:
        if self._ended:
            raise TrialError(self._ended)
        try:
            self._pipe.send(step)
            if not self._pipe.poll(self._patience_s):
                self.stop()
                self._ended = f"{step[0]} took longer than {self._patience_s:g} s"
                raise TrialError(self._ended)
            went_well, answer = self._pipe.recv()
        except (EOFError, OSError):
            self._ended = self._death()
            raise TrialError(self._ended) from None
        if not went_well:
            raise TrialError(answer)
        return answer

    def _death(self) -> str:
        self._process.join(1)
        lines = self._log.read_text(errors="replace").split("\n") if self._log else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"its process ended with exit code {self._process.exitcode}" + (last and f": {last}")

    def stop(self) -> None:
        """End the process, at any time, if there is one."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None and self._process.ident is not None:  # it was started
            self._process.join(0.5)
            self._process.kill()
            self._process.join()
        if self._log is not None:
            self._log.unlink(missing_ok=True)
            self._log = None


def _serve(pipe: Connection, request: Request, log: str) -> None:
    """Answer until the other end is gone. An interrupt is the other end's to deal with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(log, "w", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    trial = None
    with suppress(EOFError, BrokenPipeError):
        while True:
            step, *arguments = pipe.recv()
            try:
                trial = trial or _made(request)
                answer = True, getattr(trial, step)(*arguments)
            except Exception as error:  # a peer's are its own
                answer = False, reason(error)
            pipe.send(answer)


def _made(request: Request) -> LocalTrial:
    dataset = data.named(request.dataset, request.queries)
    if request.system == "vqindex":
        warm(request.spec, dataset.metric, dataset.d, request.k)
    system = competitor(request.system, request.spec, dataset.metric, request.seed, request.level)
    return LocalTrial(
        system, dataset, k=request.k, threads=request.threads, singles=request.singles
    )
