// The page where programs are written and run. The form works without this; here it
// gets its editors and its draft, and shows the task beside the program.

import { Files } from "./files.js";

const DRAFT = "taskrunner.draft";
const WAIT = 400; // milliseconds from the last change to keeping the draft
const NARROW = matchMedia("(max-width: 959px)");
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

const form = document.querySelector("form[data-run]");
const language = form.elements.namedItem("language");
const button = form.querySelector("#run");
const reset = form.querySelector("[data-reset]");
const options = form.querySelector("#options");
const result = document.getElementById("result");

const files = new Files(form, { onInput: changed });

// Samples.

const choices = () => [...language.options];
const chosen = () => language.selectedOptions[0]?.dataset ?? {};

/** Reports whether nobody has written anything here yet. */
function pristine() {
  const [file, more] = files.all;
  const known = (key, value) => !value || choices().some(({ dataset }) => dataset[key] === value);
  return !more && known("sample", file.content.trim() && file.content) && known("source", file.path);
}

function showSample() {
  const { source = "", sample = "" } = chosen();
  files.all = [{ path: source, content: sample }];
}

function languageChanged() {
  const { source } = chosen();
  if (pristine()) showSample();
  else if (source && choices().some(({ dataset }) => dataset.source === files.main.path.value)) files.main.path.value = source;
  files.language = language.value;
  changed();
}

function resetToSample() {
  const { source = "", sample = "" } = chosen();
  const several = files.all.length > 1;
  if (several && !confirm("Remove all files and show the sample?")) return;
  if (several) files.all = [{ path: source, content: "" }];
  files.main.path.value = source;
  files.language = language.value;
  files.main.editor.replace(sample);
}

// The draft, kept in this browser. One that keeps nothing is no error. A program that
// was opened from a task leaves the draft alone. The environment is not kept: what is
// secret is most often there.

const kept = !form.dataset.from;
const inputs = () => [...options.querySelectorAll("[name]")].filter(({ name }) => name !== "env");
let timer = 0;

function changed() {
  if (reset) reset.disabled = pristine();
  if (!kept) return;
  clearTimeout(timer);
  timer = setTimeout(keepDraft, WAIT);
}

function keepDraft() {
  if (!timer) return;
  clearTimeout(timer);
  timer = 0;
  const draft = { language: language.value, files: pristine() ? [] : files.all, inputs: {} };
  for (const { name, type, value, checked } of inputs()) draft.inputs[name] = type === "checkbox" ? checked : value;
  try {
    localStorage.setItem(DRAFT, JSON.stringify(draft));
  } catch {
    // Storage is full or forbidden.
  }
}

function restoreDraft() {
  let draft = null;
  try {
    draft = JSON.parse(localStorage.getItem(DRAFT));
  } catch {
    // Nothing that can be read.
  }
  if (!draft || !choices().some(({ value }) => value === draft.language)) return;
  const asked = new URLSearchParams(location.search).get("language");
  if (asked && asked !== draft.language) return;
  language.value = draft.language;
  const list = Array.isArray(draft.files) ? draft.files.filter((f) => typeof f?.path === "string" && typeof f.content === "string") : [];
  if (list.length) files.all = list;
  else showSample();
  for (const input of inputs()) {
    const value = draft.inputs?.[input.name];
    if (typeof value === "boolean") input.checked = value;
    else if (typeof value === "string") input.value = value;
    else continue;
    if (value) options.open = true;
  }
}

// What is wrong.

const fieldOf = (line) => line.dataset.error;

function controlOf(line) {
  const file = files.of(line) ?? (/^(code|files)$/.test(fieldOf(line)) ? files.main : null);
  return file ? file.section.querySelector("textarea") : form.querySelector(`[aria-describedby~="${CSS.escape(line.id)}"]`);
}

function clearError(line) {
  line.hidden = true;
  line.textContent = "";
  controlOf(line)?.removeAttribute("aria-invalid");
  const file = files.of(line);
  if (file) files.mark(file, false);
}

const lines = () => [...form.querySelectorAll("[data-error]")];

/** Puts each message at the field whose name begins what it names, or above the form. */
function showErrors(errors) {
  let first = null;
  for (const { field, message } of errors) {
    const within = (name) => !name || field === name || [".", "["].includes(field.slice(name.length)[0]) && field.startsWith(name);
    const line = lines()
      .filter((one) => within(fieldOf(one)))
      .reduce((a, b) => (fieldOf(b).length > fieldOf(a).length ? b : a));
    const rest = field.slice(fieldOf(line).length).replace(/^\./, "");
    line.textContent = [line.textContent, rest && !rest.startsWith("content") ? `${rest} ${message}` : message].filter(Boolean).join("; ");
    line.hidden = false;
    const file = files.of(line);
    if (file) files.mark(file, true);
    const control = fieldOf(line) && controlOf(line);
    control?.setAttribute?.("aria-invalid", "true");
    first ??= control || null;
  }
  if (!first) return;
  const file = files.of(first);
  if (file) files.select(file);
  if (options.contains(first)) options.open = true;
  first.focus();
}

// Running.

let busy = false;
let view = null;

