package conformance

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var execEndingChecks = []check[*execBench]{
	{"each language says hello and nothing else", func(t *testing.T, b *execBench) {
		for _, job := range []ports.Job{
			b.python(`print("hello")`),
			b.javascript(`console.log("hello")`),
			b.bash(`echo hello`),
		} {
			r := b.run(t, job)
			r.requireExit(t, 0)
			assert.Equal(t, "hello\n", r.stdout, job.Language.Name)
			assert.Empty(t, r.stderr, job.Language.Name)
			assert.Empty(t, r.Message, job.Language.Name)
		}
	}},
	{"exit codes arrive as they are", func(t *testing.T, b *execBench) {
		for _, code := range []int{1, 2, 42, 64, 100, 124, 125, 126, 127, 128, 129, 130, 134, 137, 139, 143, 192, 254, 255} {
			r := b.run(t, b.bash(fmt.Sprintf("exit %d", code)))
			r.requireExit(t, code)
		}
	}},
	{"an exception that nobody catches is exit code 1 with its trace on stderr", func(t *testing.T, b *execBench) {
		r := b.run(t, b.python(`raise ValueError("so it goes")`))
		r.requireExit(t, 1)
		assert.Contains(t, r.stderr, "ValueError: so it goes")
		r = b.run(t, b.javascript(`throw new RangeError("so it goes")`))
		r.requireExit(t, 1)
		assert.Contains(t, r.stderr, "RangeError: so it goes")
	}},
	{"a signal is named", func(t *testing.T, b *execBench) {
		const die = `
import os, signal, sys
n = getattr(signal, sys.argv[1])
if n != signal.SIGKILL:
    signal.signal(n, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [n])
os.kill(os.getpid(), n)
`
		for _, name := range []string{
			"SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL",
			"SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGXCPU", "SIGXFSZ", "SIGVTALRM",
			"SIGPROF", "SIGIO", "SIGPWR", "SIGSYS",
		} {
			job := b.python(die)
			job.Spec.Args = []string{name}
			r := b.run(t, job)
			r.requireCause(t, ports.CauseSignal)
			assert.Equal(t, name, r.Signal)
		}
	}},
	{"a real-time signal is a signal too", func(t *testing.T, b *execBench) {
		r := b.run(t, b.bash(`kill -40 $$`))
		r.requireCause(t, ports.CauseSignal)
	}},
	{"a program that kills itself is not out of memory", func(t *testing.T, b *execBench) {
		r := b.run(t, b.bash(`kill -9 $$`))
		r.requireCause(t, ports.CauseSignal)
		assert.Equal(t, "SIGKILL", r.Signal)
		b.run(t, b.bash(`exit 137`)).requireExit(t, 137)
	}},
	{"a child that is killed is its parent's business", func(t *testing.T, b *execBench) {
		r := b.run(t, b.bash(`bash -c 'kill -9 $$'; echo "child: $?"; exit 3`))
		r.requireExit(t, 3)
		assert.Equal(t, "child: 137\n", r.stdout)
	}},
	{"a program that its child kills is killed", func(t *testing.T, b *execBench) {
		r := b.run(t, b.bash(`(kill -USR1 $$) & wait; sleep 1000`))
		r.requireCause(t, ports.CauseSignal)
		assert.Equal(t, "SIGUSR1", r.Signal)
	}},
	{"a background process that holds the streams delays nothing and is gone", func(t *testing.T, b *execBench) {
		r := b.run(t, b.bash(`
trap '' TERM HUP INT
(setsid sleep 1000 &)
sleep 1000 &
echo done
exit 5`))
		r.requireExit(t, 5)
		assert.Equal(t, "done\n", r.stdout)
		require.Less(t, *r.Usage.WallTime, b.Patience)
	}},
	{"a program that closes its streams is waited for", func(t *testing.T, b *execBench) {
		r := b.run(t, b.bash(`exec <&- >&- 2>&-; sleep 0.2; exit 6`))
		r.requireExit(t, 6)
		assert.Empty(t, r.stdout)
	}},
	{"ordinary programs find what they need", func(t *testing.T, b *execBench) {
		r := b.run(t, b.python(execOrdinaryPython))
		r.requireExit(t, 0)
		assert.Equal(t, "ok\n", r.stdout)
		r = b.run(t, b.javascript(execOrdinaryJavaScript))
		r.requireExit(t, 0)
		assert.Equal(t, "ok\n", r.stdout)
		r = b.run(t, b.bash(execOrdinaryBash))
		r.requireExit(t, 0)
		assert.Equal(t, "ok\n", r.stdout)
	}},
}

