"""Sleeps as asked, then says how long.

`X-Sleep: 300ms` or `?sleep=1.5s` says for how long (default 1s, at most 1m). Listens on $PORT, one
thread a connection, so that one copy serves as many calls at once as the gateway sends it.
"""

import os
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
LONGEST = 60.0


def seconds(text):
    """The seconds in `300ms`, `1.5s` or `2` (whole seconds); None for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)?", text.strip())
    if found is None:
        return None
    return min(float(found.group(1)) * UNITS[found.group(2) or "s"], LONGEST)


class Sleep(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body of an answer leave in one piece.
    wbufsize = -1
    disable_nagle_algorithm = True

    def body(self):
        """The whole body, be it sent with its length or in chunks."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def answer(self):
        query = parse_qs(urlsplit(self.path).query)
        asked = self.headers.get("X-Sleep") or query.get("sleep", ["1s"])[0]
        self.body()
        span = seconds(asked)
        if span is None:
            self.send(400, f"{asked!r} is not a time such as 300ms or 1.5s\n")
            return
        time.sleep(span)
        self.send(200, f"slept {span:g}s\n")

    def send(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        """One line a call would be most of the work of this function."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 refuses connections when many calls arrive in one moment.
    request_queue_size = 1024


if __name__ == "__main__":
    Server(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Sleep).serve_forever()
