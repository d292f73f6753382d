"""What the server hosts when it is started without a configuration."""

from pathlib import Path

from .server import Server

ID = "1daae3f5-7fd6-42e9-b1ba-8c05f873994d"


def state(server: Server) -> Path:
    return server.data / "state/quickstart/CalcService"
