// The page: the program on one side, what it does on the other.

import * as api from "./api.js";
import { Editor } from "./editor.js";
import * as format from "./format.js";
import { Recent } from "./recent.js";
import { TaskView } from "./task.js";

const $ = (id) => document.getElementById(id);
const form = $("program");
const fields = ["language", "code", "stdin", "timeout", "memory_limit", "cpu_limit", "pids_limit"];

const samples = {
  python: 'import sys\n\nprint("Hello from Python", sys.version.split()[0])\n',
  javascript: 'console.log("Hello from Node.js", process.version);\n',
  bash: 'echo "Hello from Bash $BASH_VERSION"\n',
};

const editor = new Editor($("code"), $("gutter"));
const recent = new Recent((id) => openTask(id, true));
const view = new TaskView(() => recent.refresh());

// Errors of the form.

function clearErrors() {
  for (const name of fields) {
    $(`${name}-error`).hidden = true;
    $(name).removeAttribute("aria-invalid");
  }
  $("form-error").hidden = true;
}

function showError(name, message) {
  const line = $(`${name}-error`);
  line.textContent = message;
  line.hidden = false;
  $(name)?.setAttribute("aria-invalid", "true");
}

/** Puts what the API refused at the fields that it names, or else below the form. */
function showProblem(problem) {
  const rest = [];
  let first = null;
  for (const { field, message } of problem.fields || []) {
    const name = fields.find((f) => f === field || field.startsWith(`${f}.`));
    if (!name) {
      rest.push(field ? `${field}: ${message}` : message);
      continue;
    }
    showError(name, message);
    first ??= $(name);
  }
  if (rest.length || !first) showError("form", rest.join(" ") || problem.message);
  if (first) {
    if ($("options").contains(first)) $("options").open = true;
    first.focus();
  }
}

// The program.

/** The request body, or null if a field cannot be sent as it is. */
function body() {
  const result = { language: $("language").value, code: editor.value };
  let good = true;
  for (const name of ["timeout", "cpu_limit", "pids_limit"]) {
    const text = $(name).value.trim();
    if (!text) continue;
    const number = Number(text);
    if (!Number.isFinite(number)) {
      showError(name, "must be a number");
      $("options").open = true;
      if (good) $(name).focus();
      good = false;
    }
    result[name] = number;
  }
  const memory = $("memory_limit").value.trim();
  if (memory) result.memory_limit = memory;
  if ($("stdin").value) result.stdin = $("stdin").value;
  return good ? result : null;
}

async function run() {
  if ($("run").disabled) return;
  clearErrors();
  const request = body();
  if (!request) return;
  $("run").disabled = true;
  try {
    const { task_id: id } = await api.submit(request);
    history.pushState(null, "", `/tasks/${encodeURIComponent(id)}`);
    openTask(id, false, false);
  } catch (problem) {
    showProblem(problem);
  } finally {
    $("run").disabled = false;
  }
}

/** Fills the form with the program of a task. */
function load(task) {
  const { spec } = task;
  const main = spec.files?.find((f) => f.path === spec.entrypoint);
  choose(spec.language);
  editor.value = spec.code || main?.content || "";
  $("stdin").value = spec.stdin || "";
}

function choose(language) {
  const select = $("language");
  if (language && [...select.options].some((o) => o.value === language)) select.value = language;
}

// The draft, kept in this browser. One that keeps nothing is no error.

const pristine = () => !editor.value.trim() || Object.values(samples).includes(editor.value);

function draft() {
  try {
    return { language: localStorage.getItem("language"), code: localStorage.getItem("code") };
  } catch {
    return {};
  }
}

function keepDraft() {
  try {
    localStorage.setItem("language", $("language").value);
    localStorage.setItem("code", pristine() ? "" : editor.value);
  } catch {
    // Storage is full or forbidden.
  }
}

// What the page shows.

/** Shows a task; push makes it a step in the browser's history. */
async function openTask(id, push, fill = true) {
  if (push) history.pushState(null, "", `/tasks/${encodeURIComponent(id)}`);
  document.title = `Task ${id} · Task Runner`;
  recent.current = id;
  clearErrors();
  try {
    const task = await view.show(id);
    if (fill) load(task);
  } catch {
    // The view says what is wrong.
  }
}

function blank() {
  document.title = "Task Runner";
  recent.current = "";
  view.clear();
}

function route() {
  const [, id] = location.pathname.match(/^\/tasks\/([^/]+)$/) || [];
  if (id) openTask(decodeURIComponent(id), false);
  else blank();
}

async function start() {
  const kept = draft();
  try {
    const { languages } = await api.languages();
    $("language").replaceChildren(
      ...languages.map((l) => new Option(l.version ? `${l.name} ${l.version}` : l.name, l.name)),
    );
    choose("python");
    choose(kept.language);
  } catch (problem) {
    showError("language", problem.message);
  }
  editor.value = kept.code || samples[$("language").value] || "";
  recent.refresh();
  route();
  showDefaults();
}

/** Shows what holds where a limit is left empty. */
async function showDefaults() {
  try {
    const limits = (await api.limits()).default;
    $("timeout").placeholder = limits.timeout;
    $("memory_limit").placeholder = format.bytes(limits.memory_limit);
    $("cpu_limit").placeholder = limits.cpu_limit;
    $("pids_limit").placeholder = limits.pids_limit;
  } catch {
    // The fields say "default" instead.
  }
}

$("language").addEventListener("change", () => {
  if (pristine()) editor.value = samples[$("language").value] || "";
  keepDraft();
});
$("code").addEventListener("input", keepDraft);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  }
});
addEventListener("popstate", route);
if (/Mac|iPhone|iPad/.test(navigator.platform)) $("run-key").textContent = "⌘";

start();
