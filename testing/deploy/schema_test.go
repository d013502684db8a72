package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// oldest is the version of Kubernetes that the manifests are for, or a later one.
const oldest = "1.30"

// validator says what an API server would say of an object.
type validator struct {
	schemas map[string]*jsonschema.Schema // by API version and kind
	values  map[string][]string           // by the name of a type, with its package's path
	merge   managedfields.TypeConverter
}

// packages are those with the types of what is deployed.
var packages = []string{
	"k8s.io/api/apps/v1", "k8s.io/api/autoscaling/v2", "k8s.io/api/core/v1", "k8s.io/api/networking/v1", "k8s.io/api/policy/v1",
	"k8s.io/apimachinery/pkg/apis/meta/v1",
}

// open are types that have constants, and other values as well.
var open = []string{"k8s.io/api/core/v1.ResourceName"}

// newValidator returns a validator of what Kubernetes published as its schemas.
func newValidator(t *testing.T) *validator {
	t.Helper()
	v := &validator{map[string]*jsonschema.Schema{}, map[string][]string{}, applyconfigurations.NewTypeConverter(scheme.Scheme)}
	for _, name := range packages {
		folder := strings.TrimSpace(string(goTool(t, "list", "-f", "{{.Dir}}", name)))
		require.NoError(t, v.addValues(name, folder))
	}
	// Not by an import, see schemas.go.
	var module struct{ Dir string }
	require.NoError(t, json.Unmarshal(goTool(t, "mod", "download", "-json", "sigs.k8s.io/kubectl-validate"), &module))
	folder := filepath.Join(module.Dir, "pkg/openapiclient/builtins", oldest)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4)
	require.NoError(t, filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		content, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			return err
		}
		if err := compiler.AddResource(name, content); err != nil {
			return err
		}
		for id, schema := range content.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any) {
			kinds, _ := schema.(map[string]any)["x-kubernetes-group-version-kind"].([]any)
			if len(kinds) != 1 { // of all groups, such as DeleteOptions
				continue
			}
			k := kinds[0].(map[string]any)
			key := strings.TrimPrefix(fmt.Sprintf("%s/%s %s", k["group"], k["version"], k["kind"]), "/")
			if v.schemas[key], err = compiler.Compile(name + "#/components/schemas/" + id); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NotEmpty(t, v.schemas)
	return v
}

// goTool returns what a command of Go's own says.
func goTool(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	require.NoError(t, err)
	return out
}

// addValues adds the constants of a package's types: what the published schemas leave
// out, and what is refused nevertheless.
func (v *validator) addValues(pkg, folder string) error {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, "types.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, d := range file.Decls {
		d, ok := d.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			continue
		}
		for _, s := range d.Specs {
			s := s.(*ast.ValueSpec)
			of, ok := s.Type.(*ast.Ident)
			if !ok || len(s.Values) != 1 {
				continue
			}
			if value, err := text(s.Values[0]); err == nil {
				v.values[pkg+"."+of.Name] = append(v.values[pkg+"."+of.Name], value)
			}
		}
	}
	return nil
}

// checkValues returns an error for a text in o that is none of its type's constants.
func (v *validator) checkValues(o reflect.Value) error {
	switch o.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !o.IsNil() {
			return v.checkValues(o.Elem())
		}
	case reflect.Struct:
		for _, field := range o.Fields() {
			if err := v.checkValues(field); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range o.Len() {
			if err := v.checkValues(o.Index(i)); err != nil {
				return err
			}
		}
	case reflect.String:
		of := o.Type().PkgPath() + "." + o.Type().Name()
		if values := v.values[of]; len(values) > 0 && o.String() != "" && !slices.Contains(values, o.String()) && !slices.Contains(open, of) {
			return fmt.Errorf("%q is no %s, which are %q", o.String(), of, values)
		}
	}
	return nil
}

// check returns what is wrong with an object.
func (v *validator) check(text []byte) error {
	var kind metav1.TypeMeta
	var content any
	if err := errors.Join(yaml.Unmarshal(text, &kind), yaml.UnmarshalStrict(text, &content)); err != nil {
		return err
	}
	s, ok := v.schemas[kind.APIVersion+" "+kind.Kind]
	if !ok {
		return fmt.Errorf("Kubernetes %s has no %s %s", oldest, kind.APIVersion, kind.Kind)
	}
	// The schemas know what is required; the types, which fields and values there are; and
	// what merges objects, what may be in a list only once.
	if err := s.Validate(content); err != nil {
		return err
	}
	o, err := decode(text)
	if err != nil {
		return err
	}
	if err := v.checkValues(reflect.ValueOf(o)); err != nil {
		return err
	}
	_, err = v.merge.ObjectToTyped(o)
	return err
}
