// The list of tasks, kept up to date while somebody looks at it.

import { clock, elapsed, status } from "./format.js";

const EVERY = 2_000; // milliseconds between two looks

const list = document.querySelector("[data-tasks]");
const filters = document.querySelector("[data-filters]");
const connection = document.querySelector("[data-connection]");
const announce = document.querySelector("[data-announce]");

function localTimes() {
  for (const time of list.querySelectorAll("[data-time]")) {
    time.textContent = clock(time.dateTime);
    time.title = new Date(time.dateTime).toLocaleString();
  }
}

/** Says how long it is since the times that the server wrote, by its clock. */
function tick() {
  for (const span of list.querySelectorAll("[data-elapsed-since]")) {
    span.textContent = elapsed(Date.now() - skew - Date.parse(span.dataset.elapsedSince));
  }
}

/** Says what became of the tasks that were there before. */
function tell(before) {
  const news = [...list.querySelectorAll("tr[data-id]")]
    .filter((row) => before.has(row.dataset.id) && before.get(row.dataset.id) !== row.dataset.status)
    .map((row) => `Task ${row.dataset.id.slice(-6)} ${status(row.dataset.status)}`);
  if (news.length) announce.textContent = news.slice(0, 3).join(". ");
}

async function look() {
  let fresh;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!response.ok) throw new Error(response.statusText);
    skew = Date.now() - Date.parse(response.headers.get("date"));
    if (Math.abs(skew) < 2_000) skew = 0; // dates are in whole seconds
    fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("[data-tasks]");
  } catch {
    connection.hidden = false;
    return;
  }
  connection.hidden = true;
  if (!fresh || fresh.isEqualNode(shown)) return;
  const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const before = new Map([...list.querySelectorAll("tr[data-id]")].map((row) => [row.dataset.id, row.dataset.status]));
  shown = fresh.cloneNode(true);
  list.replaceChildren(...fresh.childNodes);
  localTimes();
  tell(before);
  if (focused) [...list.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus({ preventScroll: true });
}

let shown = list.cloneNode(true); // as the server wrote it
let busy = false;
let skew = 0; // how far the clock here is ahead of the server's

async function keepUp() {
  if (document.hidden || busy) return;
  busy = true;
  await look();
  tick();
  busy = false;
}

localTimes();
tick();
filters.querySelector("[data-apply]").hidden = true;
filters.addEventListener("change", () => filters.requestSubmit());
filters.addEventListener("submit", (event) => {
  // What is not chosen is not in the address.
  event.preventDefault();
  const chosen = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value));
  location.assign(chosen.size ? `/tasks?${chosen}` : "/tasks");
});
setInterval(keepUp, EVERY);
document.addEventListener("visibilitychange", keepUp);
document.documentElement.dataset.ready = "tasks";
