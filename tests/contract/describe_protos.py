"""Prints descriptors as JSON, one description for each full name: `describe_protos.py MODULE…`.

A program of its own, because two definitions of one message cannot live in one process.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2

Described = dict[str, Any]


def describe_file(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, Described]]:
    """Everything the file declares, nested messages and enums included."""
    for message in file.message_type:
        yield from describe_message(f"{file.package}.{message.name}", message)
    for enum in file.enum_type:
        yield describe_enum(f"{file.package}.{enum.name}", enum)
    for service in file.service:
        yield f"{file.package}.{service.name}", {method.name: describe_method(method) for method in service.method}


def describe_message(name: str, message: descriptor_pb2.DescriptorProto) -> Iterator[tuple[str, Described]]:
    """The message, then what it declares inside."""
    yield name, {field.name: describe_field(field, message) for field in message.field}
    for nested in message.nested_type:
        yield from describe_message(f"{name}.{nested.name}", nested)
    for enum in message.enum_type:
        yield describe_enum(f"{name}.{enum.name}", enum)


def describe_field(field: descriptor_pb2.FieldDescriptorProto, message: descriptor_pb2.DescriptorProto) -> Described:
    """What decides the bytes of the field on the wire, and its JSON name."""
    return {
        "number": field.number,
        "type": descriptor_pb2.FieldDescriptorProto.Type.Name(field.type),
        "label": descriptor_pb2.FieldDescriptorProto.Label.Name(field.label),
        "oneof": message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None,
        "type_name": field.type_name,
        "json_name": field.json_name,
        "optional": field.proto3_optional,
    }


def describe_enum(name: str, enum: descriptor_pb2.EnumDescriptorProto) -> tuple[str, Described]:
    """The numbers of the enum by name."""
    return name, {value.name: value.number for value in enum.value}


def describe_method(method: descriptor_pb2.MethodDescriptorProto) -> Described:
    """What the method takes and gives, and whether either side streams."""
    return {
        "input": method.input_type,
        "output": method.output_type,
        "streams": [method.client_streaming, method.server_streaming],
    }


def main(modules: list[str]) -> None:
    """Print the description of every module named, merged."""
    merged: dict[str, Described] = {}
    for module in modules:
        file = descriptor_pb2.FileDescriptorProto()
        importlib.import_module(module).DESCRIPTOR.CopyToProto(file)
        merged.update(describe_file(file))
    json.dump(merged, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
