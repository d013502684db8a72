//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner/frame"
)

// What the supervisor does as a whole is tested in package runner. Here are the parts
// whose edges a whole run does not reach. The tests run one after the other: umask
// and descriptors are the process's.

func TestFilesFollowNoLinkAndReplaceNothing(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, dir, outside string)
		path    string
		want    syscall.Errno
	}{
		"a link in the place of a folder": {
			func(t *testing.T, dir, outside string) { require.NoError(t, os.Symlink(outside, dir+"/a")) },
			"a/file", syscall.ENOTDIR,
		},
		"a link in the place of the file": {
			func(t *testing.T, dir, outside string) { require.NoError(t, os.Symlink(outside+"/file", dir+"/file")) },
			"file", syscall.EEXIST,
		},
		"a link that leads nowhere": {
			func(t *testing.T, dir, outside string) { require.NoError(t, os.Symlink("nowhere", dir+"/file")) },
			"file", syscall.EEXIST,
		},
		"a file that is there": {
			func(t *testing.T, dir, _ string) { require.NoError(t, os.WriteFile(dir+"/file", []byte("old"), 0o600)) },
			"file", syscall.EEXIST,
		},
		"a folder in the place of the file": {
			func(t *testing.T, dir, _ string) { require.NoError(t, os.Mkdir(dir+"/file", 0o700)) },
			"file", syscall.EEXIST,
		},
		"a file in the place of a folder": {
			func(t *testing.T, dir, _ string) { require.NoError(t, os.WriteFile(dir+"/a", nil, 0o600)) },
			"a/file", syscall.ENOTDIR,
		},
		"a way up":      {func(*testing.T, string, string) {}, "../file", syscall.EINVAL},
		"a way down":    {func(*testing.T, string, string) {}, "/file", syscall.EINVAL},
		"a way through": {func(*testing.T, string, string) {}, "a/../../file", syscall.EINVAL},
		"a long name":   {func(*testing.T, string, string) {}, strings.Repeat("n", 256), syscall.ENAMETOOLONG},
	} {
		t.Run(name, func(t *testing.T) {
			dir, outside := t.TempDir(), t.TempDir()
			c.prepare(t, dir, outside)
			err := writeFiles(dir, []frame.File{{Path: c.path, Mode: 0o644, Content: []byte("new")}})
			assert.ErrorIs(t, err, c.want)
			assert.ErrorContains(t, err, c.path+": ")
			left, err := os.ReadDir(outside)
			require.NoError(t, err)
			assert.Empty(t, left, "nothing was written outside")
			if text, err := os.ReadFile(filepath.Join(dir, "file")); err == nil {
				assert.Equal(t, "old", string(text), "nothing was replaced")
			}
		})
	}
}

func TestFilesNeedTheirFolder(t *testing.T) {
	assert.NoError(t, writeFiles("/no/such", nil), "but only if there are any")
	err := writeFiles("/no/such", []frame.File{{Path: "a"}})
	assert.ErrorIs(t, err, syscall.ENOENT)
}

func TestWritingFilesLeaksNoDescriptor(t *testing.T) {
	dir := t.TempDir()
	before := descriptors(t)
	for _, path := range []string{"a/b/c/d", "a/b/c/d", "a/b/c/d/e", "x"} {
		_ = writeFiles(dir, []frame.File{{Path: path, Mode: 0o600}})
	}
	assert.Equal(t, before, descriptors(t))
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}

// filled returns the reading end of a pipe that holds n bytes and is closed.
func filled(t *testing.T, n int) int {
	t.Helper()
	r, w := pipe()
	setNonblock(w)
	k, err := write(w, bytes.Repeat([]byte{'x'}, n))
	require.NoError(t, err)
	require.Equal(t, n, k)
	closeFD(&w)
	setNonblock(r)
	return r
}

