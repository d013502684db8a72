package runner

import "fmt"

// signals are the names of Linux's signals on amd64 and arm64 by number,
// signal(7); those of the launcher's own system may be others.
var signals = [...]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
	9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 16: "SIGSTKFLT",
	17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP", 20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU", 23: "SIGURG", 24: "SIGXCPU",
	25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH", 29: "SIGIO", 30: "SIGPWR", 31: "SIGSYS",
}

// signalName returns the name of a signal.
func signalName(n int) string {
	if n > 0 && n < len(signals) {
		return signals[n]
	}
	const sigrtmin = 34 // as the C library numbers it; it keeps 32 and 33
	if n < sigrtmin {
		return fmt.Sprintf("SIG%d", n)
	}
	return fmt.Sprintf("SIGRTMIN+%d", n-sigrtmin)
}
