package generate

import (
	"context"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

// dropUnfit drops values of the cluster that their recipes cannot have made any more, so that they are made anew: the
// hash of a password that was rotated, a certificate without a name that it needs now, a text where a key belongs. What
// somebody put there by hand in place of them stays.
func (s *Search) dropUnfit(ctx context.Context) error {
	for _, r := range s.recipes {
		value, found := s.found[sealed.Placeholder(r.Placeholder)]
		if !found || s.fits(r, value) {
			continue
		}
		for _, p := range r.Placeholders() {
			if value, found := s.found[sealed.Placeholder(p)]; found {
				s.unused = append(s.unused, value)
				delete(s.found, sealed.Placeholder(p))
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// fits reports whether a value may stay as that of a recipe.
func (s *Search) fits(r bundle.Recipe, value string) bool {
	args, err := r.Read(func(text string) (string, error) { return s.filled(text), nil })
	if err != nil {
		return true
	}
	isKnown := len(r.Needs()) > 0 && s.inObjects(r)
	switch function := r.Function; {
	case isKey(function) && !strings.HasPrefix(strings.TrimSpace(value), "-----BEGIN "):
		return false
	case strings.Contains(function, "SignedCert"):
		return hasNames(args, value)
	case function == "bcrypt":
		return isHash(value) && (!isKnown || isHashOf(value, args[0].(string)))
	case function == "htpasswd":
		user, hash, _ := strings.Cut(value, ":")
		return isHash(hash) && (!isKnown || isHashOf(hash, args[1].(string)) &&
			(user == args[0].(string) || !strings.HasPrefix(hash, bcryptPrefix)))
	case isKnown && !isKey(function):
		derived, err := derive(function, args)
		return err != nil || derived == value
	}
	return true
}

// filled returns a text with the values that were found. A placeholder without a value stays.
func (s *Search) filled(text string) string {
	for _, p := range sealed.Find(text) {
		if value, found := s.found[p]; found {
			text = strings.ReplaceAll(text, string(p), value)
		}
	}
	return text
}

// inObjects reports whether all values that a recipe needs were found in objects. The notes of a record may have one
// that was rotated in a form that only its hash has.
func (s *Search) inObjects(r bundle.Recipe) bool {
	for _, p := range r.Needs() {
		if !s.held[p] {
			return false
		}
	}
	return true
}

// isHash reports whether a text looks like the hash of a password, such as "$2a$10$…" or "{SHA}…".
func isHash(text string) bool { return strings.HasPrefix(text, "$") || strings.HasPrefix(text, "{") }

// bcryptPrefix begins the hashes of bcrypt.
const bcryptPrefix = "$2"

// isHashOf reports whether a hash is that of a password. A hash of another kind counts as such: somebody chose it.
func isHashOf(hash, password string) bool {
	return !strings.HasPrefix(hash, bcryptPrefix) || bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// hasNames reports whether a certificate has the names and addresses that the arguments of its recipe ask for. One that
// neither itself nor the authority of the recipe signed was put there by hand, and needs none.
func hasNames(args []any, value string) bool {
	c := certificateIn(value)
	parent := c
	if len(args) > 4 {
		if authority, is := args[4].(bundle.Certificate); is {
			parent = certificateIn(authority.Cert)
		}
	}
	if c == nil || parent == nil ||
		parent.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
		return true
	}
	for _, address := range args[1].([]string) {
		wanted := net.ParseIP(address)
		if len(sealed.Find(address)) == 0 && !slices.ContainsFunc(c.IPAddresses, wanted.Equal) {
			return false
		}
	}
	for _, name := range args[2].([]string) {
		if len(sealed.Find(name)) == 0 && !slices.Contains(c.DNSNames, name) && c.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}
