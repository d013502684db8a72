package ui

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/apps/internal/options"
)

const testSecret = "0123456789abcdef0123456789abcdef"

func sessionsOf(t testing.TB, secret string) *sessions {
	t.Helper()
	s, err := newSessions(secret)
	require.NoError(t, err)
	return s
}

// with returns a request that has the cookies, of which an empty one is none.
func with(values ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, value := range values {
		if value != "" {
			r.Header.Add("Cookie", sessionCookie+"="+value)
		}
	}
	return r
}

// saved returns the cookie that s makes of a session for a request.
func saved(t testing.TB, s *sessions, r *http.Request, of session) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	s.save(w, r, of)
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	return cookies[0]
}

func TestASecretIsLongOrTheKnownDefault(t *testing.T) {
	t.Parallel()
	for secret, ok := range map[string]bool{
		testSecret:                           true,
		strings.Repeat("long", 1000):         true,
		options.InsecureSecret:               true,
		"":                                   false,
		testSecret[1:]:                       false,
		options.InsecureSecret[1:]:           false,
		strings.ToUpper("insecure-default-"): false,
	} {
		s, err := newSessions(secret)
		if ok {
			require.NoError(t, err)
			assert.NotNil(t, s)
			continue
		}
		require.EqualError(t, err, "secret must be at least 32 bytes long, such as openssl rand -hex 32 makes")
	}
}

func TestASessionComesBackAsItWasSaved(t *testing.T) {
	t.Parallel()
	s := sessionsOf(t, testSecret)
	for _, want := range []session{{}, {Theme: "dark"}, s.begin(session{}), s.begin(session{Theme: "light"})} {
		cookie := saved(t, s, with(), want)
		assert.Equal(t, want, s.of(with(cookie.Value)))
		assert.Equal(t, want, sessionsOf(t, testSecret).of(with(cookie.Value)), "every process with the secret knows it")
		assert.LessOrEqual(t, len(cookie.Value), maxCookie/2)
	}
}

func TestACookieIsForThisSiteAndNoScript(t *testing.T) {
	t.Parallel()
	overTLS := with()
	overTLS.TLS = new(tls.ConnectionState)
	behind := func(proto string) *http.Request {
		r := with()
		r.Header.Set("X-Forwarded-Proto", proto)
		return r
	}
	for name, tt := range map[string]struct {
		r      *http.Request
		secure bool
	}{
		"plain":                             {with(), false},
		"over TLS":                          {overTLS, true},
		"TLS ended in front":                {behind("https"), true},
		"in other letters":                  {behind("HTTPS"), true},
		"ended at the first of two proxies": {behind("https, http"), true},
		"plain to the first of two proxies": {behind("http, https"), false},
		"plain in front":                    {behind("http"), false},
		"nonsense in front":                 {behind("httpss"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cookie := saved(t, sessionsOf(t, testSecret), tt.r, session{Theme: "dark"})
			assert.Equal(t, "taskrunner_session", cookie.Name)
			assert.Equal(t, "/", cookie.Path)
			assert.Empty(t, cookie.Domain, "no neighbour gets it")
			assert.Equal(t, 180*24*60*60, cookie.MaxAge)
			assert.True(t, cookie.HttpOnly)
			assert.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
			assert.Equal(t, tt.secure, cookie.Secure)
		})
	}
}

func TestWhatWasNotSavedHereIsAnEmptySession(t *testing.T) {
	t.Parallel()
	s := sessionsOf(t, testSecret)
	cookie := saved(t, s, with(), session{ID: "me", Theme: "dark"}).Value
	changed := func(i int) string {
		b := []byte(cookie)
		b[i] ^= 1
		return string(b)
	}
	// The same format under keys and names that are not those of sessions.
	signed := func(key []byte, name string, content any) string {
		value, err := securecookie.New(key, nil).SetSerializer(securecookie.JSONEncoder{}).Encode(name, content)
		require.NoError(t, err)
		return value
	}
	for name, value := range map[string]string{
		"none at all":                  "",
		"plain text":                   `{"id":"me"}`,
		"no signature":                 "eyJpZCI6Im1lIn0=",
		"a first character changed":    changed(0),
		"one in the middle changed":    changed(len(cookie) / 2),
		"cut off at the end":           cookie[:len(cookie)-4],
		"cut off at the beginning":     cookie[4:],
		"twice in one":                 cookie + cookie,
		"of another site":              saved(t, sessionsOf(t, strings.ToUpper(testSecret)), with(), session{ID: "me"}).Value,
		"signed with the secret plain": signed([]byte(testSecret), sessionCookie, session{ID: "me"}),
		"of another version":           signed(hkdfKey(t, "taskrunner session cookie v2"), sessionCookie, session{ID: "me"}),
		"signed with the owners' key":  signed(s.owners, sessionCookie, session{ID: "me"}),
		"of another cookie":            mustEncode(t, s, "taskrunner_other", session{ID: "me"}),
		"no session inside":            mustEncode(t, s, sessionCookie, []int{1}),
		"half a session inside":        mustEncode(t, s, sessionCookie, map[string]any{"id": "me", "theme": 1}),
		"huge":                         strings.Repeat("A", 1<<20),
		"longer than any of ours":      signed(hkdfKey(t, "taskrunner session cookie v1"), sessionCookie, session{ID: strings.Repeat("x", maxCookie)}),
		"unprintable":                  "\x00\x01\xff",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, session{}, s.of(with(value)))
		})
	}
	assert.Equal(t, session{ID: "me", Theme: "dark"}, s.of(with(cookie)))
}

