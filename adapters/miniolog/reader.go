package miniolog

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"

	"github.com/task-runner/task-runner/ports"
)

// logReader reads the bytes of a log from next to end: of one object after the other,
// each requested when its turn comes. Bytes keep their places whatever becomes of the
// objects that hold them, so that it can always look anew where the next ones are.
type logReader struct {
	ctx       context.Context // of the Open
	sink      *LogSink
	key       ports.LogKey
	head      head
	next, end int64
	piece     io.ReadCloser // nil: none is open
	left      int64         // of piece
	closed    bool
}

func (s *LogSink) reader(ctx context.Context, key ports.LogKey, h head, from, to int64) *logReader {
	return &logReader{ctx: ctx, sink: s, key: key, head: h, next: from, end: to}
}

// Read implements io.Reader.
func (r *logReader) Read(p []byte) (int, error) {
	switch {
	case r.closed:
		return 0, logError("reading", r.key, ports.ErrClosed)
	case r.next >= r.end:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := r.read(p)
	if err != nil {
		err = logError("reading", r.key, err)
	}
	return n, err
}

func (r *logReader) read(p []byte) (int, error) {
	if r.piece == nil {
		if err := r.open(); err != nil {
			return 0, err
		}
	}
	n, err := r.piece.Read(p[:min(int64(len(p)), r.left)])
	r.next += int64(n)
	r.left -= int64(n)
	switch {
	case r.left == 0:
		err = nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	if r.left == 0 || err != nil {
		_ = r.piece.Close()
		r.piece = nil
	}
	return n, cause(r.ctx, err)
}

// open requests the object that holds the next bytes, as far as they are wanted.
func (r *logReader) open() error {
	var err error
	for range maxTurns {
		object, from, to, opts := r.place()
		if from >= to {
			return ports.ErrGone // never of a log that only grew
		}
		if err = opts.SetRange(from, to-1); err != nil {
			return err
		}
		core := minio.Core{Client: r.sink.client}
		r.piece, _, _, err = core.GetObject(r.ctx, r.sink.cfg.Bucket, object, opts)
		if err == nil {
			r.left = to - from
			return nil
		}
		r.piece = nil
		if !isCondition(err) {
			return cause(r.ctx, err)
		}
		if err := r.lookAgain(); err != nil {
			return err
		}
	}
	return err
}

// place returns where the next bytes are.
func (r *logReader) place() (object string, from, to int64, opts minio.GetObjectOptions) {
	if base := r.head.partBytes(); r.next >= base {
		opts.Set("If-Match", `"`+r.head.etag+`"`)
		return r.sink.headKey(r.key), r.next - base, min(r.end, r.head.size()) - base, opts
	}
	number := r.next / r.head.PartSize
	start := number * r.head.PartSize
	return r.sink.partKey(r.key, r.head.Writer, number), r.next - start, min(r.end-start, r.head.PartSize), opts
}

// lookAgain reads the head that took the place of the one that is known.
func (r *logReader) lookAgain() error {
	now, err := r.sink.stat(r.ctx, r.key)
	switch {
	case errors.Is(err, ports.ErrNotFound):
		// That it was deleted is all there is to say.
		return fmt.Errorf("%w: the log was deleted", ports.ErrGone)
	case err != nil:
		return err
	case now.Writer != r.head.Writer:
		return fmt.Errorf("%w: the log was deleted", ports.ErrGone)
	}
	r.head = now
	return nil
}

// Close implements io.Closer.
func (r *logReader) Close() error {
	r.closed = true
	if r.piece != nil {
		_ = r.piece.Close()
		r.piece = nil
	}
	return nil
}
