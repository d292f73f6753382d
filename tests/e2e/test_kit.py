"""The tools of these tests, tried on what is known: a tool that cannot fail proves nothing."""

import os
import socket
import struct
import time

import pytest
from kit import bkmetadata, rest, state, wait
from kit.azurite import Azurite
from kit.proxy import Proxy


def sample(properties: bytes) -> bytes:
    footer = struct.pack("<qqi", 0, len(properties), 1)
    return properties + struct.pack("<Q", bkmetadata.crc64(properties)) + footer + struct.pack("<Q", bkmetadata.crc64(footer))


def answered(port: int, path: str, **how) -> bool:
    """Whether Azurite says anything: without a signature it always answers 400."""
    return rest.request(f"http://127.0.0.1:{port}", "GET", f"/devstoreaccount1/{path}", **how).status == 400


def test_the_checksum_is_crc_64_we_whose_published_check_value_is_known():
    assert bkmetadata.crc64(b"123456789") == 0x62EC59E3F1A4F00A


def test_the_metadata_parser_reads_names_and_sizes_of_one_and_two_bytes():
    parsed = bkmetadata.parse(sample(b"\x01A\x02hi" + b"\x01B\xc8\x01" + b"x" * 200))
    assert parsed.text("A") == "hi"
    assert parsed.text("B") == "x" * 200


def test_the_metadata_parser_refuses_every_flipped_bit():
    whole = sample(b"\x01A\x02hi")
    for place in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(bkmetadata.Damaged):
            bkmetadata.parse(bytes(damaged))


def test_a_picture_of_a_tree_shows_every_change_that_a_restore_could_get_wrong(tmp_path):
    changes = {
        "content": lambda root: (root / "records.db").write_bytes(b"other"),
        "mode": lambda root: (root / "run.sh").chmod(0o700),
        "mtime of a file by a nanosecond": lambda root: os.utime(root / "empty", ns=(0, 1_500_000_000_000_000_002)),
        "mtime of a directory": lambda root: os.utime(root / "hollow", ns=(0, 0)),
        "target of a symlink": lambda root: ((root / "to file").unlink(), (root / "to file").symlink_to("empty")),
        "hidden file gone": lambda root: (root / ".hidden").unlink(),
        "empty directory gone": lambda root: (root / "hollow").rmdir(),
        "one more": lambda root: (root / "deep/more").touch(),
    }
    for number, (name, change) in enumerate(changes.items()):
        root = tmp_path / str(number)
        state.make_varied(root)
        before = state.picture(root)
        change(root)
        assert state.differences(before, state.picture(root)), name


def test_two_trees_made_alike_have_equal_pictures(tmp_path):
    for name in ("one", "two"):
        state.make_varied(tmp_path / name)
    assert state.differences(state.picture(tmp_path / "one"), state.picture(tmp_path / "two")) == []


def test_a_wait_that_is_in_vain_names_what_it_waited_for():
    with pytest.raises(AssertionError, match="the end of time"):
        wait.until("the end of time", lambda: None, seconds=0.05)


def test_the_proxy_holds_what_matches_until_it_is_released(azurite):
    proxy = Proxy(azurite.port).start()
    try:
        assert answered(proxy.port, "free")
        proxy.hold(b"/stuck")
        assert answered(proxy.port, "free")
        with pytest.raises(TimeoutError):
            answered(proxy.port, "stuck", seconds=0.3)
        proxy.release()
        assert answered(proxy.port, "stuck")
    finally:
        proxy.close()


def test_the_proxy_slows_answers_down_without_stopping_them(azurite):
    proxy = Proxy(azurite.port).start()
    try:
        proxy.slow_down(100)
        begun = time.monotonic()
        assert answered(proxy.port, "free")
        assert 0.3 < time.monotonic() - begun < 10
    finally:
        proxy.close()


def test_the_proxy_cuts_after_so_many_bytes_and_mends(azurite):
    proxy = Proxy(azurite.port).start()
    try:
        through = f"http://127.0.0.1:{proxy.port}"
        proxy.cut_after(1000)
        with pytest.raises(OSError):
            rest.request(through, "PUT", "/devstoreaccount1/c/b", body=b"x" * 100_000)
        assert proxy.is_cut
        with pytest.raises(OSError):
            answered(proxy.port, "free")
        proxy.mend()
        assert answered(proxy.port, "free")
    finally:
        proxy.close()


def test_azurite_comes_back_on_its_port_with_what_it_had(tmp_path):
    store = Azurite(tmp_path).start()
    try:
        store.create_container("kept")
        port = store.port
        store.kill()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        store.start()
        assert store.port == port
        assert store.blobs("kept") == {}
    finally:
        store.kill()
