"""Reads a `.bkmetadata` file, written from the facts of Service Fabric's layout alone and sharing nothing with the server.

Little-endian: properties, CRC64 of them (8 bytes), a footer of 20 bytes (offset, size, version), CRC64 of the footer.
"""

import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FOOTER = struct.Struct("<qqi")
CRC = struct.Struct("<Q")
KINDS = {1: "Singleton", 2: "Int64Range", 3: "Named"}
_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


class Damaged(Exception):
    """The bytes are not what a writer wrote."""


@dataclass(frozen=True)
class Metadata:
    """The properties by name in the order written, still as bytes."""

    properties: dict[str, bytes]

    def guid(self, name: str) -> str:
        return str(uuid.UUID(bytes_le=self.properties[name]))

    def text(self, name: str) -> str:
        return self.properties[name].decode("utf-8")

    def integers(self, name: str) -> tuple[int, ...]:
        raw = self.properties[name]
        return struct.unpack(f"<{len(raw) // 8}q", raw)

    def time(self, name: str) -> datetime:
        (ticks,) = self.integers(name)
        return _YEAR_ONE + timedelta(microseconds=ticks / 10)

    def partition_kind(self) -> str:
        (kind,) = self.properties["PartitionKind"]
        return KINDS[kind]


def parse(data: bytes) -> Metadata:
    """Fails with `Damaged` unless both checksums, the offsets and the version are right."""
    footer_at = len(data) - CRC.size - FOOTER.size
    if footer_at < 0:
        raise Damaged(f"{len(data)} bytes are too few")
    footer = data[footer_at : footer_at + FOOTER.size]
    _check("footer", footer, data[footer_at + FOOTER.size :])
    offset, size, version = FOOTER.unpack(footer)
    if (offset, size, version) != (0, footer_at - CRC.size, 1):
        raise Damaged(f"footer says offset {offset}, size {size}, version {version}")
    _check("properties", data[:size], data[size:footer_at])
    return Metadata(_properties(data[:size]))


def _check(what: str, data: bytes, stored: bytes) -> None:
    (expected,) = CRC.unpack(stored)
    if crc64(data) != expected:
        raise Damaged(f"CRC64 of the {what} is {crc64(data):016x}, stored is {expected:016x}")


def _properties(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        name, at = _sized(data, at)
        value, at = _sized(data, at)
        key = name.decode("utf-8")
        if key in found:
            raise Damaged(f"{key} appears twice")
        found[key] = value
    return found


def _sized(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _varint(data, at)
    if at + length > len(data):
        raise Damaged(f"{length} bytes are announced at {at}, {len(data) - at} are there")
    return data[at : at + length], at + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise Damaged(f"a length is cut off at {at}")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << 56
        for _ in range(8):
            crc = (crc << 1 & 0xFFFFFFFFFFFFFFFF) ^ (0x42F0E1EBA9EA3693 if crc >> 63 else 0)
        table.append(crc)
    return table


_TABLE = _table()


def crc64(data: bytes) -> int:
    """CRC-64/WE: most significant bit first, all ones in, all ones out."""
    crc = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        crc = _TABLE[((crc >> 56) ^ byte) & 0xFF] ^ (crc << 8 & 0xFFFFFFFFFFFFFFFF)
    return crc ^ 0xFFFFFFFFFFFFFFFF
