package settings

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// The parsers of the kinds of values that programs have in common.

// Text accepts any text.
func Text(s string) (string, error) { return s, nil }

// Addr accepts "host:port" as net.Listen takes it, with a numeric port. Port 0
// lets the system choose.
func Addr(s string) (string, error) {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("must be HOST:PORT, such as 127.0.0.1:8000")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", errors.New("must have a port from 0 to 65535")
	}
	return s, nil
}

// Count accepts a whole number of at least low.
func Count(low int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > math.MaxInt32 {
			return 0, fmt.Errorf("must be a whole number from %d to %d", low, math.MaxInt32)
		}
		return n, nil
	}
}

// Cores accepts a positive number of processors.
func Cores(s string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n > 0) || n > 1<<16 {
		return 0, errors.New("must be a positive number of cores, such as 0.5 or 2")
	}
	return n, nil
}

// Size accepts a positive number of bytes as Docker writes them: "256m".
func Size(s string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err != nil || n <= 0 {
		return 0, errors.New("must be a positive size, such as 256m or 1g")
	}
	return n, nil
}

// Duration accepts a time such as "30s" or "1h30m"; a bare number is seconds. It
// must be positive.
func Duration(s string) (time.Duration, error) {
	d, err := Period(s)
	if err != nil || d == 0 {
		return 0, errors.New("must be a positive time, such as 30s or 5m")
	}
	return d, nil
}

// Period accepts what Duration does, and 0.
func Period(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if n, numErr := strconv.ParseFloat(s, 64); numErr == nil {
		if math.IsNaN(n) || math.Abs(n) > math.MaxInt64/float64(time.Second)/2 {
			return 0, errors.New("is too long")
		}
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if err != nil || d < 0 {
		return 0, errors.New("must be a time, such as 30s or 24h, or 0")
	}
	return d, nil
}

// Names accepts a list of names separated by commas, without empty ones.
func Names(s string) ([]string, error) {
	names := strings.Split(s, ",")
	for i, name := range names {
		if names[i] = strings.TrimSpace(name); names[i] == "" {
			return nil, errors.New("must be names separated by commas")
		}
	}
	return names, nil
}

// OneOf accepts one of the words.
func OneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", fmt.Errorf("must be one of %s", strings.Join(words, ", "))
		}
		return s, nil
	}
}

func parseBool(s string) (bool, error) {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, errors.New("must be true or false")
	}
	return b, nil
}
