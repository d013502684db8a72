// Figures and facts in words.

const known = (n) => typeof n === "number" && Number.isFinite(n);

export function duration(ms) {
  if (!known(ms)) return "unknown";
  if (ms < 1) return `${(ms * 1000).toFixed(0)} µs`;
  if (ms < 100) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

export function bytes(n) {
  if (!known(n)) return "unknown";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${i === 0 ? n : n.toFixed(n < 10 ? 2 : n < 100 ? 1 : 0)} ${units[i]}`;
}

export function clock(iso) {
  const time = new Date(iso);
  if (!iso || Number.isNaN(time.getTime())) return "";
  const sameDay = time.toDateString() === new Date().toDateString();
  return sameDay ? time.toLocaleTimeString() : time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

const words = {
  queued: "queued",
  running: "running",
  succeeded: "succeeded",
  failed: "failed",
  timed_out: "timed out",
  cancelled: "cancelled",
};

export const status = (s) => words[s] || String(s);

/** One sentence on where the task is, or on how it ended. */
export function cause(task) {
  switch (task.status) {
    case "queued":
      return task.attempt > 0 ? "Its worker was lost; it waits for another one." : "Waiting for a worker.";
    case "running":
      return "Running.";
  }
  const more = (task.message || "").replace(/\.$/, "");
  return `${ending(task)}${more && ": "}${more}.`;
}

function ending(task) {
  switch (task.cause) {
    case "exit":
      return task.exit_code === 0 ? "Finished with exit code 0" : `Exited with code ${task.exit_code}`;
    case "signal":
      return `Killed by ${task.signal || "a signal"}`;
    case "oom":
      return `Out of memory, with a limit of ${bytes(task.spec.memory_limit)}`;
    case "timeout":
      return "Timed out";
    case "output_limit":
      return "Stopped for too much output";
    case "cancelled":
      return "Cancelled";
    case "infrastructure":
      return "Could not be run, which is not the program's fault";
  }
  return status(task.status);
}
