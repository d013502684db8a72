package deploy

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/joho/godotenv"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/task-runner/task-runner/taskrunner"
)

// services are the three, with the variable that tells each where to listen.
var services = map[string]string{"backend": "TASKRUNNER_API_ADDR", "worker": "TASKRUNNER_WORKER_ADDR", "web": "TASKRUNNER_WEB_ADDR"}

// The containers beside the worker: the engine, which alone has rights, and what stands
// between.
const (
	engineName = "engine"
	gateName   = "gate"
)

// elsewhere are variables that have no use in a pod.
var elsewhere = []string{
	"TASKRUNNER_PUBLISHED_ON", // no engine publishes ports of a pod
	"TASKRUNNER_LANGUAGES",    // a file, which who has one mounts
}

// problems says what in the fleet does not fit together, or is not as safe as it should be.
func (f *fleet) problems(t *testing.T) (problems []string) {
	t.Helper()
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for name := range services {
		d := f.deployments[name]
		if d == nil {
			report("there is no Deployment %s", name)
			continue
		}
		pod := d.Spec.Template.Spec
		if a := f.accounts[pod.ServiceAccountName]; a == nil {
			report("Deployment %s has no ServiceAccount", name)
		} else if a.AutomountServiceAccountToken == nil || *a.AutomountServiceAccountToken {
			report("ServiceAccount %s gives its token to pods", a.Name)
		}
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			report("Deployment %s mounts a token", name)
		}
		if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
			report("Deployment %s gets variables of Services", name)
		}
		if pod.HostNetwork || pod.HostPID || pod.HostIPC {
			report("Deployment %s is in a namespace of its node", name)
		}
		if len(pod.TopologySpreadConstraints) == 0 {
			report("Deployment %s may be on one node", name)
		}
		for _, s := range pod.TopologySpreadConstraints {
			if !selects(s.LabelSelector, d.Spec.Template.Labels) {
				report("Deployment %s spreads other pods than its own", name)
			}
		}
		if !selects(d.Spec.Selector, d.Spec.Template.Labels) {
			report("Deployment %s does not select its pods", name)
		}
		for _, v := range pod.Volumes {
			if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil {
				report("%s: the volume %s is no empty one of limited size", name, v.Name)
			}
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			for _, p := range containerProblems(&pod, &c) {
				report("%s/%s: %s", name, c.Name, p)
			}
		}
		problems = append(problems, f.settingsProblems(t, d)...)
	}
	problems = append(problems, f.engineProblems()...)
	problems = append(problems, f.scalerProblems(t)...)
	problems = append(problems, f.selectorProblems()...)
	problems = append(problems, f.configProblems(t)...)
	return append(problems, f.networkProblems()...)
}

func containerProblems(pod *corev1.PodSpec, c *corev1.Container) (problems []string) {
	report := func(bad bool, problem string) {
		if bad {
			problems = append(problems, problem)
		}
	}
	version := c.Image[strings.LastIndex(c.Image, "/")+1:]
	report(!strings.ContainsAny(version, ":@"), "an image of no version: "+c.Image)
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		report(c.Resources.Requests.Name(name, resource.DecimalSI).IsZero(), "no request of "+string(name))
		report(c.Resources.Limits.Name(name, resource.DecimalSI).IsZero(), "no limit of "+string(name))
	}
	report(c.StartupProbe == nil, "no startup probe")
	report(c.LivenessProbe == nil, "no liveness probe")
	if c.Name == engineName {
		return problems
	}
	if c.Name != gateName {
		ready := "/readyz"
		if c.Name == "web" {
			ready = "/healthz" // it has a page for when the backend is away
		}
		for _, p := range []struct {
			probe *corev1.Probe
			path  string
		}{{c.StartupProbe, "/healthz"}, {c.LivenessProbe, "/healthz"}, {c.ReadinessProbe, ready}} {
			report(p.probe == nil || p.probe.HTTPGet == nil || p.probe.HTTPGet.Port.StrVal != "http" || p.probe.HTTPGet.Path != p.path,
				fmt.Sprintf("no probe asks %s: %v", p.path, p.probe))
		}
	}

	pc, sc := pod.SecurityContext, c.SecurityContext
	if pc == nil {
		pc = &corev1.PodSecurityContext{}
	}
	if sc == nil {
		sc = &corev1.SecurityContext{}
	}
	is := func(b *bool) bool { return b != nil && *b }
	nonRoot, user := pc.RunAsNonRoot, pc.RunAsUser
	if sc.RunAsNonRoot != nil {
		nonRoot = sc.RunAsNonRoot
	}
	if sc.RunAsUser != nil {
		user = sc.RunAsUser
	}
	profile := pc.SeccompProfile
	if sc.SeccompProfile != nil {
		profile = sc.SeccompProfile
	}
	report(!is(nonRoot) || user == nil || *user == 0, "it may be root")
	report(is(sc.Privileged), "it is privileged")
	report(sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation, "it may get more rights")
	report(!is(sc.ReadOnlyRootFilesystem), "it may write to its files")
	report(sc.Capabilities == nil || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(sc.Capabilities.Add) > 0, "it has capabilities")
	report(profile == nil || profile.Type != corev1.SeccompProfileTypeRuntimeDefault, "no profile of system calls")
	return problems
}

