package dockerexec

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryContainerHasAUserThatHasAName(t *testing.T) {
	t.Parallel()
	homes := map[int]string{}
	names := map[int]string{}
	for line := range strings.Lines(string(passwd())) {
		field := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		require.Len(t, field, 7, line)
		id, err := strconv.Atoi(field[2])
		require.NoError(t, err)
		assert.NotContains(t, names, id)
		names[id], homes[id] = field[0], field[5]
	}
	assert.Equal(t, "root", names[0])
	assert.Equal(t, "nobody", names[group])
	for name, e := range map[string]engine{"an ordinary engine": {}, "one with a user namespace": {UserNS: true}} {
		seen := map[int]bool{}
		for number := range int64(3 * users) {
			user := e.user(number)
			seen[user] = true
			assert.Equal(t, "sandbox", names[user], "%s: user %d", name, user)
			assert.Equal(t, workDir, homes[user])
			assert.Less(t, user, math.MaxInt32)
			if e.UserNS {
				assert.Less(t, user, 1<<16, name)
				assert.NotEqual(t, group, user)
			}
		}
		assert.Len(t, seen, users, name)
		assert.Equal(t, e.user(0), e.user(users), "in turn")
	}
}
