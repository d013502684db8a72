// The API, as this page uses it.

const ROOT = "/api/v1";

/** An answer that is no success. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The service answered ${status}.`);
    this.status = status;
    this.code = body.code || "";
    /** What is wrong with which field: [{field, message}]. */
    this.fields = Array.isArray(body.errors) ? body.errors : [];
  }
}

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(ROOT + path, { headers: { accept: "application/json", ...options.headers }, ...options });
  } catch {
    throw new Problem(0, { detail: "The service cannot be reached." });
  }
  let body = {};
  try {
    body = await response.json();
  } catch {
    // Not JSON: the status says enough.
  }
  if (!response.ok) throw new Problem(response.status, body);
  return body;
}

const taskPath = (id) => `/tasks/${encodeURIComponent(id)}`;

export const languages = () => call("/languages");
export const limits = () => call("/limits");
export const task = (id) => call(taskPath(id));
export const recent = (limit) => call(`/tasks?limit=${limit}`);
export const cancel = (id) => call(`${taskPath(id)}/cancel`, { method: "POST" });
export const submit = (body) =>
  call("/tasks", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
export const streamURL = (id) => `${ROOT}${taskPath(id)}/stream`;
export const logURL = (id, stream) => `${ROOT}${taskPath(id)}/logs/${stream}`;
