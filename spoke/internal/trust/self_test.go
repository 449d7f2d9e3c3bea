package trust

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/navefleet/nave/deploy"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

var spokeSelf = Self{Namespace: "nave-system"}

// Everything that is installed with the spoke is its own.
func TestSelfInstalled(t *testing.T) {
	n := 0
	err := fs.WalkDir(deploy.Spoke, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := deploy.Spoke.ReadFile(path)
		if err != nil {
			return err
		}
		objects, err := manifest.Parse(data)
		for _, o := range objects {
			n++
			id := manifest.IDOf(o)
			if err := spokeSelf.Allows(bundle.ObjectIdentity{Group: id.Group, Kind: id.Kind, Namespace: id.Namespace,
				Name: id.Name}); !errors.Is(err, ErrSelf) {
				t.Errorf("%s: %v", id, err)
			}
			if id.Kind == "ClusterRoleBinding" && !errors.Is(spokeSelf.AllowsBinding(o), ErrSelf) {
				t.Errorf("%s does not bind the spoke", id)
			}
		}
		return err
	})
	if err != nil || n < 5 {
		t.Fatal(n, err)
	}
}

func TestSelfAllows(t *testing.T) {
	const rbac = "rbac.authorization.k8s.io"
	for name, c := range map[string]struct {
		id   bundle.ObjectIdentity
		says string // empty: allowed
	}{
		"config": {bundle.ObjectIdentity{Kind: "ConfigMap", Namespace: "nave-system", Name: "x"},
			"another one"},
		"any_kind": {bundle.ObjectIdentity{Group: "example.com", Kind: "Widget", Namespace: "nave-system",
			Name: "x"}, "another one"},
		"namespace": {bundle.ObjectIdentity{Kind: "Namespace", Name: "nave-system"}, "runs in"},
		"namespace_by_project": {bundle.ObjectIdentity{Group: "project.openshift.io", Kind: "Project", Name: "nave-system"},
			"runs in"},
		"other_case": {bundle.ObjectIdentity{Kind: "NameSpace", Name: "Nave-System"}, "runs in"},
		"role":       {bundle.ObjectIdentity{Group: rbac, Kind: "ClusterRole", Name: "nave-spoke"}, "rights"},
		"role_of_another_group": {bundle.ObjectIdentity{Group: "authorization.openshift.io", Kind: "ClusterRole",
			Name: "nave-spoke"}, "rights"},
		"binding": {bundle.ObjectIdentity{Group: rbac, Kind: "ClusterRoleBinding", Name: "nave-spoke"},
			"rights"},
		"definition": {bundle.ObjectIdentity{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition",
			Name: "clusters.fleet.nave.io"}, "kind of Nave"},
		"other_namespace":     {bundle.ObjectIdentity{Kind: "Namespace", Name: "shop"}, ""},
		"same_name_elsewhere": {bundle.ObjectIdentity{Kind: "ConfigMap", Namespace: "shop", Name: "nave-spoke"}, ""},
		"other_role":          {bundle.ObjectIdentity{Group: rbac, Kind: "ClusterRole", Name: "nave-spoke-metrics"}, ""},
		"other_definition": {bundle.ObjectIdentity{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition",
			Name: "things.example.com"}, ""},
		"node_of_that_name": {bundle.ObjectIdentity{Kind: "Node", Name: "nave-system"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := spokeSelf.Allows(c.id)
			if errors.Is(err, ErrSelf) != (c.says != "") || err != nil &&
				(!strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), c.id.ID().String())) {
				t.Error(err)
			}
			if err := (Self{}).Allows(c.id); err != nil {
				t.Errorf("a spoke that runs nowhere: %v", err)
			}
		})
	}
}

func TestSelfAllowsBinding(t *testing.T) {
	for name, c := range map[string]struct {
		subjects string
		allowed  bool
	}{
		"the_account": {"[{kind: ServiceAccount, name: nave-spoke, namespace: nave-system}]", false},
		"among_others": {"[{kind: User, name: x}, {kind: ServiceAccount, name: nave-spoke, namespace: " +
			"nave-system}]", false},
		"as_user":              {"[{kind: User, name: 'system:serviceaccount:nave-system:nave-spoke'}]", false},
		"all_of_the_namespace": {"[{kind: Group, name: 'system:serviceaccounts:nave-system'}]", false},
		"another_account":      {"[{kind: ServiceAccount, name: deployer, namespace: nave-system}]", true},
		"another_namespace":    {"[{kind: ServiceAccount, name: nave-spoke, namespace: shop}]", true},
		"without_namespace":    {"[{kind: ServiceAccount, name: nave-spoke}]", true}, // which is the binding's
		"everybody":            {"[{kind: Group, name: 'system:authenticated'}]", true},
		"nobody":               {"[]", true},
		"no_list":              {"text", true},
		"odd_entries":          {"[text, 1, null, {kind: 1}]", true},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := manifest.Parse([]byte("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: " +
				"{name: b, namespace: shop}\nsubjects: " + c.subjects))
			if err != nil {
				t.Fatal(err)
			}
			if err := spokeSelf.AllowsBinding(objects[0]); errors.Is(err, ErrSelf) == c.allowed {
				t.Error(err)
			}
		})
	}
}
