package inventory

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Label is the label that the spoke puts on every object that it applies. Its value names the Application, see LabelOf.
// The watches select by it, and together with the field manager it proves on a live object whose the object is.
const Label = "fleet.nave.io/application"

const (
	maxLabel  = 63 // characters of a label's value in Kubernetes
	labelHash = 32 // hexadecimal digits: 128 bits
)

// LabelOf returns the value of Label for an Application: Kind.namespace.name, which no other Application has, since
// neither a kind nor a namespace holds a dot. What is too long for a label, or holds what a label must not, is cut and
// ends in "_" and a hash of the whole name; no name in Kubernetes holds "_", so that the two forms never meet.
func LabelOf(app bundle.ApplicationName) string {
	plain := app.Kind + "." + app.Namespace + "." + app.Name
	if len(plain) <= maxLabel && isLabel(plain) && !strings.Contains(app.Kind+app.Namespace, ".") {
		return plain
	}
	sum := sha256.Sum256([]byte(app.Key()))
	cut := strings.TrimLeft(strings.Map(labelled, plain), ".-")
	return cmp.Or(cut[:min(len(cut), maxLabel-labelHash-1)], "app") + "_" + hex.EncodeToString(sum[:labelHash/2])
}

// isLabel reports whether s can be a label's value, and holds no "_".
func isLabel(s string) bool {
	return strings.Map(labelled, s) == s && alphanumeric(s[0]) && alphanumeric(s[len(s)-1])
}

// labelled keeps the characters that plain values are made of, and puts "-" for any other.
func labelled(r rune) rune {
	if r < 0x80 && alphanumeric(byte(r)) || r == '.' || r == '-' {
		return r
	}
	return '-'
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// Proves reports whether a live object proves that this spoke applied it for the Application: our field manager owns
// fields of it, and its Label names the Application. An object without Label must be the recorded one.
func (i Item) Proves(l kube.Live, app bundle.ApplicationName) bool {
	if l.Managed.IsZero() {
		return false
	}
	if value := l.Labels[Label]; value != "" {
		return value == LabelOf(app)
	}
	return i.UID != "" && i.UID == l.UID
}

// LacksLabel reports whether the object was applied by a spoke that did not put Label on, so that no watch shows it. It
// must be sent again.
func (i Item) LacksLabel() bool {
	return !i.Labelled && !i.Managed.IsZero() && (i.Mode == Override || i.Mode == Merge)
}
