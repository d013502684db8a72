package deploy

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// end is one end of a connection: a pod of ours, one of another namespace, or an address.
type end struct {
	name      string
	namespace map[string]string // its labels; nil of an address
	labels    map[string]string
	ports     map[string]int32 // by name
	address   string
	ours      bool
}

// reaches says whether the policies let src connect to a port of dst.
func (f *fleet) reaches(src, dst end, protocol corev1.Protocol, port int32) bool {
	return f.passes(networkingv1.PolicyTypeEgress, src, dst, dst, protocol, port) &&
		f.passes(networkingv1.PolicyTypeIngress, dst, src, dst, protocol, port)
}

// passes says whether the policies of a pod let a connection with a peer through in one
// direction. Those of others are not known, and let everything through.
func (f *fleet) passes(direction networkingv1.PolicyType, pod, peer, dst end, protocol corev1.Protocol, port int32) bool {
	isolated := false
	for _, p := range f.policies {
		if !pod.ours || !slices.Contains(p.Spec.PolicyTypes, direction) || !selects(&p.Spec.PodSelector, pod.labels) {
			continue
		}
		isolated = true
		allowed := func(peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) bool {
			return (len(peers) == 0 || slices.ContainsFunc(peers, peer.is)) &&
				(len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
					return *p.Protocol == protocol && dst.port(*p.Port) == port
				}))
		}
		if direction == networkingv1.PolicyTypeIngress {
			if slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool { return allowed(r.From, r.Ports) }) {
				return true
			}
		} else if slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return allowed(r.To, r.Ports) }) {
			return true
		}
	}
	return !isolated
}

// is says whether a peer of a policy means this end.
func (e end) is(p networkingv1.NetworkPolicyPeer) bool {
	if p.IPBlock != nil {
		address, err := netip.ParseAddr(e.address)
		within := func(cidr string) bool { return netip.MustParsePrefix(cidr).Contains(address) }
		return err == nil && within(p.IPBlock.CIDR) && !slices.ContainsFunc(p.IPBlock.Except, within)
	}
	sameNamespace := p.NamespaceSelector == nil && e.ours
	return e.namespace != nil && (sameNamespace || p.NamespaceSelector != nil && selects(p.NamespaceSelector, e.namespace)) &&
		(p.PodSelector == nil || selects(p.PodSelector, e.labels))
}

func (e end) port(p intstr.IntOrString) int32 {
	if p.Type == intstr.String {
		return e.ports[p.StrVal]
	}
	return p.IntVal
}

func selects(s *metav1.LabelSelector, of map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(of))
}

// stranger is a pod in another namespace.
func stranger(namespace string, pod map[string]string) end {
	return end{name: "a pod in " + namespace, namespace: map[string]string{"kubernetes.io/metadata.name": namespace}, labels: pod}
}

// networkProblems says what may reach what and should not, or the reverse.
func (f *fleet) networkProblems() (problems []string) {
	ours := map[string]end{}
	for name, d := range f.deployments {
		e := end{name: name, namespace: map[string]string{"kubernetes.io/metadata.name": d.Namespace}, labels: d.Spec.Template.Labels, ports: map[string]int32{}, ours: true}
		for _, c := range d.Spec.Template.Spec.Containers {
			for _, p := range c.Ports {
				e.ports[p.Name] = p.ContainerPort
			}
		}
		ours[name] = e
	}
	address := func(ip string) end { return end{name: ip, address: ip} }
	backend, worker, web := ours["backend"], ours["worker"], ours["web"]
	type flow struct {
		from, to end
		port     int32
		may      bool
	}
	var (
		ingress    = stranger("ingress-nginx", nil)
		monitoring = stranger("monitoring", nil)
		anybody    = stranger("default", map[string]string{"app.kubernetes.io/name": "taskrunner", "app.kubernetes.io/component": "web"})
		server     = func(name string) end { return stranger("data", map[string]string{"app.kubernetes.io/name": name}) }
		dns        = stranger("kube-system", map[string]string{"k8s-app": "kube-dns"})
	)
	flows := []flow{
		{ingress, web, 5000, true},
		{ingress, backend, 8000, false},
		{ingress, worker, 8001, false},
		{web, backend, 8000, true},
		{web, worker, 8001, false},
		{backend, worker, 8001, false},
		{worker, backend, 8000, false},
		{worker, web, 5000, false},
		{backend, web, 5000, false},
		{worker, worker, 8001, false},
		{worker, address("1.1.1.1"), 443, true},
		{worker, address("1.1.1.1"), 80, false},
		{worker, address("169.254.169.254"), 443, false},
		{worker, address("10.96.0.1"), 443, false},
		{worker, address("172.20.0.1"), 443, false},
		{worker, address("192.168.1.1"), 443, false},
		{worker, address("100.64.0.1"), 443, false},
		{backend, address("1.1.1.1"), 443, false},
		{web, address("1.1.1.1"), 443, false},
	}
	outside := len(f.ingresses) > 0 // servers by address, as in the overlay
	for name, port := range map[string]int32{"mongodb": 27017, "redis": 6379, "minio": 9000} {
		flows = append(flows, flow{web, server(name), port, false})
		for _, client := range []end{backend, worker} {
			flows = append(flows, flow{client, server(name), port, !outside}, flow{client, stranger("data", nil), port, false}, flow{client, server(name), 22, false})
		}
	}
	for name, e := range ours {
		port := e.ports["http"]
		flows = append(flows, flow{anybody, e, port, false}, flow{monitoring, e, port, true}, flow{e, stranger("default", nil), 80, false})
		if !f.reaches(e, dns, corev1.ProtocolUDP, 53) || !f.reaches(e, dns, corev1.ProtocolTCP, 53) {
			problems = append(problems, name+" may not ask for names")
		}
	}
	for _, x := range flows {
		switch may := f.reaches(x.from, x.to, corev1.ProtocolTCP, x.port); {
		case may && !x.may:
			problems = append(problems, x.from.name+" may reach "+x.to.name)
		case !may && x.may:
			problems = append(problems, x.from.name+" may not reach "+x.to.name+x.to.labels["app.kubernetes.io/name"])
		}
	}
	return problems
}
