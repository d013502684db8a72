package main

import (
	"fmt"
	"io"
	"slices"
)

// figures are what was measured of one thing, once in every round.
type figures []float64

// quantile returns the figure that this part of all of them does not exceed; of an
// even number the median is the greater one of the middle.
func (f figures) quantile(q float64) float64 {
	sorted := slices.Sorted(slices.Values(f))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// row compares two sides in one thing.
type row struct {
	what        string
	ours, rival figures
	latency     bool // in milliseconds, less is better; else a rate
}

// ratio says how many times better ours is.
func (r row) ratio() float64 {
	ratio := r.ours.quantile(0.5) / r.rival.quantile(0.5)
	if r.latency {
		return 1 / ratio
	}
	return ratio
}

func (r row) format(f figures) string {
	format := "%.0f (%.0f..%.0f)"
	if r.latency {
		format = "%.2f ms (%.2f..%.2f)"
	}
	return fmt.Sprintf(format, f.quantile(0.5), slices.Min(f), slices.Max(f))
}

func printTable(out io.Writer, title string, rows []row) {
	const line = "| %-53s | %-26s | %-28s | %10s |\n"
	fmt.Fprintf(out, "\n"+line, title, "redisqueue", "asynq", "ratio")
	fmt.Fprintln(out, "|---|---|---|--:|")
	for _, r := range rows {
		fmt.Fprintf(out, line, r.what, r.format(r.ours), r.format(r.rival), fmt.Sprintf("%.2f x", r.ratio()))
	}
}
