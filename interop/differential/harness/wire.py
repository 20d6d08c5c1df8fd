"""Bytes to frames and methods and back.

pamqp supplies the method table (classes, fields, types, expected replies) and the scalar codecs.
Its argument validation is passed by, since scenarios have to send what a well-behaved client would
not; tables go through `tables`, which keeps the wire types.
"""

import inspect
import struct

from pamqp import commands, decode, encode

from . import tables

FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT = 1, 2, 3, 8
FRAME_END = b"\xce"
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
PROPERTIES = commands.Basic.Properties


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def _methods():
    for group in ("Connection", "Channel", "Exchange", "Queue", "Basic", "Tx", "Confirm"):
        for name, spec in vars(getattr(commands, group)).items():
            if inspect.isclass(spec) and hasattr(spec, "synchronous"):
                yield f"{group.lower()}_{_snake(name)}", spec


def _key(name: str) -> str:
    """`Basic.GetOk` as `basic_get_ok`."""
    group, rest = name.split(".")
    return f"{group.lower()}_{_snake(rest)}"


SPECS = dict(_methods())
REPLIES = {key: {_key(reply) for reply in spec.valid_responses} for key, spec in SPECS.items()}


def _defaults(spec):
    signature = inspect.signature(spec.__init__)
    defaults = {k: p.default for k, p in signature.parameters.items() if k in spec.__slots__}
    zero = {"short": 0, "long": 0, "longlong": 0, "shortstr": ""}
    return {
        field: zero.get(spec.amqp_type(field)) if value is None or field == "out_of_band" else value
        for field, value in defaults.items()
    }


DEFAULTS = {key: _defaults(spec) for key, spec in SPECS.items()}


class Method:
    """A method with its fields; `channel` is filled in when it arrived from the wire."""

    def __init__(self, key: str, fields: dict):
        self.key, self.fields = key, fields
        self.content = None

    @property
    def name(self):
        """`queue.declare-ok` for the key `queue_declare_ok`."""
        return self.key.replace("_", ".", 1).replace("_", "-")

    def __getattr__(self, field):
        try:
            return self.__dict__["fields"][field]
        except KeyError:
            raise AttributeError(field) from None


class Content:
    """A content header and its body; `frames` are the sizes of the body frames it came in."""

    def __init__(self, class_id, weight, size, flags, properties):
        self.class_id, self.weight, self.size = class_id, weight, size
        self.flags, self.properties = flags, properties
        self.body, self.frames = b"", []


def method(key: str, *args, **fields) -> Method:
    """A method to send; positional arguments follow the field order without the ticket."""
    slots = [slot for slot in SPECS[key].__slots__ if slot != "ticket"]
    given = dict(zip(slots, args, strict=False)) | fields
    unknown = set(given) - set(SPECS[key].__slots__)
    assert not unknown, f"{key} has no field {unknown}"
    return Method(key, DEFAULTS[key] | given)


def encode_field(value, kind: str) -> bytes:
    if kind == "table":
        return tables.encode_table(value or {})
    if kind == "shortstr":
        octets = value if isinstance(value, bytes) else value.encode()
        return bytes([len(octets)]) + octets
    if kind == "longstr":
        octets = value if isinstance(value, bytes) else value.encode()
        return struct.pack(">I", len(octets)) + octets
    if kind == "timestamp":
        return struct.pack(">Q", value)
    return encode.by_type(value, kind)


def encode_method(it: Method) -> bytes:
    """The payload of a method frame."""
    spec, output, bits = SPECS[it.key], [], []
    for slot in spec.__slots__:
        kind = spec.amqp_type(slot)
        if kind == "bit":
            bits.append(bool(it.fields[slot]))
            continue
        output += _pack_bits(bits)
        output.append(encode_field(it.fields[slot], kind))
    return struct.pack(">I", spec.index) + b"".join(output + _pack_bits(bits))


def _pack_bits(bits: list) -> list:
    if not bits:
        return []
    octet = sum(1 << place for place, bit in enumerate(bits) if bit)
    bits.clear()
    return [bytes([octet])]


def decode_field(data: bytes, kind: str):
    """(octets used, value) of the field at the head of `data`."""
    if kind == "table":
        content, used = tables.split_table(data)
        return used, tables.Table(content)
    if kind == "shortstr":
        return 1 + data[0], data[1:1 + data[0]].decode("utf-8", "backslashreplace")
    if kind == "timestamp":
        return 8, struct.unpack_from(">Q", data)[0]
    return decode.by_type(data, kind)


def decode_method(payload: bytes) -> Method | None:
    """The method of a frame's payload, or nothing if pamqp's table does not have it."""
    (index,) = struct.unpack_from(">I", payload)
    key = next((key for key, spec in SPECS.items() if spec.index == index), None)
    if key is None:
        return None
    spec, data, fields, place = SPECS[key], payload[4:], {}, 0
    for slot in spec.__slots__:
        kind = spec.amqp_type(slot)
        if kind == "bit":
            fields[slot] = bool(data[0] & 1 << place)
            place += 1
            continue
        if place:
            data, place = data[1:], 0
        used, fields[slot] = decode_field(data, kind)
        data = data[used:]
    if len(data) > (1 if place else 0):
        fields["octets_left_over"] = data
    return Method(key, fields)


def encode_header(size: int, properties: dict, class_id=60, weight=0) -> bytes:
    """The payload of a content header frame; a property is present if it is in `properties`."""
    flags, parts = 0, []
    for slot in PROPERTIES.__slots__:
        if slot in properties:
            flags |= PROPERTIES.flags[slot]
            parts.append(encode_field(properties[slot], PROPERTIES.amqp_type(slot)))
    head = struct.pack(">HHQH", class_id, weight, size, flags)
    return head + b"".join(parts)


def decode_header(payload: bytes) -> Content:
    class_id, weight, size, flags = struct.unpack_from(">HHQH", payload)
    data, properties = payload[14:], {}
    for slot in PROPERTIES.__slots__:
        if flags & PROPERTIES.flags[slot]:
            used, properties[slot] = decode_field(data, PROPERTIES.amqp_type(slot))
            data = data[used:]
    if data:
        properties["octets_left_over"] = data
    return Content(class_id, weight, size, flags, properties)


def frame(kind: int, channel: int, payload: bytes, end: bytes = FRAME_END) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def split_frame(buffer: bytearray):
    """Takes one whole frame off `buffer`: (type, channel, payload), or nothing yet."""
    if buffer[:4] == b"AMQP" and len(buffer) >= 8:
        payload = bytes(buffer[:8])
        del buffer[:8]
        return "protocol header", 0, payload
    if len(buffer) < 7:
        return None
    kind, channel, size = struct.unpack_from(">BHI", buffer)
    if len(buffer) < 8 + size:
        return None
    payload, end = bytes(buffer[7:7 + size]), bytes(buffer[7 + size:8 + size])
    del buffer[:8 + size]
    assert end == FRAME_END, f"the broker sent a frame that ends in {end!r}"
    return kind, channel, payload
