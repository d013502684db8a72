package mongostore

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/task-runner/task-runner/ports"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

func fullTask() ports.Task {
	at := time.UnixMilli(1_741_964_966_535).UTC()
	return ports.Task{
		ID: "01890a5d-ac96-774b-bcce-b302099a8057", Owner: "ada", Status: ports.StatusFailed, Attempt: 2, Version: 1,
		Spec: ports.Spec{
			Language: "python", Entrypoint: "main.py", Args: []string{"-v", "\xff"}, Stdin: []byte("input"),
			Files:  []ports.File{{Path: "main.py", Content: []byte("print('hi')\n")}, {Path: "logo.png", Content: []byte("\x89PNG")}},
			Env:    map[string]string{"A.B": "1", "$C": ""},
			Limits: ports.Limits{CPU: 0.5, Memory: 256 << 20, Timeout: 1500 * time.Millisecond, PIDs: 64, Output: 10 << 20, Disk: 64 << 20},
			Queue:  "default", Priority: -1, MaxAttempts: 3, Labels: map[string]string{"course": "101", "a.b": "$x"}, IdempotencyKey: "k",
		},
		Result: &ports.Result{
			Outcome: ports.Outcome{
				Cause: ports.CauseExit, ExitCode: 1, StdoutBytes: 3, StderrBytes: 0,
				Usage: ports.Usage{
					CPUTime: new(12 * time.Millisecond), PeakMemory: new(int64(8 << 20)),
					Samples: []ports.Sample{{At: 250 * time.Millisecond, CPU: 0.25, Memory: 4 << 20}},
				},
			},
			Stdout: ports.Output{Head: []byte("hi\n"), Tail: []byte{}, Bytes: 3},
			Stderr: ports.Output{Head: []byte{}, Tail: []byte{}},
		},
		CreatedAt: at, StartedAt: at.Add(time.Second), FinishedAt: at.Add(2 * time.Second),
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

// What mongosh shows, and what the next version has to read.
func TestDocument(t *testing.T) {
	t.Parallel()
	const golden = "testdata/task.json"
	d := newDocument(fullTask())
	d.Creation, d.Record.Write = bson.ObjectID{1}, bson.ObjectID{2}
	raw, err := bson.Marshal(d)
	require.NoError(t, err)
	var got bytes.Buffer
	text, err := bson.MarshalExtJSON(bson.Raw(raw), false, false)
	require.NoError(t, err)
	require.NoError(t, json.Indent(&got, text, "", "  "))
	got.WriteByte('\n')
	if *update {
		require.NoError(t, os.WriteFile(golden, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())

	var kept bson.D
	require.NoError(t, bson.UnmarshalExtJSON(want, false, &kept))
	raw, err = bson.Marshal(kept)
	require.NoError(t, err)
	back, err := decode(raw)
	require.NoError(t, err)
	assert.Equal(t, fullTask(), back.Record.task(ports.TaskID(back.ID)))
}

// A document that was written before tasks had traces is that of a task without one.
func TestDocumentsOfEarlierVersions(t *testing.T) {
	t.Parallel()
	raw, err := bson.Marshal(newDocument(fullTask()))
	require.NoError(t, err)
	var kept bson.D
	require.NoError(t, bson.Unmarshal(raw, &kept))
	before := slices.DeleteFunc(slices.Clone(kept), func(e bson.E) bool { return e.Key == "trace_parent" })
	require.Len(t, before, len(kept)-1)
	raw, err = bson.Marshal(before)
	require.NoError(t, err)
	got, err := decode(raw)
	require.NoError(t, err)
	want := fullTask()
	want.TraceParent = ""
	assert.Equal(t, want, got.Record.task(ports.TaskID(got.ID)))
}

func TestDocumentsOfLaterVersions(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	task, err := s.Create(t.Context(), fullTask())
	require.NoError(t, err)
	set := func(field string, value any) {
		_, err := s.tasks.UpdateByID(t.Context(), string(task.ID), bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: value}}}})
		require.NoError(t, err)
	}
	t.Run("a field that is not known is left alone", func(t *testing.T) {
		set("later", "kept")
		task, err = s.Update(t.Context(), task)
		require.NoError(t, err)
		var stored struct{ Later string }
		require.NoError(t, s.tasks.FindOne(t.Context(), named(task.ID)).Decode(&stored))
		assert.Equal(t, "kept", stored.Later)
	})
	t.Run("a schema that is not known is refused", func(t *testing.T) {
		set("schema", 2)
		_, err := s.Get(t.Context(), task.ID)
		require.ErrorContains(t, err, "schema 2")
		_, err = s.Update(t.Context(), task)
		require.ErrorContains(t, err, "schema 2")
		_, err = s.List(t.Context(), ports.ListQuery{AnyOwner: true})
		require.ErrorContains(t, err, "schema 2")
		require.ErrorContains(t, s.Delete(t.Context(), task.ID, task.Version), "schema 2")
	})
	t.Run("one that is pending keeps nobody from starting", func(t *testing.T) {
		set("pending", true)
		require.NoError(t, s.sweep(t.Context(), all))
		n, err := s.tasks.CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		assert.EqualValues(t, 1, n, "it is a later version's to end")
	})
}

