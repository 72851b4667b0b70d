"""The part of Restate's service protocol that a server needs for the journal of one invocation of steps.

The facts come from the protocol's definition (`dev.restate.service.protocol`, version 6): a frame is a type (16 bits),
flags (16 bits) and a length (32 bits), and then a Protocol Buffers message.
"""

import struct
from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

CONTENT_TYPE = "application/vnd.restate.invocation.v6"

START, SUSPENSION, ERROR, END, PROPOSE_RUN = 0, 1, 2, 3, 5
INPUT, OUTPUT, RUN, RUN_COMPLETION = 0x0400, 0x0401, 0x0411, 0x8011

NEVER_RIGHT = (570, 571)
"""The codes of errors that no retry can fix: a journal mismatch, or a protocol violation."""

_FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "Value": {"content": (1, "bytes")},
    "Failure": {"code": (1, "uint32"), "message": (2, "string")},
    "Start": {
        "id": (1, "bytes"),
        "debug_id": (2, "string"),
        "known_entries": (3, "uint32"),
        "partial_state": (5, "bool"),
        "key": (6, "string"),
        "random_seed": (9, "uint64"),
    },
    "Error": {"code": (1, "uint32"), "message": (2, "string"), "related_command_index": (4, "uint32")},
    "ProposeRun": {"result_completion_id": (1, "uint32"), "value": (14, "bytes"), "failure": (15, "Failure")},
    "Input": {"value": (14, "Value")},
    "Output": {"value": (14, "Value"), "failure": (15, "Failure")},
    "Call": {"service_name": (1, "string"), "handler_name": (2, "string"), "name": (12, "string")},
    "State": {"key": (1, "bytes"), "name": (12, "string")},
    "Command": {"name": (12, "string")},
    "Run": {"result_completion_id": (11, "uint32"), "name": (12, "string")},
    "RunCompletion": {"completion_id": (1, "uint32"), "value": (5, "Value"), "failure": (6, "Failure")},
}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="journal.proto", package="journal", syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            written = message.field.add(name=field, number=number, label="LABEL_OPTIONAL")
            if kind in _FIELDS:
                written.type_name = f".journal.{kind}"
            else:
                written.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    described = pool.AddSerializedFile(file.SerializeToString()).message_types_by_name
    return {name: message_factory.GetMessageClass(described[name]) for name in _FIELDS}


_MESSAGES = _messages()


def message(kind: str, **fields: Any) -> Any:
    """A message of this kind."""
    return _MESSAGES[kind](**fields)


def parsed(kind: str, content: bytes) -> Any:
    return _MESSAGES[kind].FromString(content)


def frame(type: int, content: Any) -> bytes:
    """The frame of a message, or of the bytes of one."""
    written = content if isinstance(content, bytes) else content.SerializeToString()
    return struct.pack(">HHI", type, 0, len(written)) + written


def frames(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Remove the complete frames from the received bytes; returns their types and messages."""
    while len(buffer) >= 8:
        type, _, length = struct.unpack_from(">HHI", buffer)
        if len(buffer) < 8 + length:
            return
        yield type, bytes(buffer[8 : 8 + length])
        del buffer[: 8 + length]
