package main

// sysSeccomp is seccomp(2).
const sysSeccomp = 277
