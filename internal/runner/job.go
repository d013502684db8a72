package runner

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/task-runner/task-runner/internal/runner/frame"
	"github.com/task-runner/task-runner/ports"
)

// Place is where a sandbox has what a program needs.
type Place struct {
	// WorkDir is the absolute path of the work folder, which is the program's HOME,
	// too.
	WorkDir string
	// Path is the PATH of programs that set none.
	Path string
}

// UsualPath is the PATH of a sandbox that does not say otherwise.
const UsualPath = "/usr/local/bin:/usr/bin:/bin"

// defaultCompileTimeout is what ports.Language promises.
const defaultCompileTimeout = 30 * time.Second

// maxOpenFiles bounds the descriptors of a process.
const maxOpenFiles = 1024

// CheckJob refuses a job that no sandbox can run as it should: the error matches
// ports.ErrInvalid and names the field. network says whether the sandbox has one,
// room how many bytes of the disk there are for the program's own files.
func CheckJob(job ports.Job, network bool, room int64) error {
	switch {
	case len(job.Language.Run) == 0:
		return ports.Invalid("language", "has no command to run")
	case job.Language.CompileTimeout < 0 || job.Language.CompileTimeout > frame.MaxTimeout:
		return ports.Invalid("language", "has a timeout for its compile step that is below 0 or above %s", frame.MaxTimeout)
	case job.Spec.Network && !network:
		return ports.Invalid("network", "cannot be had in this sandbox; use an executor that has one")
	}
	if err := CheckLimits(job.Spec.Limits); err != nil {
		return err
	}
	for _, env := range []map[string]string{job.Language.Env, job.Spec.Env} {
		for name := range env {
			if name == "" || strings.Contains(name, "=") {
				return ports.Invalid("env", "has the name %q, which must not be empty or contain \"=\"", name)
			}
		}
	}
	files, _ := sources(job)
	for i, f := range files {
		if err := ports.ValidatePath(fmt.Sprintf("files[%d].path", i), f.Path); err != nil {
			return err
		}
	}
	pages, inodes := need(files)
	if pages*pageSize > room || inodes > MaxInodes(room) {
		return ports.Invalid("disk_limit", "must be at least %d for the program's own files", max(pages, inodes)*pageSize)
	}
	return nil
}

// CheckLimits refuses limits that no sandbox can enforce, as CheckJob does.
func CheckLimits(l ports.Limits) error {
	switch {
	case !(l.CPU > 0 && l.CPU <= maxCPU):
		return ports.Invalid("cpu_limit", "must be positive and at most %d", maxCPU)
	case l.Memory <= 0 || l.Memory > maxBytes:
		return ports.Invalid("memory_limit", "must be positive and at most %d", int64(maxBytes))
	case l.Timeout <= 0 || l.Timeout > frame.MaxTimeout:
		return ports.Invalid("timeout", "must be positive and at most %s", frame.MaxTimeout)
	case l.PIDs <= 0 || l.PIDs > maxPIDs:
		return ports.Invalid("pids_limit", "must be positive and at most %d", maxPIDs)
	case l.Output <= 0 || l.Output > maxBytes/ports.OutputKillFactor:
		return ports.Invalid("output_limit", "must be positive and at most %d", int64(maxBytes/ports.OutputKillFactor))
	case l.Disk <= 0 || l.Disk > maxBytes:
		return ports.Invalid("disk_limit", "must be positive and at most %d", int64(maxBytes))
	}
	return nil
}

// Bounds far beyond any machine, within which nothing overflows.
const (
	maxCPU   = 1 << 10
	maxBytes = 1 << 50
	// maxPIDs leaves room for a supervisor below the kernel's PID_MAX_LIMIT, above
	// which it takes no limit.
	maxPIDs = 1<<22 - 1<<10
)

// MaxInodes is how many files and folders a tmpfs of this size may have. One for
// each page bounds the kernel memory that empty files take.
func MaxInodes(disk int64) int64 { return max(1024, disk/pageSize) }

