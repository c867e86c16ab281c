"""Flatbuffers with a modified field."""


def with_custom(flatbuffer: bytes, name: bytes) -> bytes:
    """Turn SHAPE of the tiny model (its operator code 2) into a custom operator, with a new table at the end.

    The table's fields are custom_code, an offset to `name`, and builtin_code, 32 (CUSTOM).
    """
    content = bytearray(flatbuffer + bytes(-len(flatbuffer) % 4))
    model = int.from_bytes(content[:4], "little")
    codes = following(content, field(content, model, 1))
    entry = codes + 4 + 4 * 2
    vtable = len(content)
    content += b"".join(part.to_bytes(2, "little") for part in (12, 12, 0, 4, 0, 8))
    table = len(content)
    content[entry : entry + 4] = (table - entry).to_bytes(4, "little")
    content += (table - vtable).to_bytes(4, "little") + (8).to_bytes(4, "little") + (32).to_bytes(4, "little")
    content += len(name).to_bytes(4, "little") + name + b"\0"
    return bytes(content)


def field(content: bytes, table: int, number: int) -> int:
    """Return the position of field `number` of a table."""
    vtable = table - int.from_bytes(content[table : table + 4], "little", signed=True)
    return table + int.from_bytes(content[vtable + 4 + 2 * number : vtable + 6 + 2 * number], "little")


def following(content: bytes, at: int) -> int:
    """Follow the offset at position `at`."""
    return at + int.from_bytes(content[at : at + 4], "little")
