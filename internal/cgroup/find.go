package cgroup

import (
	"strconv"
	"strings"
)

// folders are where a control group's files are; empty where there are none.
type folders struct {
	v1cpuacct, v1memory, v2 string
}

// locate works out where the files of the caller's own group are from the texts
// of /proc/self/cgroup and /proc/self/mountinfo. On a hybrid host a controller is
// in one of the hierarchies of version 1 or else in version 2's.
func locate(membership, mountinfo string) folders {
	var f folders
	for controller, path := range Membership(membership) {
		switch controller {
		case "":
			f.v2 = Folder(mountinfo, "", path)
		case "cpuacct":
			f.v1cpuacct = Folder(mountinfo, controller, path)
		case "memory":
			f.v1memory = Folder(mountinfo, controller, path)
		}
	}
	return f
}

// Membership returns the path of a process's group by controller, and under the
// empty name that of version 2, from the text of its /proc/PID/cgroup.
func Membership(text string) map[string]string {
	paths := map[string]string{}
	for line := range strings.Lines(text) {
		// hierarchy-ID:controllers:path, cgroups(7)
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(part) != 3 || (part[0] == "0") != (part[1] == "") {
			continue
		}
		for controller := range strings.SplitSeq(part[1], ",") {
			paths[controller] = part[2]
		}
	}
	return paths
}

// Folder returns the folder of the group with this path in the hierarchy of a
// controller of version 1, or in version 2's for the empty name, from the text of
// /proc/self/mountinfo; "" if it is not mounted. Of several mounts the last one
// counts, which hides the others where they are in one place.
func Folder(mountinfo, controller, path string) (folder string) {
	for line := range strings.Lines(mountinfo) {
		// ID parent major:minor root mountpoint options [optional...] - fstype source superoptions, proc_pid_mountinfo(5)
		before, after, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		mount, fs := strings.Fields(before), strings.Fields(after)
		if !ok || len(mount) < 6 || len(fs) < 3 {
			continue
		}
		if controller == "" && fs[0] != "cgroup2" || controller != "" && (fs[0] != "cgroup" || !hasOption(fs[2], controller)) {
			continue
		}
		root, point := unescape(mount[3]), unescape(mount[4])
		if rest, ok := below(path, root); ok {
			folder = strings.TrimSuffix(point, "/") + rest
		}
	}
	return folder
}

// below returns what path has behind root, "" or with a leading slash, if it is
// root itself or below it.
func below(path, root string) (string, bool) {
	if strings.Contains(path, "/../") || strings.HasSuffix(path, "/..") {
		return "", false // outside of the namespace's root: nothing of it is mounted here
	}
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
	if rest == "/" {
		rest = ""
	}
	return rest, ok && (rest == "" || rest[0] == '/')
}

func hasOption(options, want string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == want {
			return true
		}
	}
	return false
}

// unescape undoes the octal escapes of blanks and backslashes in mountinfo.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b = append(b, byte(n))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
