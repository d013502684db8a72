package ui

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/task-runner/task-runner/apps/internal/options"
)

const (
	sessionCookie = "taskrunner_session"
	// sessionAge is how long a browser is remembered after it last submitted or chose.
	sessionAge = 180 * 24 * time.Hour
	// maxCookie bounds what is read of a cookie: several times what save makes.
	maxCookie = 1 << 10
	// maxThemeForm bounds the form of a theme, whose longest part is a path to go back to.
	maxThemeForm = 16 << 10
	// ownerLabel is the label of tasks that are submitted here: whose they are.
	ownerLabel = "taskrunner/owner"
)

// session is what a browser is remembered by. It names nobody and grants nothing.
type session struct {
	// ID is random; empty until something is submitted.
	ID string `json:"id,omitempty"`
	// Theme is "light" or "dark"; empty is the system's.
	Theme string `json:"theme,omitempty"`
}

// sessions keeps sessions in the browsers themselves, in a cookie that is signed. It is
// safe for concurrent use.
type sessions struct {
	cookies *securecookie.SecureCookie
	owners  []byte // the key of owner
}

// newSessions returns the sessions of everybody who has the secret.
func newSessions(secret string) (*sessions, error) {
	if err := options.CheckSecret(secret, options.InsecureSecret); err != nil {
		return nil, fmt.Errorf("secret %w", err)
	}
	// A key for each purpose, so that neither output is of use for the other. What a
	// later version signs differently has another purpose.
	signing, err := hkdf.Key(sha256.New, []byte(secret), nil, "taskrunner session cookie v1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of sessions: %w", err)
	}
	owners, err := hkdf.Key(sha256.New, []byte(secret), nil, "taskrunner task owner v1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of owners: %w", err)
	}
	cookies := securecookie.New(signing, nil).SetSerializer(securecookie.JSONEncoder{}).
		MaxAge(int(sessionAge / time.Second)).MaxLength(maxCookie)
	return &sessions{cookies, owners}, nil
}

// of returns the session of who asks; an empty one if there is none, or it is not one
// that save made with the same secret, or it is too old.
func (s *sessions) of(r *http.Request) session {
	var saved session
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || s.cookies.Decode(sessionCookie, cookie.Value, &saved) != nil {
		return session{}
	}
	return saved
}

// begin returns the session with an ID.
func (s *sessions) begin(current session) session {
	if current.ID == "" {
		current.ID = rand.Text()
	}
	return current
}

// owner returns the value of ownerLabel that the session's tasks have; empty if it has no
// ID. The session cannot be found out from it, and without the session it cannot be made.
func (s *sessions) owner(of session) string {
	if of.ID == "" {
		return ""
	}
	mac := hmac.New(sha256.New, s.owners)
	mac.Write([]byte(of.ID))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// save has the browser keep the session from now on.
func (s *sessions) save(w http.ResponseWriter, r *http.Request, current session) {
	value, err := s.cookies.Encode(sessionCookie, current)
	if err != nil { // a session that is too long, which none of ours is
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: on one machine there is no TLS
		Name: sessionCookie, Value: value, Path: "/", MaxAge: int(sessionAge / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r),
	})
}

// secure reports whether the browser came by TLS, to here or to what stands in front.
func secure(r *http.Request) bool {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(first), "https")
}

// setTheme remembers how the browser wants its pages, and goes back to one of them.
func (h *handler) setTheme(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxThemeForm)
	s := h.sessions.of(r)
	switch theme := r.PostFormValue("theme"); theme {
	case "light", "dark":
		s.Theme = theme
	case "system":
		s.Theme = ""
	default:
		http.Error(w, "theme must be light, dark or system", http.StatusBadRequest)
		return
	}
	h.sessions.save(w, r, s)
	http.Redirect(w, r, localPath(r.PostFormValue("back")), http.StatusSeeOther)
}

// localPath returns s if it is a path of this site, with a query maybe, and else the
// first page. Browsers take two slashes for the beginning of another host, a backslash
// for a slash, and control characters for nothing, which url.Parse refuses.
func localPath(s string) string {
	_, err := url.Parse(s)
	if err != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.Contains(s, `\`) {
		return "/"
	}
	return s
}
