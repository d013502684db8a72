package ui_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// rows are the IDs of the tasks that the list shows.
const rows = `[...document.querySelectorAll("tr[data-id]")].map((one) => one.dataset.id)`

func TestTheListIsAliveAndOutlivesTheService(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	api := serve(t, taskrunner.Policy{}, fakes.Until(over))
	s := before(t, "http://"+api.addr)
	b := browse(s)
	b.excuse("503")
	b.open("/tasks")
	assert.Contains(t, b.text("[data-tasks]"), "No tasks yet")
	eval[bool](b, "globalThis.same = true") // what a new page would not have
	id := s.submit()
	b.there(`tr[data-id="` + id + `"][data-status="running"]`)

	const notice = `document.querySelector("[data-connection]").checkVisibility()`
	api.kill()
	b.until(notice)
	assert.Equal(t, []string{id}, eval[[]string](b, rows), "what is known stays")
	api.start()
	b.until("!" + notice)

	close(over)
	b.there(`tr[data-id="` + id + `"][data-status="succeeded"]`)
	b.until(`/succeeded/.test(document.querySelector("[data-announce]").textContent)`)
	assert.True(t, eval[bool](b, "same"))
	b.click(`tr[data-id="` + id + `"]`)
	b.until(`location.pathname === ` + js("/tasks/"+id))
}

func TestTheListIsFilteredAndTurnedOver(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serveOn(t, taskrunner.Policy{}, fakes.NewExecutor().Next(fakes.Exit(1))).addr)
	failed := s.submit()
	s.end("/tasks/" + failed)
	for range 29 {
		s.end("/tasks/" + s.submit())
	}
	b := browse(s)
	b.open("/tasks")
	first := eval[[]string](b, rows)
	assert.Len(t, first, 25)
	b.click(`[rel="next"]`)
	b.until(rows + ".length === 5")
	assert.NotSubset(t, first, eval[[]string](b, rows))
	b.click(`[rel="first"]`)
	b.until(rows + ".length === 25")

	b.ready()
	b.choose(`[data-filters] [name="status"]`, "failed")
	b.until(rows + ".length === 1")
	assert.Equal(t, []string{failed}, eval[[]string](b, rows))
	b.ready()
	b.choose(`[data-filters] [name="language"]`, "bash")
	b.until(`document.querySelector("[data-tasks]")?.textContent.includes("No task matches")`)
	assert.Equal(t, "?status=failed&language=bash", eval[string](b, "location.search"), "the address can be passed on")
	b.click(".placeholder .button")
	b.until(rows + ".length === 25")

	b.open("/")
	b.click("#run")
	b.status("succeeded")
	mine := eval[string](b, `document.querySelector("[data-task]").dataset.task`)
	b.open("/tasks")
	b.click(`[data-filters] [name="mine"]`)
	b.until(rows + ".length === 1")
	assert.Equal(t, []string{mine}, eval[[]string](b, rows))
	b.until(fmt.Sprintf("location.search.includes(%s)", js("mine=1")))
}

func TestAPageOfAServiceThatIsAwayComesByItself(t *testing.T) {
	t.Parallel()
	api := serve(t, taskrunner.Policy{})
	b := browse(before(t, "http://"+api.addr))
	b.excuse("503")
	api.kill()
	b.open("/")
	assert.Contains(t, b.text("h1"), "not available")
	api.start()
	b.there("#program")
}
