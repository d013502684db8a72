// Command gen builds the supervisor for every architecture, compressed, into the
// folder given by -o (default: the current one, for go generate). The same
// source, Go version and module graph give the same bytes on any machine.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const supervisor = "github.com/task-runner/task-runner/internal/runner/supervisor"

func main() {
	out := flag.String("o", ".", "write the compressed binaries into this `folder`")
	flag.Parse()
	for _, arch := range []string{"amd64", "arm64"} {
		if err := build(*out, arch); err != nil {
			fmt.Fprintf(os.Stderr, "gen: building the supervisor for %s: %v\n", arch, err)
			os.Exit(1)
		}
	}
}

func build(folder, arch string) error {
	tmp, err := os.MkdirTemp("", "supervisor")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	binary := filepath.Join(tmp, "supervisor")

	cmd := exec.Command("go", "build", "-o", binary, "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", supervisor)
	// Whatever of the environment would change the bytes is fixed.
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0",
		"GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off", "GOTOOLCHAIN=local", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	code, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(code); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "supervisor_linux_"+arch+".gz"), packed.Bytes(), 0o644)
}
