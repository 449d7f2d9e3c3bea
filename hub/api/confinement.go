package api

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The annotations that let the objects of a renderable with a service account use further namespaces and accounts. A
// value is a list of names with commas between them; * means every name. A name that the renderable itself may not use
// is ignored, so a renderable cannot extend its own rights.
const (
	AllowNamespaces      = GroupFleet + "/allow-namespaces"
	AllowServiceAccounts = GroupFleet + "/allow-service-accounts"
)

// everyName in an annotation allows all names.
const everyName = "*"

// Confinement limits the objects that a renderable with a service account renders: they run with the account and stay
// in its namespace, unless an operator allows more. A nil *Confinement has no limits: it is that of the operators'
// objects.
type Confinement struct {
	By         Key          `json:"by"`                   // the renderable
	Namespace  string       `json:"namespace"`            // of the renderable and of the account
	Account    string       `json:"account"`              // the service account
	Namespaces []string     `json:"namespaces,omitempty"` // further namespaces that are allowed
	Accounts   []string     `json:"accounts,omitempty"`   // further service accounts that are allowed
	Outer      *Confinement `json:"outer,omitempty"`      // the Confinement of By itself
}

// Same reports whether two Confinements are of the same account, or both nil.
func (c *Confinement) Same(other *Confinement) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.Namespace == other.Namespace && c.Account == other.Account
}

// Covers reports whether c limits all objects that inner limits: c is inner, or one of its outer Confinements.
func (c *Confinement) Covers(inner *Confinement) bool {
	for ; inner != nil; inner = inner.Outer {
		if c.Same(inner) {
			return true
		}
	}
	return c == nil
}

// Equal reports whether two Confinements are equal in all fields.
func (c *Confinement) Equal(other *Confinement) bool { return reflect.DeepEqual(c, other) }

// Outside returns the Confinement that limits a renderable itself. If the renderable was rendered from its own tree, c
// is of the renderable's own account, and Outside skips it.
func (c *Confinement) Outside(key Key) *Confinement {
	for c != nil && c.By == key {
		c = c.Outer
	}
	return c
}

// Tighter returns the inner one of two Confinements. If neither is inside the other, Tighter returns other.
func (c *Confinement) Tighter(other *Confinement) *Confinement {
	if other.Covers(c) {
		return c
	}
	return other
}

// AccountOf returns the service account of a renderable that c limits: its own, or else the one of c. If c is nil and
// the renderable names none, AccountOf returns "".
func (c *Confinement) AccountOf(r *Renderable) string {
	if r.ServiceAccount != "" || c == nil {
		return r.ServiceAccount
	}
	return c.Account
}

// Inside returns the Confinement of the objects that a renderable renders, if c limits the renderable itself. If both
// have the same account in the same namespace, Inside returns c.
func (c *Confinement) Inside(key Key, r *Renderable) *Confinement {
	account := c.AccountOf(r)
	if account == "" || c != nil && account == c.Account && key.Namespace == c.Namespace {
		return c
	}
	return &Confinement{
		By: key, Namespace: key.Namespace, Account: account, Outer: c,
		Namespaces: only(r.allowNamespaces, c.reaches),
		Accounts:   only(r.allowAccounts, c.lends),
	}
}

// only returns the names of the list that are allowed.
func only(list []string, allowed func(string) bool) (kept []string) {
	for _, name := range list {
		if allowed(name) {
			kept = append(kept, name)
		}
	}
	return kept
}

