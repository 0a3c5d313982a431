"""A function for the stories: answers with the request as it came, and with fields that must not pass."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.tell
        raise AttributeError(name)

    def tell(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        head = self.raw_requestline.decode("latin-1").rstrip("\r\n") + "\n"
        head += "".join(f"{name.lower()}: {value}\n" for name, value in self.headers.items())
        answer = head.encode("latin-1") + b"\n" + body
        self.send_response(int(self.headers.get("X-Status") or 200))
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Connection", "keep-alive, X-Hidden")
        self.send_header("Keep-Alive", "timeout=5")
        self.send_header("X-Hidden", "1")
        self.send_header("X-Seen", "1")
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    server.daemon_threads = True
    server.serve_forever()
