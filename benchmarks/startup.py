"""How fast ftgate starts: `ftgate --help`, and the first request of `ftgate run`.

    python benchmarks/startup.py

Prints medians of five runs, the ratio of the help to a bare interpreter, and the limits of both.
The server is a thread of this process and answers at once; nothing but start-up is measured.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

RUNS = 5
HELP_LIMIT_S = 0.3
HELP_LIMIT_RATIO = 3.0
FIRST_REQUEST_LIMIT_S = 2.0
POLICY = """\
version: 1
name: start-up
models:
  candidate: {{endpoint: {url}, model: m}}
  production: {{endpoint: {url}, model: m}}
eval_sets:
  - {{task: codereview_golden, kind: golden, limit: 4}}
  - {{task: codereview_shadow, kind: shadow, limit: 2}}
  - {{task: codereview_regression, kind: regression, limit: 2}}
  - {{task: codereview_safety, kind: safety, limit: 2}}
  - {{task: codereview_format, kind: format, limit: 2}}
rules:
  - {{name: r, kind: floor, task: codereview_golden, metric: valid_review, threshold: 0.5}}
"""


class Handler(BaseHTTPRequestHandler):
    """The least OpenAI-compatible server; notes when it was first asked."""

    first_request: float | None = None

    def do_GET(self) -> None:
        """List the model."""
        self._send({"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        """Answer at once."""
        if Handler.first_request is None:
            Handler.first_request = time.perf_counter()
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        self._send({"model": "m", "choices": [choice], "usage": usage})

    def _send(self, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


def median_s(*command: str) -> float:
    """Median wall time of a command."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def first_request_s(url: str) -> float:
    """Median time from the start of `ftgate run` to its first request."""
    times = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "gate.yaml").write_text(POLICY.format(url=url), encoding="utf-8")
            Handler.first_request = None
            started = time.perf_counter()
            command = [sys.executable, "-m", "ftgate_ext", "run", "gate.yaml", "--quiet"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            times.append((Handler.first_request or float("nan")) - started)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bare, shown = median_s("-c", "pass"), median_s("-m", "ftgate_ext", "--help")
    first = first_request_s(f"http://127.0.0.1:{server.server_port}/v1")
    print(f"python -c pass         {bare:.3f} s")
    print(
        f"ftgate --help          {shown:.3f} s   {shown / bare:.1f} x bare; limit {HELP_LIMIT_S} s or {HELP_LIMIT_RATIO:.0f} x"
    )
    print(
        f"first request of run   {first:.2f} s   {first / FIRST_REQUEST_LIMIT_S:.2f} of the limit of {FIRST_REQUEST_LIMIT_S:.0f} s"
    )


if __name__ == "__main__":
    main()
