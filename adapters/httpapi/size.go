package httpapi

import (
	"errors"
	"regexp"

	"github.com/danielgtaylor/huma/v2"
	"github.com/docker/go-units"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Size is a number of bytes. In JSON it is an integer, or a string as Docker
// writes sizes: "256m", "1.5GiB", "64 kb", the units being powers of 1024.
type Size int64

// maxSize is a bound (1 EiB) on what is read as a size at all; far below it the
// operator's maxima apply.
const maxSize = 1 << 60

// sizePattern is what go-units documents. Its parser alone would take more, such
// as hexadecimal floats.
var sizePattern = regexp.MustCompile(`^[0-9]{1,16}(\.[0-9]{1,9})? ?(?:[kKmMgGtTpP][iI]?)?[bB]?$`)

var errSize = badValue(`must be a number of bytes or a size such as "256m" or "1.5GiB"`)

// parseSize returns the number of bytes that s says.
func parseSize(s string) (Size, error) {
	if !sizePattern.MatchString(s) {
		return 0, errSize
	}
	n, err := units.RAMInBytes(s)
	if err != nil {
		return 0, errSize
	}
	// A float that no int64 holds converts to the lowest or the highest one.
	if n < 0 || n > maxSize {
		return 0, badValue("is too large")
	}
	return Size(n), nil
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *Size) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case '"':
		var text string
		err := json.UnmarshalDecode(dec, &text)
		if err == nil {
			*s, err = parseSize(text)
		}
		return err
	case '0':
		var n int64
		if err := json.UnmarshalDecode(dec, &n); err != nil {
			return err
		}
		if n > maxSize {
			return badValue("is too large")
		}
		*s = Size(n)
		return nil
	default:
		if err := dec.SkipValue(); err != nil {
			return err
		}
		return errSize
	}
}

// Schema implements huma.SchemaProvider.
func (*Size) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeInteger, Format: "int64", Examples: []any{268435456}},
		{Type: huma.TypeString, Pattern: sizePattern.String(), Examples: []any{"256m"}},
	}}
}

// badValue is an error of a value of the input that says how to mend it.
type badValue string

func (e badValue) Error() string { return string(e) }

// asBadValue returns the badValue in err.
func asBadValue(err error) (badValue, bool) { return errors.AsType[badValue](err) }
