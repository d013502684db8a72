package mongostore

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/task-runner/task-runner/ports"
)

const (
	// reserve is kept free in a document that has no result yet. A result has
	// 64 KiB of output, 600 samples of 60 bytes and a message.
	reserve = 1 << 20
	// overhead is more than what a document has beside its record.
	overhead = 1 << 10
)

// encode returns the record as BSON, unless it is larger than the server takes or has
// no room for a result.
func (s *Store) encode(r *record) (bson.Raw, error) {
	raw, err := bson.Marshal(r)
	if err != nil {
		return nil, err
	}
	room := s.maxDocument - overhead
	if r.Result == nil {
		room -= reserve
	}
	if len(raw) <= room {
		return raw, nil
	}
	return nil, ports.Invalid(largest(raw), "is too large: a whole task may have %d bytes where this one has %d", room, len(raw))
}

// largest returns the name of the field that takes most of a record.
func largest(record bson.Raw) string {
	name, size := "", -1
	look := func(field string, v bson.RawValue) {
		if len(v.Value) > size {
			name, size = field, len(v.Value)
		}
	}
	look("result", record.Lookup("result"))
	fields, err := record.Lookup("spec").Document().Elements()
	if err != nil {
		return name
	}
	for _, f := range fields {
		look(f.Key(), f.Value())
	}
	return name
}
