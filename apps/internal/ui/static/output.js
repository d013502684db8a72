// One output of a task. However much a program writes, and in whatever pieces, the page
// draws at most once a frame, lays out little more than what is seen, and stays bounded.
//
// The text is in chunks of whole lines, of which a browser may skip those out of sight.
// A line that is longer than a chunk is cut: that is seen, but is not in the text.
//
// What is here is weighed: letters, and lines and spans, which are what browsers toil at.

import { bytes } from "./format.js";

const KEEP = 2_000_000; // the weight that stays on the page, and that waits for it
const FRAME = 65_536; // the weight that a frame draws
const CHUNK = 4_096; // the weight of a chunk, which may become twice that for a line's end
const LINE = 8; // the weight of a line
const SPAN = 24; // the weight of a span
const MOST = 2_000; // matches
const NEAR = 8; // pixels from the end that are the end
const HEIGHT = 19; // pixels of a line, and
const COLUMNS = 100; // its letters, where nothing was laid out yet

const colours = Array.from({ length: 16 }, (_, i) => [`fg${i}`, `bg${i}`]).flat();
const classes = new Set([...colours, "b", "d", "i", "u", "s", "r", "ctl"]);
const looks = new Map([["", ""]]);

const weigh = ([text]) => text.length + SPAN;

/** The classes of a run that are known. */
function lookOf(list = "") {
  let look = looks.get(list);
  if (look === undefined) looks.set(list, (look = list.split(" ").filter((one) => classes.has(one)).join(" ")));
  return look;
}

// Highlights are named once for the page; each output adds its own.
const [found, current] = globalThis.Highlight && CSS.highlights ? [new Highlight(), new Highlight()] : [];
if (found) {
  current.priority = 1;
  CSS.highlights.set("found", found);
  CSS.highlights.set("found-now", current);
}

/** Copies a text, also where browsers offer no clipboard: on plain http. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = document.activeElement;
    const area = document.createElement("textarea");
    area.className = "sr-only";
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    return done;
  }
}

/** Has a button say for a while what became of it. */
export function say(button, word) {
  button.dataset.label ??= button.textContent;
  button.style.minWidth = `${button.offsetWidth}px`;
  button.textContent = word;
  setTimeout(() => (button.textContent = button.dataset.label), 2_000);
}

export class Output {
  #section;
  #pre;
  #chunks = []; // { div, weight, lines, look, full, matches }, oldest first
  #weight = 0; // of all chunks
  #pending = []; // runs that wait for a frame; "\r" only as the first one
  #next = 0; // the first of them
  #waiting = 0; // their weight
  #truncated = false; // nothing follows what waits, though the program writes more
  #dropped = false; // what came first is not here any more
  #erase = false; // what is on the page goes with the next frame
  #frame = 0;
  #following = false;
  #top = 0; // where the reader was
  #query = null; // a RegExp, while something is searched
  #matches = 0;
  #at = null; // { chunk, index } of the current match
  #marked = null;
  #counting = 0;
  #stop = new AbortController();
  #resized = new ResizeObserver(() => this.#stick());

