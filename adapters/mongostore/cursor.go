package mongostore

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/task-runner/task-runner/ports"
)

// position is a place in the order of the list: that of a task, which need not exist
// any more.
type position struct {
	createdAt int64 // milliseconds since 1970
	id        ports.TaskID
}

// after returns the filter of the tasks that come after p. Its first condition is
// implied by the second one and is what an index can do something with.
func (p position) after() bson.D {
	at := time.UnixMilli(p.createdAt)
	return bson.D{
		{Key: "created_at", Value: bson.D{{Key: "$lte", Value: at}}},
		{Key: "$or", Value: bson.A{
			bson.D{{Key: "created_at", Value: bson.D{{Key: "$lt", Value: at}}}},
			bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: string(p.id)}}}},
		}},
	}
}

// A cursor is a position in URL-safe base64: the version byte, CreatedAt in
// milliseconds, the ID, and the CRC-32 (IEEE) of all that, so that a cursor that was
// cut or pasted together is noticed.
const (
	cursorVersion = 1
	cursorHeader  = 1 + 8
	cursorTrailer = 4
)

// cursorEncoding refuses what it would not have written itself.
var cursorEncoding = base64.RawURLEncoding.Strict()

func (p position) cursor() string {
	b := make([]byte, 0, cursorHeader+len(p.id)+cursorTrailer)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(p.createdAt))
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
	p := position{int64(binary.BigEndian.Uint64(b[1:])), ports.TaskID(b[cursorHeader : len(b)-cursorTrailer])}
	if p.id.Validate() != nil || p.cursor() != cursor {
		return position{}, bad
	}
	return p, nil
}
