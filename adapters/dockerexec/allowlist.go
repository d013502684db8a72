package dockerexec

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"

	"github.com/task-runner/task-runner/ports"
)

// allowList says which images languages may name. None: any.
//
// Patterns and references are compared in full, with their registry and their tag
// or digest, and never as they were written: "python:*" is about a repository of
// Docker Hub, and as written it would also match "python:5000/anything", which is
// fetched from a host named python.
type allowList []*regexp.Regexp

// checkAllowList says what is wrong with the patterns of Config.AllowedImages, as a
// *ports.FieldError.
func checkAllowList(patterns []string) error {
	_, err := newAllowList(patterns)
	return err
}

func newAllowList(patterns []string) (allowList, error) {
	list := make(allowList, 0, len(patterns))
	for _, p := range patterns {
		full, err := fullPattern(p)
		if err != nil {
			return nil, ports.Invalid("docker_allowed_images", "has the pattern %q: %v", p, err)
		}
		list = append(list, regexp.MustCompile("^"+strings.ReplaceAll(regexp.QuoteMeta(full), `\*`, ".*")+"$"))
	}
	return list, nil
}

// allows reports whether languages may name the image.
func (l allowList) allows(name reference.Named) bool {
	for _, re := range l {
		if re.MatchString(name.String()) {
			return true
		}
	}
	return len(l) == 0
}

// fullPattern completes a pattern as reference.ParseDockerRef does a reference:
// with the registry, unless "*" begins it, and with the tag "latest" if it has
// neither tag nor digest, unless "*" ends it. A tag beside a digest is dropped.
func fullPattern(pattern string) (string, error) {
	if pattern == "" {
		return "", errors.New("it is empty; leave it out, or write * to allow any image")
	}
	name, digest, digested := strings.Cut(pattern, "@")
	// Whatever may stand for "*", a digit may, everywhere in a name. It is as long
	// as "*" is, so that places in the one are places in the other.
	probe := strings.ReplaceAll(name, "*", "1")
	named, err := reference.ParseNormalizedNamed(probe)
	if err != nil {
		return "", fmt.Errorf("it is not a reference of an image: %w", err)
	}
	full := name
	if !strings.HasPrefix(name, "*") {
		// What differs is in front and has no "*": the registry and "library/".
		whole, same := named.String(), 0
		for same < min(len(whole), len(probe)) && whole[len(whole)-1-same] == probe[len(probe)-1-same] {
			same++
		}
		full = whole[:len(whole)-same] + name[len(name)-same:]
	}
	switch {
	case digested:
		if err := checkDigest(probe, digest); err != nil {
			return "", err
		}
		if !reference.IsNameOnly(named) {
			full = full[:strings.LastIndex(full, ":")]
		}
		return full + "@" + digest, nil
	case reference.IsNameOnly(named) && !strings.HasSuffix(name, "*"):
		return full + ":latest", nil
	}
	return full, nil
}

// digestChars are the characters that a digest may have, and "*".
var digestChars = regexp.MustCompile(`^[A-Za-z0-9+._:*-]+$`)

// checkDigest says what is wrong with the digest of a pattern. Of one with "*"
// only the characters can be judged.
func checkDigest(name, digest string) error {
	if strings.Contains(digest, "*") && digestChars.MatchString(digest) {
		return nil
	}
	if _, err := reference.ParseNormalizedNamed(name + "@" + digest); err != nil {
		return fmt.Errorf("%q is not a digest: %w", digest, err)
	}
	return nil
}
