package options

import (
	"fmt"

	"github.com/task-runner/task-runner/apps/internal/settings"
)

// InsecureSecret is the secret that everything has by default, so that a first try on one
// machine needs none. Everybody knows it: see serve.Program.
const InsecureSecret = "insecure-default-secret"

// minSecret is the least length of a secret that cannot be guessed.
const minSecret = 32

// SecretKey declares the secret of the site, which CheckSecret checks.
func SecretKey(s *settings.Set, def string) *string {
	return settings.Secret(s, "secret-key", "KEY", def,
		"what browsers' sessions are signed with: at least 32 bytes, the same for all that serve one site",
		func(text string) (string, error) { return text, CheckSecret(text, def) })
}

// CheckSecret refuses a secret that is too short, unless it is def. The error does not
// show it.
func CheckSecret(secret, def string) error {
	if len(secret) < minSecret && (secret == "" || secret != def) {
		return fmt.Errorf("must be at least %d bytes long, such as openssl rand -hex 32 makes", minSecret)
	}
	return nil
}
