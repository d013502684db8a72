package telemetry

import "time"

// SetPatience bounds how long Shutdown waits.
func (t *Tracing) SetPatience(d time.Duration) { t.patience = d }

// Variables are the names of those that are checked.
func Variables() []string {
	var names []string
	for _, v := range variables {
		names = append(names, v.name)
	}
	return names
}
