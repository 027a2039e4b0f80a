"""Golden vectors of mutual exclusion: writes exclusion.json beside itself.

An implementation of its own, in another language than the code under test, checked by the verification value that
SMHasher publishes for MurmurHash3_x86_32. Run it to extend the vectors with a new file; never edit what it wrote: a
change of algorithm is a new hashVersion with vectors of its own.

    python3 test/conformance/vectors/exclusion.py
"""
import json
import pathlib
import struct


def rotl(x, r):
    return ((x << r) | (x >> (32 - r))) & 0xFFFFFFFF


def murmur3(data, seed):
    h = seed
    full = len(data) // 4 * 4
    for at in range(0, full, 4):
        k = struct.unpack_from("<I", data, at)[0] * 0xCC9E2D51 & 0xFFFFFFFF
        h = (rotl(h ^ (rotl(k, 15) * 0x1B873593 & 0xFFFFFFFF), 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    rest = data[full:]
    if rest:
        k = int.from_bytes(rest, "little") * 0xCC9E2D51 & 0xFFFFFFFF
        h ^= rotl(k, 15) * 0x1B873593 & 0xFFFFFFFF
    h ^= len(data)
    h = (h ^ (h >> 16)) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ (h >> 16)


hashes = b"".join(struct.pack("<I", murmur3(bytes(range(n)), 256 - n)) for n in range(256))
assert murmur3(hashes, 0) == 0xB0F57EE3, "not MurmurHash3_x86_32"


def place(group, slots, subject):
    """Where a subject stands among the buckets of an experiment's slots; None when it is in none of them."""
    bucket = murmur3(subject.encode(), murmur3(f"{group}:exclusion:".encode(), 0)) % 10_000
    slot = bucket // 100
    return bucket, slots.index(slot) * 100 + bucket % 100 if slot in slots else None


groups = [
    ("checkout-tests", [0]),
    ("checkout-tests", list(range(99, -1, -1))),
    ("checkout-tests", list(range(1, 100, 2))),
    ("g", [42, 7, 99, 0, 13]),
    ("Search.page_2", list(range(30, 60))),
]
subjects = [f"user-{n}" for n in range(25)] + [
    "550e8400-e29b-41d4-a716-446655440000",
    "a",
    "ab",
    "abc",
    "пользователь-1",
    "日本語",
    "😀",
    "x" * 512,
]
vectors = []
for group, slots in groups:
    for subject in subjects:
        bucket, at = place(group, slots, subject)
        vectors.append({"group": group, "slots": slots, "subjectId": subject, "bucket": bucket, "place": at})
file = pathlib.Path(__file__).with_suffix(".json")
file.write_text(
    json.dumps(
        {
            "specVersion": 1,
            "hashVersion": 1,
            "description": "bucket = murmur3_x86_32(utf8(subjectId), seed) mod 10000, seed = murmur3_x86_32(utf8(group + ':exclusion:'), 0); slot = bucket div 100; place = index of the slot in slots * 100 + bucket mod 100, null where it is not there. A subject is in the traffic when place < trafficBuckets. Made by exclusion.py. Never edit a vector.",
            "vectors": vectors,
        },
        ensure_ascii=False,
    )
    + "\n"
)
