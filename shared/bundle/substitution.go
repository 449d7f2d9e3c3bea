package bundle

import (
	"fmt"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/sealed"
)

// Substitution is what a post-build substitution leaves to the spoke: texts whose variables the hub cannot read, and
// references in decrypted values.
type Substitution struct {
	Strict      bool              `json:"strict,omitempty"` // a variable that is neither set nor has a default is an error
	Sources     []VariableSource  `json:"sources,omitempty"`
	Inline      map[string]string `json:"inline,omitempty"` // beats all sources
	Expressions []Expression      `json:"expressions,omitempty"`
}

// VariableSource is a ConfigMap or Secret whose data are variables. A later source beats an earlier one.
type VariableSource struct {
	Kind      string            `json:"kind"` // ConfigMap or Secret
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Optional  bool              `json:"optional,omitempty"` // it may be missing
	Live      bool              `json:"live,omitempty"`     // the spoke reads it from the cluster; then it has no Values
	Values    map[string]string `json:"values,omitempty"`
}

// Identity returns the identity of the object.
func (s VariableSource) Identity() ObjectIdentity {
	return ObjectIdentity{Version: "v1", Kind: s.Kind, Namespace: s.Namespace, Name: s.Name}
}

// Expression is the text of a field that stands in the objects as a placeholder. It may hold placeholders of sealed
// values.
type Expression struct {
	Placeholder string `json:"placeholder"`
	Text        string `json:"text"`
}

// Live returns the sources that the spoke reads from the cluster.
func (s *Substitution) Live() (live []VariableSource) {
	if s == nil {
		return nil
	}
	for _, source := range s.Sources {
		if source.Live {
			live = append(live, source)
		}
	}
	return live
}

func (s *Substitution) message() *bundlev1.Substitution {
	if s == nil {
		return nil
	}
	m := &bundlev1.Substitution{Strict: s.Strict, Inline: s.Inline}
	for _, source := range s.Sources {
		m.Sources = append(m.Sources, &bundlev1.VariableSource{
			Kind: source.Kind, Namespace: source.Namespace, Name: source.Name, Optional: source.Optional, Live: source.Live,
			Values: source.Values,
		})
	}
	for _, e := range s.Expressions {
		m.Expressions = append(m.Expressions, &bundlev1.Expression{Placeholder: e.Placeholder, Text: e.Text})
	}
	return m
}

func substitutionOf(m *bundlev1.Substitution) *Substitution {
	if m == nil {
		return nil
	}
	s := &Substitution{Strict: m.GetStrict(), Inline: m.GetInline()}
	for _, source := range m.GetSources() {
		s.Sources = append(s.Sources, VariableSource{
			Kind: source.GetKind(), Namespace: source.GetNamespace(), Name: source.GetName(), Optional: source.GetOptional(),
			Live: source.GetLive(), Values: source.GetValues(),
		})
	}
	for _, e := range m.GetExpressions() {
		s.Expressions = append(s.Expressions, Expression{e.GetPlaceholder(), e.GetText()})
	}
	return s
}

// checkSubstitution returns an error unless the sources are of the application's namespace and each placeholder stands
// for one text. A source of another namespace would be read with the rights of this application's account.
func (a *Application) checkSubstitution() error {
	if a.Substitution == nil {
		return nil
	}
	for i, s := range a.Substitution.Sources {
		switch {
		case s.Kind != "ConfigMap" && s.Kind != "Secret" || s.Name == "":
			return fmt.Errorf("substitution: source %d: want the name of a ConfigMap or Secret", i)
		case s.Namespace != a.Name.Namespace:
			return fmt.Errorf("substitution: %s %s/%s: not of namespace %s", s.Kind, s.Namespace, s.Name, a.Name.Namespace)
		case s.Live && len(s.Values) > 0:
			return fmt.Errorf("substitution: %s %s/%s: live, but there are values", s.Kind, s.Namespace, s.Name)
		}
	}
	seen := map[string]bool{}
	for _, f := range a.SealedFiles {
		for _, v := range f.Values {
			seen[v.Placeholder] = true
		}
	}
	for _, e := range a.Substitution.Expressions {
		if !sealed.Placeholder(e.Placeholder).Valid() {
			return fmt.Errorf("substitution: placeholder %q is malformed", e.Placeholder)
		}
		if seen[e.Placeholder] {
			return fmt.Errorf("substitution: placeholder %s: listed twice", e.Placeholder)
		}
		seen[e.Placeholder] = true
	}
	return nil
}
