package dockerexec

import "time"

// Labels on everything that an executor makes in an engine. Containers are made
// before their task is known, so that none of them names it.
const (
	labelPrefix = "com.github.task-runner."
	// labelRole says what something is for: one of the roles below.
	labelRole = labelPrefix + "role"
	// labelExecutor is the ID of the executor that made it, labelName its Config.Name.
	labelExecutor = labelPrefix + "executor"
	labelName     = labelPrefix + "name"
	// labelExpires is the time, in RFC 3339, by which no living executor uses it any
	// more.
	labelExpires = labelPrefix + "expires"
)

// The roles.
const (
	roleSandbox = "sandbox" // a container for one task
	roleRunner  = "runner"  // the volume with the supervisor, and what is needed to fill it
)

// expiryFormat is how labelExpires is written, in UTC.
const expiryFormat = time.RFC3339
