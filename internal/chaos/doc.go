// Package chaos is the crash suite: everything together, on real servers and with real
// worker processes and sandboxes, while somebody kills, freezes and cuts off one part
// after the other. It consists of tests alone and needs Linux and root.
//
// A worker is the test program itself, started once more with orders in its
// environment. It can be told to die (SIGKILL) or to stand still (SIGSTOP) at either
// end of a call of a port. Whatever happens, every task that was accepted must come to
// exactly one end that everybody sees, with the whole output of one run; no attempt runs
// twice; and when all is over nothing is left: no entry in the queue, no process, no
// control group.
//
// `go test` plays each scenario once. `make chaos` plays all of them again and again, each
// time on new servers and with other times of chance, and sums up.
package chaos
