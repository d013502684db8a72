// A stream of text on the page, bounded: however much a program writes, the page
// keeps the last KEEP characters of it and draws at most once a frame.

const KEEP = 100_000;
const PIECE = 8_192; // the least length of a full text node

export class Output {
  #pre;
  #note;
  #nodes = []; // the text nodes on the page, oldest first
  #shown = 0; // the characters in them
  #pending = []; // what came since the last frame
  #waiting = 0; // the characters in it
  #frame = 0;
  #dropped = false;

  constructor(pre, note) {
    this.#pre = pre;
    this.#note = note;
  }

  clear() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#nodes = [];
    this.#pending = [];
    this.#shown = this.#waiting = 0;
    this.#dropped = false;
    this.#pre.replaceChildren();
    this.#note.textContent = "";
  }

  get empty() {
    return this.#shown + this.#waiting === 0;
  }

  append(text) {
    if (!text) return;
    this.#pending.push(text);
    this.#waiting += text.length;
    // A hidden tab draws no frames; what would be dropped then is dropped now.
    while (this.#pending.length > 1 && this.#waiting - this.#pending[0].length >= KEEP) {
      this.#waiting -= this.#pending.shift().length;
      this.#dropped = true;
    }
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    let text = this.#pending.join("");
    this.#pending = [];
    this.#waiting = 0;
    if (text.length > KEEP) {
      text = text.slice(-KEEP);
      this.#dropped = true;
    }
    const pre = this.#pre;
    const atEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;

    const last = this.#nodes.at(-1);
    if (last && last.length + text.length <= PIECE) {
      last.appendData(text);
    } else {
      const node = document.createTextNode(text);
      this.#nodes.push(node);
      pre.append(node);
    }
    this.#shown += text.length;
    while (this.#shown > KEEP) {
      const oldest = this.#nodes[0];
      const excess = Math.min(this.#shown - KEEP, oldest.length);
      if (excess < oldest.length) {
        oldest.deleteData(0, excess);
      } else {
        this.#nodes.shift();
        oldest.remove();
      }
      this.#shown -= excess;
      this.#dropped = true;
    }
    if (this.#dropped) this.#note.textContent = "only the end is shown";
    if (atEnd) pre.scrollTop = pre.scrollHeight;
  }
}
