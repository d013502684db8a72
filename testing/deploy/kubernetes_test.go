package deploy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	root      = "../.."
	manifests = root + "/deploy/kubernetes"
)

// builds are the folders that somebody gives to kubectl apply -k.
var builds = []string{"base", "overlays/example"}

// build returns the objects that kustomize makes of a folder, as YAML.
func build(t *testing.T, folder string) [][]byte {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(manifests, folder))
	require.NoError(t, err)
	var objects [][]byte
	for _, r := range made.Resources() {
		text, err := r.AsYAML()
		require.NoError(t, err)
		objects = append(objects, text)
	}
	return objects
}

// fleet is what a build deploys, by name.
type fleet struct {
	namespaces  map[string]*corev1.Namespace
	accounts    map[string]*corev1.ServiceAccount
	configs     map[string]*corev1.ConfigMap
	services    map[string]*corev1.Service
	deployments map[string]*appsv1.Deployment
	budgets     map[string]*policyv1.PodDisruptionBudget
	scalers     map[string]*autoscalingv2.HorizontalPodAutoscaler
	policies    map[string]*networkingv1.NetworkPolicy
	ingresses   map[string]*networkingv1.Ingress
}

// decode returns an object as the type that its kind has, which has all its fields.
func decode(text []byte) (runtime.Object, error) {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(text, &kind); err != nil {
		return nil, err
	}
	o, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind))
	if err != nil {
		return nil, err
	}
	return o, yaml.UnmarshalStrict(text, o)
}

// read makes a fleet of objects. None may be of another kind: a Secret least of all.
func read(objects [][]byte) (*fleet, error) {
	f := &fleet{
		map[string]*corev1.Namespace{}, map[string]*corev1.ServiceAccount{}, map[string]*corev1.ConfigMap{},
		map[string]*corev1.Service{}, map[string]*appsv1.Deployment{}, map[string]*policyv1.PodDisruptionBudget{},
		map[string]*autoscalingv2.HorizontalPodAutoscaler{}, map[string]*networkingv1.NetworkPolicy{}, map[string]*networkingv1.Ingress{},
	}
	for _, text := range objects {
		o, err := decode(text)
		if err != nil {
			return nil, err
		}
		switch o := o.(type) {
		case *corev1.Namespace:
			f.namespaces[o.Name] = o
		case *corev1.ServiceAccount:
			f.accounts[o.Name] = o
		case *corev1.ConfigMap:
			f.configs[o.Name] = o
		case *corev1.Service:
			f.services[o.Name] = o
		case *appsv1.Deployment:
			f.deployments[o.Name] = o
		case *policyv1.PodDisruptionBudget:
			f.budgets[o.Name] = o
		case *autoscalingv2.HorizontalPodAutoscaler:
			f.scalers[o.Name] = o
		case *networkingv1.NetworkPolicy:
			f.policies[o.Name] = o
		case *networkingv1.Ingress:
			f.ingresses[o.Name] = o
		default:
			return nil, fmt.Errorf("a %T has no place here", o)
		}
	}
	return f, nil
}

func TestWhatKustomizeBuildsIsWhatKubernetesTakes(t *testing.T) {
	valid := newValidator(t)
	for _, folder := range builds {
		t.Run(folder, func(t *testing.T) {
			objects := build(t, folder)
			require.NotEmpty(t, objects)
			seen := map[string]bool{}
			for _, text := range objects {
				assert.NoError(t, valid.check(text), "%s", text)
				var o metav1.PartialObjectMetadata
				require.NoError(t, yaml.Unmarshal(text, &o))
				id := o.Kind + " " + o.Name
				assert.False(t, seen[id], "%s is there twice", id)
				seen[id] = true
				if o.Kind != "Namespace" {
					assert.Equal(t, "taskrunner", o.Namespace, id)
				}
			}
			f, err := read(objects)
			require.NoError(t, err)
			assert.Len(t, f.deployments, 3)
			assert.Empty(t, f.problems(t))
		})
	}
}

