// The list of recent tasks.

import * as api from "./api.js";
import * as format from "./format.js";

const SHOWN = 10;
const EVERY = 10_000; // milliseconds between two looks, while the page is seen

export class Recent {
  #list = document.getElementById("recent");
  #empty = document.getElementById("recent-empty");
  #current = "";
  #busy = false;
  #again = false;

  /** open is called with the ID of a task that is chosen. */
  constructor(open) {
    this.#list.addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      open(link.dataset.task);
    });
    setInterval(() => document.hidden || this.refresh(), EVERY);
  }

  /** Marks the task that the page shows. */
  set current(id) {
    this.#current = id;
    for (const link of this.#list.querySelectorAll("a")) mark(link, id);
  }

  async refresh() {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    try {
      const { tasks } = await api.recent(SHOWN);
      this.#draw(tasks || []);
    } catch {
      // The list stays as it is until the next look.
    } finally {
      this.#busy = false;
      if (this.#again) {
        this.#again = false;
        this.refresh();
      }
    }
  }

  #draw(tasks) {
    const focused = this.#list.contains(document.activeElement) ? document.activeElement.dataset.task : "";
    this.#list.replaceChildren(...tasks.map((task) => this.#row(task)));
    this.#list.hidden = tasks.length === 0;
    this.#empty.hidden = tasks.length > 0;
    if (focused) [...this.#list.querySelectorAll("a")].find((link) => link.dataset.task === focused)?.focus();
  }

  #row(task) {
    const link = document.createElement("a");
    link.href = `/tasks/${encodeURIComponent(task.task_id)}`;
    link.dataset.task = task.task_id;
    mark(link, this.#current);
    const pill = text("span", "pill", format.status(task.status));
    pill.dataset.status = task.status;
    const wall = task.usage?.wall_time_ms;
    link.append(
      pill,
      text("span", "language", task.language),
      text("code", "", task.task_id),
      text("span", "number quiet", typeof wall === "number" ? format.duration(wall) : ""),
      text("span", "number quiet", format.clock(task.created_at)),
    );
    const item = document.createElement("li");
    item.append(link);
    return item;
  }
}

function mark(link, id) {
  if (link.dataset.task === id) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}

function text(tag, className, content) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = content;
  return element;
}
