"""Imports the dma-buf that is descriptor 3 into an I/O address space of iommufd (linux/iommufd.h), and
has QEMU's edu device (its docs/specs/edu), which vfio-pci has, reach it there by DMA.

Argument: the edu device's PCI address. Standard input: a line "map", "unmap" or "read" for each step.
Standard output: for each a line, the 32-bit number that the device has read, "done", or the name of
the errno.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import struct
import sys
import time

ALLOCATE, MAP, UNMAP, MAP_FILE = 0x3B81, 0x3B85, 0x3B86, 0x3B8F
# linux/vfio.h
REGION_INFO, BIND, ATTACH = 0x3B6C, 0x3B76, 0x3B77
CONFIG_REGION, COMMAND, BUS_MASTER = 7, 4, 4
FIXED_WRITEABLE_READABLE = 7
# The edu device has 28 bits of DMA addresses.
AT, HOST = 1 << 24, 1 << 25
UNREAD = 0x5A5A5A5A


class Edu:
    """Moves 4 bytes at a time, by way of a buffer of its own."""

    SOURCE, TARGET, COUNT, GO, BUFFER = 0x80, 0x88, 0x90, 0x98, 0x40000

    def __init__(self, address, iommu, space):
        name = os.listdir(f"/sys/bus/pci/devices/{address}/vfio-dev")[0]
        self.fd = os.open(f"/dev/vfio/devices/{name}", os.O_RDWR)
        fcntl.ioctl(self.fd, BIND, bytearray(struct.pack("=IIiI", 16, 0, iommu, 0)))
        fcntl.ioctl(self.fd, ATTACH, bytearray(struct.pack("=III", 12, 0, space)))
        config = self.region(CONFIG_REGION)
        (command,) = struct.unpack("=H", os.pread(self.fd, 2, config + COMMAND))
        os.pwrite(self.fd, struct.pack("=H", command | 2 | BUS_MASTER), config + COMMAND)
        self.registers = self.region(0)

    def region(self, index):
        info = bytearray(struct.pack("=IIIIQQ", 32, 0, index, 0, 0, 0))
        fcntl.ioctl(self.fd, REGION_INFO, info)
        return struct.unpack("=IIIIQQ", info)[5]

    def set(self, register, value):
        os.pwrite(self.fd, struct.pack("=I", value), self.registers + register)

    def move(self, source, target, command):
        self.set(self.SOURCE, source)
        self.set(self.TARGET, target)
        self.set(self.COUNT, 4)
        self.set(self.GO, command | 1)
        while os.pread(self.fd, 4, self.registers + self.GO)[0] & 1:
            time.sleep(0.01)

    def fetch(self, source):
        self.move(source, self.BUFFER, 0)

    def store(self, target):
        self.move(self.BUFFER, target, 2)


iommu = os.open("/dev/iommu", os.O_RDWR)
allocation = bytearray(struct.pack("=III", 12, 0, 0))
fcntl.ioctl(iommu, ALLOCATE, allocation)
space = struct.unpack("=III", allocation)[2]
edu = Edu(sys.argv[1], iommu, space)
page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
host = struct.pack("=IIIIQQQ", 40, FIXED_WRITEABLE_READABLE, space, 0, address, mmap.PAGESIZE, HOST)
fcntl.ioctl(iommu, MAP, bytearray(host))
length = os.lseek(3, 0, os.SEEK_END)


def read():
    """What the device reads at the dma-buf's begin; where it gets nothing what it had before."""
    page[0:4] = struct.pack("=I", UNREAD)
    edu.fetch(HOST)
    edu.fetch(AT)
    edu.store(HOST)
    return struct.unpack("=I", page[0:4])[0]


for line in sys.stdin:
    result = "done"
    try:
        if line == "read\n":
            result = read()
        elif line == "map\n":
            step = struct.pack("=IIIiQQQ", 40, FIXED_WRITEABLE_READABLE, space, 3, 0, length, AT)
            fcntl.ioctl(iommu, MAP_FILE, bytearray(step))
        else:
            fcntl.ioctl(iommu, UNMAP, bytearray(struct.pack("=IIQQ", 24, space, AT, length)))
    except OSError as error:
        result = errno.errorcode[error.errno]
    print(result, flush=True)
