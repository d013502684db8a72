package sandboxexec

// Config says where sandboxes get their files from and how many are kept ready.
// The zero value is good.
type Config struct {
	// Rootfs is the folder that sandboxes see as their read-only root. Default:
	// "/", of which they see programs and libraries only.
	Rootfs string
	// CgroupParent is the path, within each cgroup hierarchy, of the group that
	// the executor puts its own one into. Default: the one this process is in.
	CgroupParent string
	// Pool is how many sandboxes are kept ready. Default: twice the number of
	// processors; negative: none, so that every task waits for its sandbox.
	Pool int
}

// Stats counts what an executor did and has.
type Stats struct {
	// Warm and Cold count the jobs that found a sandbox ready and those that had
	// to wait for one to be made.
	Warm, Cold int64
	// Ready is how many sandboxes wait for a job, Alive how many there are in all.
	Ready, Alive int
	// Leaked counts sandboxes that could not be taken down whole.
	Leaked int64
}
