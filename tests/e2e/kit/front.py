"""What stands before an Azurite and says what the service says to an identity whose role only reads; Azurite knows no roles."""

import http.client
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .azurite import ACCOUNT, Azurite
from .certificates import Authority

_REFUSAL = (
    b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><Error><Code>AuthorizationPermissionMismatch</Code>'
    b"<Message>This request is not authorized to perform this operation using this permission.</Message></Error>"
)


class Reader:
    """Reading and listing go on to the Azurite, everything else is refused."""

    def __init__(self, azurite: Azurite, authority: Authority):
        self.refused: list[str] = []
        trusted = ssl.create_default_context(cafile=str(authority.file("ca.pem")))
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                behind = http.client.HTTPSConnection("127.0.0.1", azurite.port, context=trusted, timeout=60)
                behind.request(self.command, self.path, headers=dict(self.headers))
                answer = behind.getresponse()
                headers = [(name, value) for name, value in answer.getheaders() if name.lower() != "transfer-encoding"]
                self._answer(answer.status, headers, answer.read())
                behind.close()

            do_HEAD = do_GET

            def do_PUT(self):
                # Who closes with a part of the request unread cuts its own answer off.
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                front.refused.append(f"{self.command} {self.path}")
                self._answer(403, [("x-ms-error-code", "AuthorizationPermissionMismatch")], _REFUSAL)

            do_DELETE = do_PUT

            def _answer(self, status, headers, body):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                if "content-length" not in {name.lower() for name, _ in headers}:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.file("server.pem"), authority.file("server.key"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.endpoint = f"https://127.0.0.1:{self._server.server_address[1]}/{ACCOUNT}"

    def start(self) -> "Reader":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