  /** Takes over what the section shows already. */
  constructor(section) {
    this.#section = section;
    this.#pre = this.#find("text");
    const runs = [...this.#pre.childNodes].map((node) => [node.textContent, node.className]);
    this.#erase = true;
    this.#add(runs);
    this.#draw(KEEP);
    this.#listen();
    this.#follow(!this.done);
    this.#resized.observe(this.#pre);
    this.#find("tools").hidden = false;
  }

  close() {
    this.#stop.abort();
    this.#resized.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#counting);
    this.#search("");
  }

  /** The text that is here. */
  get text() {
    this.#draw(KEEP);
    return this.#pre.textContent;
  }

  get done() {
    return this.#pre.hasAttribute("data-done");
  }

  /** Nothing more comes. */
  finish() {
    this.#draw(FRAME);
    this.#pre.dataset.done = "";
  }

  /** Begins anew, without an empty moment if something follows at once. */
  clear() {
    this.#pending = [];
    this.#next = this.#waiting = 0;
    this.#truncated = this.#dropped = false;
    this.#erase = true;
    this.#pre.removeAttribute("data-done");
    this.#find("truncated").hidden = true;
    this.setBytes(0);
    this.#later();
  }

  setBytes(n) {
    this.#find("bytes").textContent = n ? bytes(n) : "";
  }

  /** Nothing more is shown live, though the program writes more. */
  truncated() {
    this.#truncated = true;
    this.#later();
  }

  append(runs) {
    this.#add(runs);
    if (this.#waiting > KEEP) {
      // Frames are too slow, or a hidden tab has none.
      let first = this.#next;
      while (this.#waiting > KEEP) this.#waiting -= weigh(this.#pending[first++]);
      this.#pending = this.#pending.slice(first);
      this.#next = 0;
      this.#erase = this.#dropped = true;
    }
    this.#later();
  }

  #find = (name) => this.#section.querySelector(`[data-${name}]`);

  /** Says which part of the output is not here. */
  #tell() {
    const part = this.#dropped ? (this.#truncated ? "a part" : "the last part") : "the beginning";
    const text = `Only ${part} is shown live.`;
    if (this.#find("truncated-text").textContent !== text) this.#find("truncated-text").textContent = text;
    this.#find("truncated").hidden = false;
  }

  // From the stream to the page.

  #later() {
    this.#frame ||= requestAnimationFrame(() => this.#draw(FRAME));
  }

  #add(runs) {
    for (const [text, list] of runs) {
      if (text === "\r") this.#restartPending();
      else if (text) this.#pend([text, lookOf(list)]);
    }
  }