// configsOf returns the variables that a Deployment has from ConfigMaps, and the names of
// the Secrets that it has others from.
func (f *fleet) configsOf(d *appsv1.Deployment) (values map[string]string, secrets []string, problems []string) {
	values = map[string]string{}
	for _, from := range d.Spec.Template.Spec.Containers[0].EnvFrom {
		switch {
		case from.ConfigMapRef != nil && f.configs[from.ConfigMapRef.Name] != nil:
			for k, v := range f.configs[from.ConfigMapRef.Name].Data {
				if _, twice := values[k]; twice {
					problems = append(problems, fmt.Sprintf("%s: %s is set twice", d.Name, k))
				}
				values[k] = v
			}
		case from.SecretRef != nil:
			secrets = append(secrets, from.SecretRef.Name)
		default:
			problems = append(problems, fmt.Sprintf("%s: there is no %v", d.Name, from))
		}
	}
	return values, secrets, problems
}

// secretExample returns the variables in the example of a Secret.
func secretExample(name string) (map[string]string, error) {
	return godotenv.Read(filepath.Join(manifests, strings.TrimPrefix(name, "taskrunner-")+".secret.env.example"))
}

// settingsProblems compares a service's variables with its pod and with its .env.example.
func (f *fleet) settingsProblems(t *testing.T, d *appsv1.Deployment) []string {
	t.Helper()
	values, secrets, problems := f.configsOf(d)
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	known, err := godotenv.Read(filepath.Join(root, "apps", d.Name, ".env.example"))
	require.NoError(t, err)
	given := maps.Clone(values)
	for _, s := range secrets {
		example, err := secretExample(s)
		if err != nil {
			report("the Secret %s has no example: %v", s, err)
		}
		maps.Copy(given, example)
	}
	for name := range given {
		if _, ok := known[name]; !ok {
			report("%s has no variable %s", d.Name, name)
		}
	}
	for name := range known {
		if _, ok := given[name]; !ok && !slices.Contains(elsewhere, name) && !strings.HasSuffix(name, "_FILE") {
			report("%s is not told %s", d.Name, name)
		}
	}

	variable, container := services[d.Name], d.Spec.Template.Spec.Containers[0]
	host, port, err := net.SplitHostPort(values[variable])
	if err != nil || net.ParseIP(host).IsLoopback() || len(container.Ports) != 1 || strconv.Itoa(int(container.Ports[0].ContainerPort)) != port ||
		d.Spec.Template.Annotations["prometheus.io/port"] != port {
		report("%s=%s is not where others look for it", variable, values[variable])
	}
	needed := 10 * time.Second // what is left when the drain is over
	if hook := container.Lifecycle; hook != nil {
		needed += time.Duration(hook.PreStop.Sleep.Seconds) * time.Second
	}
	drain, err := time.ParseDuration(values["TASKRUNNER_DRAIN_TIMEOUT"])
	if grace := d.Spec.Template.Spec.TerminationGracePeriodSeconds; err != nil || grace == nil || time.Duration(*grace)*time.Second < drain+needed {
		report("%s: terminationGracePeriodSeconds is less than TASKRUNNER_DRAIN_TIMEOUT and %v", d.Name, needed)
	}
	if backend, ok := values["BACKEND_URL"]; ok {
		u, err := url.Parse(backend)
		if err != nil || f.services[u.Hostname()] == nil || strconv.Itoa(int(f.services[u.Hostname()].Spec.Ports[0].Port)) != u.Port() {
			report("BACKEND_URL=%s is no Service", backend)
		}
	}
	return problems
}

