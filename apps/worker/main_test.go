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
	newWorker().Settings.PrintEnv(&want)
	got, err := os.ReadFile(".env.example")
	require.NoError(t, err)
	require.Equal(t, want.String(), string(got), `make it anew: go run ./apps/worker env >apps/worker/.env.example`)

	vars, err := godotenv.Read(".env.example")
	require.NoError(t, err)
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	_, err = newWorker().Settings.Parse(nil, env)
	assert.NoError(t, err, "every default is a value that may be given")
}
