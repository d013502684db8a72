package testenv_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
)

func TestTabsOfOneChromiumKnowNothingOfEachOther(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(site.Close)
	browser := testenv.Chromium(t)
	assert.Equal(t, chromedp.FromContext(browser).Browser, chromedp.FromContext(testenv.Chromium(t)).Browser)
	var cookies []string
	for range 2 {
		tab, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
		defer closeTab()
		require.NoError(t, chromedp.Do(tab, chromedp.Navigate(site.URL)))
		cookie, err := chromedp.Run(tab, chromedp.Evaluate[string](`document.cookie = "seen=" + document.cookie.length; document.cookie`))
		require.NoError(t, err)
		cookies = append(cookies, cookie)
	}
	assert.Equal(t, []string{"seen=0", "seen=0"}, cookies)
}
