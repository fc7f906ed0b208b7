"""Reads a block of each NVMe namespace into the memory of each provider, through the kernel's p2pdma.

Standard input: {"providers": {BDF: file "allocate"}, "clients": {BDF: block device}}, as JSON.
Standard output: [[provider, client, outcome]], as JSON; "right" or "wrong" is said of the data.
"""

import errno
import json
import mmap
import os
import sys

BLOCK = 4096

request = json.load(sys.stdin)
memory = {}
for provider, path in request["providers"].items():
    fd = os.open(path, os.O_RDWR)
    memory[provider] = mmap.mmap(fd, BLOCK, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

outcomes = []
for client, path in request["clients"].items():
    namespace = os.open(path, os.O_RDWR | os.O_DIRECT)
    pattern = mmap.mmap(-1, BLOCK)
    pattern.write(os.urandom(BLOCK))
    os.pwritev(namespace, [pattern], 0)
    for provider, target in memory.items():
        target[:] = bytes(BLOCK)
        try:
            length = os.preadv(namespace, [target], 0)
            outcome = "right" if length == BLOCK and target[:] == pattern[:] else "wrong"
        except OSError as error:
            outcome = errno.errorcode[error.errno]
        outcomes.append([provider, client, outcome])
json.dump(outcomes, sys.stdout)
