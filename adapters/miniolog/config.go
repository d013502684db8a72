package miniolog

import (
	"net/url"
	"strings"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// The bounds of Config.Buffer, and its default: large enough that most logs are
// never more than one request, small enough for thousands of open ones.
const (
	minBuffer     = 4 << 10
	defaultBuffer = 512 << 10
	maxBuffer     = 64 << 20
)

// defaultFlushEvery is what a crash may cost of a slow log.
const defaultFlushEvery = time.Second

// maxPrefix leaves room for the rest of a key, of which S3 allows 1,024 bytes.
const maxPrefix = 256

// Config says where logs are kept. Only Bucket is required.
type Config struct {
	// Bucket is made if it is not there. Others may use it too.
	Bucket string
	// Prefix is put before every key: empty, or a path that ends with "/".
	Prefix string
	// PublicURL is where browsers reach the store, such as
	// "https://logs.example.com:9000", if it is not where the client does. A signature
	// covers the host's name, so that a signed URL is good for this one alone. Where the
	// client puts the bucket in the host's name, URLs do too: "https://bucket.logs.example.com".
	PublicURL string
	// Expire is how long after its last change the store removes what is under Prefix
	// by itself, in whole days, rounded up. It is for what a crash left behind and must be
	// longer than finished tasks are kept, or their logs go before them. 0: the
	// bucket's rules are left as they are.
	Expire time.Duration
	// FlushEvery is how long accepted bytes may wait until they can be read. Default 1 s.
	FlushEvery time.Duration
	// Buffer is how many bytes of an open log are kept in memory at most, and how
	// large a part is: 4 KiB to 64 MiB, default 512 KiB. A short log takes less.
	Buffer int
}

// complete returns c with its defaults, or a *ports.FieldError.
func (c Config) complete() (Config, error) {
	if c.FlushEvery == 0 {
		c.FlushEvery = defaultFlushEvery
	}
	if c.Buffer == 0 {
		c.Buffer = defaultBuffer
	}
	switch {
	case c.Bucket == "":
		return c, ports.Invalid("bucket", "must not be empty")
	case c.Expire < 0:
		return c, ports.Invalid("expire", "must not be negative")
	case c.FlushEvery < 0:
		return c, ports.Invalid("flush_every", "must be positive")
	case c.Buffer < minBuffer || c.Buffer > maxBuffer:
		return c, ports.Invalid("buffer", "must be from %d to %d bytes", minBuffer, maxBuffer)
	}
	if err := validPrefix(c.Prefix); err != nil {
		return c, err
	}
	_, _, err := c.endpoint()
	return c, err
}

func validPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	path, ok := strings.CutSuffix(prefix, "/")
	switch {
	case !ok:
		return ports.Invalid("prefix", "must end with a slash")
	case len(prefix) > maxPrefix:
		return ports.Invalid("prefix", "must be at most %d bytes long", maxPrefix)
	}
	return ports.ValidatePath("prefix", path)
}

// endpoint returns the host of the public URL, if there is one, and whether it is
// reached by TLS.
func (c Config) endpoint() (host string, secure bool, err error) {
	if c.PublicURL == "" {
		return "", false, nil
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		// Not the cause, which repeats what may be a password.
		return "", false, ports.Invalid("public_url", "must be http:// or https://, a host and perhaps a port, and nothing more")
	}
	return u.Host, u.Scheme == "https", nil
}
