package frame

// encoder appends values to b. The bytes are put together by hand because
// encoding/binary brings reflect along.
type encoder struct{ b []byte }

func (e *encoder) u8(v byte)    { e.b = append(e.b, v) }
func (e *encoder) u16(v uint16) { e.b = append(e.b, byte(v>>8), byte(v)) }
func (e *encoder) u32(v uint32) { e.u16(uint16(v >> 16)); e.u16(uint16(v)) }
func (e *encoder) u64(v uint64) { e.u32(uint32(v >> 32)); e.u32(uint32(v)) }
func (e *encoder) i64(v int64)  { e.u64(uint64(v)) }

func (e *encoder) bytes(p []byte) {
	e.u32(uint32(len(p)))
	e.b = append(e.b, p...)
}

func (e *encoder) string(s string) {
	e.u32(uint32(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) strings(list []string) {
	e.u32(uint32(len(list)))
	for _, s := range list {
		e.string(s)
	}
}

// optional writes a value that may be unknown: a byte that says whether it is
// known, and then the value.
func optional[T ~int64](e *encoder, v *T) {
	if v == nil {
		e.u8(0)
		return
	}
	e.u8(1)
	e.i64(int64(*v))
}

// decoder takes values off the front of b. Its first error sticks, and from then
// on every value is zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(problem string) {
	if d.err == nil {
		d.err = &Error{"frame", problem}
	}
	d.b = nil
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail("is cut short")
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) u8() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if p := d.take(2); p != nil {
		return uint16(p[0])<<8 | uint16(p[1])
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
	}
	return 0
}

func (d *decoder) u64() uint64 {
	high := d.u32()
	return uint64(high)<<32 | uint64(d.u32())
}

func (d *decoder) i64() int64 { return int64(d.u64()) }

// count reads the length of a list of at most limit elements, each of at least
// size bytes: a length that the rest of the frame cannot hold allocates nothing.
func (d *decoder) count(limit, size int) int {
	n := uint64(d.u32())
	if n > uint64(limit) {
		d.fail("has a list that is too long")
		return 0
	}
	if n*uint64(size) > uint64(len(d.b)) {
		d.fail("is cut short")
		return 0
	}
	return int(n)
}

func (d *decoder) bytes(limit int) []byte {
	n := d.count(limit, 1)
	if n == 0 {
		return nil
	}
	return d.take(n)
}

func (d *decoder) string(limit int) string { return string(d.bytes(limit)) }

func (d *decoder) strings() []string {
	n := d.count(MaxStrings, 4)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.string(MaxString)
	}
	return list
}

func takeOptional[T ~int64](d *decoder) *T {
	switch d.u8() {
	case 0:
		return nil
	case 1:
		return new(T(d.i64()))
	}
	d.fail("has a flag that is neither 0 nor 1")
	return nil
}

// end checks that everything was used and returns the decoder's error.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("has trailing bytes")
	}
	return d.err
}
