package frame

import (
	"strconv"
	"strings"
	"time"
)

// Bounds of a Request.
const (
	MaxFiles   = 4096
	MaxSteps   = 8
	MaxStrings = 4096      // arguments, or variables, of one step
	MaxString  = 128 << 10 // bytes of one argument or variable: the kernel's MAX_ARG_STRLEN
	MaxPath    = 4095      // bytes of one path: the kernel's PATH_MAX without the NUL
	MaxTimeout = 1000 * time.Hour
	maxRlimits = 16
	maxOutput  = 1 << 50
)

// Request is everything that a supervisor is told. It gets one, and no other.
type Request struct {
	// WorkDir is the absolute path of the folder that Files go into. One that is
	// not there is made, for the supervisor's user alone; its parent exists. The
	// supervisor may write to it.
	WorkDir string
	// Files are created in WorkDir, with the folders that they need.
	Files []File
	// Steps are run one after the other until one does not exit with 0. All but
	// the last one prepare (compile): they read an empty stdin, and their stdout
	// goes where their stderr goes.
	Steps []Step
	// Stdin is what the last step reads, then end of file.
	Stdin []byte
	// OutputLimit is how many bytes of each of stdout and stderr are forwarded,
	// all steps together. What comes after is counted and dropped.
	OutputLimit int64
	// OutputKill is how many bytes of either stream may be written; one more ends
	// the task with EndOutput. At least OutputLimit.
	OutputKill int64
	// SampleInterval is the time between two samples of the control group as it
	// is seen from inside; 0 for none. Samples come also where nothing is seen: a
	// launcher that counts from outside looks when they do.
	SampleInterval time.Duration
	// Rlimits are set for the program. The supervisor takes them on itself, and
	// its children inherit them, so only those that cannot harm it exist.
	Rlimits []Rlimit
}

// File is one file of the program.
type File struct {
	// Path is relative to the work folder and clean: see ValidPath.
	Path string
	// Mode are the permission bits, at most 0777.
	Mode    uint32
	Content []byte
}

// Step is one command.
type Step struct {
	// Name is for messages ("compile", "run").
	Name string
	// Argv is the command. Argv[0] is a path, or a name that is looked up in the
	// PATH of Env.
	Argv []string
	// Env is the environment, "NAME=value", whole: nothing is inherited or added.
	Env []string
	// Dir is the absolute path of the folder that it starts in; empty for
	// Request.WorkDir.
	Dir string
	// Timeout is the wall-clock time after which it is killed.
	Timeout time.Duration
}

// Rlimit is a resource limit as of setrlimit(2).
type Rlimit struct {
	Resource   Resource
	Soft, Hard uint64
}

// Resource is the kernel's number of a resource limit.
type Resource uint8

// The resources that a Request may limit. CPU, address space, data and number
// of processes are missing because the supervisor itself would hit them: the
// timeout and the control group bound those.
const (
	RlimitFSize      Resource = 1
	RlimitStack      Resource = 3
	RlimitCore       Resource = 4
	RlimitNoFile     Resource = 7
	RlimitMemlock    Resource = 8
	RlimitSigpending Resource = 11
	RlimitMsgqueue   Resource = 12
)

// MinNoFile is the least RlimitNoFile: the supervisor needs some descriptors.
const MinNoFile = 64

func (r Resource) valid() bool {
	switch r {
	case RlimitFSize, RlimitStack, RlimitCore, RlimitNoFile, RlimitMemlock, RlimitSigpending, RlimitMsgqueue:
		return true
	}
	return false
}

