"""TensorFlow's `Example` messages, as TFDS writes them, by protobuf alone."""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "resnet_jax.examples"
_FIELD = descriptor_pb2.FieldDescriptorProto


def image_and_label(record: bytes, image: str, label: str) -> tuple[bytes, int]:
    """Return the encoded image and the label of an `Example`.

    Args:
        record: the message, serialised.
        image: name of the feature with the image.
        label: name of the feature with the label.

    Raises:
        ValueError: if it is no such message, or lacks one of them.
    """
    try:
        example = _example_class().FromString(record)
        features = {entry.key: entry.value for entry in example.features.feature}
        return features[image].bytes_list.value[0], int(features[label].int64_list.value[0])
    except KeyError as error:
        raise ValueError(f"a record lacks the feature {error}") from error
    except Exception as error:  # protobuf's own kind, or an empty list
        raise ValueError(f"a record is no Example with an image and a label: {error}") from error


@functools.cache
def _example_class() -> Any:
    """Return the class of the message; its fields are those of `tensorflow/core/example`."""
    file = descriptor_pb2.FileDescriptorProto(name="resnet_jax/example.proto", package=_PACKAGE)
    file.syntax = "proto3"
    _add(file, "BytesList", ("value", 1, _FIELD.TYPE_BYTES, True))
    _add(file, "Int64List", ("value", 1, _FIELD.TYPE_INT64, True))
    _add(
        file,
        "Feature",
        ("bytes_list", 1, "BytesList", False),
        ("int64_list", 3, "Int64List", False),
    )
    # A map is a list of entries on the wire.
    _add(file, "Entry", ("key", 1, _FIELD.TYPE_STRING, False), ("value", 2, "Feature", False))
    _add(file, "Features", ("feature", 1, "Entry", True))
    _add(file, "Example", ("features", 1, "Features", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))


def _add(
    file: descriptor_pb2.FileDescriptorProto, name: str, *fields: tuple[str, int, Any, bool]
) -> None:
    """Add a message to a file: for each field its name, number, type, and whether it repeats."""
    message = file.message_type.add(name=name)
    for field_name, number, kind, repeated in fields:
        field = message.field.add(name=field_name, number=number)
        field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
        if isinstance(kind, str):
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
        else:
            field.type = kind
