"""Lays out what an image of this very Python needs: interpreter, library, a shell, and what they are linked with."""

import glob
import os
import re
import shutil
import subprocess
import sys
import sysconfig

TREE = sys.argv[1]
LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "site-packages", "dist-packages", "test", "config-*", "idlelib", "ensurepip", "lib2to3", "tkinter"
)


def put(source, place):
    target = TREE + place
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(source, target)
    os.chmod(target, 0o755)


def write(place, text, mode=0o644):
    os.makedirs(os.path.dirname(TREE + place), exist_ok=True)
    with open(TREE + place, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(TREE + place, mode)


def linked(programs):
    """The files that the loader would map, each once."""
    told = subprocess.run(["ldd", *programs], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return sorted(set(re.findall(r"(/\S+) \(0x", told.stdout)))


python, shell = os.path.realpath(sys.executable), os.path.realpath(shutil.which("sh"))
stdlib = sysconfig.get_path("stdlib")
put(python, "/usr/local/bin/python3")
put(shell, "/bin/sh")
shutil.copytree(
    stdlib,
    f"{TREE}/usr/local/{sys.platlibdir}/{os.path.basename(stdlib)}",
    ignore=LEFT_OUT,
    ignore_dangling_symlinks=True,
)
libraries = linked([python, shell, *glob.glob(f"{stdlib}/lib-dynload/*.so")])
usual = next(os.path.dirname(path) for path in libraries if os.path.basename(path).startswith("libc.so"))
for path in libraries:
    # What lies in somebody's home is put where the loader looks by itself.
    put(path, path if path.startswith(("/lib", "/usr/lib")) else f"{usual}/{os.path.basename(path)}")
write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
write("/etc/group", "root:x:0:\n")
os.makedirs(TREE + "/tmp")
os.chmod(TREE + "/tmp", 0o1777)
