"""Takes huge pages, which come from the machine's reserve and which no limit on
memory counts: two MiB in each way, none of which is touched."""

import mmap

from probe import call, probe

SIZE = 2 << 20
MAP_HUGETLB, MFD_HUGETLB, SHM_HUGETLB = 0x40000, 0x4, 0o4000
HIGH = 1 << 32
ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE


def mapped(flags):
    call("mmap", 0, SIZE, READ_WRITE, ANONYMOUS | flags, -1, 0)


probe("mmap", mapped, MAP_HUGETLB)
probe("mmap-of-a-size", mapped, MAP_HUGETLB | 21 << 26)
probe("mmap-high-bits", mapped, MAP_HUGETLB | HIGH)
probe("memfd_create", call, "memfd_create", b"huge", MFD_HUGETLB)
probe("memfd_create-high-bits", call, "memfd_create", b"huge", MFD_HUGETLB | HIGH)
probe("shmget", call, "shmget", 0, SIZE, SHM_HUGETLB | 0o1600)
probe("shmget-high-bits", call, "shmget", 0, SIZE, SHM_HUGETLB | HIGH | 0o1600)
