"""change.py DIR SEED: changes the tree in DIR, the same way for the same SEED: adds, rewrites, removes, and puts one kind in the place of another.

Of names only those that init-copy takes from packed trees, which its README says.
"""

import os
import random
import shutil
import sys

top, rng = sys.argv[1], random.Random(int(sys.argv[2]))
NAMES = ["a", "b b", "ünïcode", "-dash", "dot.d", ".hidden", "x" * 200, "C:colon", "%41", "wh.x", "usr"]


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def put(path, depth):
    kind = rng.choice(["file"] * 4 + ["dir"] * 3 + ["link"])
    if not (kind == "dir" and os.path.isdir(path) and not os.path.islink(path)):
        remove(path)
    if kind == "file":
        with open(path, "wb") as file:
            file.write(rng.randbytes(rng.randrange(0, 9000)))
        os.chmod(path, rng.choice([0o644, 0o600, 0o755, 0o444]))
    elif kind == "link":
        os.symlink(rng.choice(["a", "../a", "nowhere", "/a", "./b b", "dot.d/a"]), path)
    else:
        os.makedirs(path, exist_ok=True)
        os.chmod(path, rng.choice([0o755, 0o700, 0o750]))
        if depth < 4:
            for name in rng.sample(NAMES, rng.randrange(0, 5)):
                put(os.path.join(path, name), depth + 1)


for _ in range(6):
    folders = [path for path, _, _ in os.walk(top)]
    folder = rng.choice(folders)
    path = os.path.join(folder, rng.choice(NAMES))
    if rng.random() < 0.3:
        remove(path)
    else:
        put(path, folder.count("/") - top.count("/"))
