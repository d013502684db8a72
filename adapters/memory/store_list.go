package memory

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// List implements ports.Store.
func (s *Store) List(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
	if q.Limit < 0 || q.Limit > ports.MaxPage {
		return ports.Page{}, ports.Invalid("limit", "must be between 1 and %d", ports.MaxPage)
	}
	if q.Limit == 0 {
		q.Limit = ports.DefaultPage
	}
	var after *position
	if q.Cursor != "" {
		p, err := parseCursor(q.Cursor)
		if err != nil {
			return ports.Page{}, err
		}
		after = &p
	}
	if err := ctx.Err(); err != nil {
		return ports.Page{}, fmt.Errorf("listing tasks: %w", err)
	}
	found := s.collect(q, after)
	var page ports.Page
	if len(found) > q.Limit {
		found = found[:q.Limit]
		last := found[q.Limit-1]
		page.Next = position{last.CreatedAt, last.ID}.cursor()
	}
	for _, t := range found {
		page.Tasks = append(page.Tasks, t.Clone())
	}
	return page, nil
}

// collect returns the first q.Limit+1 tasks behind after that match.
func (s *Store) collect(q ports.ListQuery, after *position) []*ports.Task {
	s.mu.RLock()
	defer s.mu.RUnlock()
	end := len(s.ordered)
	if after != nil {
		end, _ = s.find(after.createdAt, after.id)
	}
	var found []*ports.Task
	for i := end - 1; i >= 0 && len(found) <= q.Limit; i-- {
		if t := s.ordered[i].task; matches(t, &q) {
			found = append(found, t)
		}
	}
	return found
}

func matches(t *ports.Task, q *ports.ListQuery) bool {
	if !q.AnyOwner && t.Owner != q.Owner {
		return false
	}
	if len(q.Statuses) > 0 && !slices.Contains(q.Statuses, t.Status) {
		return false
	}
	if q.Language != "" && t.Spec.Language != q.Language {
		return false
	}
	for k, want := range q.Labels {
		if v, ok := t.Spec.Labels[k]; !ok || v != want {
			return false
		}
	}
	return q.FinishedBefore.IsZero() || !t.FinishedAt.IsZero() && t.FinishedAt.Before(q.FinishedBefore)
}

// position is a place in the order of the list: that of a task, which need not
// exist any more.
type position struct {
	createdAt time.Time
	id        ports.TaskID
}

// A cursor is a position in URL-safe base64: the version byte, seconds and
// nanoseconds of CreatedAt, the ID, and the CRC-32 (IEEE) of all that, so that a
// cursor that was cut or pasted together is noticed.
const (
	cursorVersion = 1
	cursorHeader  = 1 + 8 + 4
	cursorTrailer = 4
)

// cursorEncoding refuses what it would not have written itself.
var cursorEncoding = base64.RawURLEncoding.Strict()

func (p position) cursor() string {
	b := make([]byte, 0, cursorHeader+len(p.id)+cursorTrailer)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(p.createdAt.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(p.createdAt.Nanosecond()))
	b = append(b, p.id...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return cursorEncoding.EncodeToString(b)
}

func parseCursor(cursor string) (position, error) {
	bad := ports.Invalid("cursor", "must be one that an earlier page gave as its next")
	if len(cursor) > cursorEncoding.EncodedLen(cursorHeader+ports.MaxIDLen+cursorTrailer) {
		return position{}, bad
	}
	b, err := cursorEncoding.DecodeString(cursor)
	if err != nil || len(b) < cursorHeader+cursorTrailer || b[0] != cursorVersion {
		return position{}, bad
	}
	sec, nsec := binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint32(b[9:])
	p := position{time.Unix(int64(sec), int64(nsec)), ports.TaskID(b[cursorHeader : len(b)-cursorTrailer])}
	if p.id.Validate() != nil || p.cursor() != cursor {
		return position{}, bad
	}
	return p, nil
}
