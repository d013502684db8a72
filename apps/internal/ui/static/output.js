// A stream of text on the page, bounded: however much a program writes, the page
// keeps the last KEEP characters of it and draws at most once a frame.

const KEEP = 200_000;

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

    const node = document.createTextNode(text);
    this.#nodes.push(node);
    this.#shown += text.length;
    pre.append(node);
    while (this.#shown > KEEP && this.#nodes.length > 1) {
      const oldest = this.#nodes.shift();
      this.#shown -= oldest.length;
      oldest.remove();
      this.#dropped = true;
    }
    if (this.#dropped) this.#note.textContent = "only the end is shown";
    if (atEnd) pre.scrollTop = pre.scrollHeight;
  }
}