func hkdfKey(t *testing.T, purpose string) []byte {
	t.Helper()
	key, err := hkdf.Key(sha256.New, []byte(testSecret), nil, purpose, sha256.Size)
	require.NoError(t, err)
	return key
}

func mustEncode(t *testing.T, s *sessions, name string, content any) string {
	t.Helper()
	value, err := s.cookies.Encode(name, content)
	require.NoError(t, err)
	return value
}

// Who changes how the cookie is made, even by accident, changes this test and takes
// everybody's sessions away.
func TestTheFormatStaysAsItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where it is always the same time
		s := sessionsOf(t, testSecret)
		assert.Equal(t, "OTQ2Njg0ODAwfGV5SnBaQ0k2SW0xbElpd2lkR2hsYldVaU9pSmtZWEpySW4wS3yAw3fsGtLAMxsTbSKCqmv4Klr8LdCHASPtHkShbLY0-w==", saved(t, s, with(), session{ID: "me", Theme: "dark"}).Value)
		assert.Equal(t, "46cd6625b861deedd80812e6e3063aae", s.owner(session{ID: "me"}))
	})
}

func TestASessionEndsHalfAYearAfterItWasLastUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sessionsOf(t, testSecret)
		mine := s.begin(session{Theme: "dark"})
		cookie := saved(t, s, with(), mine).Value
		time.Sleep(sessionAge - time.Hour)
		assert.Equal(t, mine, s.of(with(cookie)))
		again := saved(t, s, with(cookie), s.of(with(cookie))).Value
		time.Sleep(2 * time.Hour)
		assert.Equal(t, session{}, s.of(with(cookie)), "whatever the browser thinks")
		assert.Equal(t, mine, s.of(with(again)))
	})
}

func TestASessionThatBeginsIsNobodyElses(t *testing.T) {
	t.Parallel()
	s := sessionsOf(t, testSecret)
	a, b := s.begin(session{Theme: "dark"}), s.begin(session{})
	assert.NotEqual(t, a.ID, b.ID)
	assert.Equal(t, "dark", a.Theme)
	assert.Equal(t, a, s.begin(a), "it begins once")
}

func TestAnOwnerTellsNothingOfTheSession(t *testing.T) {
	t.Parallel()
	s := sessionsOf(t, testSecret)
	mine := s.begin(session{})
	owner := s.owner(mine)
	assert.Regexp(t, "^[0-9a-f]{32}$", owner, "as long as a label may be")
	assert.NotContains(t, owner, mine.ID)
	assert.NotContains(t, saved(t, s, with(), mine).Value, owner)
	assert.Equal(t, owner, s.owner(session{ID: mine.ID, Theme: "dark"}), "a theme is not who one is")
	assert.NotEqual(t, owner, s.owner(s.begin(session{})))
	assert.NotEqual(t, owner, sessionsOf(t, strings.ToUpper(testSecret)).owner(mine))
	assert.Empty(t, s.owner(session{}), "who has submitted nothing shares nothing with others like that")
}

// chosen returns the answer to a form, and its cookies.
func chosen(t *testing.T, s *sessions, cookie string, form url.Values) (*httptest.ResponseRecorder, []*http.Cookie) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/theme", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: cookie})
	}
	w := httptest.NewRecorder()
	(&handler{sessions: s}).setTheme(w, r)
	return w, w.Result().Cookies()
}

