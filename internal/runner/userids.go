package runner

import (
	"math/rand/v2"
	"sync"
)

// UserIDs hands out user IDs, each to one sandbox at a time, since the kernel
// counts some things by user: what one has used up, the others would lack. It is
// safe for concurrent use.
type UserIDs struct {
	first, blocks int
	mu            sync.Mutex
	free          []int
	next          int
}

// Each executor takes blocks of IDs at random, so that two on one host are unlikely
// to meet; if they do, their tasks share what the kernel counts by user, and nothing
// else.
const userIDBlock = 1024

// HostUserIDs returns IDs that nobody else on a host has: those from about
// 1,900,000,000 on are not given out by systemd, containers' managers or directories.
func HostUserIDs() *UserIDs { return newUserIDs(1_855_469, 240_000) }

// MappedUserIDs returns IDs below 65,536, which are there in user namespaces, too.
func MappedUserIDs() *UserIDs { return newUserIDs(1, 62) }

func newUserIDs(firstBlock, blocks int) *UserIDs {
	return &UserIDs{first: firstBlock * userIDBlock, blocks: blocks}
}

// Take returns an ID that no other sandbox of this executor has.
func (u *UserIDs) Take() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(u.free); n > 0 {
		id := u.free[n-1]
		u.free = u.free[:n-1]
		return id
	}
	if u.next%userIDBlock == 0 { // none yet, or all of a block in use
		u.next = u.first + rand.IntN(u.blocks)*userIDBlock
	}
	u.next++
	return u.next - 1
}

// Give takes an ID back that nothing uses any more.
func (u *UserIDs) Give(id int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.free = append(u.free, id)
}
