// Draws the Mandelbrot set, a row at a time.
const { readFileSync } = require("node:fs");
const { setTimeout: sleep } = require("node:timers/promises");

const [bold, green, reset] = ["\x1b[1m", "\x1b[32m", "\x1b[0m"];
const [columns, rows, patience] = [64, 20, 50_000];

// stays tells whether the point (a, b) belongs to the set, as far as patience goes.
function stays(a, b) {
  let [x, y, round] = [0, 0, 0];
  while (x * x + y * y < 4 && round < patience) {
    [x, y, round] = [x * x - y * y + a, 2 * x * y + b, round + 1];
  }
  return round === patience;
}

async function main(name) {
  console.log(`${bold}Hello, ${name}!${reset} This is the Mandelbrot set:`);
  for (let row = 0; row < rows; row++) {
    const b = (row / (rows - 1)) * 2.2 - 1.1;
    const points = Array.from({ length: columns }, (_, i) => stays((i / columns) * 3 - 2.2, b));
    console.log(green + points.map((inside) => (inside ? "█" : "·")).join("") + reset);
    await sleep(80);
  }
}

// Whom to greet: the arguments, or else the input.
main(process.argv.slice(2).join(" ") || readFileSync(0, "utf8").trim() || "world");