  #pend(run) {
    this.#pending.push(run);
    this.#waiting += weigh(run);
  }

  /** Forgets the last line of what is pending, which may have begun on the page. */
  #restartPending() {
    while (this.#pending.length > this.#next) {
      const run = this.#pending.pop();
      this.#waiting -= weigh(run);
      const end = run[0].lastIndexOf("\n") + 1;
      if (end) return this.#pend([run[0].slice(0, end), run[1]]);
    }
    this.#pend(["\r", ""]);
  }

  #draw(most) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#erase) {
      this.#drop(this.#chunks.length);
      this.#pre.replaceChildren();
      this.#erase = false;
    }
    const changed = new Set();
    for (const least = this.#waiting - most; this.#waiting > Math.max(0, least); this.#next++) {
      const run = this.#pending[this.#next];
      const [text, look] = run;
      this.#waiting -= weigh(run);
      if (text === "\r") this.#restart(changed);
      else this.#write(text, look, changed);
    }
    if (this.#next > this.#pending.length / 2) {
      this.#pending = this.#pending.slice(this.#next);
      this.#next = 0;
    }
    let excess = 0;
    for (let weight = this.#weight; weight > KEEP; excess++) weight -= this.#chunks[excess].weight;
    if (excess) this.#dropped = true;
    this.#drop(excess);
    if (this.#dropped || (this.#truncated && !this.#waiting)) this.#tell();
    for (const chunk of changed) if (chunk.div.isConnected) this.#scan(chunk);
    if (changed.size) this.#count();
    this.#stick();
    // What came into sight may turn out to have another height than was thought.
    if (this.#waiting || (changed.size && this.#following)) this.#later();
  }

  #drop(count) {
    this.#chunks.splice(0, count).forEach((chunk) => this.#remove(chunk));
  }

  #remove(chunk) {
    this.#forget(chunk);
    this.#weight -= chunk.weight;
    chunk.div.remove();
    if (this.#at?.chunk !== chunk) return;
    this.#at = null;
    this.#mark();
  }

  /** The chunk that is written to. */
  #last() {
    const last = this.#chunks.at(-1);
    if (last && !last.full) return last;
    // The two last ones are always laid out, so that the end is where it seems.
    const closed = this.#chunks.at(-2);
    if (closed) {
      const rows = Math.max(closed.lines, Math.ceil(closed.weight / COLUMNS));
      closed.div.style.containIntrinsicSize = `auto 1px auto ${rows * HEIGHT}px`;
      closed.div.classList.add("closed");
    }
    const chunk = { div: document.createElement("div"), weight: 0, lines: 0, look: null, full: false, matches: [] };
    chunk.div.className = "chunk";
    this.#chunks.push(chunk);
    this.#pre.append(chunk.div);
    return chunk;
  }

  #write(text, look, changed) {
    for (let from = 0, at = 0; at < text.length; from = at) {
      const chunk = this.#last();
      const before = chunk.weight;
      if (look !== chunk.look) chunk.weight += SPAN;
      while (at < text.length && !chunk.full) {
        const line = text.indexOf("\n", at) + 1;
        let end = Math.min(line || text.length, at + Math.max(1, 2 * CHUNK - chunk.weight));
        if (end < text.length && /[\ud800-\udbff]/.test(text[end - 1])) end++; // a character has both halves
        chunk.weight += end - at;
        at = end;
        if (line === end) {
          chunk.weight += LINE;
          chunk.lines++;
        }
        chunk.full = chunk.weight >= (line === end ? CHUNK : 2 * CHUNK);
      }
      chunk.div.classList.toggle("cut", chunk.full && text[at - 1] !== "\n");
      this.#put(chunk, text.slice(from, at), look);
      this.#weight += chunk.weight - before;
      changed.add(chunk);
    }
  }

  #put(chunk, text, look) {
    const last = chunk.div.lastChild;
    if (look === chunk.look && last) {
      (last.firstChild ?? last).appendData(text);
      return;
    }
    chunk.look = look;
    if (!look) {
      chunk.div.append(text);
      return;
    }
    const span = document.createElement("span");
    span.className = look;
    span.textContent = text;
    chunk.div.append(span);
  }

  /** Takes the last line off the page, which may have begun some chunks before. */
  #restart(changed) {
    for (let chunk; (chunk = this.#chunks.at(-1)); ) {
      const before = chunk.weight;
      let end = 0;
      for (let last; !end && (last = chunk.div.lastChild); ) {
        const node = last.firstChild ?? last;
        end = node.data.lastIndexOf("\n") + 1;
        chunk.weight -= node.length - end;
        if (end) node.deleteData(end, node.length - end);
        else last.remove();
      }
      this.#weight += chunk.weight - before;
      const left = chunk.div.lastChild;
      chunk.look = left && (left.className ?? "");
      chunk.full = chunk.weight >= CHUNK && end > 0;
      chunk.div.classList.remove("cut", "closed");
      changed.add(chunk);
      if (end || !this.#chunks.at(-2)?.div.classList.contains("cut")) return;
      changed.delete(chunk);
      this.#remove(this.#chunks.pop());
    }
  }

  // Where the reader is.

  #follow(on) {
    this.#following = on;
    this.#find("follow").setAttribute("aria-pressed", on);
    this.#stick();
  }

  #stick() {
    if (!this.#following) return;
    this.#pre.scrollTop = this.#pre.scrollHeight;
    this.#top = this.#pre.scrollTop;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#pre;
    const atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    if (atEnd !== this.#following && (atEnd || scrollTop < this.#top)) this.#follow(atEnd);
    this.#top = this.#pre.scrollTop;
  }

  #listen() {
    const on = (target, type, listener) => target.addEventListener(type, listener, { signal: this.#stop.signal });
    on(this.#pre, "scroll", () => this.#scrolled());
    on(this.#pre, "copy", (event) => this.#copySelection(event));
    on(this.#find("follow"), "click", () => this.#follow(!this.#following));
    on(this.#find("wrap"), "click", ({ currentTarget: button }) => {
      const wrap = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", wrap);
      this.#pre.toggleAttribute("data-nowrap", !wrap);
      this.#stick();
    });
    on(this.#find("copy"), "click", async ({ currentTarget: button }) => say(button, (await copy(this.text)) ? "Copied" : "Not copied"));
    const search = this.#find("search");
    on(search, "input", () => this.#search(search.value));
    on(search, "keydown", (event) => {
      if (event.key === "Enter") this.#go(event.shiftKey ? -1 : 1);
      else if (event.key === "Escape") this.#search((search.value = ""));
      else return;
      event.preventDefault();
    });
    if (search.value) this.#search(search.value);
  }

  /** Copies what is selected as it was written: the ends of chunks are no ends of lines. */
  #copySelection(event) {
    const selection = getSelection();
    if (!selection.rangeCount || !this.#pre.contains(selection.getRangeAt(0).commonAncestorContainer)) return;
    event.clipboardData.setData("text/plain", selection.getRangeAt(0).cloneContents().textContent);
    event.preventDefault();
  }

  // Search. Matches are ranges that do not follow the text: only the last chunk's text
  // changes, and it is looked through again then.

  #search(text) {
    this.#query = text ? new RegExp(text.replace(/[\\^$.*+?()[\]{}|\/]/g, "\\$&"), "giu") : null;
    this.#at = null;
    for (const chunk of this.#chunks) this.#forget(chunk);
    for (const chunk of this.#chunks) this.#scan(chunk);
    this.#mark();
    clearTimeout(this.#counting);
    this.#counting = 0;
    this.#showCount();
  }

  #forget(chunk) {
    for (const match of chunk.matches) found?.delete(match);
    this.#matches -= chunk.matches.length;
    chunk.matches = [];
  }

  #scan(chunk) {
    if (!this.#query) return;
    this.#forget(chunk);
    let node = null;
    let before = 0; // the letters before node
    const locate = (offset) => {
      node ??= chunk.div.firstChild;
      while (offset - before > node.textContent.length) {
        before += node.textContent.length;
        node = node.nextSibling;
      }
      return [node.firstChild ?? node, offset - before];
    };
    for (const { 0: text, index } of chunk.div.textContent.matchAll(this.#query)) {
      if (this.#matches >= MOST) break;
      const [startContainer, startOffset] = locate(index);
      const [endContainer, endOffset] = locate(index + text.length);
      const match = new StaticRange({ startContainer, startOffset, endContainer, endOffset });
      chunk.matches.push(match);
      this.#matches++;
      found?.add(match);
    }
    if (this.#at?.chunk === chunk) this.#mark();
  }

  /** Goes to the next match, or to the one before. */
  #go(step) {
    if (!this.#matches) return;
    const chunks = this.#chunks;
    let { chunk, index } = this.#at ?? { chunk: chunks[0], index: step > 0 ? -1 : 0 };
    let i = chunks.indexOf(chunk);
    index += step;
    while (!chunk.matches[index]) {
      i = (i + step + chunks.length) % chunks.length;
      chunk = chunks[i];
      index = step > 0 ? 0 : chunk.matches.length - 1;
    }
    this.#at = { chunk, index };
    this.#follow(false);
    this.#mark();
    this.#showCount();
    this.#reveal(chunk, chunk.matches[index]);
  }

  #mark() {
    const match = this.#at?.chunk.matches[this.#at.index];
    if (this.#marked) current?.delete(this.#marked);
    this.#marked = match;
    if (match) current?.add(match);
  }

  #reveal({ div }, { startContainer, startOffset, endContainer, endOffset }) {
    const pre = this.#pre;
    const range = document.createRange();
    range.setStart(startContainer, startOffset);
    range.setEnd(endContainer, endOffset);
    if (!current) getSelection().setBaseAndExtent(startContainer, startOffset, endContainer, endOffset);
    const show = () => {
      const box = pre.getBoundingClientRect();
      const at = range.getBoundingClientRect();
      if (at.top < box.top || at.bottom > box.bottom) pre.scrollTop += at.top - box.top - pre.clientHeight / 3;
      if (at.left < box.left || at.right > box.right) pre.scrollLeft += at.left - box.left - pre.clientWidth / 3;
    };
    div.classList.remove("closed"); // it is laid out from here on
    show();
    requestAnimationFrame(show); // what is around it is now, too
  }

  /** Says how many there are, but not with each frame. */
  #count() {
    if (this.#query) this.#counting ||= setTimeout(() => this.#showCount(), 300);
  }

  #showCount() {
    this.#counting = 0;
    let text = "";
    if (this.#query) {
      const all = this.#matches >= MOST ? `${MOST}+` : this.#matches;
      let number = 0;
      if (this.#at) {
        number = this.#at.index + 1;
        for (const chunk of this.#chunks.slice(0, this.#chunks.indexOf(this.#at.chunk))) number += chunk.matches.length;
      }
      text = !all ? "none" : number ? `${number} of ${all}` : `${all} found`;
    }
    if (this.#find("found").textContent !== text) this.#find("found").textContent = text;
  }
}
