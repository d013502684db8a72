// The page that stands in for another one while the service is away.

const EVERY = 3_000; // milliseconds between two looks

async function look() {
  try {
    const { status } = await fetch(location.href, { method: "HEAD", cache: "no-store" });
    if (status !== 503) location.reload();
  } catch {
    // Whoever serves this page is away too.
  }
}

setInterval(() => document.hidden || look(), EVERY);
document.addEventListener("visibilitychange", () => document.hidden || look());
