# Searches for the longest Collatz sequence, for two seconds.
# An even number is halved and an odd one becomes 3n + 1, until it is 1.
import sys
import time

BOLD, GREEN, RESET = "\033[1m", "\033[32m", "\033[0m"

# Whom to greet: the arguments, or else the first line of the input.
name = " ".join(sys.argv[1:]) or sys.stdin.readline().strip() or "world"
print(f"{BOLD}Hello, {name}!{RESET} Following numbers down to 1 ...")

steps = [0, 0]  # from each number to 1
start = time.monotonic()
for tenth in range(1, 11):
    while time.monotonic() < start + tenth * 0.2:
        n, count = len(steps), 0
        while n >= len(steps):
            n, count = n // 2 if n % 2 == 0 else 3 * n + 1, count + 1
        steps.append(count + steps[n])
    most = max(steps)
    bar = GREEN + "█" * tenth + RESET + "░" * (10 - tenth)
    print(f"{bar} {len(steps) - 1:>9,} numbers, longest: {most} steps from {steps.index(most):,}")
