package settings

import (
	"io"
	"log/slog"
)

// Log says what is logged, and how.
type Log struct{ level, format *string }

// NewLog declares it with its defaults.
func NewLog(s *Set, level, format string) Log {
	return Log{
		level:  Var(s, "log-level", "LEVEL", level, "least level that is logged: debug, info, warn or error", OneOf("debug", "info", "warn", "error")),
		format: Var(s, "log-format", "FORMAT", format, "text or json", OneOf("text", "json")),
	}
}

// Logger returns a logger that writes to w.
func (f Log) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(*f.level)) // the setting accepts nothing else
	opts := &slog.HandlerOptions{Level: level}
	if *f.format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
