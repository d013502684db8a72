package testenv

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUnique(t *testing.T) {
	a, b := Unique(t), Unique(t)
	assert.NotEqual(t, a, b)
	assert.Regexp(t, "^[a-z0-9-]{3,63}$", a, "also a bucket may be called so")
}
