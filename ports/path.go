package ports

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxPathLen is the greatest length in bytes of a path that ValidatePath accepts.
const MaxPathLen = 255

// ValidatePath returns a *FieldError for field unless p is a path that stays
// within the folder it is relative to, written in the one canonical way: not
// empty, at most MaxPathLen bytes of UTF-8 without control characters (those of
// C1 are some, which a terminal obeys too), forward slashes, and no empty, "." or
// ".." element.
func ValidatePath(field, p string) error {
	switch {
	case p == "":
		return Invalid(field, "must not be empty")
	case len(p) > MaxPathLen:
		return Invalid(field, "must be at most %d bytes long", MaxPathLen)
	case !utf8.ValidString(p):
		return Invalid(field, "must be valid UTF-8")
	case strings.ContainsFunc(p, unicode.IsControl):
		return Invalid(field, "must not contain control characters")
	case strings.Contains(p, `\`):
		return Invalid(field, "must use forward slashes")
	case path.IsAbs(p):
		return Invalid(field, "must be relative")
	case p != path.Clean(p) || p == "." || p == ".." || strings.HasPrefix(p, "../"):
		return Invalid(field, "must be clean: no empty, \".\" or \"..\" element")
	}
	return nil
}