func TestAStreamStopsWhileTheOutboxIsFull(t *testing.T) {
	var out outbox
	a := stream{kind: frame.TypeStdout, fd: filled(t, 60<<10)}
	b := stream{kind: frame.TypeStderr, fd: filled(t, 60<<10)}
	defer closeFD(&a.fd)
	defer closeFD(&b.fd)
	const limit = 1 << 20
	require.True(t, a.pump(&out, limit))
	require.True(t, b.pump(&out, limit))
	assert.True(t, a.blocked(&out, limit))
	assert.False(t, a.pump(&out, limit))
	assert.EqualValues(t, frame.MaxData, a.total, "it stays as it is")

	end := out.end
	assert.True(t, out.spare())
	result := frame.AppendResult(nil, &frame.Result{End: frame.EndNotStarted, Message: strings.Repeat("m", frame.MaxMessage)})
	for step := range frame.MaxSteps {
		out.add(frame.AppendStarted(nil, step))
	}
	for out.spare() {
		out.add(frame.AppendSample(nil, frame.Sample{}))
	}
	length := out.end + len(result)
	out.add(result)
	assert.Equal(t, length, out.end, "there is always room for the frames that must not be lost")

	out.start = end // the launcher took the output
	assert.False(t, a.blocked(&out, limit))
	assert.True(t, a.pump(&out, limit))
	assert.EqualValues(t, 60<<10, a.total)
}

func TestAStreamBeyondItsLimitNeedsNoRoom(t *testing.T) {
	var out outbox
	s := stream{kind: frame.TypeStdout, fd: filled(t, 60<<10)}
	require.True(t, s.pump(&out, 100))
	assert.EqualValues(t, 100, s.total)
	assert.Equal(t, frame.HeaderSize+100, out.end)
	out.end = len(out.buf)
	for s.pump(&out, 100) {
	}
	assert.EqualValues(t, 60<<10, s.total)
	assert.Equal(t, -1, s.fd, "it was at its end")
	assert.Equal(t, len(out.buf), out.end)
}

// However the launcher takes them, in whatever pieces, frames stay whole.
func TestTheOutboxKeepsFramesWhole(t *testing.T) {
	var out outbox
	var sent []byte
	for i := range 100 {
		if !out.room() {
			sent = append(sent, out.buf[out.start:out.end]...)
			out.start, out.end = 0, 0
		}
		s := stream{kind: frame.TypeStdout, fd: filled(t, 1+i*600)}
		for s.pump(&out, 1<<20) {
		}
		closeFD(&s.fd)
		if half := (out.end - out.start) / 2; i%3 == 0 { // the launcher takes a part
			sent = append(sent, out.buf[out.start:out.start+half]...)
			out.start += half
		}
	}
	sent = append(sent, out.buf[out.start:out.end]...)
	total := 0
	for len(sent) > 0 {
		kind, size, err := frame.ParseHeader(sent)
		require.NoError(t, err)
		require.Equal(t, frame.TypeStdout, kind)
		require.Equal(t, size, bytes.Count(sent[frame.HeaderSize:frame.HeaderSize+size], []byte{'x'}))
		total += size
		sent = sent[frame.HeaderSize+size:]
	}
	assert.Positive(t, total)
}

func TestTheRequestsMemoryIsGivenBackBehindItsStdin(t *testing.T) {
	page := syscall.Getpagesize()
	memory, err := syscall.Mmap(-1, 0, 8*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	require.NoError(t, err)
	defer func() { assert.NoError(t, syscall.Munmap(memory)) }()
	fill := func() {
		for i := range memory {
			memory[i] = 1
		}
	}
	fill()
	discardAfter(memory, memory[10:page+1])
	assert.Equal(t, 2*page, bytes.Count(memory, []byte{1}), "the two pages that stdin touches stay")
	fill()
	discardAfter(memory, memory[:2*page])
	assert.Equal(t, 2*page, bytes.Count(memory, []byte{1}), "to the page's end")
	fill()
	discardAfter(memory, nil)
	assert.Zero(t, bytes.Count(memory, []byte{1}))
	fill()
	discardAfter(memory, memory)
	assert.Equal(t, 8*page, bytes.Count(memory, []byte{1}))
}
