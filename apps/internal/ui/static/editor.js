// A text area with the manners of an editor. The text area stays what people write
// in, with the browser's own undo, input methods and scrolling; its text is
// transparent, and the same text lies over it in colours. Only the lines in sight are
// drawn, so that a long program costs no more than a short one.
//
// The colours are highlights and not elements: elements would move what follows them
// by fractions of a pixel, away from the caret. A browser without highlights shows
// the text area itself.

import { comment, tokens } from "./syntax.js";

const MARGIN = 20; // lines drawn above and below those in sight
const STEP = 2_000; // characters between two places to begin at
const MANY = 200; // lines, too many for the browser to insert them as if typed
const LONG_LINE = 10_000; // characters, and
const LONG_TEXT = 2_000_000; // beyond which there are no colours

const PAIRS = { "(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "`": "`" };
const CLOSERS = new Set(Object.values(PAIRS));

export class Editor {
  #root;
  #area;
  #pre;
  #code;
  #shown = document.createTextNode("");
  #ranges = []; // [highlight, range] of what is in colours
  #gutter;
  #numbers = document.createElement("div");
  #onInput;
  #resized = new ResizeObserver(() => this.refresh());
  #language = "";

  #text = "";
  #starts = [0]; // where the lines begin
  #safe = [0]; // beginnings of lines where no string or comment is open
  #current = 0; // the line with the caret
  #first = 0; // the lines drawn
  #last = -1;
  #height = 0; // of a line, in pixels
  #top = 0; // of the first line
  #frame = 0;
  #leaving = false;

  /** root is the .editor; onInput is called when somebody changed the text. */
  constructor(root, { onInput } = {}) {
    this.#root = root;
    this.#area = root.querySelector("textarea");
    this.#pre = root.querySelector("pre");
    this.#code = root.querySelector("code");
    this.#onInput = onInput;
    this.#gutter = root.querySelector(".gutter");
    this.#gutter.replaceChildren(this.#numbers);
    this.#code.replaceChildren(this.#shown);
    this.#pre.tabIndex = -1; // what scrolls would else be a stop of its own

    const area = this.#area;
    const caret = () => this.#follow();
    area.addEventListener("input", () => {
      this.#read();
      this.#onInput?.();
    });
    area.addEventListener("scroll", () => this.#schedule());
    area.addEventListener("keydown", (event) => this.#key(event));
    area.addEventListener("focus", () => document.addEventListener("selectionchange", caret));
    area.addEventListener("blur", () => {
      document.removeEventListener("selectionchange", caret);
      this.#leaving = false;
    });
    if (document.activeElement === area) document.addEventListener("selectionchange", caret);
    this.#resized.observe(area);
    this.#read();
    this.refresh();
  }

  get value() {
    return this.#area.value;
  }

  /** Sets the text, with nothing to undo. */
  set value(text) {
    this.#area.value = text;
    this.#area.setSelectionRange(0, 0);
    this.#area.scrollTo(0, 0);
    this.#read();
  }

  /** Replaces the whole text as if somebody had typed it: it can be undone. */
  replace(text) {
    this.focus();
    this.#insert(text, 0, this.#area.value.length, 0);
    this.#area.scrollTo(0, 0);
  }

  set language(name) {
    this.#language = name;
    this.#safe = [0];
    this.#redraw();
  }

  focus() {
    this.#area.focus();
  }

  /** Measures again: the editor has come in sight, or its size or its font is another one. */
  refresh() {
    // A line's height is what the browser makes of it, which zoom can round.
    this.#code.style = "";
    this.#clear();
    this.#shown.data = `${"\n".repeat(99)} `;
    this.#height = this.#code.getBoundingClientRect().height / 100;
    this.#top = parseFloat(getComputedStyle(this.#area).paddingTop);
    this.#first = 0;
    this.#last = -1;
    this.#draw();
  }

  /** Lets go of everything outside the editor's own elements. */
  close() {
    this.#area.blur();
    this.#resized.disconnect();
    cancelAnimationFrame(this.#frame);
    this.#clear();
  }

  // What is drawn.

  #read() {
    const before = this.#text;
    const text = (this.#text = this.#area.value);
    let same = 0;
    while (same < text.length && text.charCodeAt(same) === before.charCodeAt(same)) same++;

    const starts = this.#starts;
    starts.length = after(starts, same);
    let longest = 0;
    for (let i = 1; i < starts.length; i++) longest = Math.max(longest, starts[i] - starts[i - 1]);
    for (let end; (end = text.indexOf("\n", starts.at(-1))) >= 0; ) {
      longest = Math.max(longest, end - starts.at(-1));
      starts.push(end + 1);
    }
    longest = Math.max(longest, text.length - starts.at(-1));

    this.#safe.length = Math.max(1, after(this.#safe, starts[after(starts, same) - 1]));
    this.#root.classList.toggle("live", CSS.highlights && longest <= LONG_LINE && text.length <= LONG_TEXT);
    this.#root.style.setProperty("--digits", String(starts.length).length);
    this.#follow();
    this.#redraw();
  }

  /** Marks the line with the caret. */
  #follow() {
    const { selectionStart, selectionEnd, selectionDirection } = this.#area;
    const line = after(this.#starts, selectionDirection === "backward" ? selectionStart : selectionEnd) - 1;
    if (line === this.#current) return;
    this.#current = line;
    this.#redraw();
  }

  #redraw() {
    this.#last = -1;
    this.#schedule();
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { scrollTop, scrollLeft, scrollWidth, scrollHeight, clientWidth, clientHeight } = this.#area;
    if (!this.#height || !clientHeight) return; // out of sight

    const end = this.#starts.length - 1;
    const first = Math.max(0, Math.min(end, Math.floor((scrollTop - this.#top) / this.#height)));
    const last = Math.min(end, Math.ceil((scrollTop + clientHeight) / this.#height));
    if (first < this.#first || last > this.#last) {
      this.#first = Math.max(0, first - MARGIN);
      this.#last = Math.min(end, last + MARGIN);
      this.#colour();
      this.#numbers.replaceChildren(...this.#numbered());
    }
    // The same to scroll in, and the same place in it: the browser then rounds alike.
    for (const [box, content] of [[this.#pre, this.#code], [this.#gutter, this.#numbers]]) {
      content.style.paddingTop = `${this.#first * this.#height}px`;
      content.style.height = `${scrollHeight}px`;
      box.style.height = `${clientHeight}px`; // and not over the scrollbars
    }
    this.#code.style.width = `${scrollWidth}px`;
    this.#pre.style.width = `${clientWidth}px`;
    this.#pre.scrollTo(scrollLeft, scrollTop);
    this.#gutter.scrollTo(0, scrollTop);
  }

  /** Shows the lines from #first to #last in colours. */
  #colour() {
    this.#clear();
    const live = this.#root.classList.contains("live");
    const text = this.#text;
    const from = this.#starts[this.#first];
    const to = live ? (this.#starts[this.#last + 1] ?? text.length) : from;
    const node = this.#shown;
    node.data = text.slice(from, to);
    let at = this.#safe[after(this.#safe, from) - 1];
    while (at < to) {
      for (const [kind, piece] of tokens(text, this.#language, at, Math.min(to, at + 10 * STEP))) {
        const start = Math.max(0, at - from);
        at += piece.length;
        const end = Math.min(at, to) - from;
        if (kind && end > 0) {
          const range = new StaticRange({ startContainer: node, startOffset: start, endContainer: node, endOffset: end });
          const highlight = highlightOf(kind);
          highlight.add(range);
          this.#ranges.push([highlight, range]);
        }
        if (!kind && piece.endsWith("\n") && at >= this.#safe.at(-1) + STEP && at < text.length) this.#safe.push(at);
      }
    }
  }

  /** Takes the colours away. That comes before the text changes, or Firefox leaves some. */
  #clear() {
    for (const [highlight, range] of this.#ranges) highlight.delete(range);
    this.#ranges = [];
  }

  #numbered() {
    const range = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, i) => `${from + i + 1}\n`).join("");
    const current = Math.max(this.#first, Math.min(this.#last, this.#current));
    const number = `${current + 1}\n`;
    return [
      range(this.#first, current),
      current === this.#current ? strong(number) : number,
      range(current + 1, this.#last + 1),
    ];
  }

  // What keys do.

  #key(event) {
    const { key, shiftKey } = event;
    // An input method has its own use for keys, and AltGr writes brackets.
    if (event.isComposing || event.keyCode === 229) return;
    const command = (event.ctrlKey || event.metaKey) && !event.getModifierState("AltGraph");
    if (key === "Escape") this.#leaving = true;
    else if (key !== "Shift" && key !== "Tab") this.#leaving = false;

    let done = false;
    if (command) done = key === "/" && !event.altKey && this.#comment();
    else if (key === "Tab") done = !this.#leaving && (shiftKey ? this.#outdent() : this.#indent());
    else if (key === "Enter") done = !shiftKey && this.#enter();
    else if (key === "Backspace") done = !shiftKey && this.#backspace();
    else if (PAIRS[key] || CLOSERS.has(key)) done = this.#pair(key);
    if (done) event.preventDefault();
  }

  /** The selection, what is around it, and the whole lines that it is in. */
  #selection() {
    const { selectionStart: start, selectionEnd: end, value } = this.#area;
    const from = value.lastIndexOf("\n", start - 1) + 1;
    // A selection that ends where a line begins does not mean this line.
    const last = end > start && value[end - 1] === "\n" ? end - 1 : end;
    const newline = value.indexOf("\n", last);
    const to = newline < 0 ? value.length : newline;
    return {
      start, end, from, to,
      selected: value.slice(start, end),
      lines: value.slice(from, to),
      before: value.slice(from, start),
      previous: value[start - 1] ?? "",
      next: value[end] ?? "",
    };
  }

  /**
   * Puts text in the place of what is between from and to, and selects a part of the
   * result. execCommand is the one way that the browser's own undo knows of; but it
   * takes seconds for hundreds of lines, which are therefore changed without.
   */
  #insert(text, from, to, start = from + text.length, end = start) {
    const area = this.#area;
    area.setSelectionRange(from, to);
    const few = text.split("\n", MANY).length < MANY;
    if ((text || from < to) && !(few && document.execCommand(text ? "insertText" : "delete", false, text))) {
      area.setRangeText(text, from, to, "end");
      area.dispatchEvent(new Event("input", { bubbles: true }));
    }
    area.setSelectionRange(start, end);
    return true;
  }

  /** One step of indentation, as the text has it. */
  get #unit() {
    const [, used] = /^(\t| {2,8})\S/m.exec(this.#text) ?? [];
    return used ?? (/^go/i.test(this.#language) ? "\t" : "    ");
  }

  #indent() {
    const { start, end, before, selected } = this.#selection();
    const unit = this.#unit;
    if (selected.includes("\n")) return this.#lines((line) => line && unit + line);
    return this.#insert(unit === "\t" ? unit : " ".repeat(unit.length - (before.length % unit.length)), start, end);
  }

  #outdent() {
    const { length } = this.#unit;
    return this.#lines((line) => line.replace(new RegExp(`^(\t| {1,${length}})`), ""));
  }

  /** Turns a line into a comment or back; selected ones together. */
  #comment() {
    const mark = comment(this.#language);
    const full = this.#selection().lines.split("\n").filter((line) => line.trim());
    if (full.every((line) => line.trimStart().startsWith(mark))) {
      return this.#lines((line) => {
        const at = line.indexOf(mark);
        return at < 0 ? line : line.slice(0, at) + line.slice(at + mark.length).replace(/^ /, "");
      });
    }
    const column = Math.min(...full.map((line) => line.search(/\S/)));
    return this.#lines((line) => (line.trim() ? `${line.slice(0, column)}${mark} ${line.slice(column)}` : line));
  }

  /** Changes each line that the selection is in, and keeps the selection. */
  #lines(change) {
    const { start, end, from, to, lines, selected } = this.#selection();
    const changed = lines.split("\n").map(change).join("\n");
    if (changed === lines) return true;
    if (selected) return this.#insert(changed, from, to, from, from + changed.length);
    return this.#insert(changed, from, to, Math.max(from, end + changed.length - lines.length));
  }

  #enter() {
    const { start, end, before, previous, next } = this.#selection();
    const indent = /^[ \t]*/.exec(before)[0];
    const opened = /[([{:]/.test(previous);
    const deeper = opened ? indent + this.#unit : indent;
    const closes = opened && PAIRS[previous] === next && next;
    const text = `\n${deeper}`;
    return this.#insert(closes ? `${text}\n${indent}` : text, start, end, start + text.length);
  }

  #backspace() {
    const { start, end, before, previous, next } = this.#selection();
    if (start < end || !previous) return false;
    if (PAIRS[previous] && PAIRS[previous] === next) return this.#insert("", start - 1, end + 1);
    const { length } = this.#unit;
    const step = before.length % length || length;
    return /^ {2,}$/.test(before) && this.#insert("", start - step, end);
  }

  /** Writes both of a pair, or steps over the second one. */
  #pair(key) {
    const { start, end, selected, previous, next } = this.#selection();
    const closer = PAIRS[key];
    if (selected) return closer !== undefined && this.#insert(key + selected + closer, start, end, start + 1, end + 1);
    if (CLOSERS.has(key) && next === key) return this.#insert("", start, end, start + 1);
    const fits = !next || /[\s)\]}:;,]/.test(next);
    const quote = key === closer;
    if (!closer || !fits || (quote && /[\w"'`\\]/.test(previous))) return false;
    return this.#insert(key + closer, start, end, start + 1);
  }
}

/** How many of the ascending numbers are at most n. */
function after(numbers, n) {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] <= n) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The highlight of a kind of token, which all editors share. */
function highlightOf(kind) {
  const name = `syn-${kind}`;
  if (!CSS.highlights.has(name)) CSS.highlights.set(name, new Highlight());
  return CSS.highlights.get(name);
}

function strong(text) {
  const node = document.createElement("span");
  node.className = "current";
  node.textContent = text;
  return node;
}
