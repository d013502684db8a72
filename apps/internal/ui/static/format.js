// Figures and facts in words. The server writes the same ones (words.go), so that nothing
// changes its looks when what was live is over:
//
//   durations: whole microseconds below 1 ms, "12.3 ms" below 100 ms, "123 ms" below 1 s,
//              "1.23 s" below a minute, then "2 min 3 s";
//   sizes:     the largest unit of 1024 that leaves 1 or more, in three digits:
//              "1.23 MiB", "12.3 MiB", "123 MiB"; whole numbers without a point.

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

/** How long something takes already, which is said each second. */
export function elapsed(ms) {
  return ms < 60_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : duration(ms);
}

export function bytes(n) {
  if (!known(n)) return "unknown";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  const digits = Number.isInteger(n) || n >= 100 ? 0 : n < 10 ? 2 : 1;
  return `${n.toFixed(digits)} ${units[i]}`;
}

export function clock(iso) {
  const time = new Date(iso);
  if (!iso || Number.isNaN(time.getTime())) return "";
  const sameDay = time.toDateString() === new Date().toDateString();
  return sameDay ? time.toLocaleTimeString() : time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

export const status = (s) => String(s).replaceAll("_", " ");

export const ended = (s) => s !== "queued" && s !== "running";
