"""The fixtures: servers, the blob store, and the rule that nothing is skipped."""

import sys
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit import tools  # noqa: E402
from kit.azurite import Azurite  # noqa: E402
from kit.lab import Lab  # noqa: E402
from kit.proxy import Proxy  # noqa: E402
from kit.server import Server  # noqa: E402


def pytest_sessionstart(session):
    if missing := tools.missing():
        pytest.exit("the end-to-end tests cannot run:\n  " + "\n  ".join(missing), returncode=3)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A skipped test proves nothing, so it is a failure; and a failed one shows what the servers said."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which is not allowed here"
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Server):
                report.sections.append((f"log of {value.data.parent.name}", value.log()[-6000:]))
    return report


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """A server started without a configuration."""
    server = Server(tmp_path_factory.mktemp("quickstart")).start()
    yield server
    server.kill()


@pytest.fixture
def fresh_quickstart(tmp_path):
    """The same for one test alone."""
    server = Server(tmp_path / "quickstart").start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A configured server with partitions of every kind."""
    server = Lab(tmp_path_factory.mktemp("lab") / "home").start()
    yield server
    server.kill()


@pytest.fixture
def fresh_lab(tmp_path):
    """The same for one test alone, which may kill it."""
    server = Lab(tmp_path / "lab").start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory):
    store = Azurite(tmp_path_factory.mktemp("azurite")).start()
    yield store
    store.kill()


@pytest.fixture
def container():
    """The name of a container that nobody has used."""
    return f"backups-{uuid.uuid4()}"


@pytest.fixture
def proxy(azurite):
    """A way to the blob store that can be held up and cut."""
    between = Proxy(azurite.port).start()
    yield between
    between.close()
