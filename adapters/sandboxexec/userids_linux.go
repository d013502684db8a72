//go:build amd64 || arm64

package sandboxexec

import (
	"math/rand/v2"
	"sync"
)

// userIDs hands out user IDs of the host, each to one sandbox at a time.
type userIDs struct {
	mu   sync.Mutex
	free []int
	next int
}

// The IDs from about 1,900,000,000 on are not given out by systemd, containers'
// managers or directories. Each executor takes blocks of 1,024 at random, so that
// two on one host are unlikely to meet; if they do, their tasks share what the
// kernel counts by user, and nothing else.
const (
	firstUserID  = 1_855_469 * userIDBlock
	userIDBlocks = 240_000
	userIDBlock  = 1024
)

func (u *userIDs) take() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(u.free); n > 0 {
		id := u.free[n-1]
		u.free = u.free[:n-1]
		return id
	}
	if u.next%userIDBlock == 0 { // none yet, or all of a block in use
		u.next = firstUserID + rand.IntN(userIDBlocks)*userIDBlock
	}
	u.next++
	return u.next - 1
}

func (u *userIDs) give(id int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.free = append(u.free, id)
}
