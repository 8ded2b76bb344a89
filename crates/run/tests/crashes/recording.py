#!/usr/bin/env python3
"""Makes the recordings here that say much in few bytes. Needs `zstd`."""
import os, struct, subprocess, zlib

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recording")


def varint(value):
    some = bytearray()
    while value >= 0x80:
        some.append(value & 0x7F | 0x80)
        value >>= 7
    some.append(value)
    return bytes(some)


def record(tag, *fields):
    body = b"".join(it if isinstance(it, bytes) else varint(it) for it in fields)
    return bytes([tag]) + varint(len(body)) + body


def events(time, ops, addrs, sizes, stacks, others=b""):
    columns = [ops, addrs, sizes, stacks, others]
    head = b"".join(map(varint, [len(ops), time, 1] + [len(it) for it in columns]))
    return head + b"".join(columns)


def recording(name, *blocks):
    data = b"HEAPWISE" + struct.pack("<HHIQ", 1, 0x1234, 24, 0)
    for number, (kind, raw) in enumerate(blocks):
        assert len(raw) <= 8 << 20, len(raw)
        packed = subprocess.run(["zstd", "-19", "-q", "--no-check"], input=raw, capture_output=True, check=True).stdout
        head = b"HWBK" + struct.pack("<BBHII", kind, 1, 0, len(packed), len(raw))
        crc = zlib.crc32(head + struct.pack("<II", 0, number) + packed)
        data += head + struct.pack("<II", crc, number) + packed
    with open(os.path.join(out, name), "wb") as file:
        file.write(data)
    print(name, len(data))


process = record(1, 1, 1, 0, 0)
inherited = record(6, 64, 8, 0, 0)
frame, plain = record(3, 0, 1 << 40), record(3, 0, 1)
module = record(2, 4096, 8192, 0, 0, 0)
recording("graphs", (1, process + inherited * 100_000 + record(10, 1, 1) * 1_000_000))
recording("modules", (1, process + module * 200_000), (1, frame * 500_000))
chain = b"".join(record(4, i, 0) for i in range(20_000))
held = b"".join(record(6, 64, 8, 0, i + 1) for i in range(20_000))
recording("deep-stacks", (1, process + chain), (1, held))
recording("notes", (1, process + record(11, 1, b"x") * 1_000_000))
flat = record(4, 0, 0) * 20_000
stacks = b"".join(varint(i + 1) for i in range(20_000))
# Frees of distinct stacks are distinct errors: as many as are kept, and a million places.
frees = events(1, bytes([1]) * 20_000, varint(4) * 20_000, b"", stacks)
recording("places", (1, process + flat), (2, frees), (1, record(13, 16, 1) * 1_000_000))
# Time ends once 20,000 sites are followed; a million events come after that.
start = events(0, bytes([0]) + bytes([128]) * 19_999, varint(4) * 20_000, varint(4096), stacks)
turn = events(1 << 60, bytes([128 + 64, 1 + 64]) * 500_000, varint(1 << 44) + varint(0) * 999_999, b"", b"")
recording("end-of-time", (1, process + flat), (2, start), (2, turn))
huge = b"".join(record(6, 1 << 63, (1 << 64) - 1, 0, 0) for _ in range(1000))
recording("huge-blocks", (1, process + huge + record(10, 1, 1)))
# A list of 100,000 blocks whose last one holds 100,000 more, each of which a root holds too.
many = record(6, 64, 16, 0, 0) * 200_000
edges = record(9, 64, 0, 128) + record(9, 64, 0, 64) * 99_998
fan = record(9, 64, 0, 64) + record(9, 0, 8, 64) * 99_999
roots = record(8, 2, 0, 64) + record(8, 2, 0, 64 * 100_000) + record(8, 2, 0, 64) * 99_999
recording("long-list", (1, process + many), (1, edges + fan), (1, roots + record(10, 1, 1)))
