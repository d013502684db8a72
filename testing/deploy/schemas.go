//go:build schemas

package deploy

// The schemas are files of this module, read where it lies, as its code is for older
// libraries of Kubernetes than those here.
import _ "sigs.k8s.io/kubectl-validate/pkg/openapiclient"
