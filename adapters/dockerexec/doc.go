// Package dockerexec is an Executor that runs every task in a fresh Docker
// container: started in advance, used once, removed.
//
// # What a program gets
//
// It runs in the image of its language as a user without any capability, in a
// container whose settings are one table, each with its reason: see Settings. The
// image is read-only. The program can write to /tmp, where its work folder is, and to
// /dev/shm, both in memory and together as large as Limits.Disk; nothing there may be
// executed unless the language has a compile step. It sees the processors, memory
// and load of the engine's host in /proc, and no other process. It has no network,
// unless the job asks for one and Config.Network is set. Its PATH is the image's.
//
// Memory, CPU and processes are limited by control groups (version 1 or 2), which also
// count what is used; package internal/seccomp says which system calls there are.
// Where control groups are of version 1, a program without a network has no Internet
// sockets at all, since nothing limits their memory.
//
// # What it needs
//
// Docker Engine 20.10 or later on Linux, amd64 or arm64, local or remote: DOCKER_HOST
// and the other variables of the Docker client are the caller's to use, who makes the
// client. New refuses an engine that could not enforce a limit, and says what to mend;
// Examine looks at more. The engine keeps one small volume with the supervisor, whose
// name begins with taskrunner-runner-, between executors.
//
// An executor that is killed leaves containers that do not run: a supervisor ends with
// the connection to its launcher. The next one removes them; see Reap.
//
// # Usage
//
// CPU time is exact. Peak memory is that of the container, less what the supervisor
// holds. Starting a container takes some, too: about a megabyte with runc, and 12 to
// 14 with those runc 1.1 that copy themselves to memory (seen with 1.1.15). Of a program
// that took less than that, it is the resident size of the largest process, or what
// the start took if that is less. Both count the pages of the image that this
// container was the first to read.
package dockerexec
