package dockerexec

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// What a registry sends comes through the engine, so that neither the length of a
// line nor the numbers in it are believed.
const (
	maxPullLine   = 64 << 10
	maxPullReason = 1 << 10
	maxLayers     = 1 << 10
	maxLayerSize  = 1 << 50
)

// progressEvery is how often a pull reports on itself, at most.
const progressEvery = 300 * time.Millisecond

// pullMessage is one line of the engine's account of a pull, as far as it matters
// here. A failure after the first line arrives in such a one too, since the
// response's status has been sent by then.
type pullMessage struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error       string `json:"error"`
	ErrorDetail *struct {
		Message string `json:"message"`
	} `json:"errorDetail"`
}

// readPull calls each for every message until the account ends. Its error is the
// one that the engine tells, or says that the account is cut short or malformed.
func readPull(r io.Reader, each func(pullMessage)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxPullLine)
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var m pullMessage
		if err := json.Unmarshal(line, &m); err != nil {
			return fmt.Errorf("reading the engine's account: %w", err)
		}
		if m.Error != "" || m.ErrorDetail != nil {
			return m.failure()
		}
		each(m)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the engine's account: %w", err)
	}
	return nil
}

func (m pullMessage) failure() error {
	reason := m.Error
	if m.ErrorDetail != nil && m.ErrorDetail.Message != "" {
		reason = m.ErrorDetail.Message
	}
	if reason == "" {
		return errors.New("the engine gives no reason")
	}
	if len(reason) > maxPullReason {
		reason = strings.ToValidUTF8(reason[:maxPullReason], "") + "..."
	}
	return errors.New(reason)
}

// meter adds up the layers of one pull and reports what it has. It is used by one
// goroutine.
type meter struct {
	image  string
	report func(PullProgress) // nil: nobody wants to know
	now    func() time.Time

	last   time.Time // of the last report; zero before the first
	layers map[string]layer
}

// layer counts the bytes of one layer.
type layer struct{ received, total int64 }

// add takes note of a message and reports if it is time.
func (m *meter) add(msg pullMessage) {
	if m.report == nil {
		return
	}
	l, known := m.layers[msg.ID]
	switch msg.Status {
	case "Downloading":
		if known || len(m.layers) < maxLayers {
			received := min(max(msg.Progress.Current, 0), maxLayerSize)
			m.layers[msg.ID] = layer{received, min(max(msg.Progress.Total, received), maxLayerSize)}
		}
	case "Download complete", "Pull complete":
		if known {
			m.layers[msg.ID] = layer{l.total, l.total}
		}
	}
	if now := m.now(); m.last.IsZero() || now.Sub(m.last) >= progressEvery {
		m.last = now
		m.report(m.sum())
	}
}

// done reports the end.
func (m *meter) done(err error) {
	if m.report == nil {
		return
	}
	p := m.sum()
	p.Done, p.Err = true, err
	m.report(p)
}

func (m *meter) sum() PullProgress {
	p := PullProgress{Image: m.image}
	for _, l := range m.layers {
		p.Received += l.received
		p.Total += l.total
	}
	return p
}
