#!/usr/bin/env python3
"""Writes tokenizer/unicode_tables.c from the Unicode Character Database.

usage: scripts/gen_unicode.py [UCD_FOLDER] > tokenizer/unicode_tables.c

UCD_FOLDER holds UnicodeData.txt, PropList.txt, Scripts.txt and DerivedCoreProperties.txt; the
default is where Debian's package `unicode-data` puts them. tokenizer/unicode.h explains the tables.
"""
import re
import sys

LIMIT = 0x110000
BLOCK = 128
CATEGORY_BITS = {"Lu": 0, "Ll": 1, "Lt": 2, "Lm": 3, "Lo": 4, "M": 5, "N": 6, "P": 7, "S": 8, "Z": 9,
                 "Cc": 10, "Cf": 11, "Co": 12, "Cs": 13, "Cn": 14}
SPACE, NEWLINE, HAN, DIGIT, WORD, ASCII, BLANK, SLASH, ASCII_DIGIT, APOSTROPHE = range(15, 25)


def read_unicode_data(folder):
    """Category, simple lower case and canonical decomposition by code point."""
    category, lower, decomposition = ["Cn"] * LIMIT, {}, {}
    first = None
    with open(f"{folder}/UnicodeData.txt", encoding="utf-8") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(";")
            cp = int(fields[0], 16)
            if fields[1].endswith(", First>"):
                first = cp
                continue
            start = first if fields[1].endswith(", Last>") else cp
            first = None
            for c in range(start, cp + 1):
                category[c] = fields[2]
            if fields[13]:
                lower[cp] = int(fields[13], 16)
            if fields[5] and not fields[5].startswith("<"):
                decomposition[cp] = int(fields[5].split()[0], 16)
    return category, lower, decomposition


def read_property(path, name):
    """Set of the code points with a property, and the version that the file states."""
    members, version = set(), None
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            stated = re.match(r"# \w+-([0-9.]+)\.txt", line)
            if stated:
                version = stated.group(1)
            fields = [f.strip() for f in line.split("#")[0].split(";")]
            if len(fields) == 2 and fields[1] == name:
                ends = fields[0].split("..")
                members.update(range(int(ends[0], 16), int(ends[-1], 16) + 1))
    return members, version


def char_masks(folder, category):
    space, version = read_property(f"{folder}/PropList.txt", "White_Space")
    joiner, _ = read_property(f"{folder}/PropList.txt", "Join_Control")
    han, _ = read_property(f"{folder}/Scripts.txt", "Han")
    alphabetic, _ = read_property(f"{folder}/DerivedCoreProperties.txt", "Alphabetic")
    masks = []
    for cp in range(LIMIT):
        cat = category[cp]
        mask = 1 << CATEGORY_BITS[cat if cat in CATEGORY_BITS else cat[0]]
        mask |= (cp in space) << SPACE | (cp in (10, 13)) << NEWLINE | (cp in han) << HAN
        mask |= (cat == "Nd") << DIGIT | (cp < 128) << ASCII | (cp == 0x20) << BLANK
        mask |= (cp == 0x2F) << SLASH | (0x30 <= cp <= 0x39) << ASCII_DIGIT
        mask |= (cp == 0x27) << APOSTROPHE
        word = cp in alphabetic or cat[0] == "M" or cat in ("Nd", "Pc") or cp in joiner
        masks.append(mask | word << WORD)
    return masks, version


def lower_ranges(lower):
    """Runs of equal distance, every code point or every second one."""
    ranges = []
    for cp in sorted(lower):
        delta = lower[cp] - cp
        if ranges and ranges[-1][2] == delta:
            first, last, _, step = ranges[-1]
            gap = cp - last
            if gap in (1, 2) and (first == last or gap == step):
                ranges[-1] = (first, cp, delta, gap)
                continue
        ranges.append((cp, cp, delta, 1))
    return ranges


def base_letters(decomposition):
    bases = {}
    for cp in decomposition:
        base = cp
        while base in decomposition:
            base = decomposition[base]
        bases[cp] = base
    return sorted(bases.items())


def print_rows(items, per_line, form):
    for i in range(0, len(items), per_line):
        print("    " + ", ".join(form(x) for x in items[i:i + per_line]) + ",")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "/usr/share/unicode"
    category, lower, decomposition = read_unicode_data(folder)
    masks, version = char_masks(folder, category)
    kinds = sorted(set(masks))
    index = {mask: i for i, mask in enumerate(kinds)}
    rows, row_index, blocks = [], {}, []
    for start in range(0, LIMIT, BLOCK):
        row = tuple(index[m] for m in masks[start:start + BLOCK])
        if row not in row_index:
            row_index[row] = len(rows)
            rows.append(row)
        blocks.append(row_index[row])
    assert len(rows) <= 256 and len(kinds) <= 256

    print(f"/* Generated from the Unicode Character Database {version} by scripts/gen_unicode.py; do not edit.")
    print(" * Regenerate:  scripts/gen_unicode.py > tokenizer/unicode_tables.c")
    print(" * (Debian's package unicode-data holds the database; the argument names another folder.) */")
    print('#include "tokenizer/unicode.h"\n\n/* clang-format off */')
    print(f'const char unicode_version[] = "{version}";\n')
    print("const uint32_t unicode_kinds[] = {")
    print_rows(kinds, 10, lambda m: f"0x{m:x}")
    print("};\n\nconst uint8_t unicode_block[0x110000 / 128] = {")
    print_rows(blocks, 24, str)
    print("};\n\nconst uint8_t unicode_rows[][128] = {")
    for row in rows:
        print("    {")
        print_rows(row, 32, str)
        print("    },")
    print("};\n\nconst uint32_t unicode_ascii[256] = {")
    print_rows(masks[:128], 10, lambda m: f"0x{m:x}")
    print("};\n\nconst struct unicode_lower_range unicode_lower_ranges[] = {")
    ranges = lower_ranges(lower)
    print_rows(ranges, 4, lambda r: f"{{0x{r[0]:x}, 0x{r[1]:x}, {r[2]}, {r[3]}}}")
    print(f"}};\nconst uint32_t unicode_n_lower_ranges = {len(ranges)};\n")
    print("const struct unicode_base unicode_bases[] = {")
    bases = base_letters(decomposition)
    print_rows(bases, 6, lambda b: f"{{0x{b[0]:x}, 0x{b[1]:x}}}")
    print(f"}};\nconst uint32_t unicode_n_bases = {len(bases)};")


if __name__ == "__main__":
    main()
