// Command mongod stands in for MongoDB where no registry has its image: it is the server,
// and under the name mongosh so much of its shell as a health check needs. The server is
// FerretDB, /ferretdb, behind the gate that makes an update one step. Like the image of
// MongoDB, it demands the password of MONGO_INITDB_ROOT_USERNAME if that is set, and keeps
// its data in /data/db. It is for tests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/internal/testenv"
)

const (
	dataDir  = "/data/db"
	ferretDB = "127.0.0.1:27018"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	run := serve
	if filepath.Base(os.Args[0]) == "mongosh" {
		run = ask
	}
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// serve is the server. It ends when ctx does, or when FerretDB does.
func serve(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("this mongod is a stand-in and has no option %s", args[0])
	}
	user, password := os.Getenv("MONGO_INITDB_ROOT_USERNAME"), os.Getenv("MONGO_INITDB_ROOT_PASSWORD")
	if (user == "") != (password == "") {
		return errors.New("MONGO_INITDB_ROOT_USERNAME and MONGO_INITDB_ROOT_PASSWORD: set both, or neither")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ":27017")
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	go testenv.GateWrites(listener, ferretDB)

	server := exec.CommandContext(ctx, "/ferretdb", "--handler=sqlite", "--sqlite-url=file:"+dataDir+"/", "--state-dir="+dataDir,
		"--listen-addr="+ferretDB, "--telemetry=disable", "--debug-addr=-", "--log-level=ERROR")
	if user != "" {
		server.Args = append(server.Args, "--test-enable-new-auth=true", "--setup-database=admin")
		server.Env = append(os.Environ(), "FERRETDB_SETUP_USERNAME="+user, "FERRETDB_SETUP_PASSWORD="+password)
	}
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	if err := server.Run(); ctx.Err() == nil {
		return fmt.Errorf("FerretDB ended: %w", err)
	}
	return nil
}

// ask is the shell.
func ask(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("mongosh", flag.ContinueOnError)
	_ = flags.Bool("quiet", false, "")
	host := flags.String("host", "127.0.0.1", "")
	script := flags.String("eval", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !strings.Contains(*script, "ping") {
		return errors.New("this mongosh is a stand-in: all that it can --eval is a ping")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := mongo.Connect(options.Client().SetHosts([]string{net.JoinHostPort(*host, "27017")}).SetServerSelectionTimeout(3 * time.Second))
	if err != nil {
		return err
	}
	defer func() { _ = c.Disconnect(context.WithoutCancel(ctx)) }()
	return c.Ping(ctx, nil)
}
