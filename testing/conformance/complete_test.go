package conformance

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A field that is added to the records is added to the suites' full ones too, or
// no suite would notice an adapter that loses it.
func TestFullRecordsHaveEveryFieldSet(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{"task": fullTask(), "event": fullEvent(newID())} {
		for _, field := range unset(name, reflect.ValueOf(v)) {
			assert.Fail(t, "the field is not set", field)
		}
	}
}

// unset returns the paths of all fields within v that are zero.
func unset(path string, v reflect.Value) (fields []string) {
	switch {
	case v.IsZero():
		return []string{path}
	case v.Kind() == reflect.Pointer:
		return unset(path, v.Elem())
	case v.Kind() == reflect.Struct && v.Type().PkgPath() != "time":
		for i := range v.NumField() {
			fields = append(fields, unset(path+"."+v.Type().Field(i).Name, v.Field(i))...)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		fields = unset(path+"[0]", v.Index(0))
	}
	return fields
}

func TestScribblingChangesACopyAndNothingElse(t *testing.T) {
	t.Parallel()
	task := fullTask()
	kept := task.Clone()
	scribble(task.Clone())
	assert.Equal(t, kept, task)
	scribble(task)
	assert.NotEqual(t, kept, task)
	assert.Equal(t, kept.ID, task.ID)
}

func TestOddIDsAreValidAndBadOnesAreNot(t *testing.T) {
	t.Parallel()
	seen := map[any]bool{}
	for _, id := range oddIDs() {
		assert.NoError(t, id.Validate())
		assert.False(t, seen[id], "%q is there twice", id)
		seen[id] = true
	}
	for what, id := range badIDs() {
		assert.Error(t, id.Validate(), what)
	}
}