// pageSize is the kernel's unit of a tmpfs, where it is smallest.
const pageSize = 4096

// need returns how many pages and inodes the program's own files, whose paths are
// valid, take at least.
func need(files []ports.File) (pages, inodes int64) {
	folders := map[string]bool{}
	for _, f := range files {
		pages += (int64(len(f.Content)) + pageSize - 1) / pageSize
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			folders[dir] = true
		}
	}
	const ownFolders = 4 // the root, and those for work, tmp and shm
	return pages, int64(len(files)+len(folders)) + ownFolders
}

// sources returns the program's files and which of them is run.
func sources(job ports.Job) (files []ports.File, entrypoint string) {
	if len(job.Spec.Files) > 0 {
		return job.Spec.Files, job.Spec.Entrypoint
	}
	return []ports.File{{Path: job.Language.Source, Content: []byte(job.Spec.Code)}}, job.Language.Source
}

// Request returns what the supervisor is to do for a job that CheckJob accepted.
func (p Place) Request(job ports.Job) *Request {
	spec, lang := job.Spec, job.Language
	files, entrypoint := sources(job)
	req := &Request{
		WorkDir:        p.WorkDir,
		Stdin:          spec.Stdin,
		OutputLimit:    spec.Limits.Output,
		OutputKill:     spec.Limits.Output * ports.OutputKillFactor,
		SampleInterval: ports.SampleInterval,
		Rlimits: []Rlimit{
			// With 0 the kernel would still start the host's core dump helper, if
			// there is one, as root; with 1 it writes nothing (core(5)).
			{Resource: RlimitCore, Soft: 1, Hard: 1},
			{Resource: RlimitNoFile, Soft: maxOpenFiles, Hard: maxOpenFiles},
			{Resource: RlimitFSize, Soft: uint64(spec.Limits.Disk), Hard: uint64(spec.Limits.Disk)},
			{Resource: RlimitMemlock},
			{Resource: RlimitMsgqueue},
		},
	}
	for _, f := range files {
		req.Files = append(req.Files, File{Path: f.Path, Mode: 0o644, Content: f.Content})
	}
	env := environment(p.env(), lang.Env, spec.Env)
	if len(lang.Compile) > 0 {
		req.Steps = append(req.Steps, Step{
			Name: "compile", Argv: command(lang.Compile, entrypoint, nil), Env: env,
			Timeout: cmp.Or(lang.CompileTimeout, defaultCompileTimeout),
		})
	}
	req.Steps = append(req.Steps, Step{
		Name: "run", Argv: command(lang.Run, entrypoint, spec.Args), Env: env, Timeout: spec.Limits.Timeout,
	})
	return req
}

// Patience is how long a supervisor may take for the job, the time that the
// launcher's handlers take not counted.
func Patience(job ports.Job) time.Duration {
	d := setupGrace + job.Spec.Limits.Timeout
	if len(job.Language.Compile) > 0 {
		d += cmp.Or(job.Language.CompileTimeout, defaultCompileTimeout)
	}
	return d
}

// FilesSize returns the size in bytes of the files of the request.
func FilesSize(req *Request) (size int64) {
	for _, f := range req.Files {
		size += int64(len(f.Content))
	}
	return size
}

// env is the environment that every program starts with; the language's and the
// task's own come over it.
func (p Place) env() map[string]string {
	return map[string]string{"PATH": p.Path, "HOME": p.WorkDir, "TMPDIR": "/tmp", "LANG": "C.UTF-8"}
}

// command returns argv with the entrypoint and args put in.
func command(argv []string, entrypoint string, args []string) []string {
	argv = slices.Concat(argv, args)
	for i := range len(argv) - len(args) {
		if argv[i] == ports.EntrypointArg {
			argv[i] = entrypoint
		}
	}
	return argv
}

// environment merges the layers, later ones over earlier ones, into NAME=value.
func environment(layers ...map[string]string) []string {
	all := map[string]string{}
	for _, layer := range layers {
		maps.Copy(all, layer)
	}
	env := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env
}