// mutant returns the base with one text replaced by another in the object of a kind and
// a name, which has to have it.
func mutant(t *testing.T, kind, name, old, replacement string) (all [][]byte, changed []byte) {
	t.Helper()
	for _, text := range build(t, "base") {
		var o metav1.PartialObjectMetadata
		require.NoError(t, yaml.Unmarshal(text, &o))
		if o.Kind == kind && (o.Name == name || strings.HasPrefix(o.Name, name+"-") && kind == "ConfigMap") {
			require.Contains(t, string(text), old)
			text = bytes.Replace(text, []byte(old), []byte(replacement), 1)
			changed = text
		}
		all = append(all, text)
	}
	require.NotNil(t, changed, "there is no %s %s", kind, name)
	return all, changed
}

func TestObjectsThatKubernetesWouldRefuseAreNoticed(t *testing.T) {
	valid := newValidator(t)
	for _, c := range []struct{ what, kind, name, old, replacement string }{
		{"a field that is misspelt", "Deployment", "backend", "readinessProbe:", "readynessProbe:"},
		{"a field in the wrong place", "Deployment", "worker", "      terminationGracePeriodSeconds:", "      restartPolicy: Always\n      gracePeriodSeconds:"},
		{"a field that is there twice", "Service", "web", "spec:\n", "spec:\n  type: ClusterIP\n  type: ClusterIP\n"},
		{"a value that is none of those allowed", "NetworkPolicy", "dns", "protocol: UDP", "protocol: UPD"},
		{"a restart policy that there is not", "Deployment", "worker", "type: RuntimeDefault", "type: RuntimeDefualt"},
		{"a text where a number belongs", "Deployment", "backend", "containerPort: 8000", `containerPort: "8000"`},
		{"a required field that is missing", "HorizontalPodAutoscaler", "worker", "  maxReplicas: 20\n", ""},
		{"a required field of a kind deep within that is missing", "Deployment", "web", "        name: web\n", ""},
		{"a size that is none", "Deployment", "backend", "memory: 2Gi", "memory: 1Gigabyte"},
		{"two containers of one name", "Deployment", "worker", "      containers:\n", "      containers:\n      - {name: worker, image: a:1}\n"},
		{"a port that is there twice", "Service", "backend", "  ports:\n", "  ports:\n  - {name: again, port: 8000, protocol: TCP}\n"},
		{"a kind that there is not in this version", "HorizontalPodAutoscaler", "backend", "autoscaling/v2", "autoscaling/v2beta2"},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, changed := mutant(t, c.kind, c.name, c.old, c.replacement)
			assert.Error(t, valid.check(changed))
		})
	}
}

// The routes of the pages are in their code, which this module may not import.
var route = regexp.MustCompile(`mux\.Handle(?:Func)?\("(?:[A-Z]+ )?(/[^"]*)"`)

func TestIngressesPassThePagesAndNothingElseOfWeb(t *testing.T) {
	code, err := os.ReadFile(root + "/apps/internal/ui/ui.go")
	require.NoError(t, err)
	routes := route.FindAllSubmatch(code, -1)
	require.NotEmpty(t, routes)
	f, err := read(build(t, "overlays/example"))
	require.NoError(t, err)
	require.NotEmpty(t, f.ingresses)
	for name, i := range f.ingresses {
		for _, r := range i.Spec.Rules {
			passes := func(path string) bool {
				return slices.ContainsFunc(r.HTTP.Paths, func(p networkingv1.HTTPIngressPath) bool {
					prefix := *p.PathType == networkingv1.PathTypePrefix
					return path == p.Path || prefix && strings.HasPrefix(path, strings.TrimSuffix(p.Path, "/")+"/")
				})
			}
			for _, m := range routes {
				path := strings.TrimSuffix(string(m[1]), "{$}")
				assert.True(t, passes(path), "Ingress %s does not pass %s, which a page needs", name, path)
			}
			for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
				assert.False(t, passes(path), "Ingress %s shows %s to everybody", name, path)
			}
		}
	}
}

