"""Mutations of a model file, reproducible by kind and seed, for `mutants.py` and tests."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.detection.detector import BUNDLED_DETECTORS
from fer_edge.files import sha256
from fer_edge.model.package import FORMAT, VERSION, Packed, read_packed
from fer_edge.recognition.classifier import BUNDLED


@dataclass(frozen=True)
class Intact:
    """Parts of an intact model file."""

    packed: Packed
    other: bytes
    """The flatbuffer of another model."""
    structure: list[int]
    """Offsets in the flatbuffer outside the weights, where most flipped bits do harm."""

    @property
    def content(self) -> bytes:
        """Bytes of the file."""
        return self.packed.path.read_bytes()


def read_intact(path: Path) -> Intact:
    """Read the model file to mutate."""
    packed = read_packed(path)
    other = read_packed(BUNDLED_DETECTORS["int8"] if packed.task == "expressions" else BUNDLED).flatbuffer
    flatbuffer = np.frombuffer(packed.flatbuffer, np.uint8)
    # Offsets, shapes and scalars are small numbers with zero bytes around them; weights have few zero bytes
    zeros = np.convolve(flatbuffer == 0, np.ones(16), "same")
    return Intact(packed, other, np.flatnonzero(zeros >= 4).tolist())


def flipped(intact: Intact, rng: random.Random) -> bytes:
    """Flip one to eight bits anywhere."""
    content = bytearray(intact.content)
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def truncated(intact: Intact, rng: random.Random) -> bytes:
    """Remove the end, the beginning, or a part in between."""
    content = intact.content
    start, end = sorted(rng.sample(range(len(content) + 1), 2))
    return rng.choice([content[:start], content[end:], content[:start] + content[end:]])


def swapped(intact: Intact, rng: random.Random) -> bytes:
    """Append this model's zip to something else: another model, this one twice, noise, a part of it."""
    flatbuffer = intact.packed.flatbuffer
    tail = intact.content[len(flatbuffer) :]
    cut = rng.randrange(len(flatbuffer))
    front = rng.choice([intact.other, flatbuffer * 2, rng.randbytes(len(flatbuffer)), flatbuffer[:cut], b""])
    return front + tail


def members_damaged(intact: Intact, rng: random.Random) -> bytes:
    """Flip bits of the zip only, remove a member, or replace it with noise."""
    if rng.random() < 0.5:
        content, start = bytearray(intact.content), len(intact.packed.flatbuffer)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(start, len(content))] ^= 1 << rng.randrange(8)
        return bytes(content)
    members = unpacked(intact)
    name = rng.choice(list(members))
    if rng.random() < 0.5:
        del members[name]
    else:
        members[name] = rng.choice([b"", rng.randbytes(100), members[name][: rng.randrange(len(members[name]))]])
    method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    return packed_again(intact.packed.flatbuffer, members, method)


ODD: tuple[Callable[[random.Random], str], ...] = (
    lambda rng: rng.choice(
        ["null", "true", "[]", "{}", '""', "0", "-1", "5", '"5"', "NaN", "Infinity", "1e999", "-0.0"]
    ),
    lambda rng: str(rng.choice([10**9, 10**18, 10**400, -(10**400), 2**31, 2**63, 1 << 14])),
    lambda rng: f"1e{rng.randint(-320, 320)}",
    lambda rng: "[" * 10_000 + "]" * 10_000,
    lambda rng: '{"a":' * 900 + "1" + "}" * 900,
    lambda rng: "[" * 40 + "]" * 40,
    lambda rng: rng.choice(
        ['"\\ud800"', '["\\ud800", "b"]', '"\\u001b[2J"', '["a\\nb", "[/red]"]', '{"[/b]": "[/b]"}']
    ),
    lambda rng: json.dumps(["x" * 50_000] * rng.randint(1, 40)),
    lambda rng: json.dumps([rng.choice([1, None, "a", [], {}]) for _ in range(8)]),
    lambda rng: json.dumps({"training": rng.choice([None, 1, "x", [], {"name": [1]}]), "parameters": "many", "n": {}}),
    lambda rng: '{"parameters": 1' + "0" * 400 + ', "macs": 1e308, "name": {}, "drop": 1' + "0" * 400 + "}",
    lambda rng: "1" * 5000,
)
"""Replacements of a metadata value: wrong types, huge numbers, deep nesting, control characters."""


def facts_odd(intact: Intact, rng: random.Random) -> bytes:
    """Replace one or two values of metadata.json, or all of it, with something invalid."""
    members = unpacked(intact)
    document: dict[str, Any] = json.loads(members["metadata.json"])
    if rng.random() < 0.05:
        members["metadata.json"] = rng.choice(ODD)(rng).encode()
        return packed_again(intact.packed.flatbuffer, members)
    names = rng.sample(sorted(document), rng.randint(1, 2))
    facts = {name: rng.choice(ODD)(rng) if name in names else json.dumps(fact) for name, fact in document.items()}
    if rng.random() < 0.1:
        del facts[names[0]]
    text = ", ".join(f"{json.dumps(name)}: {fact}" for name, fact in facts.items())
    members["metadata.json"] = f"{{{text}}}".encode()
    return packed_again(intact.packed.flatbuffer, members)


