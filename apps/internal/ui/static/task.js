// A task's view, which the server wrote, brought to life: what happens comes from the
// task's stream of events, and what its status says from the server, written anew.

import { Chart } from "./chart.js";
import { bytes, clock, duration, elapsed, ended, status as word } from "./format.js";
import { copy, Output, say } from "./output.js";

const SOON = 50; // milliseconds in which several changes of status become one
const PATIENCE = 2_500; // milliseconds without a connection before anybody is told
const LONGEST = 20_000; // milliseconds between two attempts
const UNSEEN = 60_000; // milliseconds after which a tab in the background lets go

// What of a summary may have the focus.
const focusable = ["data-cancel", "data-rerun", "data-edit", "data-copy-curl", "data-open", "data-cause"];

/** Brings an article to life until it is closed. */
export function mount(article) {
  const view = new View(article);
  return { close: () => view.close() };
}

class View {
  #article;
  #panes = {};
  #charts = {};
  #stop = new AbortController();
  #source = null;
  #still = false; // nothing more comes
  #last = ""; // the last event's ID
  #stale = new Set(); // panes that show what the server wrote, until the stream does
  #attempt = 0; // the stream's
  #status; // as the stream has it
  #tries = 0; // to connect, in vain
  #patience = 0;
  #soon = 0;
  #unseen = 0;
  #refreshing = false;
  #again = false;
  #skew = 0; // how far the clock here is ahead of the server's
  #clock = 0;
  #live = null; // { cpu, wall, memory }: what was used so far

