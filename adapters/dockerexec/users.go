package dockerexec

import (
	"bytes"
	"fmt"
)

// The kernel counts some things by user: what one program has used up, others of
// the same user would lack. So containers have one of these users each, in turn. With
// several executors on one engine, or more containers at once than there are users,
// two may have the same one; they then share what the kernel counts so, and nothing
// else.
const (
	// firstUser is the first of those of an engine whose containers have the host's
	// user IDs. IDs from about 1,900,000,000 on are not given out by systemd,
	// containers' managers or directories.
	firstUser = 1_900_000_256
	// firstMappedUser is the first of those of an engine with a user namespace, of
	// which only IDs below 65,536 are sure to exist.
	firstMappedUser = 61_440
	// users is how many there are of either kind.
	users = 512

	// group is that of all programs: the one that owns nothing.
	group = 65534
)

// user returns the ID of the user of the container with this number.
func (e engine) user(number int64) int {
	first := firstUser
	if e.UserNS {
		first = firstMappedUser
	}
	return first + int(number%users)
}

// passwd is the /etc/passwd of all containers: programs ask it for the name of their
// user, and some give up where it has none.
func passwd() []byte {
	var b bytes.Buffer
	b.WriteString("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n")
	for _, first := range []int{firstUser, firstMappedUser} {
		for id := first; id < first+users; id++ {
			fmt.Fprintf(&b, "sandbox:x:%d:%d::%s:/bin/sh\n", id, group, workDir)
		}
	}
	return b.Bytes()
}
