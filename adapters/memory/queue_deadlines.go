package memory

import "container/heap"

// deadlines are the delayed and the leased entries, the next one first.
type deadlines struct{ heap entryHeap }

// first returns the entry whose time comes next, or nil.
func (d *deadlines) first() *entry {
	if len(d.heap) == 0 {
		return nil
	}
	return d.heap[0]
}

func (d *deadlines) add(e *entry)    { heap.Push(&d.heap, e) }
func (d *deadlines) fix(e *entry)    { heap.Fix(&d.heap, e.deadline) }
func (d *deadlines) remove(e *entry) { heap.Remove(&d.heap, e.deadline) }

// entryHeap is a heap.Interface.
type entryHeap []*entry

func (h entryHeap) Len() int           { return len(h) }
func (h entryHeap) Less(i, j int) bool { return h[i].sooner(h[j]) }

func (h entryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].deadline, h[j].deadline = i, j
}

func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	e.deadline = len(*h)
	*h = append(*h, e)
}

func (h *entryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
