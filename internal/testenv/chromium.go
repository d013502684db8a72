package testenv

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/chromedp/chromedp"
)

// sharedChromium is one process for all tests: each has a tab of its own in it.
var sharedChromium = &shared[context.Context]{start: startChromium}

// Chromium returns the context of a browser without a window that tests share: the one
// whose path TASKRUNNER_TEST_CHROMIUM has, or else the machine's. Tests make tabs in it
// with cookies and storage of their own; see chromedp.WithNewBrowserContext.
func Chromium(t testing.TB) context.Context {
	t.Helper()
	return sharedChromium.get(t)
}

func startChromium(t testing.TB) context.Context {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromiumPath(t)),
		chromedp.Headless,
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.UserDataDir(socketDir(t)),
		// Whoever runs tests as root, as those of sandboxes must be, has no other choice.
		// The pages are our own.
		chromedp.Flag("no-sandbox", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		// It calls nobody but the pages' own servers.
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("no-pings", true),
		// A tab that another one hides is as fast as any.
		chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
		// What would pop up below the address is a process for each tab, which nobody sees.
		chromedp.Flag("disable-features", "WebUIOmniboxPopup,WebUIOmniboxAimPopup"),
		// Pictures and colours are the same everywhere.
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("lang", "en-US"),
	}
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	ctx, closeBrowser := chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return ctx
}

// chromiumPath returns where the browser is.
func chromiumPath(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("TASKRUNNER_TEST_CHROMIUM"); path != "" {
		return path
	}
	// The first one has no window to hide, and is twice as fast.
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "there is no Chromium: install it (on Debian: chromium-headless-shell), or name one in TASKRUNNER_TEST_CHROMIUM")
	return ""
}
