# A daemon that holds every stream and ignores what it can.
(
    trap '' TERM HUP INT QUIT USR1 USR2 PIPE
    setsid setsid bash -c 'trap "" TERM HUP; while :; do sleep 1000; done' &
    setsid nohup sleep 1000 &
    exec 3>&1 4>&2
    (sleep 1000 &)
) &
disown -a
echo parent is done
exit 4
