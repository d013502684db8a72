package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/joho/godotenv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheExampleOfVariablesIsTrue(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	newBackend().Settings.PrintEnv(&want)
	got, err := os.ReadFile(".env.example")
	require.NoError(t, err)
	require.Equal(t, want.String(), string(got), `make it anew: go run ./apps/backend env >apps/backend/.env.example`)

	vars, err := godotenv.Read(".env.example")
	require.NoError(t, err)
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	_, err = newBackend().Settings.Parse(nil, env)
	assert.NoError(t, err, "every default is a value that may be given")
}
