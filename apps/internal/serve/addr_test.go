package serve

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHostsAndAddresses(t *testing.T) {
	t.Parallel()
	addr := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		require.NoError(t, err)
		return a
	}
	loopback, everywhere := addr("127.0.0.1:1"), addr("0.0.0.0:2")
	local := []string{"localhost", "127.0.0.1", "::1"}
	assert.Equal(t, local, AllowedHosts(nil, loopback, addr("[::1]:3")))
	assert.Nil(t, AllowedHosts(nil, loopback, everywhere))
	assert.Equal(t, append(local, "run.example"), AllowedHosts([]string{"run.example"}, loopback, everywhere))
	assert.Equal(t, "http://127.0.0.1:1", URL(loopback))
	assert.Equal(t, "http://127.0.0.1:2", URL(everywhere))
	assert.Equal(t, "http://[::1]:3", URL(addr("[::1]:3")))
}
