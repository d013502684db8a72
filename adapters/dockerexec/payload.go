package dockerexec

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"

	"golang.org/x/net/bpf"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/seccomp"
)

const (
	// runnerFolder is where the volume is mounted in containers.
	runnerFolder = "/.taskrunner"
	// supervisorFile and the filters of system calls are the files in it.
	supervisorFile = "supervisor"
	filterFile     = "filter"
	filterUnixFile = "filter-unix" // for Unix sockets alone
	// passwdFile is the /etc/passwd of containers.
	passwdFile = "passwd"
	// runnerPrefix is how the names of all such volumes begin; the rest is the
	// digest of what they hold.
	runnerPrefix = "taskrunner-runner-"
)

// payload is what the volume holds: one folder of small files, of which nobody but
// root may change any.
type payload struct {
	volume  string
	files   []payloadFile
	archive []byte // all of it as a tar
}

type payloadFile struct {
	name    string
	mode    int64
	content []byte
}

const folderMode = 0o755

// arches are the architectures that there are supervisors for, as Go names them.
var arches = []string{"amd64", "arm64"}

// runnerPayload returns what containers of arch, a GOARCH, need.
func runnerPayload(arch string) (*payload, error) {
	supervisor, err := runner.Binary(arch)
	if err != nil {
		return nil, err
	}
	filter, err := encodeFilter(seccomp.Filter(arch))
	if err != nil {
		return nil, err
	}
	unixOnly, err := encodeFilter(seccomp.FilterUnixOnly(arch))
	if err != nil {
		return nil, err
	}
	return newPayload( // where the last one is, the others are, too
		payloadFile{filterFile, 0o644, filter},
		payloadFile{filterUnixFile, 0o644, unixOnly},
		payloadFile{passwdFile, 0o644, passwd()},
		payloadFile{supervisorFile, 0o755, supervisor},
	)
}

// encodeFilter returns a filter of system calls as the supervisor reads it.
func encodeFilter(program []bpf.RawInstruction, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, program); err != nil {
		return nil, fmt.Errorf("encoding the filter of system calls: %w", err)
	}
	return b.Bytes(), nil
}

func newPayload(files ...payloadFile) (*payload, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: folderMode})
	for _, f := range files {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content))}))
		_, writeErr := w.Write(f.content)
		err = errors.Join(err, writeErr)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("packing the supervisor: %w", err)
	}
	digest := sha256.Sum256(b.Bytes())
	return &payload{runnerPrefix + hex.EncodeToString(digest[:6]), files, b.Bytes()}, nil
}

// state is what a volume holds.
type state int

const (
	stateAbsent state = iota // there is no such volume
	stateEmpty
	stateOther  // it lacks something, or has something else
	stateIntact // exactly the payload
)

// compare tells the state of a volume from the tar that the engine makes of it. It
// reads no more than the payload is large. An error means that the tar could not
// be read, and nothing about the volume.
func (p *payload) compare(r io.Reader) (state, error) {
	left := make(map[string]payloadFile, len(p.files))
	for _, f := range p.files {
		left[path.Join(path.Base(runnerFolder), f.name)] = f
	}
	archive, entries, sound := tar.NewReader(r), 0, true
	for {
		h, err := archive.Next()
		switch {
		case err == io.EOF && entries == 0:
			return stateEmpty, nil
		case err == io.EOF && sound && len(left) == 0:
			return stateIntact, nil
		case err == io.EOF:
			return stateOther, nil
		case err != nil:
			return 0, err
		}
		name := path.Clean(h.Name)
		if name == path.Base(runnerFolder) && h.Typeflag == tar.TypeDir {
			sound = h.Mode&0o777 == folderMode
			continue
		}
		entries++
		f, ok := left[name]
		if !ok || h.Typeflag != tar.TypeReg || h.Mode&0o7777 != f.mode || h.Size != int64(len(f.content)) {
			return stateOther, nil
		}
		delete(left, name)
		content := make([]byte, len(f.content))
		if _, err := io.ReadFull(archive, content); err != nil {
			return 0, err
		}
		if !bytes.Equal(content, f.content) {
			return stateOther, nil
		}
	}
}
