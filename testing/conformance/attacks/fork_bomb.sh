# A fork bomb with a fuse: at most 2^9 processes, each for a second.
bomb() {
    if [ "$1" -gt 0 ]; then
        bomb $(($1 - 1)) &
        bomb $(($1 - 1)) &
    fi
    sleep 1
}
bomb 8 2>/dev/null &
wait
exit 0
