package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// hangUpTimeout is how long a worker may keep a line whose container is gone.
const hangUpTimeout = 10 * time.Second

// attach makes the worker's connection one to the container. It does not leave that to
// the proxy: executors end a task by closing one direction, and read what comes in the
// other to its end even where nobody takes what they write.
func (g *gate) attach(w http.ResponseWriter, r *http.Request, q *request) {
	g.lines.Add(1)
	defer g.lines.Done()
	engine, err := g.cli.Dialer()(r.Context())
	if err != nil {
		g.fail(w, r, err)
		return
	}
	defer engine.Close()
	// From here to the upgrade, the worker may hang up.
	stop := context.AfterFunc(r.Context(), func() { _ = engine.Close() })
	answer, fromEngine, err := upgrade(r.Context(), engine, q)
	if err != nil {
		g.fail(w, r, err)
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusSwitchingProtocols {
		w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body) // or nobody listens
		return
	}
	stop()
	worker, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		g.fail(w, r, err)
		return
	}
	defer worker.Close()
	_, err = fmt.Fprintf(worker, "HTTP/1.1 101 UPGRADED\r\nContent-Type: %s\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", answer.Header.Get("Content-Type"))
	if err == nil {
		splice(g.ctx, end{worker, buffered.Reader}, end{engine, fromEngine})
	}
}

// upgrade asks the engine for the line.
func upgrade(ctx context.Context, engine net.Conn, q *request) (*http.Response, *bufio.Reader, error) {
	out, err := http.NewRequestWithContext(ctx, q.method, q.target().String(), http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	out.Header.Set("Connection", "Upgrade")
	out.Header.Set("Upgrade", "tcp")
	if err := out.Write(engine); err != nil {
		return nil, nil, fmt.Errorf("asking the engine: %w", err)
	}
	from := bufio.NewReader(engine)
	answer, err := http.ReadResponse(from, out)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the engine's answer: %w", err)
	}
	return answer, from, nil
}

// end is one end of a line, with what of it was read ahead.
type end struct {
	net.Conn
	from *bufio.Reader
}

// closeWrite says that no more comes.
func (e end) closeWrite() {
	if c, ok := e.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // it may be gone
	}
}

// splice passes on what both ends say, until the engine's has ended or the worker's
// does not listen, or ctx is done. An end of the worker's words is passed on as such,
// and the engine's are passed on whole. Both are closed then.
func splice(ctx context.Context, worker, engine end) {
	stop := context.AfterFunc(ctx, func() {
		_ = worker.Close()
		_ = engine.Close()
	})
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(engine.Conn, worker.from)
		engine.closeWrite()
		_, _ = io.Copy(io.Discard, worker.from) // where the engine takes no more
	}()
	if _, err := io.Copy(worker.Conn, engine.from); err != nil {
		_ = worker.Close() // it is gone, or should know that there was more
	}
	worker.closeWrite()
	_ = worker.SetReadDeadline(time.Now().Add(hangUpTimeout)) // it may be gone
	_ = engine.Close()
	<-done
	_ = worker.Close()
}
