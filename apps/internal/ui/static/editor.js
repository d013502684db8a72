// A plain text area with the manners of an editor: line numbers, and a Tab that
// indents. Esc gives the next Tab back to the browser, so that the keyboard is
// never caught here.

const INDENT = "    ";

export class Editor {
  #area;
  #gutter;
  #lines = 0;
  #release = false;

  constructor(area, gutter) {
    this.#area = area;
    this.#gutter = gutter;
    area.addEventListener("input", () => this.#number());
    area.addEventListener("scroll", () => (gutter.scrollTop = area.scrollTop));
    area.addEventListener("keydown", (event) => this.#key(event));
    area.addEventListener("blur", () => (this.#release = false));
  }

  get value() {
    return this.#area.value;
  }

  set value(text) {
    this.#area.value = text;
    this.#area.scrollTop = 0;
    this.#number();
  }

  #key(event) {
    if (event.key === "Escape") {
      this.#release = true;
      return;
    }
    if (event.key !== "Tab" || event.ctrlKey || event.altKey || event.metaKey) {
      if (event.key !== "Shift") this.#release = false;
      return;
    }
    if (this.#release) return;
    event.preventDefault();
    const area = this.#area;
    const several = area.value.slice(area.selectionStart, area.selectionEnd).includes("\n");
    if (!several && !event.shiftKey) {
      this.#insert(INDENT);
      return;
    }
    const from = area.value.lastIndexOf("\n", area.selectionStart - 1) + 1;
    const to = area.selectionEnd;
    const before = area.value.slice(from, to);
    const after = event.shiftKey ? before.replace(/^( {1,4}|\t)/gm, "") : before.replace(/^(?=.)/gm, INDENT);
    if (after === before) return;
    area.setSelectionRange(from, to);
    this.#insert(after);
    area.setSelectionRange(from, from + after.length);
  }

  // insert replaces the selection. execCommand is the one way that the browser's
  // own undo knows of.
  #insert(text) {
    const area = this.#area;
    const done = text ? document.execCommand("insertText", false, text) : document.execCommand("delete");
    if (!done) {
      area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
      area.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  #number() {
    const lines = this.#area.value.split("\n").length;
    if (lines !== this.#lines) {
      this.#lines = lines;
      this.#gutter.textContent = Array.from({ length: lines }, (_, i) => i + 1).join("\n");
    }
    this.#gutter.scrollTop = this.#area.scrollTop;
  }
}