func TestManifestsThatDoNotFitTogetherAreNoticed(t *testing.T) {
	for _, c := range []struct{ what, kind, name, old, replacement, problem string }{
		{"a Service that selects no pod", "Service", "web", "selector:\n    app.kubernetes.io/component: web", "selector:\n    app.kubernetes.io/component: wbe", "Service web selects no pod"},
		{"a Service whose port no container has", "Service", "backend", "targetPort: http", "targetPort: https", "Service backend"},
		{"a budget that selects no pod", "PodDisruptionBudget", "backend", "component: backend", "component: bakend", "PodDisruptionBudget backend selects no pod"},
		{"an autoscaler of nothing", "HorizontalPodAutoscaler", "worker", "    name: worker\n", "    name: wroker\n", "HorizontalPodAutoscaler worker"},
		{"an autoscaler and a fixed number", "Deployment", "backend", "spec:\n", "spec:\n  replicas: 3\n", "Deployment backend"},
		{"a metric that the adapter does not make", "HorizontalPodAutoscaler", "worker", "taskrunner_queue_demand", "taskrunner_queue_demands", "taskrunner_queue_demands"},
		{"a queue that no worker claims from", "HorizontalPodAutoscaler", "worker", "queue: default", "queue: slow", "slow"},
		{"a target that is not what a worker runs at once", "ConfigMap", "worker", `CONCURRENCY: "4"`, `CONCURRENCY: "5"`, "TASKRUNNER_CONCURRENCY"},
		{"tasks that the engine has no memory for", "ConfigMap", "shared", "TASKRUNNER_MAX_MEMORY: 1g", "TASKRUNNER_MAX_MEMORY: 2g", "engine"},
		{"a worker that is killed while it drains", "Deployment", "worker", "terminationGracePeriodSeconds: 690", "terminationGracePeriodSeconds: 600", "worker: terminationGracePeriodSeconds"},
		{"a pod that ends before its sleep and its drain", "Deployment", "web", "terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 35", "web: terminationGracePeriodSeconds"},
		{"an address that is not the container's port", "ConfigMap", "backend", "0.0.0.0:8000", "0.0.0.0:8001", "TASKRUNNER_API_ADDR"},
		{"an address that only the pod itself reaches", "ConfigMap", "web", "0.0.0.0:5000", "127.0.0.1:5000", "TASKRUNNER_WEB_ADDR"},
		{"a backend that is no Service", "ConfigMap", "web", "http://backend:8000", "http://api:8000", "BACKEND_URL"},
		{"a password in a ConfigMap", "ConfigMap", "shared", "http://minio.data:9000", "http://user:password@minio.data:9000", "MINIO_ENDPOINT"},
		{"a secret in a ConfigMap", "ConfigMap", "web", "TASKRUNNER_WEB_ADDR:", "SECRET_KEY: abc\n  TASKRUNNER_WEB_ADDR:", "SECRET_KEY"},
		{"a variable that there is not", "ConfigMap", "worker", "TASKRUNNER_LEASE:", "TASKRUNNER_LEASES:", "TASKRUNNER_LEASES"},
		{"a variable that belongs to another service", "ConfigMap", "web", "TASKRUNNER_WEB_ADDR:", "TASKRUNNER_CONCURRENCY: \"4\"\n  TASKRUNNER_WEB_ADDR:", "TASKRUNNER_CONCURRENCY"},
		{"a Secret that has no example", "Deployment", "web", "name: taskrunner-web", "name: taskrunner-wbe", "taskrunner-wbe"},
		{"a token of the cluster", "ServiceAccount", "worker", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "ServiceAccount worker"},
		{"a token in a pod", "Deployment", "worker", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "Deployment worker"},
		{"a container that may write", "Deployment", "web", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "web/web"},
		{"a container with capabilities", "Deployment", "backend", "          capabilities:\n            drop:\n            - ALL\n", "", "backend/backend"},
		{"a privileged container besides the engine", "Deployment", "worker", "readOnlyRootFilesystem: true", "privileged: true", "is privileged"},
		{"a container that may be root", "Deployment", "worker", "runAsNonRoot: true", "runAsNonRoot: false", "worker/worker"},
		{"a gate that may be root", "Deployment", "worker", "runAsUser: 65532", "runAsUser: 0", "worker/gate"},
		{"a container without a limit", "Deployment", "backend", "          limits:\n            cpu: \"2\"\n            memory: 2Gi\n", "", "backend/backend"},
		{"a container without a probe", "Deployment", "backend", "        livenessProbe:\n          failureThreshold: 6\n          httpGet:\n            httpHeaders:\n            - name: Host\n              value: localhost\n            path: /healthz\n            port: http\n          timeoutSeconds: 5\n", "", "backend/backend: no liveness probe"},
		{"a probe of another path", "Deployment", "backend", "path: /readyz", "path: /ready", "/readyz"},
		{"an image of no version", "Deployment", "web", "image: ghcr.io/task-runner/web:latest", "image: ghcr.io/task-runner/web", "web/web"},
		{"an engine that listens on a port", "Deployment", "worker", "- --bridge=none", "- --bridge=none\n        - --host=tcp://0.0.0.0:2375", "engine"},
		{"an engine that could give tasks a network", "Deployment", "worker", "- --bridge=none", "- --bridge=docker0", "engine"},
		{"an engine that anybody's node runs", "Deployment", "worker", "      nodeSelector:\n        taskrunner/pool: workers\n", "", "nodes"},
		{"an engine that does not start before the worker", "Deployment", "worker", "restartPolicy: Always", "restartPolicy: null", "engine: it would"},
		{"an engine whose socket is elsewhere", "ConfigMap", "worker", "unix:///run/engine/docker.sock", "unix:///var/run/docker.sock", "DOCKER_HOST"},
		{"an engine whose files have no end", "Deployment", "worker", "- emptyDir:\n          sizeLimit: 20Gi", "- emptyDir: {}", "images"},
		{"an engine's socket for another group", "Deployment", "worker", "--group=65532", "--group=0", "engine"},
		{"a worker with the engine's own socket", "ConfigMap", "worker", "unix:///run/engine/docker.sock", "unix:///run/dockerd/docker.sock", "DOCKER_HOST"},
		{"a worker that could reach the engine's socket", "Deployment", "worker", "- mountPath: /run/engine\n          name: gate\n          readOnly: true", "- {mountPath: /run/engine, name: gate}\n        - {mountPath: /run/dockerd, name: engine}", "engine: its socket"},
		{"a gate that lets no language through", "Deployment", "worker", "        - --docker-allowed-images=python:*\n", "", "python is not allowed"},
		{"a file of the node in a pod", "Deployment", "worker", "- emptyDir:\n          medium: Memory\n          sizeLimit: 1Mi", "- hostPath: {path: /run}", "the volume engine"},
		{"all pods open to all", "NetworkPolicy", "web", "  ingress:\n", "  ingress:\n  - {}\n", "may reach web"},
		{"no denial by default", "NetworkPolicy", "default-deny", "podSelector: {}", "podSelector: {matchLabels: {a: b}}", "selects no pod"},
		{"a way to the metadata of the cloud", "NetworkPolicy", "registries", "        - 169.254.0.0/16\n", "", "169.254.169.254"},
		{"a way to the rest of the cluster", "NetworkPolicy", "registries", "        - 10.0.0.0/8\n", "", "10."},
		{"no way to a server", "NetworkPolicy", "servers", "port: 6379", "port: 6380", "redis"},
		{"a policy for a port that no container has", "NetworkPolicy", "backend", "port: 8000", "port: 8080", "web may not reach backend"},
	} {
		t.Run(c.what, func(t *testing.T) {
			objects, _ := mutant(t, c.kind, c.name, c.old, c.replacement)
			f, err := read(objects)
			require.NoError(t, err)
			assert.Contains(t, strings.Join(f.problems(t), "\n"), c.problem)
		})
	}
}

func TestNothingSecretIsAmongTheFiles(t *testing.T) {
	ignored, err := os.ReadFile(filepath.Join(manifests, ".gitignore"))
	require.NoError(t, err)
	assert.Contains(t, string(ignored), "*.secret.env")
	_, err = read([][]byte{[]byte("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n")})
	assert.ErrorContains(t, err, "Secret has no place here")
}
