package miniolog

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/minio/minio-go/v7"

	"github.com/task-runner/task-runner/ports"
)

// metadataKey is under which a head's metadata has its record.
const metadataKey = "Taskrunner-Log"

// record is what a head says of its log beside the bytes it holds.
type record struct {
	// Writer is of this one writer alone.
	Writer   string `json:"writer"`
	Complete bool   `json:"complete,omitempty"`
	// Parts of PartSize bytes each come before the head's own bytes.
	Parts    int64 `json:"parts,omitempty"`
	PartSize int64 `json:"part_size,omitempty"`
}

// head is a log's object as it was read or written last.
type head struct {
	record
	etag string
	tail int64 // how many bytes of the log it holds
}

// An open head ends with a stamp of its own. Its ETag is a checksum of its bytes, and would
// without this be the same whenever these are: a request that arrives late could find
// the ETag it was sent for again and undo what came after it.
var stampLen = int64(len(rand.Text()))

// maxLog is the largest object that one request can write, as S3 has it.
const maxLog = 5 << 30

// size is how long the log is.
func (h head) size() int64 { return h.partBytes() + h.tail }

// partBytes is how much of the log is in parts.
func (h head) partBytes() int64 { return h.Parts * h.PartSize }

var errForeign = errors.New("the object is no log of Task Runner")

// parseHead reads the record of an object of size bytes.
func parseHead(text string, size int64, etag string) (head, error) {
	h := head{etag: etag, tail: size}
	if err := json.Unmarshal([]byte(text), &h.record); err != nil {
		return head{}, fmt.Errorf("%w: %w", errForeign, err)
	}
	if !h.Complete {
		h.tail -= stampLen
	}
	switch {
	case etag == "", h.Writer == "", h.tail < 0, h.tail > maxLog,
		h.Complete && h.Parts != 0,
		h.Parts < 0 || h.PartSize < 0 || h.PartSize > maxBuffer || h.Parts > maxLog/minBuffer,
		h.Parts > 0 && h.PartSize == 0:
		return head{}, errForeign
	}
	return h, nil
}

// stat reads a log's head. ErrNotFound: there is none.
func (s *LogSink) stat(ctx context.Context, key ports.LogKey) (head, error) {
	info, err := s.client.StatObject(ctx, s.cfg.Bucket, s.headKey(key), minio.StatObjectOptions{})
	if err != nil {
		return head{}, cause(ctx, err)
	}
	return parseHead(info.UserMetadata[metadataKey], info.Size, info.ETag)
}

// putOpen replaces was, which is zero for a new log, by an open head of the same
// writer.
func (s *LogSink) putOpen(ctx context.Context, key ports.LogKey, was head, parts int64, tail []byte) (head, error) {
	next := head{record: record{Writer: was.Writer, Parts: parts, PartSize: int64(s.cfg.Buffer)}, tail: int64(len(tail))}
	body := slices.Concat(tail, []byte(rand.Text()))
	return s.put(ctx, key, was, next, func() io.ReadSeeker { return bytes.NewReader(body) }, int64(len(body)))
}

// putComplete replaces was by the complete log of size bytes.
func (s *LogSink) putComplete(ctx context.Context, key ports.LogKey, was head, body func() io.ReadSeeker, size int64) (head, error) {
	next := head{record: record{Writer: was.Writer, Complete: true}, tail: size}
	return s.put(ctx, key, was, next, body, size)
}

// maxTurns is how often an operation looks again at a head that was not what it took
// it for. Nobody but its one writer changes a head, and that only now and then.
const maxTurns = 10

// put replaces was by next and returns next with its ETag. ErrExists: there was
// nothing to replace, and now there is. ErrGone: what was to be replaced is no more.
//
// A condition also fails when an earlier request, of which the answer was lost, has
// taken effect. Only the writer itself knows its name, so that a head which has it is one
// that next may replace, or next itself, which does no harm to replace either.
func (s *LogSink) put(ctx context.Context, key ports.LogKey, was, next head, body func() io.ReadSeeker, size int64) (head, error) {
	text, err := json.Marshal(next.record)
	if err != nil {
		return head{}, err
	}
	etag := was.etag
	for range maxTurns {
		opts := minio.PutObjectOptions{
			UserMetadata:       map[string]string{metadataKey: string(text)},
			ContentType:        contentType(key.Name),
			ContentDisposition: contentDisposition(key),
			DisableMultipart:   true, // nothing of it is buffered or left behind half-way
		}
		if etag == "" {
			opts.SetMatchETagExcept("*")
		} else {
			opts.SetMatchETag(etag)
		}
		var info minio.UploadInfo
		info, err = s.client.PutObject(ctx, s.cfg.Bucket, s.headKey(key), body(), size, opts)
		if err == nil {
			next.etag = info.ETag
			return next, nil
		}
		if !isCondition(err) {
			return head{}, cause(ctx, err)
		}
		now, statErr := s.stat(ctx, key)
		switch {
		case errors.Is(statErr, ports.ErrNotFound) && was.etag == "":
			etag = ""
		case errors.Is(statErr, ports.ErrNotFound):
			return head{}, fmt.Errorf("%w: %w", ports.ErrGone, err)
		case statErr != nil && !errors.Is(statErr, errForeign):
			return head{}, statErr
		case now.Writer != next.Writer && was.etag == "":
			return head{}, fmt.Errorf("%w: %w", ports.ErrExists, err)
		case now.Writer != next.Writer:
			return head{}, fmt.Errorf("%w: %w", ports.ErrGone, err)
		case now.Complete:
			return now, nil
		default:
			etag = now.etag
		}
	}
	return head{}, cause(ctx, err)
}
