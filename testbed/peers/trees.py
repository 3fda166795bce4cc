"""trees.py DIR SEED: makes a tree of files, folders and links of all kinds in DIR, the same for the same SEED.

Names, sizes, modes, times, hard links, holes, and links that lead inside, outside, up and nowhere. No fifo, socket or device: `init-copy`
refuses those, which its README says.
"""

import os
import random
import sys

rng = random.Random(int(sys.argv[2]))
NAMES = ["a", "b b", "ünïcode", "-dash", "dot.d", ".hidden", "x" * 200, "new\nline", "tab\t", "C:colon", "back\\slash", "%41"]


def times(path):
    at = rng.randrange(1, 2_000_000_000) * 1_000_000_000 + rng.randrange(1_000_000_000)
    os.utime(path, ns=(at, at), follow_symlinks=False)


def leaf(path, files):
    kind = rng.choice(["file"] * 6 + ["link"] * 3 + ["hard", "sparse", "empty"])
    if kind == "hard" and files:
        os.link(rng.choice(files), path)
        return
    if kind == "link":
        os.symlink(rng.choice(["a", "../a", "..", "nowhere", "/etc/hostname", "./b b", "dot.d/a"]), path)
        times(path)
        return
    with open(path, "wb") as file:
        if kind == "sparse":
            file.truncate(rng.randrange(1 << 16, 1 << 20))
            file.seek(rng.randrange(1 << 15))
            file.write(b"middle")
        elif kind != "empty":
            file.write(rng.randbytes(rng.randrange(1, 70_000)))
    os.chmod(path, rng.choice([0o644, 0o600, 0o755, 0o440, 0o777, 0o640]))
    times(path)
    files.append(path)


def folder(path, depth, files):
    os.mkdir(path)
    for name in rng.sample(NAMES, rng.randrange(1, 6)):
        below = os.path.join(path, name)
        if depth < 3 and rng.random() < 0.4:
            folder(below, depth + 1, files)
        else:
            leaf(below, files)
    os.chmod(path, rng.choice([0o755, 0o700, 0o750, 0o555, 0o777]))
    times(path)


files = []
os.makedirs(sys.argv[1])
for top in ("tree", "other"):
    folder(os.path.join(sys.argv[1], top), 0, files)
leaf(os.path.join(sys.argv[1], "file"), [])
os.symlink("tree", os.path.join(sys.argv[1], "link-to-tree"))