// ValidPath reports whether p is a path that a File may have: relative, clean, no
// empty element, no "." or "..", no NUL, at most MaxPath bytes.
func ValidPath(p string) bool {
	if p == "" || len(p) > MaxPath || strings.IndexByte(p, 0) >= 0 {
		return false
	}
	for element := range strings.SplitSeq(p, "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return true
}

// Validate returns an *Error that names the first field which is out of range.
func (r *Request) Validate() error {
	if !absolute(r.WorkDir) {
		return &Error{"work_dir", "must be an absolute path"}
	}
	if len(r.Files) > MaxFiles {
		return &Error{"files", "must be at most " + strconv.Itoa(MaxFiles)}
	}
	for i := range r.Files {
		if err := r.Files[i].validate("files[" + strconv.Itoa(i) + "]."); err != nil {
			return err
		}
	}
	if len(r.Steps) == 0 || len(r.Steps) > MaxSteps {
		return &Error{"steps", "must be 1 to " + strconv.Itoa(MaxSteps)}
	}
	for i := range r.Steps {
		if err := r.Steps[i].validate("steps[" + strconv.Itoa(i) + "]."); err != nil {
			return err
		}
	}
	if r.OutputLimit < 0 || r.OutputLimit > maxOutput {
		return &Error{"output_limit", "is out of range"}
	}
	if r.OutputKill < r.OutputLimit || r.OutputKill > maxOutput {
		return &Error{"output_kill", "is out of range"}
	}
	if r.SampleInterval != 0 && (r.SampleInterval < time.Millisecond || r.SampleInterval > time.Hour) {
		return &Error{"sample_interval", "must be 0 or 1 ms to 1 h"}
	}
	if len(r.Rlimits) > maxRlimits {
		return &Error{"rlimits", "are too many"}
	}
	for i, l := range r.Rlimits {
		field := "rlimits[" + strconv.Itoa(i) + "]"
		switch {
		case !l.Resource.valid():
			return &Error{field, "is of a resource that cannot be limited"}
		case l.Soft > l.Hard:
			return &Error{field, "has a soft limit above the hard one"}
		case l.Resource == RlimitNoFile && l.Soft < MinNoFile:
			return &Error{field, "must be at least " + strconv.Itoa(MinNoFile)}
		}
	}
	return nil
}

func (f *File) validate(prefix string) error {
	if !ValidPath(f.Path) {
		return &Error{prefix + "path", "must be relative and clean"}
	}
	if f.Mode > 0o777 {
		return &Error{prefix + "mode", "must be at most 0777"}
	}
	return nil
}

func (s *Step) validate(prefix string) error {
	if len(s.Name) > 64 {
		return &Error{prefix + "name", "must be at most 64 bytes long"}
	}
	if len(s.Argv) == 0 || s.Argv[0] == "" {
		return &Error{prefix + "argv", "must not be empty"}
	}
	if err := validStrings(prefix+"argv", s.Argv); err != nil {
		return err
	}
	if err := validStrings(prefix+"env", s.Env); err != nil {
		return err
	}
	for _, v := range s.Env {
		if strings.IndexByte(v, '=') < 1 {
			return &Error{prefix + "env", "must consist of NAME=value"}
		}
	}
	if s.Dir != "" && !absolute(s.Dir) {
		return &Error{prefix + "dir", "must be an absolute path"}
	}
	if s.Timeout <= 0 || s.Timeout > MaxTimeout {
		return &Error{prefix + "timeout", "must be positive and at most 1000 h"}
	}
	return nil
}

func validStrings(field string, list []string) error {
	if len(list) > MaxStrings {
		return &Error{field, "must be at most " + strconv.Itoa(MaxStrings)}
	}
	for _, s := range list {
		if len(s) >= MaxString {
			return &Error{field, "must each be below 128 KiB"}
		}
		if strings.IndexByte(s, 0) >= 0 {
			return &Error{field, "must not contain NUL"}
		}
	}
	return nil
}

func absolute(p string) bool {
	return len(p) > 0 && p[0] == '/' && len(p) <= MaxPath && strings.IndexByte(p, 0) < 0
}

// AppendRequest appends the frame of r to b. It returns an *Error where r is not
// valid or too large.
func AppendRequest(b []byte, r *Request) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	f := appendRequest(b, r)
	if len(f)-len(b)-HeaderSize > MaxRequest {
		return nil, &Error{"request", "must be at most 32 MiB in all"}
	}
	return f, nil
}

func appendRequest(b []byte, r *Request) []byte {
	return appendFrame(b, TypeRequest, r.encode)
}

func (r *Request) encode(e *encoder) {
	e.u16(Version)
	e.string(r.WorkDir)
	e.i64(r.OutputLimit)
	e.i64(r.OutputKill)
	e.i64(int64(r.SampleInterval))
	e.u32(uint32(len(r.Rlimits)))
	for _, l := range r.Rlimits {
		e.u8(byte(l.Resource))
		e.u64(l.Soft)
		e.u64(l.Hard)
	}
	e.u32(uint32(len(r.Steps)))
	for i := range r.Steps {
		s := &r.Steps[i]
		e.string(s.Name)
		e.strings(s.Argv)
		e.strings(s.Env)
		e.string(s.Dir)
		e.i64(int64(s.Timeout))
	}
	e.bytes(r.Stdin)
	e.u32(uint32(len(r.Files)))
	for i := range r.Files {
		f := &r.Files[i]
		e.string(f.Path)
		e.u16(uint16(f.Mode))
		e.bytes(f.Content)
	}
}

// ParseRequest decodes the payload of a TypeRequest. Stdin and the files'
// contents are parts of payload.
func ParseRequest(payload []byte) (*Request, error) {
	d := decoder{b: payload}
	if v := d.u16(); d.err == nil && v != Version {
		return nil, &Error{"request", "is of an unknown version"}
	}
	r := &Request{
		WorkDir:        d.string(MaxPath),
		OutputLimit:    d.i64(),
		OutputKill:     d.i64(),
		SampleInterval: time.Duration(d.i64()),
	}
	for range d.count(maxRlimits, 17) {
		r.Rlimits = append(r.Rlimits, Rlimit{Resource: Resource(d.u8()), Soft: d.u64(), Hard: d.u64()})
	}
	for range d.count(MaxSteps, 24) {
		r.Steps = append(r.Steps, Step{
			Name:    d.string(64),
			Argv:    d.strings(),
			Env:     d.strings(),
			Dir:     d.string(MaxPath),
			Timeout: time.Duration(d.i64()),
		})
	}
	r.Stdin = d.bytes(MaxRequest)
	n := d.count(MaxFiles, 10)
	if n > 0 {
		r.Files = make([]File, 0, n)
	}
	for range n {
		r.Files = append(r.Files, File{Path: d.string(MaxPath), Mode: uint32(d.u16()), Content: d.bytes(MaxRequest)})
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return r, nil
}
