package trust

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Account is the name that deploy/spoke gives to the spoke's ServiceAccount, ClusterRole and ClusterRoleBinding.
const Account = "nave-spoke"

// crdSuffix ends the names of the CustomResourceDefinitions of Nave's own kinds.
const crdSuffix = ".fleet.nave.io"

// ErrSelf means that an object belongs to the spoke itself.
var ErrSelf = errors.New("it belongs to the spoke itself, which no bundle changes")

// Self protects the spoke's own objects. No bundle applies, adopts or deletes an object that Self refuses, with or
// without a policy file. A bundle upgrades the spoke by Bundle.SpokeImage, and by no Application.
type Self struct {
	Namespace string // where the spoke runs; empty: nothing is refused
}

// Allows returns nil, or ErrSelf with the reason, for an object by its name. Kinds are compared in any group and names
// in any case, because aggregated API servers serve the same objects under other groups.
func (s Self) Allows(o bundle.ObjectIdentity) error {
	switch {
	case s.Namespace == "":
		return nil
	case strings.EqualFold(o.Namespace, s.Namespace):
		return refuse(o.ID(), ErrSelf, "its namespace is the spoke's own; move the object to another one")
	case o.Namespace != "":
		return nil
	}
	switch strings.ToLower(o.Kind) {
	case "namespace", "project", "projectrequest": // the last two are OpenShift's
		if strings.EqualFold(o.Name, s.Namespace) {
			return refuse(o.ID(), ErrSelf, "the spoke runs in this namespace; take it out of Git")
		}
	case "clusterrole", "clusterrolebinding":
		if strings.EqualFold(o.Name, Account) {
			return refuse(o.ID(), ErrSelf, "it gives the spoke its rights; give the object another name")
		}
	case "customresourcedefinition":
		if strings.HasSuffix(strings.ToLower(o.Name), crdSuffix) {
			return refuse(o.ID(), ErrSelf, "it defines a kind of Nave; take it out of Git")
		}
	}
	return nil
}

// IsBinding reports whether an object binds rights to subjects, so that AllowsBinding must be asked about its content.
func IsBinding(o bundle.ObjectIdentity) bool {
	return strings.EqualFold(o.Kind, "RoleBinding") || strings.EqualFold(o.Kind, "ClusterRoleBinding")
}

// AllowsBinding returns nil, or ErrSelf if the binding gives rights to the spoke's service account: by its name, as a
// user, or as all service accounts of its namespace.
func (s Self) AllowsBinding(o *manifest.Object) error {
	if s.Namespace == "" || o == nil {
		return nil
	}
	subjects, _ := o.Object["subjects"].([]any)
	if !slices.ContainsFunc(subjects, func(subject any) bool { return s.isSubject(subject, o.GetNamespace()) }) {
		return nil
	}
	return refuse(manifest.IDOf(o), ErrSelf,
		fmt.Sprintf("it binds ServiceAccount %s/%s; bind another account", s.Namespace, Account))
}

func (s Self) isSubject(subject any, namespace string) bool {
	m, _ := subject.(map[string]any)
	field := func(key string) string { text, _ := m[key].(string); return text }
	if in := field("namespace"); in != "" {
		namespace = in
	}
	switch strings.ToLower(field("kind")) {
	case "serviceaccount":
		return namespace == s.Namespace && field("name") == Account
	case "user", "systemuser":
		return field("name") == "system:serviceaccount:"+s.Namespace+":"+Account
	case "group", "systemgroup":
		return field("name") == "system:serviceaccounts:"+s.Namespace
	}
	return false
}
