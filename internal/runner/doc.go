// Package runner is the launcher's side of a sandbox: the supervisor's binary,
// embedded for each architecture, and Session, which speaks its protocol.
//
// The supervisor (package main in the folder supervisor) is PID 1 in every
// sandbox, whoever launched it. It makes its threads, sends Ready and blocks on
// its stdin. One Request later it writes the files and runs the steps, streams
// their output and samples of the control group back, and at the end kills and
// reaps every process before it sends the one Result:
//
//	launcher                              supervisor
//	   | start the binary as PID 1            |
//	   |<------------------------------ Ready |  blocked on stdin
//	   | Request ---------------------------->|  write files, start step 0
//	   |<---------------------------- Started |
//	   |<------------ Stdout, Stderr, Sample  |  ...
//	   |<---------------------------- Started |  next step
//	   | close stdin = cancel --------------->|  kill everything
//	   |<----------------------------- Result |  no process is left; exit
//
// What comes back is believed only as far as the launcher's own clock and counts
// agree: a supervisor runs where hostile code runs, so the day may come when
// somebody takes one over. Session refuses whatever cannot be true with
// ErrProtocol, bounds every wait, and never holds more than one frame.
//
// A launcher that can read the control group from outside takes usage from
// there; see package cgroup. Another one takes what Ready counted off the result.
//
// A launcher that starts the supervisor itself installs the system call filter
// before it does. Where somebody else starts it (a container engine), the
// supervisor's one argument is the path of a file with the filter, see package
// seccomp, as raw struct sock_filter: it is installed on all threads before Ready,
// and without it there is no Ready.
package runner

//go:generate go run ./gen
