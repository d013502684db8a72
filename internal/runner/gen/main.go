// Command gen builds the supervisor for every architecture and writes the
// binaries, compressed, into the folder given by -o (default: the current one, for
// go generate). Beside them it writes supervisor.sum, the digest of their sources.
// The same sources and Go version give the same binaries on any machine.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const supervisor = "github.com/task-runner/task-runner/internal/runner/supervisor"

func main() {
	out := flag.String("o", ".", "write into this `folder`")
	flag.Parse()
	if err := generate(*out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func generate(folder string) error {
	sum, err := digest()
	if err != nil {
		return fmt.Errorf("digesting the sources: %w", err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		code, err := build(arch)
		if err != nil {
			return fmt.Errorf("building for %s: %w", arch, err)
		}
		packed, err := compress(code)
		if err != nil {
			return fmt.Errorf("compressing for %s: %w", arch, err)
		}
		if err := os.WriteFile(filepath.Join(folder, "supervisor_linux_"+arch+".gz"), packed, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, "supervisor.sum"), []byte(sum+"\n"), 0o644)
}

// run runs the go command for a Linux target and returns what it printed. Whatever of
// the environment would change the binaries is fixed.
func run(arch string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0",
		"GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off", "GOTOOLCHAIN=local", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, &stderr)
	}
	return output, nil
}

// digest returns a digest of all sources of the supervisor that are not Go's own.
func digest() (string, error) {
	const format = `{{if not .Standard}}{{range .GoFiles}}{{$.ImportPath}}/{{.}}{{"\t"}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}{{end}}`
	list, err := run("amd64", "list", "-deps", "-f", format, supervisor)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, line := range slices.Sorted(strings.Lines(string(list))) {
		name, path, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if name == "" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) // as some systems check it out
		fmt.Fprintf(sum, "%s %x\n", name, sha256.Sum256(text))
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

func build(arch string) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "supervisor")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	binary := filepath.Join(tmp, "supervisor")
	if _, err := run(arch, "build", "-o", binary, "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", supervisor); err != nil {
		return nil, err
	}
	return os.ReadFile(binary)
}

func compress(code []byte) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(code); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}
