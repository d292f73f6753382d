"""Those who hand out credentials: the endpoint of managed identities, and a server of secrets with mutual TLS."""

import base64
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .certificates import Authority


class Endpoint:
    """Answers every GET with `answer`, a status and an object, and remembers the paths it was asked for, and with which
    headers."""

    def __init__(self, scheme: str = "http"):
        self.answer: tuple[int, dict] = (404, {})
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                endpoint.asked.append(self.path)
                endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, body = endpoint.answer
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/given/out"

    def start(self) -> "Endpoint":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class SecretsServer(Endpoint):
    """Speaks only to those who show a certificate of the authority."""

    def __init__(self, authority: Authority):
        super().__init__("https")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.file("server.pem"), authority.file("server.key"))
        context.load_verify_locations(authority.file("ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)


def token(seconds: int = 3600) -> tuple[str, tuple[int, dict]]:
    """A token that Azurite takes, and the answer that holds it."""
    now = int(time.time())
    claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/11111111-2222-3333-4444-555555555555/"}
    claims |= {"iat": now - 60, "nbf": now - 60, "exp": now + seconds}
    parts = ({"alg": "RS256", "typ": "JWT"}, claims, {"signature": "none"})
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return text, (200, {"access_token": text, "expires_on": str(now + seconds), "token_type": "Bearer"})
