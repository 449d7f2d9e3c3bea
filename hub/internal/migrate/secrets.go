package migrate

import (
	"cmp"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// secrets returns the Secrets that the hub needs for the sources of the roots and for those of the walk. Which entries
// a Secret has is not asked: the report says which ones the source looks for.
func (c *comparison) secrets() (all []Secret) {
	rooted := map[manifest.ID]bool{}
	for _, root := range c.Flux.Roots() {
		source := c.Flux.sourceOf(root)
		if source == nil || rooted[manifest.IDOf(source)] {
			continue
		}
		rooted[manifest.IDOf(source)] = true
		if o, err := api.Admit(asNew(source), api.Hub); err == nil {
			all = addSecrets(all, o, false)
		}
	}
	for key, n := range c.Walk.Nodes {
		if key.Role() == api.SourceRole && n.AliasOf == nil && n.Object != nil {
			all = addSecrets(all, n.Object, true)
		}
	}
	slices.SortFunc(all, func(a, b Secret) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Entries, b.Entries))
	})
	return all
}

// addSecrets adds the Secrets that a source names.
func addSecrets(all []Secret, o *api.Object, bound bool) []Secret {
	source, err := o.Source()
	if err != nil {
		return all
	}
	for _, ref := range source.Secrets {
		s := Secret{Name: ref.Name, Namespace: o.Key.Namespace, Entries: entries(o.Key, source.URL, ref.Field),
			For: []string{ref.Field + " of " + o.Key.Local()}, Bound: bound}
		at := slices.IndexFunc(all, func(other Secret) bool {
			return other.Name == s.Name && other.Namespace == s.Namespace && other.Entries == s.Entries
		})
		if at < 0 {
			all = append(all, s)
			continue
		}
		all[at].For = append(all[at].For, s.For...)
		slices.Sort(all[at].For)
		all[at].Bound = all[at].Bound || bound
	}
	return all
}

// entries returns the entries that a source looks for in the Secret of a field.
func entries(key api.Key, url, field string) string {
	switch {
	case strings.HasSuffix(field, "proxySecretRef"):
		return "address, username and password of the proxy"
	case strings.HasSuffix(field, "certSecretRef"):
		return "ca.crt; tls.crt and tls.key"
	case strings.Contains(field, "verify"):
		return "public keys for signatures"
	case strings.HasPrefix(url, "ssh:"):
		return "identity and known_hosts (SSH); password if the key has one"
	}
	kind, _ := api.KindByName(key.Kind)
	return cmp.Or(kind.Credentials, "as for Flux")
}
