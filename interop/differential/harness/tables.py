"""Field tables with their wire types kept.

pamqp decodes tables to plain Python values, which loses the difference between a signed short and
a long. Here a value is encoded from a `Typed` (or from a plain Python value with the obvious type)
and *rendered* from the bytes, so that two tables render the same only if their bytes are the same.
"""

import struct


class Typed:
    """One field value with its type octet and its payload already encoded."""

    def __init__(self, tag: str, payload: bytes):
        self.tag, self.payload = tag, payload

    def __repr__(self):
        return render_value(self.tag.encode() + self.payload, 0)[0]


def boolean(value): return Typed("t", struct.pack(">B", int(value)))
def int8(value): return Typed("b", struct.pack(">b", value))
def uint8(value): return Typed("B", struct.pack(">B", value))
def int16(value): return Typed("s", struct.pack(">h", value))
def uint16(value): return Typed("u", struct.pack(">H", value))
def int32(value): return Typed("I", struct.pack(">i", value))
def uint32(value): return Typed("i", struct.pack(">I", value))
def int64(value): return Typed("l", struct.pack(">q", value))
def int64_spec(value): return Typed("L", struct.pack(">q", value))
def float32(value): return Typed("f", struct.pack(">f", value))
def float64(value): return Typed("d", struct.pack(">d", value))
def decimal(scale, value): return Typed("D", struct.pack(">Bi", scale, value))
def longstr(value): return Typed("S", _long(_octets(value)))
def binary(value): return Typed("x", _long(value))
def timestamp(value): return Typed("T", struct.pack(">Q", value))
def void(): return Typed("V", b"")
def table(value): return Typed("F", encode_table(value))
def array(values): return Typed("A", _long(b"".join(encode_value(v) for v in values)))


def _octets(value):
    return value if isinstance(value, bytes) else value.encode()


def _long(octets):
    return struct.pack(">I", len(octets)) + octets


def typed(value):
    """The `Typed` a plain Python value stands for."""
    if isinstance(value, Typed):
        return value
    if value is None:
        return void()
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, int):
        return int32(value) if -(1 << 31) <= value < 1 << 31 else int64(value)
    kinds = {float: float64, str: longstr, bytes: longstr, dict: table, list: array}
    return kinds[type(value)](value)


def encode_value(value) -> bytes:
    value = typed(value)
    return value.tag.encode("latin-1") + value.payload


def encode_table(pairs) -> bytes:
    """A whole table with its length prefix; `pairs` is a dict, a list of pairs, or raw bytes."""
    if isinstance(pairs, bytes):
        return pairs
    items = pairs.items() if isinstance(pairs, dict) else pairs
    content = b"".join(
        bytes([len(_octets(key))]) + _octets(key) + encode_value(value) for key, value in items
    )
    return _long(content)


_FIXED = {
    "t": ">B", "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I",
    "l": ">q", "L": ">q", "T": ">Q",
}
_LONGEST_STRING = 512


def render_text(octets: bytes) -> str:
    """A string as it is shown in transcripts; a long one is cut with its length and a checksum."""
    try:
        text = repr(octets.decode())
    except UnicodeDecodeError:
        text = repr(octets)
    if len(octets) <= _LONGEST_STRING:
        return text
    from zlib import crc32
    return f"<{len(octets)} octets, crc32 {crc32(octets):08x}>"


def render_value(data: bytes, at: int, in_order=False):
    """One value at `at`, as (text, offset after it); `in_order` sorts the keys of tables."""
    tag = chr(data[at])
    at += 1
    if tag in _FIXED:
        size = struct.calcsize(_FIXED[tag])
        return f"{tag}={struct.unpack_from(_FIXED[tag], data, at)[0]}", at + size
    if tag in "fd":
        size = 4 if tag == "f" else 8
        (number,) = struct.unpack_from(">" + tag, data, at)
        return f"{tag}={number!r}/{data[at:at + size].hex()}", at + size
    if tag == "D":
        scale, number = struct.unpack_from(">Bi", data, at)
        return f"D={number}e-{scale}", at + 5
    if tag == "V":
        return "V", at
    if tag in "SxAF":
        (size,) = struct.unpack_from(">I", data, at)
        content = data[at + 4:at + 4 + size]
        after = at + 4 + size
        if len(content) < size:
            raise ValueError("value runs past the end")
        if tag in "Sx":
            return f"{tag}={render_text(content)}", after
        inside = (_render_array if tag == "A" else _render_pairs)(content, in_order)
        return f"{tag}={inside}", after
    raise ValueError(f"unknown field type {tag!r}")


def _render_array(content: bytes, in_order: bool) -> str:
    at, shown = 0, []
    while at < len(content):
        text, at = render_value(content, at, in_order)
        shown.append(text)
    return "[" + ", ".join(shown) + "]"


def _pairs(content: bytes, in_order=False):
    at, pairs = 0, []
    while at < len(content):
        size = content[at]
        key = content[at + 1:at + 1 + size]
        text, at = render_value(content, at + 1 + size, in_order)
        pairs.append((key.decode("utf-8", "backslashreplace"), text))
    return sorted(pairs) if in_order else pairs


def _render_pairs(content: bytes, in_order: bool) -> str:
    return "{" + ", ".join(f"{key}:{text}" for key, text in _pairs(content, in_order)) + "}"


def split_table(data: bytes) -> tuple[bytes, int]:
    """The content of the table at the head of `data`, and how many octets it took."""
    (size,) = struct.unpack_from(">I", data)
    return data[4:4 + size], 4 + size


class Table:
    """A received table: renders typed and in wire order; gives plain lookups of rendered values."""

    def __init__(self, content: bytes):
        self.content = content

    def __str__(self):
        return self.render(in_order=False)

    def render(self, in_order: bool) -> str:
        try:
            return _render_pairs(self.content, in_order)
        except (ValueError, struct.error, IndexError) as error:
            return "{" + f"undecodable table {self.content.hex()}: {error}" + "}"

    def pairs(self):
        return _pairs(self.content)
