package options

import (
	"errors"
	"strings"

	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/ports"
)

// Blame returns err as one of the setting of s that sets the field of a configuration
// which err is about, if there is one.
func Blame(err error, s *settings.Set) error {
	if field, ok := errors.AsType[*ports.FieldError](err); ok {
		name := settingOf(field.Field)
		for _, name := range []string{name, strings.TrimPrefix(name, "max-")} { // who runs one task allows what it asks for
			if s.Has(name) {
				return s.Errorf(name, "%s", field.Problem)
			}
		}
	}
	return err
}

// settingOf returns the name of the setting of a field of the core's configuration, or of
// a task: "max-memory" for "policy.max.memory_limit".
func settingOf(field string) string {
	field, inPolicy := strings.CutPrefix(field, "policy.")
	field, _, _ = strings.Cut(field, "[")
	field = strings.NewReplacer(".", "-", "_", "-").Replace(strings.TrimSuffix(field, "_limit"))
	switch {
	case inPolicy && field == "languages":
		return "allowed-languages"
	case field == "lease-ttl":
		return "lease"
	}
	return field
}
