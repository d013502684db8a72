# Ends as a program does that was killed for want of memory, and was not.
(exit 137)
bash -c 'kill -9 $$'
exit $?
