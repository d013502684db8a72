package cgroup

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What processes see of their groups, as recorded on machines and in containers.
const (
	v2Host = `0::/user.slice/user-1000.slice/session-3.scope
`
	v2HostMounts = `24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`
	v2Container = `0::/
`
	v2ContainerMounts = `143 50 0:38 / / ro,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d
147 143 0:44 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
148 147 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot
`
	v1Container = `11:memory:/docker/0af3
5:cpu,cpuacct:/docker/0af3
1:name=systemd:/docker/0af3
0::/docker/0af3
`
	v1ContainerMounts = `710 705 0:28 /docker/0af3 /sys/fs/cgroup/systemd ro,nosuid,nodev,noexec,relatime master:11 - cgroup cgroup rw,xattr,name=systemd
711 705 0:31 /docker/0af3 /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec,relatime master:15 - cgroup cgroup rw,cpu,cpuacct
712 705 0:33 /docker/0af3 /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:17 - cgroup cgroup rw,memory
`
	v1PrivateContainer = `11:memory:/
5:cpuacct:/
0::/
`
	v1PrivateMounts = `711 705 0:31 / /sys/fs/cgroup/cpuacct ro,relatime - cgroup cgroup rw,cpuacct
712 705 0:33 / /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory
`
	hybridPrivateContainer = `9:name=systemd:/
8:pids:/
4:memory:/
3:cpuset:/
2:cpuacct:/
1:cpu:/
0::/
`
	hybridPrivateMounts = `75 74 0:44 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
76 75 0:45 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755
77 76 0:29 / /sys/fs/cgroup/cpu ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,cpu
78 76 0:30 / /sys/fs/cgroup/cpuacct ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,cpuacct
79 76 0:31 / /sys/fs/cgroup/cpuset ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,cpuset
80 76 0:32 / /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,memory
85 76 0:37 / /sys/fs/cgroup/systemd ro,nosuid,nodev,noexec,relatime - cgroup systemd rw,name=systemd
`
	v2HostNamesContainer = `0::/system.slice/docker-0af3.scope
`
	hybridHost = `9:name=systemd:/
4:memory:/tasks/one
2:cpuacct:/
0::/tasks/one
`
	hybridMounts = `33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
)

func TestLocate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		membership, mounts string
		want               folders
	}{
		"on a host with version 2":                              {v2Host, v2HostMounts, folders{v2: "/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope"}},
		"in a container with version 2":                         {v2Container, v2ContainerMounts, folders{v2: "/sys/fs/cgroup"}},
		"in a container with version 1 and the host's names":    {v1Container, v1ContainerMounts, folders{v1cpuacct: "/sys/fs/cgroup/cpu,cpuacct", v1memory: "/sys/fs/cgroup/memory"}},
		"in a container with version 1 and names of its own":    {v1PrivateContainer, v1PrivateMounts, folders{v1cpuacct: "/sys/fs/cgroup/cpuacct", v1memory: "/sys/fs/cgroup/memory"}},
		"in a container of a hybrid host with names of its own": {hybridPrivateContainer, hybridPrivateMounts, folders{v1cpuacct: "/sys/fs/cgroup/cpuacct", v1memory: "/sys/fs/cgroup/memory"}},
		"in a container with version 2 and the host's names":    {v2HostNamesContainer, v2ContainerMounts, folders{v2: "/sys/fs/cgroup/system.slice/docker-0af3.scope"}},
		"in a container with version 2 and its own group alone": {v2HostNamesContainer, "705 702 0:30 /system.slice/docker-0af3.scope /sys/fs/cgroup ro,relatime - cgroup2 cgroup rw\n", folders{v2: "/sys/fs/cgroup"}},
		"on a hybrid host":                                      {hybridHost, hybridMounts, folders{v1cpuacct: "/sys/fs/cgroup/cpuacct", v1memory: "/sys/fs/cgroup/memory/tasks/one", v2: "/sys/fs/cgroup/unified/tasks/one"}},
		"where no group is mounted":                             {v2Container, "700 600 0:55 / / ro - overlay overlay rw\n", folders{}},
		"where another group is mounted":                        {"0::/a/b\n", "1 2 0:30 /a/bc /sys/fs/cgroup ro - cgroup2 cgroup rw\n", folders{}},
		"where the group is outside of its namespace":           {"0::/../other\n", v2ContainerMounts, folders{}},
		"where a mount is outside of the namespace":             {"0::/\n", "1 2 0:30 /.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n", folders{}},
		"where the mount point has a blank":                     {"0::/x\n", `1 2 0:30 / /my\040groups\134 ro - cgroup2 cgroup rw` + "\n", folders{v2: `/my groups\/x`}},
		"where the root is the mount point":                     {"0::/x\n", "1 2 0:30 / / ro - cgroup2 cgroup rw\n", folders{v2: "/x"}},
		"where a path has colons":                               {"0::/a:b:c\n", v2HostMounts, folders{v2: "/sys/fs/cgroup/a:b:c"}},
		"where a controller's name is only the part of another": {"4:memory:/\n", "1 2 0:30 / /m ro - cgroup cgroup rw,memory_x\n", folders{}},
		"with nothing to go by":                                 {"", "", folders{}},
		"with garbage":                                          {"a\nb:c\n::\n0:\n", "- - -\n\n1 2 3 - cgroup2 c rw\n", folders{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, c.want, locate(c.membership, c.mounts))
		})
	}
}

func FuzzLocate(f *testing.F) {
	for _, seed := range [][2]string{
		{v2Host, v2HostMounts}, {v2Container, v2ContainerMounts}, {v1Container, v1ContainerMounts},
		{v1PrivateContainer, v1PrivateMounts}, {hybridHost, hybridMounts}, {"0::/\\\n", "1 2 3 / \\ x - cgroup2 a b\n"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, membership, mounts string) {
		found := locate(membership, mounts)
		for _, folder := range []string{found.v1cpuacct, found.v1memory, found.v2} {
			assert.NotContains(t, folder, "\n", "a folder is within one line")
			if strings.Contains(folder, "/../") {
				assert.Contains(t, mounts, "..", "only a mount point may lead upwards")
			}
		}
	})
}