func TestDocumentsThatAreTooLarge(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.maxDocument = reserve + 64<<10 // or it would take long
	big := strings.Repeat("x", 64<<10)
	for field, change := range map[string]func(*ports.Spec){
		"code":   func(p *ports.Spec) { p.Code = big },
		"files":  func(p *ports.Spec) { p.Files = []ports.File{{Path: "a", Content: []byte(big)}} },
		"stdin":  func(p *ports.Spec) { p.Stdin = []byte(big) },
		"labels": func(p *ports.Spec) { p.Labels = map[string]string{"a": big} },
	} {
		task := keyed("big")
		change(&task.Spec)
		_, err := s.Create(t.Context(), task)
		requireField(t, err, field)
	}
	task, err := s.Create(t.Context(), keyed("task"))
	require.NoError(t, err)
	task.Spec.Code = strings.Repeat("x", 60<<10)
	task, err = s.Update(t.Context(), task)
	require.NoError(t, err)
	task.Result = &ports.Result{Stdout: ports.Output{Head: make([]byte, reserve)}}
	task, err = s.Update(t.Context(), task)
	require.NoError(t, err, "what is reserved is there")
	task.Result.Message = strings.Repeat("x", 8<<10)
	_, err = s.Update(t.Context(), task)
	requireField(t, err, "result")
}

func requireField(t *testing.T, err error, field string) {
	t.Helper()
	var f *ports.FieldError
	require.ErrorAs(t, err, &f)
	require.Equal(t, field, f.Field)
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "a", "\x00", "\xff", "é\u2028", "$where"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		kind, data, err := text(s).MarshalBSONValue()
		require.NoError(t, err)
		var got text
		require.NoError(t, got.UnmarshalBSONValue(kind, data))
		require.Equal(t, s, string(got))
	})
}

func FuzzDecode(f *testing.F) {
	raw, err := bson.Marshal(newDocument(fullTask()))
	require.NoError(f, err)
	f.Add(raw)
	f.Add([]byte{5, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, raw []byte) {
		if d, err := decode(raw); err == nil {
			d.Record.task(ports.TaskID(d.ID))
		}
	})
}

func FuzzKeyID(f *testing.F) {
	f.Add("", "")
	f.Add(`a" "b`, "\xff\ufffd")
	f.Fuzz(func(t *testing.T, owner, key string) {
		id := keyID(text(owner), text(key))
		first, err := strconv.QuotedPrefix(id)
		require.NoError(t, err)
		gotOwner, err := strconv.Unquote(first)
		require.NoError(t, err)
		gotKey, err := strconv.Unquote(id[len(first)+1:])
		require.NoError(t, err)
		require.Equal(t, []string{owner, key}, []string{gotOwner, gotKey})
	})
}

func TestCursorKeepsItsPosition(t *testing.T) {
	t.Parallel()
	for _, at := range []int64{0, -1, 1_741_964_966_535, time.Time{}.UnixMilli(), 1<<63 - 1} {
		p := position{at, "~/..%"}
		got, err := parseCursor(p.cursor())
		require.NoError(t, err)
		assert.Equal(t, p, got)
	}
}

func FuzzParseCursor(f *testing.F) {
	good := position{1_741_964_966_535, "01890a5d-ac96-774b-bcce-b302099a8057"}.cursor()
	for _, seed := range []string{good, good + "A", good[:20], "", "A", "AQ", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := parseCursor(cursor)
		if err != nil {
			require.ErrorIs(t, err, ports.ErrInvalid)
			return
		}
		require.NoError(t, p.id.Validate())
		require.Equal(t, cursor, p.cursor(), "two cursors for one position")
	})
}