func TestAThemeIsRememberedAndNothingElseForgotten(t *testing.T) {
	t.Parallel()
	s := sessionsOf(t, testSecret)
	id := s.begin(session{}).ID
	cookie := saved(t, s, with(), session{ID: id}).Value
	for choice, want := range map[string]string{"light": "light", "dark": "dark", "system": ""} {
		res, cookies := chosen(t, s, cookie, url.Values{"theme": {choice}, "back": {"/tasks?mine=1"}})
		assert.Equal(t, http.StatusSeeOther, res.Code)
		assert.Equal(t, "/tasks?mine=1", res.Header().Get("Location"))
		require.Len(t, cookies, 1)
		assert.Equal(t, session{ID: id, Theme: want}, s.of(with(cookies[0].Value)))
	}
	res, cookies := chosen(t, s, "", url.Values{"theme": {"dark"}})
	assert.Equal(t, "/", res.Header().Get("Location"))
	require.Len(t, cookies, 1)
	assert.Equal(t, session{Theme: "dark"}, s.of(with(cookies[0].Value)), "a theme needs no ID")
}

func TestAThemeThatThereIsNotChangesNothing(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]url.Values{
		"none":                        {},
		"empty":                       {"theme": {""}},
		"unknown":                     {"theme": {"sepia"}},
		"that would be HTML":          {"theme": {`"><script>`}},
		"behind more than a form has": {"back": {strings.Repeat("x", maxThemeForm)}, "theme": {"dark"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, cookies := chosen(t, sessionsOf(t, testSecret), "", form)
			assert.Equal(t, http.StatusBadRequest, res.Code)
			assert.Empty(t, cookies)
			assert.Equal(t, "text/plain; charset=utf-8", res.Header().Get("Content-Type"))
		})
	}
}

func TestTheWayBackStaysOnTheSite(t *testing.T) {
	t.Parallel()
	for back, want := range map[string]string{
		"/":                          "/",
		"/tasks":                     "/tasks",
		"/tasks/1?from=2&x=a%2Fb":    "/tasks/1?from=2&x=a%2Fb",
		"/?next=https://evil":        "/?next=https://evil",
		"/a//b":                      "/a//b",
		"":                           "/",
		"tasks":                      "/",
		"//evil.example":             "/",
		"///evil.example":            "/",
		`/\evil.example`:             "/",
		`\\evil.example`:             "/",
		`/tasks\..\\evil.example`:    "/",
		"/\t/evil.example":           "/",
		"/\n/evil.example":           "/",
		"/\r\nSet-Cookie: a=b":       "/",
		"\t//evil.example":           "/",
		" //evil.example":            "/",
		"/\x00":                      "/",
		"/\x7f":                      "/",
		"https://evil.example/":      "/",
		"https:/evil.example":        "/",
		"javascript:alert(1)":        "/",
		"data:text/html,x":           "/",
		"@evil.example":              "/",
		".evil.example":              "/",
		"?mine=1":                    "/",
		"#part":                      "/",
		"/%zz":                       "/",
		"/%2F%2Fevil.example":        "/%2F%2Fevil.example",
		"/" + strings.Repeat("/", 9): "/",
	} {
		assert.Equal(t, want, localPath(back), "%q", back)
	}
}

// FuzzSession asks for what no cookie but those that were saved gives: a session.
func FuzzSession(f *testing.F) {
	s := sessionsOf(f, testSecret)
	mine := session{ID: "me", Theme: "dark"}
	good := saved(f, s, with(), mine).Value
	for _, value := range []string{good, good[:len(good)-1], good + "=", "", "a|b|c", "MTIzfHx8", `{"id":"x"}`, strings.Repeat("A", 2*maxCookie)} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := s.of(with(value))
		if got != (session{}) && got != mine {
			t.Fatalf("%q is a session: %v", value, got)
		}
	})
}

// FuzzBack follows the way back as browsers do.
func FuzzBack(f *testing.F) {
	for _, back := range []string{"/tasks?mine=1", "//evil", `/\evil`, "/\t/evil", "/.//evil", "/..//evil", "https://evil", "/%5cevil", "/a?b#c", "/\u2028/evil", "/;//evil"} {
		f.Add(back)
	}
	site, err := url.Parse("http://site.example/theme")
	require.NoError(f, err)
	asBrowsersDo := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/")
	f.Fuzz(func(t *testing.T, back string) {
		w := httptest.NewRecorder()
		http.Redirect(w, httptest.NewRequest(http.MethodPost, "/theme", nil), localPath(back), http.StatusSeeOther)
		location := w.Header().Get("Location")
		to, err := url.Parse(asBrowsersDo.Replace(strings.TrimFunc(location, func(r rune) bool { return r <= ' ' })))
		if err != nil {
			t.Fatalf("%q goes to %q: %v", back, location, err)
		}
		if to = site.ResolveReference(to); to.Scheme != site.Scheme || to.Host != site.Host || to.User != nil {
			t.Fatalf("%q goes to %q", back, location)
		}
	})
}
