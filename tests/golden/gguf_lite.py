"""A GGUF reader for tests, independent of ours: metadata and F32/F16/BF16 tensors, all in plain Python."""

import array
import struct

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
F32, F16, BF16 = 0, 1, 30


class Gguf:
    """`meta`: key -> value; `tensors`: name -> (ne, type, bytes)."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        self.at = 4
        if self.data[:4] != b"GGUF" or self.take("I") != 3:
            raise ValueError(f"{path} is no GGUF file of version 3")
        n_tensors, n_kv = self.take("Q"), self.take("Q")
        self.meta = {}
        for _ in range(n_kv):
            key = self.take_text()
            self.meta[key] = self.take_value(self.take("I"))
        infos = [(self.take_text(), [self.take("Q") for _ in range(self.take("I"))], self.take("I"), self.take("Q"))
                 for _ in range(n_tensors)]
        start = self.at + -self.at % self.meta.get("general.alignment", 32)
        self.tensors = {}
        for name, ne, kind, offset in infos:
            n = {F32: 4, F16: 2, BF16: 2}[kind]
            for d in ne:
                n *= d
            self.tensors[name] = (ne, kind, self.data[start + offset:start + offset + n])

    def take(self, code):
        value = struct.unpack_from("<" + code, self.data, self.at)[0]
        self.at += struct.calcsize("<" + code)
        return value

    def take_text(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode()

    def take_value(self, kind):
        if kind == 8:
            return self.take_text()
        if kind == 9:
            kind, n = self.take("I"), self.take("Q")
            return [self.take_value(kind) for _ in range(n)]
        return self.take(SCALARS[kind])

    def floats(self, name):
        """Values of a tensor in memory order."""
        _, kind, data = self.tensors[name]
        if kind == F32:
            return array.array("f", data)
        if kind == F16:
            return array.array("f", struct.unpack(f"<{len(data) // 2}e", data))
        return array.array("f", b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2)))
