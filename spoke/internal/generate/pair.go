package generate

import (
	"crypto/tls"
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/sealed"
)

// maxHalves is how many certificates and keys are compared for one recipe.
const maxHalves = 8

// take notes a value that the cluster has, unless another one was found before. If objects have a certificate and its
// key, both are taken together: from wherever they are, and only if they fit each other. held says that an object has
// the value.
func (s *Search) take(p sealed.Placeholder, value string, held bool) {
	r := s.recipes[s.by[p]]
	cert, key := sealed.Placeholder(r.Placeholder), sealed.Placeholder(r.Key)
	switch _, found := s.found[p]; {
	case found:
	case r.Key == "" || !s.used[cert] || !s.used[key]:
		s.found[p], s.held[p] = value, held
	case len(s.halves[p]) < maxHalves && !slices.Contains(s.halves[p], value):
		s.halves[p] = append(s.halves[p], value)
		s.pair(cert, key, held)
	}
}

// pair finds the first certificate with a key that fits it.
func (s *Search) pair(cert, key sealed.Placeholder, held bool) {
	for _, c := range s.halves[cert] {
		for _, k := range s.halves[key] {
			if isKeyOf(k, c) {
				s.found[cert], s.found[key], s.held[cert], s.held[key] = c, k, held, held
				return
			}
		}
	}
}

// isKeyOf reports whether a private key is that of a certificate. Both may be indented, as in a file of YAML.
func isKeyOf(key, cert string) bool {
	_, err := tls.X509KeyPair([]byte(outdent(cert)), []byte(outdent(key)))
	return err == nil
}

func outdent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
