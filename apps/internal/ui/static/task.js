// One task on the page: its status, its output as it comes, and what it used.

import * as api from "./api.js";
import * as format from "./format.js";
import { Output } from "./output.js";

const $ = (id) => document.getElementById(id);
const AGAIN = 3_000; // milliseconds until a stream that was refused is asked for again
const lost = "The connection was lost; trying again.";
const terminal = new Set(["succeeded", "failed", "timed_out", "cancelled"]);

export class TaskView {
  #source = null; // the live stream, while there is one
  #task = null;
  #attempt = 0; // the one whose output is shown
  #out = {
    stdout: new Output($("stdout"), $("stdout-note")),
    stderr: new Output($("stderr"), $("stderr-note")),
  };
  #onChange;

  /** onChange is called with the task whenever it got another status. */
  constructor(onChange) {
    this.#onChange = onChange;
    $("cancel").addEventListener("click", () => this.cancel());
  }

  /** Empties the view. */
  clear() {
    this.#source?.close();
    this.#source = null;
    this.#task = null;
    this.#reset();
    $("status").textContent = "not run yet";
    $("status").dataset.status = "none";
    $("cancel").hidden = true;
    $("facts").hidden = true;
    $("result").toggleAttribute("data-done", false);
    $("cause").textContent = "Run the program to see what it does.";
    for (const id of ["cpu-time", "wall-time", "peak-memory"]) $(id).textContent = "–";
    for (const name of Object.keys(this.#out)) $(`${name}-link`).hidden = true;
  }

  /** Shows a task and follows it to its end. Returns it as it was at first. */
  async show(id) {
    this.clear();
    $("status").textContent = "loading";
    $("cause").textContent = "";
    const current = (this.#task = { task_id: id });
    let task;
    try {
      task = await api.task(id);
    } catch (problem) {
      if (this.#task === current) this.#fail(problem.status === 404 ? "There is no such task, or it is no longer kept." : problem.message);
      throw problem;
    }
    if (this.#task !== current) return task; // another task was asked for meanwhile
    this.#render(task);
    if (terminal.has(task.status)) this.#recorded(task);
    else this.#follow(id);
    return task;
  }

  async cancel() {
    const id = this.#task?.task_id;
    if (!id) return;
    $("cancel").disabled = true;
    try {
      await api.cancel(id);
    } catch (problem) {
      if (problem.status !== 409) $("cause").textContent = problem.message;
      $("cancel").disabled = false;
    }
  }

  #reset(attempt = 0) {
    this.#attempt = attempt;
    for (const out of Object.values(this.#out)) out.clear();
    $("stderr-stream").hidden = true;
  }

  #fail(message) {
    $("status").textContent = "unknown";
    $("status").dataset.status = "none";
    $("cause").textContent = message;
  }

  // follow shows what happens as it comes; again says that it was followed before.
  #follow(id, again = false) {
    const source = (this.#source = new EventSource(api.streamURL(id)));
    // The handlers of a stream that was replaced do nothing.
    const on = (type, handle) =>
      source.addEventListener(type, (event) => {
        if (this.#source === source) handle(JSON.parse(event.data));
      });
    on("status", (e) => {
      if (e.snapshot) this.#reset();
      this.#render({ ...this.#task, status: e.status, attempt: e.attempt });
    });
    for (const name of Object.keys(this.#out)) on(name, (e) => this.#write(name, e));
    on("usage", (e) => this.#live(e));
    on("end", () => {
      source.close();
      this.#finish(id, source, true);
    });
    source.onopen = () => {
      if (this.#source !== source) return;
      if (again) this.#reset(); // it begins at the beginning
      again = false;
      $("cause").textContent = format.cause(this.#task);
    };
    source.onerror = () => {
      if (this.#source !== source) return;
      $("cause").textContent = lost;
      // A browser tries again by itself unless it was refused.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#finish(id, source, false), AGAIN);
    };
  }

  // finish reads how it ended from the record, which has the exact figures and, unless
  // the stream came to its end, more of the output. If the task has not ended, or nobody
  // can say, it is followed again.
  async #finish(id, source, whole) {
    if (this.#source !== source) return;
    try {
      const task = await api.task(id);
      if (this.#source !== source) return;
      if (!terminal.has(task.status)) return this.#follow(id, true);
      if (!whole) this.#reset();
      this.#render(task);
      if (this.#out.stdout.empty && this.#out.stderr.empty) this.#recorded(task);
    } catch (problem) {
      if (this.#source !== source) return;
      if (problem.status === 404) return this.#fail("The task is no longer kept.");
      $("cause").textContent = lost;
      setTimeout(() => this.#finish(id, source, whole), AGAIN);
    }
  }

  #write(name, e) {
    if (e.attempt !== this.#attempt) this.#reset(e.attempt); // the one before was lost
    this.#out[name].append(e.text);
    if (name === "stderr") $("stderr-stream").hidden = false;
    if (e.truncated) $(`${name}-note`).textContent = "the rest is in the whole log";
  }

  // recorded shows the output that the record itself keeps.
  #recorded(task) {
    for (const name of Object.keys(this.#out)) {
      this.#out[name].append(task[name]);
      if (task[`${name}_truncated`]) $(`${name}-note`).textContent = `cut; ${format.bytes(task[`${name}_bytes`])} in all`;
    }
    $("stderr-stream").hidden = !task.stderr;
  }

  // live shows a usage sample of a task that runs.
  #live(sample) {
    $("wall-time").textContent = format.duration(sample.at_ms);
    figure($("cpu-time"), `${Math.round(sample.cpu_percent)} %`, "now");
    figure($("peak-memory"), format.bytes(sample.memory_bytes), "now");
  }

  #render(task) {
    const before = this.#task;
    this.#task = task;
    const done = terminal.has(task.status);
    $("status").textContent = format.status(task.status);
    $("status").dataset.status = task.status;
    $("cause").textContent = format.cause(task);
    $("cancel").hidden = done;
    $("result").toggleAttribute("data-done", done);
    $("cancel").disabled = false;
    if (done) {
      const usage = task.usage || {};
      $("cpu-time").textContent = format.duration(usage.cpu_time_ms);
      $("wall-time").textContent = format.duration(usage.wall_time_ms);
      $("peak-memory").textContent = format.bytes(usage.peak_memory_bytes);
      for (const name of Object.keys(this.#out)) {
        $(`${name}-link`).href = api.logURL(task.task_id, name);
        $(`${name}-link`).hidden = !(task[`${name}_bytes`] > 0);
      }
    }
    this.#facts(task);
    if (before?.status !== task.status) this.#onChange(task);
  }

  #facts(task) {
    const facts = [
      ["Task", task.task_id],
      ["Language", task.language],
      ["Created", format.clock(task.created_at)],
      ["Attempt", task.attempt > 1 ? String(task.attempt) : ""],
    ].filter(([, value]) => value);
    $("facts").replaceChildren(
      ...facts.flatMap(([name, value]) => {
        const dt = document.createElement("dt");
        const dd = document.createElement("dd");
        dt.textContent = name;
        dd.textContent = value;
        return [dt, dd];
      }),
    );
    $("facts").hidden = facts.length === 0;
  }
}

function figure(element, value, label) {
  const small = document.createElement("small");
  small.textContent = label;
  element.replaceChildren(value, small);
}
