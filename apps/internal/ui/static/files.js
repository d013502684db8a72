// The files of a program: a tab for each, and an editor for each, so that undo is
// its own. What is sent stays in the form's own fields.

import { Editor } from "./editor.js";
import { knows } from "./syntax.js";

const extension = (path) => /\.(\w+)$/.exec(path)?.[1].toLowerCase() ?? "";

export class Files {
  #root;
  #row;
  #list; // the tabs
  #add;
  #template;
  #onInput;
  #files = []; // {section, path, error, editor, tab, button}
  #selected = null;
  #language = "";
  #count = 0; // of files ever made, for their names

  /** form is the one with .tabs, .files and #file-template; onInput is called after any change. */
  constructor(form, { onInput }) {
    this.#root = form.querySelector(".files");
    this.#template = form.querySelector("#file-template");
    this.#onInput = onInput;

    // A list of tabs owns nothing but tabs: the buttons go beside it.
    this.#row = form.querySelector(".tabs");
    this.#list = element("div", "tablist", { role: "tablist", "aria-label": "Files" });
    this.#add = element("button", "tab-action", { type: "button", "aria-label": "Add a file", title: "Add a file" }, "+");
    const rename = element("button", "tab-action rename", { type: "button", "aria-label": "Rename this file" }, "Rename");
    this.#row.removeAttribute("role");
    this.#row.removeAttribute("aria-label");
    this.#row.replaceChildren(this.#list, this.#add, rename);
    this.#add.addEventListener("click", () => this.#create());
    rename.addEventListener("click", () => this.rename(this.#selected));
    this.#list.addEventListener("keydown", (event) => this.#key(event));

    for (const section of this.#root.querySelectorAll("[data-file]")) this.#adopt(section);
    this.#arrange();
    this.select(this.#files[0]);
  }

  /** All files as [{path, content}], the one that is run first. */
  get all() {
    return this.#files.map(({ path, editor }) => ({ path: path.value, content: editor.value }));
  }

  set all(list) {
    this.#files.forEach(discard);
    this.#files = [];
    for (const { path, content } of list) this.#append(path, content);
    this.#arrange();
    this.select(this.#files[0]);
  }

  /** The file that is run: {path, editor}. */
  get main() {
    return this.#files[0];
  }

  get room() {
    return this.#root.dataset.maxFiles - this.#files.length;
  }

  /** The language that the first file is in; the others' are told by their names. */
  set language(name) {
    this.#language = name;
    this.#arrange();
  }

  /** Adds a file at the end, under a name that is free. */
  add(path, content) {
    const [, stem, dot] = /^(.*?)(\.[^.]*)?$/s.exec(path);
    for (let n = 2; this.#files.some((file) => file.path.value === path); n++) path = `${stem}-${n}${dot ?? ""}`;
    const file = this.#append(path, content);
    this.#arrange();
    this.select(file);
    return file;
  }

  select(file) {
    this.#selected = file;
    for (const one of this.#files) {
      const is = one === file;
      one.section.hidden = !is;
      one.button.setAttribute("aria-selected", is);
      one.button.tabIndex = is ? 0 : -1;
    }
    // Not scrollIntoView, which moves the page too.
    const { offsetLeft, offsetWidth } = file.tab;
    this.#list.scrollLeft = Math.min(offsetLeft, Math.max(this.#list.scrollLeft, offsetLeft + offsetWidth - this.#list.clientWidth));
    file.editor.refresh();
  }

  /** The file that an element is part of. */
  of(node) {
    return this.#files.find(({ section }) => section.contains(node));
  }

  /** Marks the tab of a file in which something is wrong. */
  mark(file, bad) {
    file.tab.toggleAttribute("data-bad", bad);
  }

  /** Has the name of a file edited where it stands. */
  rename(file) {
    this.select(file);
    const { tab, button, path } = file;
    const input = element("input", "", { "aria-label": "File name", spellcheck: "false", autocapitalize: "off" });
    input.value = path.value;
    input.style.width = `${Math.max(12, path.value.length + 3)}ch`;
    let finished = false;
    const finish = (keep) => {
      if (finished) return; // taking the input away takes its focus away
      finished = true;
      const focused = document.activeElement === input;
      const name = input.value.trim();
      const free = !this.#files.some((other) => other !== file && other.path.value === name);
      if (keep && name && free) path.value = name;
      tab.removeAttribute("data-renaming");
      input.remove();
      if (focused) button.focus();
      this.#arrange();
      this.#onInput();
      if (keep && !free) this.fail(file, `There is already a file ${name}.`);
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.preventDefault();
      finish(event.key === "Enter");
    });
    input.addEventListener("blur", () => finish(true));
    tab.setAttribute("data-renaming", "");
    tab.append(input);
    input.focus();
    input.setSelectionRange(0, path.value.replace(/\.\w+$/, "").length);
  }

  /** Says below a file what is wrong. */
  fail(file, message) {
    this.select(file);
    this.mark(file, true);
    file.error.textContent = message;
    file.error.hidden = false;
  }

  #create() {
    const dot = /\.\w+$/.exec(this.main.path.value)?.[0] ?? "";
    const file = this.add(`file-${this.#files.length + 1}${dot}`, "");
    this.#onInput();
    this.rename(file);
  }

  #append(path, content) {
    const section = this.#template.content.firstElementChild.cloneNode(true);
    this.#root.append(section);
    const file = this.#adopt(section);
    file.path.value = path;
    if (content) file.editor.value = content;
    return file;
  }

  /** Gives a section of the form an editor and a tab. */
  #adopt(section) {
    const id = ++this.#count;
    const button = element("button", "tab-name", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `file-${id}` });
    const close = element("button", "tab-close", { type: "button", tabindex: -1 }, "×");
    const tab = element("div", "tab", { role: "presentation" });
    const file = {
      section, tab, button, close,
      path: section.querySelector("[name=path]"),
      error: section.querySelector("[data-error]"),
      editor: new Editor(section.querySelector(".editor"), { onInput: this.#onInput }),
    };
    section.id = `file-${id}`;
    section.setAttribute("role", "tabpanel");
    section.setAttribute("aria-labelledby", button.id);
    file.error.id = `file-${id}-error`;
    button.addEventListener("click", () => this.select(file));
    button.addEventListener("dblclick", () => this.rename(file));
    close.addEventListener("click", () => this.#close(file));
    tab.append(button, close);
    this.#list.append(tab);
    this.#files.push(file);
    return file;
  }

  #close(file) {
    if (this.#files.length === 1) return;
    if (file.editor.value.trim() && !confirm(`Remove ${file.path.value} and what is in it?`)) return;
    const at = this.#files.indexOf(file);
    this.#files.splice(at, 1);
    discard(file);
    this.#arrange();
    if (file === this.#selected) this.select(this.#files[Math.min(at, this.#files.length - 1)]);
    this.#selected.button.focus();
    this.#onInput();
  }

  /** Brings names, places and languages up to date. */
  #arrange() {
    const several = this.#files.length > 1;
    this.#files.forEach(({ path, error, editor, section, button, close }, i) => {
      const name = path.value || "untitled";
      const ext = extension(name);
      error.dataset.error = `files[${i}]`;
      const area = section.querySelector("textarea");
      area.setAttribute("aria-label", `Code of ${name}`);
      area.setAttribute("aria-describedby", `leave-editor ${error.id}${i === 0 ? " code-error files-error" : ""}`);
      button.textContent = name;
      button.title = several && i === 0 ? `${name}, which is run` : name;
      close.hidden = !several;
      close.setAttribute("aria-label", `Remove ${name}`);
      editor.language = i === 0 && (knows(this.#language) || !knows(ext)) ? this.#language : ext;
    });
    this.#add.disabled = this.room <= 0;
  }

  #key(event) {
    const { key } = event;
    const at = this.#files.indexOf(this.#selected);
    const { length } = this.#files;
    const to = { ArrowLeft: (at + length - 1) % length, ArrowRight: (at + 1) % length, Home: 0, End: length - 1 }[key];
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (to !== undefined) {
      this.select(this.#files[to]);
      this.#selected.button.focus();
    } else if (key === "Delete") this.#close(this.#selected);
    else if (key === "F2") this.rename(this.#selected);
    else return;
    event.preventDefault();
  }
}

function discard({ editor, section, tab }) {
  editor.close();
  section.remove();
  tab.remove();
}

function element(name, className, attributes, text = "") {
  const node = document.createElement(name);
  node.className = className;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}
