package conformance

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var busPublishChecks = []busCheck{
	{"keeps every field and every byte", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		s := r.subscribe(id, ports.Position{})
		full := fullEvent(id)
		for _, change := range []func(*ports.Event){
			func(*ports.Event) {},
			func(e *ports.Event) { *e = ports.Event{Task: id} },
			func(e *ports.Event) { e.Data = nil },
			func(e *ports.Event) { e.Data = []byte{} },
			func(e *ports.Event) { e.Data = []byte{0} },
			func(e *ports.Event) { e.Data = []byte("a\r\n\n: \xff\xfe\x00") },
			func(e *ports.Event) { e.Data = logContent(64 << 10) },
			func(e *ports.Event) { e.ExitCode, e.Offset = math.MaxInt32, math.MaxInt64 },
			func(e *ports.Event) { e.ExitCode = 137 },
			func(e *ports.Event) { e.Time = time.Time{} },
			func(e *ports.Event) { e.Time = epoch.In(time.FixedZone("far", -11*3600)) },
			func(e *ports.Event) { e.Type, e.Signal = "unknown", "é\x00\xff" },
			func(e *ports.Event) { e.Sample = ports.Sample{} },
		} {
			e := full.Clone()
			change(&e)
			r.requireEvents(s, r.publish(e)...)
		}
		for _, typ := range []ports.EventType{ports.EventStatus, ports.EventStdout, ports.EventStderr, ports.EventUsage, ports.EventEnd} {
			for _, status := range ports.Statuses() {
				r.requireEvents(s, r.publish(ports.Event{Task: id, Type: typ, Status: status})...)
			}
		}
	}},
	{"gives every event of a topic an ID of its own, whatever it had", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		first := r.publishMany(id, 1, 20)
		for range 20 {
			e := newEvent(id, 21)
			e.ID = first[0].ID
			first = append(first, r.publish(e)...)
		}
		requireIDs(t, first...)
		r.requireEvents(r.subscribe(id, ports.Position{}), first...)
	}},
	{"keeps the order of a publisher", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		published := r.publishMany(id, 1, 200)
		r.requireEvents(r.subscribe(id, ports.Position{}), published...)
	}},
	{"keeps the topics of all valid IDs apart", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		published := map[ports.TaskID][]ports.Event{}
		for n := range 2 {
			for _, id := range oddIDs() {
				published[id] = append(published[id], r.publish(newEvent(id, n))...)
			}
		}
		for id, events := range published {
			s := r.subscribe(id, ports.Position{})
			r.requireEvents(s, events...)
			r.requireNoMore(s, id)
		}
	}},
	{"refuses what is no ID", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		for what, id := range badIDs() {
			_, err := r.Publish(r.ctx, newEvent(id, 1))
			requireSentinel(t, err, ports.ErrInvalid, what)
			_, err = r.Subscribe(r.ctx, id, ports.Position{})
			requireSentinel(t, err, ports.ErrInvalid, what)
		}
	}},
	{"keeps nothing that it was passed and gives every reader a copy", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		e := newEvent(id, 1)
		want := e.Clone()
		want.ID = r.publish(e)[0].ID
		clear(e.Data)
		for range 3 {
			got, err := r.subscribe(id, ports.Position{}).Next(r.ctx)
			require.NoError(t, err)
			require.Equal(t, canonicalEvent(want), canonicalEvent(got))
			clear(got.Data)
		}
	}},
}
