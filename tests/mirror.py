"""A server on this machine that behaves as mirrors do: whole, cut short, wrong, gone."""

import contextlib
import http.server
import re
import threading
import urllib.parse


@contextlib.contextmanager
def serve(folder, ranges=True, cut=0, wrong=False, endless=False):
    """Serve the files of a folder; yields its address, with a list of the (path, range) that were asked for.

    ranges: whether it resumes; cut: bytes after which the first answer for a file breaks off; wrong: whether it gives
    other bytes; endless: whether it gives more than it announces to have.
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self):
            path = folder / urllib.parse.unquote(self.path).lstrip("/")
            path = path / "index.html" if path.is_dir() else path
            first = self.path not in [seen for seen, _ in asked]
            asked.append((self.path, self.headers.get("Range")))
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            content = bytes(len(content)) if wrong else content * 2 if endless else content
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(match[1]) if match and ranges else 0
            self.send_response(206 if match and ranges else 200)
            if not endless:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + cut if cut and first else len(content)
            self.wfile.write(content[start:end])

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
