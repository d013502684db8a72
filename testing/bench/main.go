// Bench measures Task Runner's parts beside others that do the same, in one run
// and on the same machine, since only the ratio of two figures means anything on
// another one. It prints tables in Markdown.
//
// Without a command it measures redisqueue beside asynq, on a redis-server (from PATH,
// in a temporary folder, on a loopback address) once for each way to write to disk.
// The command readers measures what readers of streams get from a backend, and cost it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	name := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("bench "+name, flag.ExitOnError)
	switch name {
	case "":
		quick := flags.Bool("quick", false, "one short round, without appendfsync always: half a minute for a first impression")
		url := flags.String("redis", "", "measure on the server at this `URL` as it is; its database has to be empty, and is emptied again")
		_ = flags.Parse(args) // it exits by itself
		return run(ctx, os.Stdout, *quick, *url)
	case "readers":
		readers := flags.Int("readers", 10_000, "how many `N` read streams")
		backend := flags.String("backend", "", "measure this `program`, and not one that is built")
		_ = flags.Parse(args)
		return measureReaders(ctx, os.Stdout, newReadersPlan(*readers), *backend)
	case "bare": // started by readers
		if len(args) == 2 {
			return serveBare(ctx, args[0], args[1])
		}
	}
	return fmt.Errorf("there is no command %q: it is readers, or none", name)
}

func run(ctx context.Context, out io.Writer, quick bool, url string) error {
	p, settings := full, persistences
	if quick {
		p, settings = short, settings[:2]
	}
	fmt.Fprintf(out, "%s, %d cores, %s/%s. Medians of %d rounds (idle: %d), in brackets the least and the greatest.\n",
		runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, p.rounds, p.idleRounds)
	if url != "" {
		options, err := redis.ParseURL(url)
		if err != nil {
			return fmt.Errorf("reading -redis: %w", err) // it names no password
		}
		return measureOn(ctx, out, p, options, "as it is")
	}
	for _, s := range settings {
		server, err := startRedis(ctx, s.args...)
		if err != nil {
			return err
		}
		err = measureOn(ctx, out, p, &redis.Options{Addr: server.addr}, s.name)
		server.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// measureOn prints what all contenders reach on one Redis.
func measureOn(ctx context.Context, out io.Writer, p plan, options *redis.Options, setting string) error {
	// As many connections as consumers, and some more: nobody waits for one.
	options.PoolSize = 64
	client := redis.NewClient(options)
	defer client.Close()
	size, err := client.DBSize(ctx).Result()
	if err != nil {
		return fmt.Errorf("looking at Redis: %w", err)
	}
	if size > 0 {
		return fmt.Errorf("database %d of %s is not empty, and would be emptied", options.DB, options.Addr)
	}
	rows, err := measureQueues(ctx, client, p)
	if err != nil {
		return err
	}
	printTable(out, "Redis "+redisVersion(ctx, client)+", "+setting, rows)
	return nil
}