def golden_odd(intact: Intact, rng: random.Random) -> bytes:
    """Replace a golden array with an invalid one: dtype, shape, values, objects, a zip bomb, a false header."""
    arrays = dict(intact.packed.golden)
    name = rng.choice(list(arrays))
    values = arrays[name]
    one = values[:1]
    odd: Callable[[], Any] = rng.choice(
        [
            lambda: values.astype(rng.choice(["f2", "f8", ">f4", "i8", "c8", "U3", "?"])),
            lambda: np.array([{"a": 1}, None], object),
            lambda: np.zeros(
                rng.choice([(), (0,), (1, 1), (0, 64, 56, 3), (16, 0, 0, 3), (16, 64, 56, 1)]), values.dtype
            ),
            lambda: np.zeros((17, *values.shape[1:]), values.dtype),
            lambda: np.zeros((17, 1 << 20), np.uint8),
            lambda: np.full(values.shape, rng.choice([0, 255, 1e38, -1e38, 1e5, np.nan, np.inf])).astype(values.dtype),
            lambda: np.asfortranarray(values),
            lambda: one,
            lambda: None,
            lambda: b"\x93NUMPY" + rng.randbytes(200),
            lambda: false_header(rng),
        ]
    )
    with np.errstate(invalid="ignore", over="ignore"):  # NaN as uint8
        arrays[name] = odd()
    if rng.random() < 0.1:  # all of them fit one another
        arrays = {key: array[:0] for key, array in intact.packed.golden.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as members:
        for key, array in arrays.items():
            if array is not None:
                members.writestr(f"{key}.npy", array if isinstance(array, bytes) else npy(array))
    return packed_again(intact.packed.flatbuffer, unpacked(intact) | {"golden.npz": stream.getvalue()})


def flatbuffer_forged(intact: Intact, rng: random.Random) -> bytes:
    """Change the flatbuffer, mostly outside its weights, and make its digest fit again."""
    flatbuffer = bytearray(intact.packed.flatbuffer)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        place = rng.choice(intact.structure) if rng.random() < 0.9 else rng.randrange(len(flatbuffer))
        flatbuffer[place] = rng.choice([0, 1, 127, 128, 255, flatbuffer[place] ^ 1 << rng.randrange(8)])
    return forged(intact, bytes(flatbuffer))


def flatbuffer_cut(intact: Intact, rng: random.Random) -> bytes:
    """Shorten the flatbuffer, move a piece of it or put another model's in its place; the digest fits again."""
    flatbuffer = intact.packed.flatbuffer
    start, end = sorted(rng.sample(range(8, len(flatbuffer)), 2))
    return forged(
        intact,
        rng.choice(
            [
                flatbuffer[:start],
                flatbuffer[:start] + flatbuffer[end:],
                flatbuffer[:start] + bytes(end - start) + flatbuffer[end:],
                flatbuffer[:start] + flatbuffer[end:] + flatbuffer[start:end],
                flatbuffer[:8] + rng.randbytes(rng.randint(0, 1000)),
                intact.other,
            ]
        ),
    )


def bare(intact: Intact, rng: random.Random) -> bytes:
    """Remove the contract, and flip some bits."""
    flatbuffer = bytearray(intact.packed.flatbuffer)
    for _ in range(rng.randint(0, 4)):
        flatbuffer[rng.randrange(len(flatbuffer))] ^= 1 << rng.randrange(8)
    return bytes(flatbuffer)


KINDS: dict[str, Callable[[Intact, random.Random], bytes]] = {
    "bits flipped": flipped,
    "truncated": truncated,
    "tail swapped": swapped,
    "zip damaged": members_damaged,
    "facts odd": facts_odd,
    "golden vectors odd": golden_odd,
    "flatbuffer changed, digest forged": flatbuffer_forged,
    "flatbuffer cut, digest forged": flatbuffer_cut,
    "no contract": bare,
}


def unpacked(intact: Intact) -> dict[str, bytes]:
    """Return the members of the zip."""
    with zipfile.ZipFile(io.BytesIO(intact.content)) as tail:
        return {name: tail.read(name) for name in tail.namelist()}


def packed_again(flatbuffer: bytes, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Append a zip of `members` to `flatbuffer`."""
    stream = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(stream, "a", method) as tail:
        for name, content in members.items():
            tail.writestr(name, content)
    return stream.getvalue()


def forged(intact: Intact, flatbuffer: bytes) -> bytes:
    """Append the zip to `flatbuffer`, with a matching digest."""
    members = unpacked(intact)
    document = json.loads(members["metadata.json"])
    document |= {"format": FORMAT, "version": VERSION}
    document["flatbuffer"] = {"bytes": len(flatbuffer), "sha256": sha256(flatbuffer)}
    return packed_again(flatbuffer, members | {"metadata.json": json.dumps(document).encode()})


def npy(values: Any) -> bytes:
    """Return an array as a .npy file."""
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


def false_header(rng: random.Random) -> bytes:
    """Return a .npy file whose header declares more data than there is."""
    shape = rng.choice(
        ["(1000000000000,)", "(-1,)", "(2, -3)", "(" * 90 + ")" * 90, "(True, 4)", "(4294967296, 4294967296)"]
    )
    dtype = rng.choice(["|u1", "<f4", "|O", "|V0", "|S0", "<f16"])
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(100)


def mutant(intact: Intact, kind: str, seed: int) -> bytes:
    """Return the mutant of this kind and seed."""
    return KINDS[kind](intact, random.Random(f"{kind} {seed}"))  # noqa: S311  # no secret
