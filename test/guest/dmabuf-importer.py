"""Imports the dma-buf that is descriptor 3 into an I/O address space of iommufd (linux/iommufd.h).

Standard input: a line "map" or "unmap" for each step. Standard output: for each a line, "done" or the
name of the errno.
"""

import errno
import fcntl
import os
import struct
import sys

ALLOCATE, UNMAP, MAP_FILE = 0x3B81, 0x3B86, 0x3B8F
FIXED_WRITEABLE_READABLE = 7
AT = 1 << 32

iommu = os.open("/dev/iommu", os.O_RDWR)
allocation = bytearray(struct.pack("=III", 12, 0, 0))
fcntl.ioctl(iommu, ALLOCATE, allocation)
space = struct.unpack("=III", allocation)[2]
length = os.lseek(3, 0, os.SEEK_END)

for line in sys.stdin:
    try:
        if line == "map\n":
            step = struct.pack("=IIIiQQQ", 40, FIXED_WRITEABLE_READABLE, space, 3, 0, length, AT)
            fcntl.ioctl(iommu, MAP_FILE, bytearray(step))
        else:
            fcntl.ioctl(iommu, UNMAP, bytearray(struct.pack("=IIQQ", 24, space, AT, length)))
        print("done", flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
