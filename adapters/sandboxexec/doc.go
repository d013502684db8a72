// Package sandboxexec is an Executor that runs every task in a fresh Linux
// sandbox of its own making: namespaces, control groups, a system call filter and
// a read-only file system, without a daemon.
//
// # What a program gets
//
// It runs as user 65534 without any capability, in new user, mount, PID, network,
// IPC, UTS and cgroup namespaces. It sees the host's programs and libraries
// (/usr, /bin, /lib*) or those of a root file system that the operator gives,
// read-only; five devices; its own processes in /proc; a loopback device; and one
// tmpfs, bounded by Limits.Disk, for its work folder, /tmp and /dev/shm. Control
// groups (version 1 or 2) bound memory, CPU and processes and count what was
// used; package internal/seccomp says which system calls there are. It never gets
// the network of the host: a job that asks for one is refused.
//
// Package internal/runner's supervisor is the sandbox's PID 1. Sandboxes are
// started in advance by a pool, each is used for one task and then taken down. Of
// one that ends, nothing serves again but a network namespace that was never
// touched: see network.
//
// # What it needs
//
// Linux 5.11 or later on amd64 or arm64, and root, since only root may hand out
// unused user IDs and limit what it starts. New refuses where a limit could not
// be enforced, and says what to mend. Elsewhere it compiles and refuses.
//
// An executor that is killed leaves nothing that runs: a supervisor ends with the
// connection to its launcher. The next executor removes its control groups.
package sandboxexec
