// Command webserver is a web server with pages of its own that serves the API of
// Task Runner beside them, under /api/. Stop it with Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/taskrunner"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	flag.Parse()
	if err := run(*addr); err != nil {
		log.Fatal(err)
	}
}

func run(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	background := context.WithoutCancel(ctx) // for what happens after Ctrl-C
	sandbox, err := sandboxexec.New(sandboxexec.Config{})
	if err != nil {
		return err
	}
	defer sandbox.Close(background)

	cfg := taskrunner.Config{Backend: memory.New(), Executor: sandbox, Retention: time.Hour}
	client, err := taskrunner.NewClient(cfg)
	if err != nil {
		return err
	}
	worker, err := taskrunner.NewWorker(cfg)
	if err != nil {
		return err
	}
	if err := worker.Start(ctx); err != nil {
		return err
	}
	defer worker.Stop(background)

	api, err := httpapi.New(httpapi.Config{Client: client, AllowedHosts: []string{"localhost", "127.0.0.1"}})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", api)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "A page of this server. The API is under /api/v1/.")
	})

	server := httpapi.NewServer(addr, api) // with the timeouts that suit the API
	server.Handler = mux
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	ended := make(chan error, 1)
	context.AfterFunc(ctx, func() { ended <- server.Shutdown(background) })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	err = <-ended // the requests under way have their answers
	fmt.Println("stopped")
	return err
}
