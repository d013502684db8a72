// A figure over time: a line, its area, and the limit. It is drawn at most once a frame,
// and keeps the peaks of however many samples there are.

import { bytes } from "./format.js";

const HEIGHT = 132;
const [LEFT, RIGHT, TOP, BOTTOM] = [58, 6, 10, 20];
const MOST = 4_000; // samples; beyond it, of two neighbours the higher one stays
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

const kinds = {
  cpu: { name: "CPU", words: (n) => `${n.toFixed(n < 10 ? 1 : 0)}%` },
  memory: { name: "Memory", words: bytes },
};

const seconds = (s) => (s < 120 || s % 60 ? `${Number(s.toFixed(1))} s` : `${s / 60} min`);

function svg(name, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

/** Of two neighbours the higher one, for the whole list. */
const halve = (list) => list.filter((_, i) => i % 2 === 0).map((one, i) => (list[2 * i + 1]?.value > one.value ? list[2 * i + 1] : one));

export class Chart {
  #kind;
  #limit;
  #samples = []; // { at_ms, value }, in their order
  #peak = 0;
  #last = null;
  #cursor = null; // the time that the reader looks at
  #over = false; // nothing more comes
  #frame = 0;
  #value = document.createElement("span");
  #svg = svg("svg", { role: "img", tabindex: 0, height: HEIGHT });
  #stop = new AbortController();
  #resized = new ResizeObserver(() => this.#later());

  constructor(figure) {
    this.#kind = kinds[figure.dataset.chart];
    this.#limit = Number(figure.dataset.limit) || 0;
    this.#value.className = "value";
    figure.querySelector("figcaption").append(" ", this.#value);
    figure.append(this.#svg);
    const on = (type, listener) => this.#svg.addEventListener(type, listener, { signal: this.#stop.signal });
    on("pointermove", ({ clientX }) => this.#look(this.#time(clientX - this.#svg.getBoundingClientRect().left)));
    on("pointerleave", () => this.#look(null));
    on("blur", () => this.#look(null));
    on("keydown", (event) => this.#key(event));
    this.#resized.observe(this.#svg);
    this.#draw();
  }

  close() {
    this.#stop.abort();
    this.#resized.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  add({ at_ms, value }) {
    if (!Number.isFinite(at_ms) || !Number.isFinite(value) || at_ms < (this.#last?.at_ms ?? 0)) return;
    this.#last = { at_ms, value };
    this.#samples.push(this.#last);
    this.#peak = Math.max(this.#peak, value);
    if (this.#samples.length > MOST) this.#samples = halve(this.#samples);
    this.#later();
  }

  finish() {
    this.#over = true;
    this.#later();
  }

  reset() {
    this.#samples = [];
    this.#peak = 0;
    this.#last = this.#cursor = null;
    this.#later();
  }

  #later() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  // Where things are.

  #width = 0;
  get #span() {
    return Math.max(1_000, this.#last?.at_ms ?? 0);
  }
  get #high() {
    return Math.max(this.#limit, this.#peak, 1) * 1.1;
  }
  #x = (ms) => LEFT + (ms / this.#span) * (this.#width - LEFT - RIGHT);
  #y = (value) => TOP + (1 - value / this.#high) * (HEIGHT - TOP - BOTTOM);
  #time = (x) => ((x - LEFT) / (this.#width - LEFT - RIGHT)) * this.#span;

  #nearest(ms) {
    return this.#samples.reduce((best, one) => (Math.abs(one.at_ms - ms) < Math.abs(best.at_ms - ms) ? one : best));
  }

  // What the reader looks at.

  #look(ms, aloud = false) {
    if (aloud) this.#value.setAttribute("aria-live", "polite");
    else this.#value.removeAttribute("aria-live");
    this.#cursor = this.#samples.length ? ms : null;
    this.#later();
  }

  #key(event) {
    const samples = this.#samples;
    const at = this.#cursor === null ? samples.length : samples.indexOf(this.#nearest(this.#cursor));
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: samples.length - 1 }[event.key];
    if (event.key === "Escape") this.#look(null);
    if (to === undefined || !samples.length) return;
    event.preventDefault();
    this.#look(samples[Math.max(0, Math.min(to, samples.length - 1))].at_ms, true);
  }

  // Drawing.

  #draw() {
    this.#frame = 0;
    this.#width = this.#svg.clientWidth || 300;
    this.#svg.setAttribute("viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    this.#svg.replaceChildren(...this.#axes(), ...this.#line(), ...this.#crosshair());
    this.#tell();
  }

  #axes() {
    const [x0, x1, y0] = [LEFT, this.#width - RIGHT, this.#y(0)];
    const { words } = this.#kind;
    const parts = [svg("line", { class: "axis", x1: x0, x2: x1, y1: y0, y2: y0 }), svg("text", { x: x0 - 6, y: y0, class: "y" }, "0")];
    if (this.#limit) {
      const y = this.#y(this.#limit);
      const half = this.#y(this.#limit / 2);
      parts.push(
        svg("line", { class: "grid", x1: x0, x2: x1, y1: half, y2: half }),
        svg("text", { x: x0 - 6, y: half + 4, class: "y" }, words(this.#limit / 2)),
        svg("line", { class: "limit", x1: x0, x2: x1, y1: y, y2: y }),
        svg("text", { x: x0 - 6, y: y + 4, class: "y" }, words(this.#limit)),
        svg("text", { x: x1, y: y - 5, class: "y" }, "limit"),
      );
    }
    const total = this.#span / 1000;
    const step = STEPS.find((one) => total / one <= 5) ?? Math.ceil(total / 5 / 3600) * 3600;
    for (let s = 0; s <= total; s += step) {
      const x = this.#x(s * 1000);
      if (x > x1 - 16) parts.push(svg("text", { x: x1, y: HEIGHT - 4, class: "y" }, seconds(s)));
      else parts.push(svg("text", { x, y: HEIGHT - 4, class: "x" }, seconds(s)));
    }
    return parts;
  }

  #line() {
    let samples = this.#samples;
    while (samples.length > this.#width) samples = halve(samples);
    if (!samples.length) return [];
    const points = samples.map(({ at_ms, value }) => `${this.#x(at_ms).toFixed(1)} ${this.#y(value).toFixed(1)}`);
    const y0 = this.#y(0);
    const [first, last] = [samples[0], samples.at(-1)].map(({ at_ms }) => this.#x(at_ms).toFixed(1));
    return [
      svg("path", { class: "area", d: `M${first} ${y0}L${points.join("L")}L${last} ${y0}Z` }),
      svg("path", { class: "line", d: `M${points.join("L")}${points.length === 1 ? "h.1" : ""}` }),
    ];
  }

  #crosshair() {
    if (this.#cursor === null) return [];
    const { at_ms, value } = this.#nearest(this.#cursor);
    const [x, y] = [this.#x(at_ms), this.#y(value)];
    return [svg("line", { class: "cross", x1: x, x2: x, y1: TOP, y2: this.#y(0) }), svg("circle", { cx: x, cy: y, r: 3.5 })];
  }

  #tell() {
    const { name, words } = this.#kind;
    const { value } = this.#last ?? {};
    const at = this.#cursor === null ? null : this.#nearest(this.#cursor);
    if (at) this.#value.textContent = `${words(at.value)} at ${(at.at_ms / 1000).toFixed(1)} s`;
    else this.#value.textContent = this.#last ? `${this.#over ? "last" : "now"} ${words(value)}, peak ${words(this.#peak)}` : "–";
    const figures = this.#last ? `${words(value)} at last, ${words(this.#peak)} at most, over ${seconds(this.#span / 1000)}` : "nothing measured";
    this.#svg.setAttribute("aria-label", `${name}: ${figures}${this.#limit ? `; the limit is ${words(this.#limit)}` : ""}.`);
  }
}
