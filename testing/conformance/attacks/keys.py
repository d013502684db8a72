"""Uses the kernel's key rings, which know users and no sandboxes."""

from probe import call, probe

SESSION, USER = -3, -4
GET_KEYRING_ID, JOIN_SESSION, SEARCH = 0, 1, 10


def show(path):
    with open(path) as f:
        return "OK" if f.read(1) else "EMPTY"


probe("add_key-session", call, "add_key", b"user", b"taskrunner", b"x", 1, SESSION)
probe("add_key-user", call, "add_key", b"user", b"taskrunner", b"x", 1, USER)
probe("request_key", call, "request_key", b"user", b"taskrunner", 0, 0)
probe("keyctl-join", call, "keyctl", JOIN_SESSION, 0)
probe("keyctl-get", call, "keyctl", GET_KEYRING_ID, USER, 1)
probe("keyctl-search", call, "keyctl", SEARCH, USER, b"user", b"taskrunner", 0)
probe("proc-keys", show, "/proc/keys")
probe("proc-key-users", show, "/proc/key-users")
