package runner

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"sync"
)

var (
	//go:embed supervisor_linux_amd64.gz
	amd64 []byte
	//go:embed supervisor_linux_arm64.gz
	arm64 []byte
)

var binaries = map[string]func() ([]byte, error){
	"amd64": sync.OnceValues(func() ([]byte, error) { return gunzip(amd64) }),
	"arm64": sync.OnceValues(func() ([]byte, error) { return gunzip(arm64) }),
}

// Binary returns the supervisor's executable, a static ELF file for Linux on arch
// (a GOARCH: "amd64" or "arm64"). Callers share the slice and do not change it.
func Binary(arch string) ([]byte, error) {
	unpack, ok := binaries[arch]
	if !ok {
		return nil, fmt.Errorf("no supervisor for the architecture %q: there are amd64 and arm64", arch)
	}
	return unpack()
}

func gunzip(compressed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("unpacking the supervisor: %w", err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("unpacking the supervisor: %w", err)
	}
	return b, nil
}
