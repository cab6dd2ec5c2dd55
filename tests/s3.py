"""A real S3 server for tests, and a relay before it that notes, refuses or holds requests."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# make test-slow makes it.
SERVER = Path(__file__).parents[1] / ".venv-s3" / "bin" / "moto_server"
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}


class Relay:
    """What reached the server, and what is to happen to a request.

    `requests` holds a method, path and headers each. `refuse` decides by the method and path; a
    refused request never reaches the server. (Don't refuse what completes an upload: pyarrow tries
    again when it takes the stream down, and waits without letting this process answer.)
    """

    def __init__(self, server_port: int) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.refuse: Callable[[str, str], bool] = lambda method, path: False
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Or an answer's second piece would wait until its first is confirmed.
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = dict(self.headers.items())
                relay.requests.append((self.command, self.path, headers))
                if relay.refuse(self.command, self.path):
                    return self._answer(403, [], b"")
                connection = HTTPConnection("127.0.0.1", server_port, timeout=60)
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                self._answer(answer.status, answer.getheaders(), answer.read())
                connection.close()

            def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response(status)
                length = str(len(body))
                for name, value in headers:
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                    elif name.lower() == "content-length" and self.command == "HEAD":
                        length = value
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def s3_server(log: Path) -> Iterator[Relay]:
    """The server in a process of its own, on a free port, until the block ends."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(SERVER), "-H", "127.0.0.1", "-p", "0"], stdout=output, stderr=output
        )
    try:
        relay = Relay(_port_of(process, log))
        yield relay
        relay.close()
    finally:
        process.kill()
        process.wait()


def _port_of(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that the server says it listens on."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        _, found, rest = log.read_text().partition("http://127.0.0.1:")
        if found and "\n" in rest:
            return int(rest.split()[0])
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start: {log.read_text()[-2000:]}")
