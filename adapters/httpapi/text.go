package httpapi

import (
	"strings"
	"unicode/utf8"
)

// toText returns b as valid UTF-8: every byte that is not part of a character
// becomes one U+FFFD, so that cutting b elsewhere, between characters, gives the
// same text.
func toText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var text strings.Builder
	text.Grow(len(b) + 16)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		text.WriteRune(r)
		b = b[size:]
	}
	return text.String()
}

// cutRune returns how many bytes at the end of b begin a character whose rest is
// yet to come; at most utf8.UTFMax-1.
func cutRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if utf8.RuneStart(b[len(b)-n]) {
			if utf8.FullRune(b[len(b)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
