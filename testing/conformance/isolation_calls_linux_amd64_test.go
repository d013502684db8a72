package conformance

import "golang.org/x/sys/unix"

func init() {
	isoCallNumbers["inotify_init"] = unix.SYS_INOTIFY_INIT
	isoCallNumbers["ioperm"] = unix.SYS_IOPERM
	isoCallNumbers["iopl"] = unix.SYS_IOPL
	isoCallNumbers["uselib"] = unix.SYS_USELIB
}
