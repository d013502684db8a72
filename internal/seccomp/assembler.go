package seccomp

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/net/bpf"
)

// assembler collects instructions whose jumps name their targets. Jumps of BPF
// only lead forward.
type assembler struct {
	steps  []step
	labels map[string]int
	fresh  int
}

// step is an instruction, or a conditional jump to be resolved when onTrue is set.
type step struct {
	ins             bpf.Instruction
	onTrue, onFalse string
}

func (a *assembler) mark(label string) {
	if a.labels == nil {
		a.labels = make(map[string]int)
	}
	a.labels[label] = len(a.steps)
}

// unique returns a label that nothing else has.
func (a *assembler) unique() string {
	a.fresh++
	return fmt.Sprintf("#%d", a.fresh)
}

func (a *assembler) load(offset uint32) {
	a.steps = append(a.steps, step{ins: bpf.LoadAbsolute{Off: offset, Size: 4}})
}

func (a *assembler) and(mask uint32) {
	a.steps = append(a.steps, step{ins: bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask}})
}

func (a *assembler) jumpIf(test bpf.JumpTest, value uint32, onTrue, onFalse string) {
	a.steps = append(a.steps, step{bpf.JumpIf{Cond: test, Val: value}, onTrue, onFalse})
}

func (a *assembler) ret(label string, value uint32) {
	a.mark(label)
	a.steps = append(a.steps, step{ins: bpf.RetConstant{Val: value}})
}

// search emits a binary search of the number loaded over the spans. It has one
// comparison for each span but the first.
func (a *assembler) search(spans []span) {
	if len(spans) < 2 {
		return
	}
	mid := len(spans) / 2
	low, high := spans[:mid], spans[mid:]
	lowLabel, highLabel := low[0].target, high[0].target
	if len(low) > 1 {
		lowLabel = a.unique()
	}
	if len(high) > 1 {
		highLabel = a.unique()
	}
	a.jumpIf(bpf.JumpGreaterOrEqual, high[0].first, highLabel, lowLabel)
	if len(low) > 1 {
		a.mark(lowLabel)
		a.search(low)
	}
	if len(high) > 1 {
		a.mark(highLabel)
		a.search(high)
	}
}

// rule emits the block that decides the call called name by its arguments.
func (a *assembler) rule(name string, r rule) {
	match, otherwise := "allow", "deny"
	if !r.then {
		match, otherwise = otherwise, match
	}
	a.mark("rule " + name)
	for i, c := range r.cases {
		miss := otherwise
		if i < len(r.cases)-1 {
			miss = a.unique()
		}
		for j, cond := range c {
			hit := match
			if j < len(c)-1 {
				hit = a.unique()
			}
			a.cond(cond, hit, miss)
			if hit != match {
				a.mark(hit)
			}
		}
		if miss != otherwise {
			a.mark(miss)
		}
	}
}

func (a *assembler) cond(c cond, hit, miss string) {
	a.load(offArgs + 8*c.arg)
	if c.mask != allBits {
		a.and(c.mask)
	}
	for i, v := range c.values {
		next := miss
		if i < len(c.values)-1 {
			next = a.unique()
		}
		a.jumpIf(bpf.JumpEqual, v, hit, next)
		if next != miss {
			a.mark(next)
		}
	}
}

// assemble resolves the jumps and encodes the program. A jump that is too long for
// BPF's 8 bits is an error and never cut short.
func (a *assembler) assemble() ([]bpf.RawInstruction, error) {
	program := make([]bpf.Instruction, len(a.steps))
	for i, s := range a.steps {
		program[i] = s.ins
		jump, ok := s.ins.(bpf.JumpIf)
		if !ok {
			continue
		}
		var err1, err2 error
		jump.SkipTrue, err1 = a.distance(i, s.onTrue)
		jump.SkipFalse, err2 = a.distance(i, s.onFalse)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		program[i] = jump
	}
	return bpf.Assemble(program)
}

func (a *assembler) distance(from int, label string) (uint8, error) {
	to, ok := a.labels[label]
	if !ok {
		return 0, fmt.Errorf("jump to unknown label %q", label)
	}
	skip := to - from - 1
	if skip < 0 || skip > math.MaxUint8 {
		return 0, fmt.Errorf("jump from instruction %d to %q is %d instructions long", from, label, skip)
	}
	return uint8(skip), nil
}
