"""A friendly function: greets whom `?name=` or the body names, in JSON.

Plain Python without any package. The watchdog starts it once (http mode) and passes calls on to the
port in $PORT. What it prints to stderr is seen with `tidegate logs hello`.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Hello(BaseHTTPRequestHandler):
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
        body = self.body()
        query = parse_qs(urlsplit(self.path).query)
        name = query.get("name", [body.decode("utf-8", "replace").strip()])[0] or "world"
        print(f"greeting {name!r}", file=sys.stderr, flush=True)
        answer = {
            "message": f"Hello, {name}!",
            "method": self.command,
            "path": self.path,
            "call_id": self.headers.get("X-Call-Id", ""),
            "replica": os.getpid(),
        }
        self.send(200, json.dumps(answer, ensure_ascii=False) + "\n")

    def send(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        """The greeting above is the log of a call."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 refuses connections when many calls arrive in one moment.
    request_queue_size = 1024


if __name__ == "__main__":
    Server(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Hello).serve_forever()
