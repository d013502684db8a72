package memory

import (
	"unsafe"

	"github.com/task-runner/task-runner/ports"
)

// The sizes of what a record has besides its strings and bytes. The upkeep of the
// record in the store's own tables and of an entry of a map are round figures.
const (
	recordOverhead = int64(unsafe.Sizeof(record{}) + unsafe.Sizeof(ports.Task{}) + 256)
	resultOverhead = int64(unsafe.Sizeof(ports.Result{}))
	sampleSize     = int64(unsafe.Sizeof(ports.Sample{}))
	fileOverhead   = int64(unsafe.Sizeof(ports.File{}))
	stringOverhead = int64(unsafe.Sizeof(""))
	mapEntry       = 64
)

// sizeOf returns about how many bytes t takes in memory.
func sizeOf(t *ports.Task) int64 {
	s := &t.Spec
	n := recordOverhead + length(t.ID) + length(t.Owner) +
		length(s.Language) + length(s.Code) + length(s.Entrypoint) + int64(len(s.Stdin)) +
		length(s.Queue) + length(s.IdempotencyKey) + length(t.TraceParent)
	for _, f := range s.Files {
		n += fileOverhead + length(f.Path) + int64(len(f.Content))
	}
	for _, a := range s.Args {
		n += stringOverhead + length(a)
	}
	for _, m := range []map[string]string{s.Env, s.Labels} {
		for k, v := range m {
			n += mapEntry + length(k) + length(v)
		}
	}
	if r := t.Result; r != nil {
		n += resultOverhead + length(r.Signal) + length(r.Message) +
			sampleSize*int64(len(r.Usage.Samples)) + outputSize(r.Stdout) + outputSize(r.Stderr)
	}
	return n
}

func outputSize(o ports.Output) int64 { return int64(len(o.Head) + len(o.Tail)) }

func length[S ~string](s S) int64 { return int64(len(s)) }
