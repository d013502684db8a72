package mongostore

import (
	"fmt"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// text is what people like to read: a string in the database where it is valid
// UTF-8, which is all that a string may hold there, and else binary. Every text of a
// task and every filter goes through it, so that both are always of one kind.
type text string

// MarshalBSONValue implements bson.ValueMarshaler.
func (t text) MarshalBSONValue() (byte, []byte, error) {
	var v any = string(t)
	if !utf8.ValidString(string(t)) {
		v = bson.Binary{Data: []byte(t)}
	}
	kind, data, err := bson.MarshalValue(v)
	return byte(kind), data, err
}

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (t *text) UnmarshalBSONValue(kind byte, data []byte) error {
	v := bson.RawValue{Type: bson.Type(kind), Value: data}
	if s, ok := v.StringValueOK(); ok {
		*t = text(s)
		return nil
	}
	if _, b, ok := v.BinaryOK(); ok {
		*t = text(b)
		return nil
	}
	return fmt.Errorf("%s where a string or binary should be", v.Type)
}

// pair is an entry of a map. Names of fields could not hold all that a map's may.
type pair struct {
	Name  text `bson:"name"`
	Value text `bson:"value"`
}