// engineProblems looks at the engine beside the worker, and at the gate between them.
func (f *fleet) engineProblems() (problems []string) {
	report := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	d := f.deployments["worker"]
	pod := d.Spec.Template.Spec
	values, _, _ := f.configsOf(d)
	var names []string
	for _, c := range pod.InitContainers {
		names = append(names, c.Name)
		report(c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways, "%s: it would have to end before the worker starts", c.Name)
	}
	if !slices.Equal(names, []string{engineName, gateName}) {
		return append(problems, fmt.Sprintf("worker is not behind engine and gate, but %v", names))
	}
	engine, gate, worker := pod.InitContainers[0], pod.InitContainers[1], pod.Containers[0]

	sockets := flag(engine, "--host")
	report(len(sockets) != 1 || !slices.Equal(sockets, flag(gate, "--engine")), "engine: it listens on %v, and the gate expects it on %v", sockets, flag(gate, "--engine"))
	socket, local := strings.CutPrefix(strings.Join(sockets, ""), "unix://")
	report(!local, "engine: it listens on a port")
	report(!slices.Equal(mounts(&pod, socket), []string{engineName, gateName}), "engine: its socket is in a volume of %v", mounts(&pod, socket))
	listen := strings.TrimPrefix(values["DOCKER_HOST"], "unix://")
	report(!slices.Equal(flag(gate, "--listen"), []string{listen}), "DOCKER_HOST=%s is not the gate's %v", values["DOCKER_HOST"], flag(gate, "--listen"))
	report(!slices.Equal(mounts(&pod, listen), []string{gateName, worker.Name}), "gate: its socket is in a volume of %v", mounts(&pod, listen))
	report(!slices.Equal(flag(engine, "--group"), []string{fmt.Sprint(*pod.SecurityContext.RunAsGroup)}), "engine: the gate's group may not use its socket")

	report(!slices.Equal(flag(engine, "--bridge"), []string{"none"}) || len(flag(gate, "--docker-network")) > 0 || values["TASKRUNNER_ALLOW_NETWORK"] != "false", "engine: tasks could have a network")
	for _, l := range taskrunner.BuiltinLanguages() {
		allowed := slices.ContainsFunc(flag(gate, "--docker-allowed-images"), func(pattern string) bool {
			matches, err := path.Match(pattern, l.Image)
			return err == nil && matches
		})
		report(!allowed, "gate: the image of %s is not allowed", l.Name)
	}
	report(len(flag(gate, "--docker-allowed-images")) == 0, "gate: any image is allowed")
	report(len(pod.NodeSelector) == 0 || len(pod.Tolerations) == 0, "worker may be on nodes that are not for workers alone")

	memory, err := resource.ParseQuantity(strings.ToUpper(values["TASKRUNNER_MAX_MEMORY"]) + "i")
	tasks, err2 := strconv.ParseInt(values["TASKRUNNER_CONCURRENCY"], 10, 64)
	report(err != nil || err2 != nil || engine.Resources.Limits.Memory().Value() < tasks*memory.Value()+1<<30,
		"engine: %v of memory are less than %d tasks of %v, and 1Gi", engine.Resources.Limits.Memory(), tasks, &memory)
	return problems
}

// flag returns the values of a flag among a container's arguments.
func flag(c corev1.Container, name string) (values []string) {
	for _, arg := range c.Args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			values = append(values, value)
		}
	}
	return values
}

// mounts returns the names of the containers that have the volume which has a file, if
// all have it in the same place.
func mounts(pod *corev1.PodSpec, file string) (containers []string) {
	volume := ""
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, m := range c.VolumeMounts {
			if m.MountPath == filepath.Dir(file) {
				volume = m.Name
			}
		}
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, m := range c.VolumeMounts {
			if m.Name == volume && m.MountPath == filepath.Dir(file) {
				containers = append(containers, c.Name)
			} else if m.Name == volume {
				containers = append(containers, c.Name+" elsewhere")
			}
		}
	}
	return containers
}