async function run() {
  if (busy) return;
  busy = true;
  lines().forEach(clearError);
  const label = button.querySelector("[data-label]") ?? button;
  const text = label.textContent;
  button.style.minWidth = `${button.offsetWidth}px`;
  button.setAttribute("aria-disabled", "true");
  label.textContent = "Running…";
  try {
    keepDraft();
    const { url } = await submit();
    await show(url);
  } catch (problem) {
    showErrors(problem.errors ?? [{ field: "", message: problem.message }]);
  } finally {
    label.textContent = text;
    button.removeAttribute("aria-disabled");
    busy = false;
  }
}

/** Sends the form; a refusal is thrown with its errors by field. */
async function submit() {
  const response = await ask(form.action, {
    method: "POST",
    body: new URLSearchParams(new FormData(form)),
    headers: { accept: "application/json" },
  });
  const body = await response.json().catch(() => ({}));
  if (response.ok && body.url) return body;
  const problem = new Error(body.detail || body.title || `The service answered ${response.status}.`);
  if (body.errors?.length) problem.errors = body.errors;
  throw problem;
}

async function ask(...request) {
  try {
    return await fetch(...request);
  } catch {
    throw new Error("The service cannot be reached. Is it running, and are you online?");
  }
}

/** Shows a task beside the program: what its own page has. */
async function show(url) {
  const [response, { mount }] = await Promise.all([ask(url, { headers: { accept: "text/html" } }), import("./task.js")]);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const article = page.querySelector("article[data-task]");
  if (!article) {
    location.assign(url);
    return;
  }
  view?.close();
  result.replaceChildren(document.adoptNode(article));
  view = mount(article);
  if (NARROW.matches) result.scrollIntoView({ behavior: CALM.matches ? "auto" : "smooth" });
}

// Files that are dropped on the form.

const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

/** Reads a file as text; what cannot be one is thrown as a sentence. */
async function read(file) {
  const most = Number(files.main.section.parentElement.dataset.maxBytes) || 1 << 20;
  if (file.size > most) throw new Error(`${file.name} is larger than the ${Math.floor(most / 1024)} KiB that a file may have.`);
  let content;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    content = "\0";
  }
  if (content.includes("\0")) throw new Error(`${file.name} is not text in UTF-8, and cannot be edited here.`);
  return { path: file.name, content };
}

async function open(list) {
  lines().forEach(clearError);
  const errors = [];
  const opened = [];
  const fresh = pristine();
  const room = files.room + (fresh ? 1 : 0);
  for (const file of list.slice(0, room)) {
    try {
      opened.push(await read(file));
    } catch ({ message }) {
      errors.push(message);
    }
  }
  if (list.length > room) errors.push(`A program has ${form.querySelector(".files").dataset.maxFiles} files at most; the others were left out.`);
  if (opened.length) {
    if (fresh) replaceAll(opened);
    else for (const { path, content } of opened) files.add(path, content);
    changed();
  }
  if (errors.length) showErrors([{ field: `files[${files.all.length - 1}]`, message: errors.join(" ") }]);
}

/** Makes these the program; the one that looks like a main file is run. */
function replaceAll(list) {
  const ext = (path) => /\.\w+$/.exec(path)?.[0].toLowerCase();
  const runs = ({ path }) => choices().find(({ dataset }) => ext(path) && ext(dataset.source ?? "") === ext(path));
  const main = list.find(({ path }) => choices().some(({ dataset }) => dataset.source === path)) ?? list.find(runs) ?? list[0];
  const option = runs(main);
  if (option && option.value !== language.value && !(chosen().source && ext(chosen().source) === ext(main.path))) language.value = option.value;
  files.all = [main, ...list.filter((file) => file !== main)];
  files.language = language.value;
}

let depth = 0; // of elements of the form that the pointer is in

form.addEventListener("dragenter", (event) => {
  if (holdsFiles(event)) form.toggleAttribute("data-drop", ++depth > 0);
});
form.addEventListener("dragleave", (event) => {
  if (holdsFiles(event)) form.toggleAttribute("data-drop", --depth > 0);
});
form.addEventListener("dragover", (event) => {
  if (holdsFiles(event)) event.preventDefault();
});
form.addEventListener("drop", (event) => {
  depth = 0;
  form.removeAttribute("data-drop");
  if (!holdsFiles(event)) return;
  event.preventDefault();
  open([...event.dataTransfer.files]);
});

// The form.

language.addEventListener("change", languageChanged);
form.addEventListener("input", ({ target }) => {
  for (const line of lines()) if (!line.hidden && fieldOf(line) && controlOf(line) === target) clearError(line);
  changed();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
  event.preventDefault();
  run();
});
options.addEventListener("click", ({ target }) => {
  const preset = target.closest("[data-preset]")?.dataset.preset;
  if (!preset) return;
  for (const [name, value] of Object.entries(JSON.parse(preset))) {
    const input = form.elements.namedItem(name);
    if (!input) continue;
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
});
reset?.addEventListener("click", resetToSample);
addEventListener("pagehide", keepDraft);

// A form that came back with errors is newer than any draft.
if (kept && lines().every(({ hidden }) => hidden)) restoreDraft();
files.language = language.value;
if (reset) {
  reset.hidden = false;
  reset.disabled = pristine();
}
for (const presets of form.querySelectorAll("[data-presets]")) presets.hidden = false;
if (/Mac|iPhone|iPad/.test(navigator.platform)) {
  for (const key of document.querySelectorAll("[data-mod]")) key.textContent = "⌘";
}
form.dataset.live = "";
document.documentElement.dataset.ready = "run";
performance.mark("editor-ready");