  constructor(article) {
    this.#article = article;
    this.#status = article.dataset.status;
    for (const section of article.querySelectorAll("[data-pane]")) this.#panes[section.dataset.pane] = new Output(section);
    for (const figure of article.querySelectorAll("[data-chart]")) this.#charts[figure.dataset.chart] = new Chart(figure);
    this.#showSamples();
    this.#enhance(this.#summary);
    this.#listen("submit", (event) => event.target.matches("[data-cancel]") && this.#cancel(event));
    this.#listen("click", ({ target }) => this.#copyCommand(target.closest("[data-copy-curl]")));
    if (this.#over) return this.#finish();
    this.#clock = setInterval(() => this.#tick(this.#summary), 1_000);
    document.addEventListener("visibilitychange", () => this.#looked(), { signal: this.#stop.signal });
    this.#connect();
    this.#looked();
  }

  close() {
    this.#stop.abort();
    this.#hangUp();
    for (const part of this.#parts) part.close();
  }

  get #over() {
    return ended(this.#status);
  }

  get #parts() {
    return [...Object.values(this.#panes), ...Object.values(this.#charts)];
  }

  get #summary() {
    return this.#article.querySelector('[data-part="summary"]');
  }

  #listen(type, listener) {
    this.#article.addEventListener(type, listener, { signal: this.#stop.signal });
  }

  // The stream.

  #connect() {
    const url = new URL(this.#article.dataset.events, location);
    if (this.#last) url.searchParams.set("last_event_id", this.#last);
    else this.#stale = new Set(Object.keys(this.#panes));
    const source = (this.#source = new EventSource(url));
    source.onopen = () => this.#connected();
    // It tries again by itself, unless it was refused.
    source.onerror = () => (source.readyState === EventSource.CLOSED ? this.#retry(source) : this.#lost());
    const on = (type, listener) =>
      source.addEventListener(type, ({ data, lastEventId }) => {
        this.#tries = 0;
        this.#last = lastEventId || this.#last;
        listener(JSON.parse(data));
      });
    on("status", (event) => this.#changed(event));
    on("stdout", (event) => this.#wrote("stdout", event));
    on("stderr", (event) => this.#wrote("stderr", event));
    on("usage", (event) => this.#used(event));
    on("end", (event) => this.#end(event));
  }

  async #retry(source) {
    this.#lost();
    await this.#pause();
    if (this.#still || this.#source !== source) return;
    this.#refresh(); // which finds out whether the task is gone
    this.#connect();
  }

  /** Browsers have few connections for all of a site's tabs: those that are seen need them. */
  #looked() {
    clearTimeout(this.#unseen);
    if (this.#still) return;
    if (!document.hidden && !this.#source) this.#connect();
    if (!document.hidden) return;
    this.#unseen = setTimeout(() => {
      this.#source.close();
      this.#source = null;
    }, UNSEEN);
  }

  get #closed() {
    return this.#stop.signal.aborted;
  }

  /** Waits longer each time, but not when there is a network again. */
  #pause() {
    const ms = Math.min(LONGEST, 1_000 * 2 ** this.#tries++) * (0.5 + Math.random() / 2);
    const over = AbortSignal.timeout(ms);
    return new Promise((resolve) => {
      over.addEventListener("abort", resolve);
      addEventListener("online", resolve, { once: true, signal: over });
    });
  }

  #lost() {
    this.#patience ||= setTimeout(() => this.#notice("Connection lost. Trying again…"), PATIENCE);
  }

  #connected() {
    clearTimeout(this.#patience);
    this.#patience = 0;
    this.#notice("");
  }

  #notice(text) {
    const line = this.#article.querySelector("[data-connection]");
    if (text) line.textContent = text;
    line.hidden = !text;
  }

  #hangUp() {
    this.#still = true;
    this.#source?.close();
    clearInterval(this.#clock);
    clearTimeout(this.#patience);
    clearTimeout(this.#soon);
    clearTimeout(this.#unseen);
  }

  #changed({ status, attempt, snapshot }) {
    if (snapshot || (this.#attempt && attempt !== this.#attempt)) {
      this.#stale.clear();
      for (const part of Object.values(this.#panes)) part.clear();
      for (const chart of Object.values(this.#charts)) chart.reset();
      this.#live = null;
    }
    this.#attempt = attempt;
    this.#status = status;
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => {
      const { dataset } = this.#article;
      if (status !== this.#summary.dataset.status || String(attempt) !== dataset.attempt) this.#refresh();
      dataset.attempt = attempt;
    }, SOON);
  }

  #wrote(name, { runs, end, truncated }) {
    const pane = this.#panes[name];
    if (this.#stale.delete(name)) pane.clear();
    pane.append(runs);
    pane.setBytes(end);
    if (truncated) pane.truncated();
  }

  #used(sample) {
    this.#sample(sample);
    const last = this.#live ?? { cpu: 0, wall: 0, memory: 0 };
    const passed = Math.max(0, sample.at_ms - last.wall);
    this.#live = { cpu: last.cpu + (passed * sample.cpu_percent) / 100, wall: last.wall + passed, memory: Math.max(last.memory, sample.memory_bytes) };
    this.#showLive(this.#summary);
  }

  #sample({ at_ms, cpu_percent, memory_bytes }) {
    this.#charts.cpu?.add({ at_ms, value: cpu_percent });
    this.#charts.memory?.add({ at_ms, value: memory_bytes });
  }

  #end({ status, attempt }) {
    this.#status = status;
    this.#attempt = attempt;
    this.#hangUp();
    this.#connected();
    for (const name of this.#stale) this.#panes[name].clear();
    this.#finish();
    this.#refresh();
  }

  #finish() {
    for (const part of this.#parts) part.finish();
  }

  // What the server writes.

  /** Gets the summary until it is there, and as new as what the stream said. */
  async #refresh() {
    this.#again = true;
    if (this.#refreshing) return;
    this.#refreshing = true;
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        await this.#fetchSummary();
      } catch {
        this.#again = true;
        if (!this.#closed) await this.#pause();
      }
    }
    this.#refreshing = false;
  }

  async #fetchSummary() {
    const response = await fetch(this.#article.dataset.summary, { headers: { accept: "text/html" }, cache: "no-store", signal: this.#stop.signal });
    if (response.status === 404) return this.#gone();
    const page = response.ok && new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page && page.querySelector('[data-part="summary"]');
    if (!fresh || (this.#over && !ended(fresh.dataset.status))) throw new Error("not there yet");
    const skew = Date.now() - Date.parse(response.headers.get("date"));
    this.#skew = Math.abs(skew) > 2_000 ? skew : 0; // dates are in whole seconds
    this.#swap(document.adoptNode(fresh));
  }

  #swap(fresh) {
    const old = this.#summary;
    const { status } = fresh.dataset;
    const news = status !== old.dataset.status;
    const focused = old.contains(document.activeElement) && document.activeElement;
    const part = focused && focusable.find((name) => focused.closest(`[${name}]`));
    this.#enhance(fresh);
    old.replaceWith(fresh);
    this.#article.dataset.status = status;
    if (focused) this.#focus(fresh, fresh.querySelector(`[${part}]`));
    if (news) this.#announce(`Task ${word(status)}. ${ended(status) ? fresh.querySelector("[data-cause]").textContent : ""}`);
  }

  /** Gives the focus to what had it, or to the sentence that says why that is gone. */
  #focus(summary, heir) {
    const control = heir?.querySelector("button") ?? heir;
    const cause = summary.querySelector("[data-cause]");
    cause.tabIndex = -1;
    (control && !control.disabled ? control : cause).focus({ preventScroll: true });
  }

  #gone() {
    this.#hangUp();
    this.#notice("This task is gone: it is no longer kept.");
  }

  #announce(text) {
    this.#article.querySelector("[data-announce]").textContent = text.trim();
  }

  /** Adds what only scripts can do. */
  #enhance(summary) {
    for (const time of summary.querySelectorAll("[data-time]")) {
      time.textContent = clock(time.dateTime);
      time.title = new Date(time.dateTime).toLocaleString();
    }
    for (const button of summary.querySelectorAll("[data-copy-curl]")) button.hidden = false;
    this.#tick(summary);
    this.#showLive(summary);
  }

  #tick(summary) {
    for (const span of summary.querySelectorAll("[data-elapsed-since]")) {
      span.textContent = elapsed(Date.now() - this.#skew - Date.parse(span.dataset.elapsedSince));
    }
  }

  /** Says what was used so far, unless the server has said what it was in all. */
  #showLive(summary) {
    if (!this.#live || ended(summary.dataset.status)) return;
    const { cpu, wall, memory } = this.#live;
    const words = { cpu: duration(cpu), wall: duration(wall), memory: bytes(memory) };
    for (const [name, text] of Object.entries(words)) summary.querySelector(`[data-live="${name}"]`).textContent = text;
  }

  #showSamples() {
    const charts = this.#article.querySelector("[data-charts]");
    charts.hidden = false;
    for (const sample of JSON.parse(charts.dataset.samples || "null") ?? []) this.#sample(sample);
  }

  // What the reader does.

  async #cancel(event) {
    event.preventDefault();
    const form = event.target;
    const button = form.querySelector("button");
    if (button.getAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true"); // it keeps the focus
    try {
      const { ok, type } = await fetch(form.action, { method: "POST", redirect: "manual", signal: this.#stop.signal });
      if (!ok && type !== "opaqueredirect") throw new Error("refused");
      this.#announce("The task is being cancelled.");
      this.#refresh();
    } catch {
      button.removeAttribute("aria-disabled");
      say(button, "Not cancelled");
      this.#announce("The task could not be cancelled. Try again.");
    }
  }

  async #copyCommand(button) {
    if (!button) return;
    const done = await copy(button.dataset.command);
    say(button, done ? "Copied" : "Not copied");
    this.#announce(done ? "The command is copied." : "The command could not be copied.");
  }
}
