"""Reads and writes GGUF files for tests that forge models. Standard library only.

Metadata: dict of key -> (kind, value); an array's value is (element kind, list).
Tensors: dict of name -> Tensor with the shape outermost first, as in C.
"""
import struct
from collections import namedtuple

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}
TYPE_F32, TYPE_F16, TYPE_MXFP4 = 0, 1, 39
ALIGNMENT = 32

Tensor = namedtuple("Tensor", "shape kind data")


def floats(values, shape):
    """An F32 tensor of a flat list."""
    return Tensor(tuple(shape), TYPE_F32, struct.pack("<%df" % len(values), *values))


def unpack_floats(tensor):
    assert tensor.kind == TYPE_F32
    return list(struct.unpack("<%df" % (len(tensor.data) // 4), tensor.data))


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def text(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode("utf-8", "surrogateescape")

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            return self.take(FORMATS[kind])
        element, n = self.take("IQ")
        if element == STRING:
            return element, [self.text() for _ in range(n)]
        items = struct.unpack_from("<%d%s" % (n, FORMATS[element]), self.data, self.at)
        self.at += n * struct.calcsize(FORMATS[element])
        return element, list(items)


def read(path):
    """(metadata, tensors) of a file; data of a tensor runs up to the next one."""
    with open(path, "rb") as f:
        r = _Reader(f.read())
    assert r.data[:4] == b"GGUF"
    r.at = 4
    _, n_tensors, n_kv = r.take("IQQ")
    metadata = {}
    for _ in range(n_kv):
        key = r.text()
        kind = r.take("I")
        metadata[key] = (kind, r.value(kind))
    infos = []
    for _ in range(n_tensors):
        name = r.text()
        n_dims = r.take("I")
        dims = struct.unpack_from("<%dQ" % n_dims, r.data, r.at)
        r.at += 8 * n_dims
        kind, offset = r.take("IQ")
        infos.append((name, tuple(reversed(dims)), kind, offset))
    start = -(-r.at // ALIGNMENT) * ALIGNMENT
    ends = sorted(i[3] for i in infos) + [len(r.data) - start]
    tensors = {}
    for name, shape, kind, offset in infos:
        end = next(e for e in ends if e > offset)
        data = r.data[start + offset:start + end]
        if kind in (TYPE_F32, TYPE_F16):
            n = 4 if kind == TYPE_F32 else 2
            for d in shape:
                n *= d
            data = data[:n]
        tensors[name] = Tensor(shape, kind, data)
    return metadata, tensors


def _text(s):
    raw = s.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def _value(kind, value):
    if kind == STRING:
        return _text(value)
    if kind != ARRAY:
        return struct.pack("<" + FORMATS[kind], value)
    element, items = value
    head = struct.pack("<IQ", element, len(items))
    if element == STRING:
        return head + b"".join(_text(i) for i in items)
    return head + struct.pack("<%d%s" % (len(items), FORMATS[element]), *items)


def write(path, metadata, tensors):
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    for key, (kind, value) in metadata.items():
        head += _text(key) + struct.pack("<I", kind) + _value(kind, value)
    offset = 0
    for name, t in tensors.items():
        head += _text(name) + struct.pack("<I", len(t.shape))
        head += struct.pack("<%dQ" % len(t.shape), *reversed(t.shape))
        head += struct.pack("<IQ", t.kind, offset)
        offset += -(-len(t.data) // ALIGNMENT) * ALIGNMENT
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGNMENT))
        for t in tensors.values():
            f.write(t.data + b"\0" * (-len(t.data) % ALIGNMENT))
