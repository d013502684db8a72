package ui

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/task-runner/task-runner/adapters/httpapi"
)

// pageSize is how many tasks a page of the list has.
const pageSize = 25

// statuses are what the list can be filtered by.
var statuses = []string{"queued", "running", "succeeded", "failed", "timed_out", "cancelled"}

// tasksPage is the list of tasks, newest first.
type tasksPage struct {
	frame
	Tasks     []httpapi.TaskSummary
	Statuses  []string
	Languages []httpapi.Language
	// What the list is filtered by.
	Status, Language string
	Mine             bool
	Begun            bool // this browser has run something
	First, Next      string
}

// Filtered reports whether there may be more tasks than the filters let through.
func (p tasksPage) Filtered() bool { return p.Status != "" || p.Language != "" || p.Mine }

// Sentence says how a task ended, or where it is.
func (p tasksPage) Sentence(t httpapi.TaskSummary) string { return outcome(t, nil) }

// tasks shows the list.
func (h *handler) tasks(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s := h.sessions.of(r)
	p := tasksPage{
		frame: h.frame(r, "Tasks · Task Runner", "tasks"), Statuses: statuses,
		Status: q.Get("status"), Language: q.Get("language"), Mine: q.Get("mine") != "", Begun: s.ID != "",
	}
	if !slices.Contains(statuses, p.Status) {
		p.Status = ""
	}
	var languages httpapi.Languages
	if err := h.api.get(r, "/api/v1/languages", &languages); err != nil {
		h.fail(w, r, err)
		return
	}
	p.Languages = languages.Languages
	if !slices.ContainsFunc(p.Languages, func(l httpapi.Language) bool { return l.Name == p.Language }) {
		p.Language = ""
	}

	here := url.Values{} // what the next page keeps
	ask := url.Values{"limit": {number(pageSize)}}
	for name, value := range map[string]string{"status": p.Status, "language": p.Language} {
		if value != "" {
			here.Set(name, value)
			ask.Set(name, value)
		}
	}
	if p.Mine {
		here.Set("mine", "1")
		ask.Set("label", ownerLabel+"="+h.sessions.owner(s))
	}
	cursor := q.Get("cursor")
	if cursor != "" {
		ask.Set("cursor", cursor)
		p.First = tasksURL(here)
	}
	if !p.Mine || p.Begun { // else there can be none
		var list httpapi.TaskList
		if err := h.api.get(r, "/api/v1/tasks?"+ask.Encode(), &list); err != nil {
			h.fail(w, r, err)
			return
		}
		p.Tasks = list.Tasks
		if list.NextCursor != nil {
			here.Set("cursor", *list.NextCursor)
			p.Next = tasksURL(here)
		}
	}
	h.render(w, http.StatusOK, "tasks.html", p)
}

func tasksURL(q url.Values) string {
	if len(q) == 0 {
		return "/tasks"
	}
	return "/tasks?" + q.Encode()
}