// Check returns an error if c does not allow the object. If the object is a renderable that could be read, r is its
// view, else nil. The error names the object, each field, the renderable that confines it and the solution.
func (c *Confinement) Check(key Key, r *Renderable) error {
	if c == nil {
		return nil
	}
	switch kind := byName[key.Kind]; {
	case key.Namespace == "" && kind.Namespaced:
		return fmt.Errorf("%s is refused: metadata.namespace is missing; %s: set it to %q", key.Local(), c.rule(),
			c.Namespace)
	case key.Namespace == "":
		return fmt.Errorf("%s is refused: %s; objects of the hub are for operators", key.Local(), c.rule())
	}
	var errs []error
	if !c.reaches(key.Namespace) {
		errs = append(errs, c.refuseNamespace("its namespace", key.Namespace))
	}
	if r != nil {
		errs = append(errs, c.checkAccounts(r)...)
		for _, n := range r.Namespaces {
			if !c.reaches(n.Namespace) {
				errs = append(errs, c.refuseNamespace(n.Field, n.Namespace))
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%s is refused: %w", key.Local(), errors.Join(errs...))
}

// checkAccounts checks the accounts that a renderable names.
func (c *Confinement) checkAccounts(r *Renderable) (errs []error) {
	refuse := func(at, name string) {
		if !c.lends(name) {
			errs = append(errs, fmt.Errorf("%s %q is not allowed: %s; remove it, or let an operator add it to "+
				"the annotation %s of %s", at, name, c.rule(), AllowServiceAccounts, c.By.Local()))
		}
	}
	refuse("spec.serviceAccountName", c.AccountOf(r))
	for _, name := range r.allowAccounts {
		refuse("annotation "+AllowServiceAccounts, name)
	}
	return errs
}

func (c *Confinement) refuseNamespace(at, namespace string) error {
	return fmt.Errorf("%s %q is not allowed: %s; use %q, or let an operator add it to the annotation %s of %s",
		at, namespace, c.rule(), c.Namespace, AllowNamespaces, c.By.Local())
}

// mayWrite returns an error if c does not allow a source to push with the credentials of another one: that one must be
// in the same graph, and in a namespace that the objects of c may use.
func (c *Confinement) mayWrite(source, to Key) error {
	switch {
	case c == nil:
		return nil
	case to.Cluster != source.Cluster:
		return fmt.Errorf("%w: %s of the hub is not allowed: %s; only operators' objects push with the credentials of the "+
			"hub's sources: use a source of the same cluster", ErrNotShared, to.Local(), c.rule())
	case !c.reaches(to.Namespace):
		return fmt.Errorf("%w: %w", ErrNotShared, c.refuseNamespace("the namespace", to.Namespace))
	}
	return nil
}

// rule returns the part of a message that names the limits of c.
func (c *Confinement) rule() string {
	return fmt.Sprintf("what %s renders runs with its service account %q in namespace %q",
		c.By.Local(), c.Account, c.Namespace)
}

// reaches reports whether the objects may be in a namespace, and refer to it.
func (c *Confinement) reaches(namespace string) bool {
	return c == nil || namespace == c.Namespace || permits(c.Namespaces, namespace)
}

// lends reports whether a renderable among the objects may name a service account.
func (c *Confinement) lends(account string) bool {
	return c == nil || account == c.Account || permits(c.Accounts, account)
}

// permits reports whether a list of an annotation has the name, or *.
func permits(list []string, name string) bool {
	return slices.Contains(list, name) || slices.Contains(list, everyName)
}

// names returns the names of the list in an annotation.
func names(value string) (list []string) {
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, name)
		}
	}
	return list
}

// checkNames checks the list in an annotation.
func checkNames(value string, at *field.Path, valid func(string) []string) (errs field.ErrorList) {
	list := names(value)
	if len(list) == 0 {
		errs = append(errs, field.Required(at, "want names with commas between them"))
	}
	for _, name := range list {
		errs = append(errs, optional(name, at, valid)...)
	}
	return errs
}

// checkAllowed checks the annotations AllowNamespaces and AllowServiceAccounts of a renderable.
func checkAllowed(annotations map[string]string, serviceAccount string) (errs field.ErrorList) {
	for name, valid := range map[string]func(string) []string{
		AllowNamespaces: validation.IsDNS1123Label, AllowServiceAccounts: validation.IsDNS1123Subdomain,
	} {
		if _, set := annotations[name]; !set {
			continue
		}
		at := field.NewPath("metadata", "annotations").Key(name)
		if serviceAccount == "" {
			errs = append(errs, field.Forbidden(at,
				"it widens what spec.serviceAccountName confines: set that, too, or remove this"))
		}
		errs = append(errs, checkNames(annotations[name], at, func(n string) []string {
			if n == everyName {
				return nil
			}
			return valid(n)
		})...)
	}
	return errs
}
