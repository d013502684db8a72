package main

// sysSeccomp is seccomp(2), which package syscall does not name on amd64.
const sysSeccomp = 317
