// Package redisserver holds what the adapters on Redis have in common: which
// servers they accept, and calls that end when their context does.
package redisserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// The oldest version that knows every command of the adapters: SMISMEMBER and ZMSCORE
// came with it.
const minMajor, minMinor = 6, 2

// Check asks the server, or every master of a cluster, what it is, and refuses
// one that cannot be trusted with tasks: one that is too old, that is a
// replica, or that throws away keys when its memory is full; and a client that waits
// for answers without an end. The error names the setting and says how to mend it.
func Check(ctx context.Context, client redis.UniversalClient) error {
	check := func(ctx context.Context, node *redis.Client) error {
		if err := checkNode(ctx, node); err != nil {
			return fmt.Errorf("checking the Redis server at %s: %w", node.Options().Addr, err)
		}
		return nil
	}
	_, err := Do(ctx, func(ctx context.Context) (struct{}, error) {
		switch c := client.(type) {
		case *redis.Client:
			return struct{}{}, check(ctx, c)
		case *redis.ClusterClient:
			// Whatever keeps the client from the cluster is told here first.
			if err := c.Info(ctx).Err(); err != nil {
				return struct{}{}, fmt.Errorf("checking the Redis cluster: %w", Advise(err))
			}
			return struct{}{}, c.ForEachMaster(ctx, check)
		default:
			return struct{}{}, fmt.Errorf("checking the Redis server: %T is neither a *redis.Client nor a *redis.ClusterClient", client)
		}
	})
	if ended := ctx.Err(); err != nil && ended != nil { // Do did not wait for an answer
		err = fmt.Errorf("checking the Redis server: %w", Advise(ended))
	}
	return err
}

func checkNode(ctx context.Context, node *redis.Client) error {
	if err := checkOptions(node.Options()); err != nil {
		return err
	}
	info, err := node.Info(ctx).Result()
	if err != nil {
		return Advise(err)
	}
	return checkInfo(info)
}

// checkOptions judges the client.
func checkOptions(o *redis.Options) error {
	if o.ReadTimeout <= 0 && !o.ContextTimeoutEnabled {
		return errors.New("the client's ReadTimeout is off, so that a connection that died without a word would be waited for without an end: " +
			"set it to a few seconds")
	}
	return nil
}

// Advise adds to the error of a call at start-up what to look at.
func Advise(err error) error {
	_, answered := errors.AsType[redis.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case redis.IsAuthError(err):
		return fmt.Errorf("check the user and the password: %w", err)
	case redis.IsPermissionError(err),
		strings.Contains(err.Error(), "The user executing the script can't"), // up to Redis 7.0
		strings.Contains(err.Error(), "ACL failure in script"):               // later
		return fmt.Errorf("the user may not do this; see in docs/operations.md which rights it needs: %w", err)
	case !answered:
		return fmt.Errorf("the server does not answer; check its address, and whether it speaks TLS: %w", err)
	}
	return err
}

// IsFull reports whether an error says that the server's memory is full. Where that
// happened to a script, Redis 6 says more before it.
func IsFull(err error) bool {
	return err != nil && strings.Contains(err.Error(), "OOM command not allowed")
}

// checkInfo judges the answer to INFO.
func checkInfo(info string) error {
	fields := parseInfo(info)
	version, role, policy := fields["redis_version"], fields["role"], fields["maxmemory_policy"]
	major, minor, ok := parseVersion(version)
	switch {
	case !ok:
		return fmt.Errorf("its version %q is not understood; Redis %d.%d or later is needed", version, minMajor, minMinor)
	case major < minMajor || major == minMajor && minor < minMinor:
		return fmt.Errorf("it is version %s, which is too old: Redis %d.%d or later is needed", version, minMajor, minMinor)
	case role != "master":
		return fmt.Errorf("its role is %q, so that it takes no writes: give the address of its master", role)
	case policy != "noeviction":
		return fmt.Errorf("its maxmemory-policy is %q, so that it drops tasks when its memory is full: "+
			"set `maxmemory-policy noeviction` in redis.conf or run `CONFIG SET maxmemory-policy noeviction`", policy)
	}
	return nil
}

// parseInfo returns the fields of an answer to INFO. What is no field is left
// out; so are the sections, whose names no field needs to be told apart.
func parseInfo(info string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// parseVersion reads the first two numbers of a version as 7.0.15.
func parseVersion(s string) (major, minor int, ok bool) {
	first, rest, ok := strings.Cut(s, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(second)
	return major, minor, ok && errors.Join(err1, err2) == nil
}

// Do calls f and returns what it does, but returns early with the error of ctx
// when that is done: go-redis does not interrupt a command when its context is
// cancelled. What f has sent to the server may then take effect all the same.
func Do[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f(ctx)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		// An error that the end of ctx brought about does not always say so.
		if err := ctx.Err(); r.err != nil && err != nil {
			return zero, err
		}
		return r.value, r.err
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}
