package miniolog

// SetMaxLog lowers how long a log may be.
func (s *LogSink) SetMaxLog(n int64) { s.maxLog = n }

// Prefix returns what all keys begin with.
func (s *LogSink) Prefix() string { return s.cfg.Prefix }