// The programs use what sandboxes easily break: threads, children, temporary
// files, semaphores in shared memory, pipes and socket pairs, clocks, randomness.
const (
	execOrdinaryPython = `
import asyncio, getpass, hashlib, json, mmap, multiprocessing, os, random, socket, subprocess, sys, tempfile, threading, time, uuid
import concurrent.futures

with tempfile.TemporaryDirectory() as d:
    with open(os.path.join(d, "f"), "w") as f: f.write("x" * 100000)
    assert os.path.getsize(os.path.join(d, "f")) == 100000
with tempfile.TemporaryFile() as f: f.write(b"x")
open("here", "w").close(); os.rename("here", "there"); os.remove("there")

t = threading.Thread(target=lambda: None); t.start(); t.join()
assert subprocess.run(["cat"], input=b"piped", capture_output=True, check=True).stdout == b"piped"
assert subprocess.run("exit 7", shell=True).returncode == 7
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"

async def main():
    p = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = await p.communicate(b"async")
    assert out == b"async"
    await asyncio.sleep(0.001)
asyncio.run(main())

with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
with concurrent.futures.ThreadPoolExecutor(4) as pool: assert list(pool.map(abs, [-3])) == [3]
m = mmap.mmap(-1, 1 << 20); m[0] = 1
assert len(os.urandom(16)) == 16 and uuid.uuid4()
with open("/dev/null", "w") as f: f.write("x")
with open("/dev/zero", "rb") as f: assert f.read(1) == b"\0"
with open("/dev/urandom", "rb") as f: f.read(1)
assert time.time() > 1700000000
assert os.cpu_count() >= 1
assert os.path.expanduser("~") and os.getcwd()
assert os.stat("/proc/self").st_uid == os.getuid()
signal_safe = os.times()
print("ok")
`
	execOrdinaryJavaScript = `
const fs = require("fs"), os = require("os"), path = require("path"), crypto = require("crypto");
const { execFileSync, spawn } = require("child_process");
const { Worker } = require("worker_threads");
const assert = require("assert");
(async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "x-"));
  fs.writeFileSync(path.join(dir, "f"), "x"); fs.rmSync(dir, { recursive: true });
  assert.strictEqual(execFileSync("cat", { input: "piped" }).toString(), "piped");
  await new Promise((done) => spawn("cat", [], { stdio: "ignore" }).on("exit", done));
  await new Promise((done, fail) => new Worker("1 + 1", { eval: true }).on("exit", done).on("error", fail));
  await fs.promises.readFile(__filename);
  await new Promise((done) => setTimeout(done, 1));
  crypto.randomBytes(16); crypto.scryptSync("a", "b", 16);
  assert(os.cpus() && os.hostname() && os.userInfo().uid !== 0);
  console.log("ok");
})();
`
	execOrdinaryBash = `
set -eu -o pipefail
[ "$(printf 'b\na\n' | sort | head -n 1)" = a ]
cat <<< here >/dev/null
cat < <(echo substituted) >/dev/null
f=$(mktemp); echo x > "$f"; [ "$(cat "$f")" = x ]; rm "$f"
mkdir -p a/b; ln -s a/b link; [ -d link ]; chmod 700 a
mkfifo fifo; (echo through > fifo) & [ "$(cat fifo)" = through ]; wait
printf '#!/bin/sh\necho script\n' > script; chmod +x script; [ "$(sh script)" = script ]
[ "$(date +%Y)" -ge 2024 ]
trap 'echo ok' EXIT
`
)
