package ui

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzPlace(f *testing.F) {
	for _, place := range []string{"", "5", "5~end", "5.1.G1szODs1OzFt.", "5-1.2.DQ.G10wOw", "5.1..", "5.-1.!.", ".1..", "5.1.G1s.G1s.x", "5\n6", "5.1.G1s\n.", "5é"} {
		f.Add(place)
	}
	f.Fuzz(func(t *testing.T, place string) {
		id, screens, err := placeOf(place)
		if err != nil {
			return
		}
		require.Regexp(t, `\A[!-~]*\z`, id, "it becomes a field of a request")
		require.LessOrEqual(t, len(screens.stdout.place())+len(screens.stderr.place()), 4*maxState)
		again, same, err := placeOf(screens.place(id))
		require.NoError(t, err)
		require.Equal(t, id, again)
		require.Equal(t, screens.stdout.place(), same.stdout.place())
		require.Equal(t, screens.stderr.place(), same.stderr.place())
	})
}

func FuzzEvents(f *testing.F) {
	for _, stream := range []string{
		"retry: 2000\n\nid: 1\nevent: status\ndata: {\"status\":\"running\",\"attempt\":1}\n\n: heartbeat\n\n",
		"id: 2\nevent: stdout\ndata: {\"text\":\"\\u001b[31ma\\n\\n\",\"offset\":0,\"attempt\":1}\n\nid: 3~end\nevent: end\ndata: {}\n\n",
		"id: \nevent: status\ndata: {\"snapshot\":true}\n\nevent: stderr\ndata: {\"text\":\"x\"}\n\n", "event: stdout\ndata: [\n\n", "event\n\n\n\n", "data: \r\n\n",
	} {
		f.Add([]byte(stream))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(stream), 16)
		var s screens
		for blocks := bytes.Count(stream, []byte("\n")); ; blocks-- {
			require.GreaterOrEqual(t, blocks, 0)
			var block, out bytes.Buffer
			if readBlock(in, &block) != nil || s.turn(block.Bytes(), &out) != nil {
				return
			}
			text := out.String()
			require.True(t, strings.HasSuffix(text, "\n"))
			require.LessOrEqual(t, strings.Count(text, "\n\n"), 1, "an event is one event")
			if _, data, ok := strings.Cut(text, "event: stdout\ndata: "); ok {
				require.True(t, json.Valid([]byte(data)), data)
			}
		}
	})
}

func BenchmarkEvents(b *testing.B) {
	for name, text := range map[string]string{
		"plain":   strings.Repeat("the quick brown fox jumps over the lazy dog\n", 700),
		"log":     strings.Repeat("\x1b[2m12:30:00\x1b[0m \x1b[32mINFO\x1b[0m request served \x1b[36mstatus=\x1b[0m200\n", 400),
		"hostile": strings.Repeat("a\r\x00", 10000),
	} {
		b.Run(name, func(b *testing.B) {
			data, err := json.Marshal(outputEvent{Text: text, Attempt: 1})
			require.NoError(b, err)
			block := append(append([]byte("id: 1\nevent: stdout\ndata: "), data...), "\n\n"...)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var s screens
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				require.NoError(b, s.turn(block, &out))
			}
		})
	}
}