// scalerProblems looks at what is scaled, and by what.
func (f *fleet) scalerProblems(t *testing.T) (problems []string) {
	t.Helper()
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	rule := readAdapterRule(t)
	scaled := map[string]bool{}
	for name, s := range f.scalers {
		to := s.Spec.ScaleTargetRef
		d := f.deployments[to.Name]
		if d == nil || to.Kind != "Deployment" || to.APIVersion != "apps/v1" {
			report("HorizontalPodAutoscaler %s scales nothing", name)
			continue
		}
		scaled[to.Name] = true
		if b := s.Spec.Behavior; b == nil || b.ScaleDown == nil || b.ScaleDown.StabilizationWindowSeconds == nil || *b.ScaleDown.StabilizationWindowSeconds < 300 {
			report("HorizontalPodAutoscaler %s takes pods away at once", name)
		}
		for _, m := range s.Spec.Metrics {
			if m.External == nil {
				continue
			}
			values, _, _ := f.configsOf(d)
			if m.External.Metric.Name != rule.Name.As {
				report("HorizontalPodAutoscaler %s goes by %s, and the adapter makes %s", name, m.External.Metric.Name, rule.Name.As)
			}
			if queue := m.External.Metric.Selector.MatchLabels["queue"]; !slices.Contains(strings.Split(values["TASKRUNNER_QUEUES"], ","), queue) {
				report("HorizontalPodAutoscaler %s goes by the queue %s, which no worker has", name, queue)
			}
			if target := m.External.Target.AverageValue; target == nil || target.String() != values["TASKRUNNER_CONCURRENCY"] {
				report("HorizontalPodAutoscaler %s: the target is not TASKRUNNER_CONCURRENCY", name)
			}
		}
	}
	for name, d := range f.deployments {
		if (d.Spec.Replicas == nil) != scaled[name] {
			report("Deployment %s has a number of replicas and an autoscaler, or neither", name)
		}
	}
	return problems
}

// selectorProblems looks at what names pods by their labels.
func (f *fleet) selectorProblems() (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	selected := func(s *metav1.LabelSelector) (names []string) {
		for name, d := range f.deployments {
			if selects(s, d.Spec.Template.Labels) {
				names = append(names, name)
			}
		}
		return names
	}
	for name, s := range f.services {
		of := selected(&metav1.LabelSelector{MatchLabels: s.Spec.Selector})
		if len(of) != 1 || of[0] != name {
			report("Service %s selects no pod of its own, but of %v", name, of)
			continue
		}
		for _, p := range s.Spec.Ports {
			if !slices.ContainsFunc(f.deployments[name].Spec.Template.Spec.Containers[0].Ports, func(c corev1.ContainerPort) bool { return c.Name == p.TargetPort.StrVal }) {
				report("Service %s: no container has the port %v", name, p.TargetPort.String())
			}
		}
		if s.Spec.Type != "" && s.Spec.Type != corev1.ServiceTypeClusterIP {
			report("Service %s is reached from outside", name)
		}
	}
	for name := range f.deployments {
		b := f.budgets[name]
		if b == nil {
			report("Deployment %s has no PodDisruptionBudget", name)
		} else if of := selected(b.Spec.Selector); len(of) != 1 || of[0] != name {
			report("PodDisruptionBudget %s selects no pod of its own, but of %v", name, of)
		}
	}
	for name, p := range f.policies {
		if len(selected(&p.Spec.PodSelector)) == 0 {
			report("NetworkPolicy %s selects no pod", name)
		}
	}
	for name, i := range f.ingresses {
		for _, r := range i.Spec.Rules {
			for _, p := range r.HTTP.Paths {
				to := f.services[p.Backend.Service.Name]
				if to == nil || to.Name != "web" || !slices.ContainsFunc(to.Spec.Ports, func(s corev1.ServicePort) bool { return s.Name == p.Backend.Service.Port.Name }) {
					report("Ingress %s leads to %s, and not to web", name, p.Backend.Service.Name)
				}
			}
		}
	}
	return problems
}

// configProblems looks for secrets where everybody may read them.
func (f *fleet) configProblems(t *testing.T) (problems []string) {
	t.Helper()
	examples, err := filepath.Glob(filepath.Join(manifests, "*.secret.env.example"))
	require.NoError(t, err)
	require.NotEmpty(t, examples)
	secret := map[string]bool{}
	for _, name := range examples {
		variables, err := godotenv.Read(name)
		require.NoError(t, err)
		for variable := range variables {
			secret[variable] = true
		}
	}
	for _, c := range f.configs {
		for name, value := range c.Data {
			u, err := url.Parse(value)
			if secret[name] || err == nil && u.User != nil {
				problems = append(problems, fmt.Sprintf("ConfigMap %s holds a secret: %s", c.Name, name))
			}
		}
	}
	return problems
}
