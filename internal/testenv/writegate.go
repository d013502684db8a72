package testenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// writeGate is a proxy that gives FerretDB what MongoDB has. An update or delete is one
// step: FerretDB 1 looks for the document first and then writes it as it found it,
// whatever happened in between. And no write waits forever: SQLite has one writer at a
// time and no queue, so that an insert loses against a crowd of updates again and again.
// So one write at a time gets to it, in turn. Reads interleave as they do in earnest.
type writeGate struct {
	proxy
	turn sync.Mutex
}

// newWriteGate returns a gate in front of target. It ends with the test.
func newWriteGate(t testing.TB, target string) *writeGate {
	t.Helper()
	g := &writeGate{proxy: proxy{network: "tcp", addr: newPlace(t).addr, dial: dialer("tcp", target)}}
	g.relay = g.relayInTurn
	g.start(t)
	return g
}

// GateWrites stands between clients of MongoDB, who connect to the listener, and FerretDB
// at target, which is host and port, and lets one write through at a time. It
// returns when the listener is closed; connections that there are go on.
func GateWrites(listener net.Listener, target string) {
	g := &writeGate{proxy: proxy{dial: dialer("tcp", target), listener: listener, links: map[*link]struct{}{}}}
	g.relay = g.relayInTurn
	g.acceptFrom(listener)
}

// relayInTurn passes on one request and its answer after the other, as drivers send them.
// A client that leaves meanwhile does not end the turn of its command: the server is
// still at it.
func (g *writeGate) relayInTurn(l *link) {
	for {
		request, err := readMessage(l.client)
		if err != nil {
			return
		}
		answer, err := g.ask(l, request)
		if err == nil {
			_, err = l.client.Write(answer)
		}
		if err != nil {
			return
		}
	}
}

// ask sends a request to the server and returns the answer.
func (g *writeGate) ask(l *link, request []byte) ([]byte, error) {
	switch command(request) {
	case "insert", "update", "delete", "findAndModify":
		g.turn.Lock()
		defer g.turn.Unlock()
	}
	if _, err := l.server.Write(request); err != nil {
		return nil, err
	}
	return readMessage(l.server)
}

// Sizes and numbers of MongoDB's wire protocol.
const (
	headerSize = 16   // length, request, request answered, kind: little-endian, 32 bits each
	opMsg      = 2013 // flags (32 bits), a byte 0, and the command as a BSON document
	maxMessage = 48_000_000
)

// readMessage reads a message, header and all.
func readMessage(r io.Reader) ([]byte, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(header)
	if size < headerSize || size > maxMessage {
		return nil, errors.New("that is no message of MongoDB's")
	}
	message := make([]byte, size)
	_, err := io.ReadFull(r, message[copy(message, header):])
	return message, err
}

// command returns the name of a request's command, which is its document's first field.
func command(request []byte) string {
	const document = headerSize + 4 + 1
	const name = document + 4 + 1 // behind the document's size and the field's type
	if len(request) < name || binary.LittleEndian.Uint32(request[12:]) != opMsg || request[document-1] != 0 {
		return ""
	}
	field, _, _ := bytes.Cut(request[name:], []byte{0})
	return string(field)
}
