"""What an Azure resource is to LiteLLM, in front of a server that is OpenAI's: ``/openai`` before its paths, and the
key in a header of its own. Bytes go through as they come, cut ones too."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_PREFIX = "/openai"
_THE_CONNECTIONS_OWN = {"connection", "host", "keep-alive", "transfer-encoding"}


@contextmanager
def azure(upstream: str) -> Iterator[str]:
    """Serve on a free loopback port while the context lasts, and give the resource's address."""
    target = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: text for name, text in self.headers.items() if name.lower() not in _THE_CONNECTIONS_OWN}
            if key := headers.pop("api-key", None):
                headers["Authorization"] = f"Bearer {key}"
            with closing(http.client.HTTPConnection(target.hostname or "", target.port)) as connection:
                connection.request(self.command, self.path.removeprefix(_PREFIX), body or None, headers)
                answer = connection.getresponse()
                try:
                    content = answer.read()
                except http.client.IncompleteRead as cut:
                    content = cut.partial
            self.send_response_only(answer.status, answer.reason)
            for name, text in answer.getheaders():
                if name.lower() not in _THE_CONNECTIONS_OWN:
                    self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = handle_one  # noqa: N815  # their names

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
