package inventory

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Label is the label that the spoke puts on every object that it applies. Its value names the Application, see LabelOf.
// The watches select by Label; together with the field manager it proves which Application a live object belongs to.
const Label = "fleet.nave.io/application"

const labelHash = 32 // hexadecimal digits: 128 bits

// LabelOf returns the value of Label for an Application: Kind.namespace.name, which no other Application has, because
// neither a kind nor a namespace holds a dot. A name that is too long for a label, or holds a character that labels
// must not have, is cut and ends in "_" and a hash of the whole name. No name in Kubernetes holds "_", so that a cut
// name equals no other.
func LabelOf(app bundle.ApplicationName) string {
	plain := app.Kind + "." + app.Namespace + "." + app.Name
	whole := strings.Map(labelled, plain) == plain && strings.Trim(plain, ".-") == plain
	if whole && len(plain) <= validation.LabelValueMaxLength && !strings.Contains(app.Kind+app.Namespace, ".") {
		return plain
	}
	sum := sha256.Sum256([]byte(app.Key()))
	cut := strings.TrimLeft(strings.Map(labelled, plain), ".-")
	cut = cut[:min(len(cut), validation.LabelValueMaxLength-labelHash-1)]
	return cmp.Or(cut, "app") + "_" + hex.EncodeToString(sum[:labelHash/2])
}

// labelled returns a character of plain values, and "-" for any other, "_" among them.
func labelled(r rune) rune {
	if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '-' {
		return r
	}
	return '-'
}

// Proves reports whether a live object shows that this spoke applied it for the Application: our field manager owns
// fields, and Label names the Application. An object without Label must have the recorded UID.
func (i Item) Proves(l kube.Live, app bundle.ApplicationName) bool {
	if l.Managed.IsZero() {
		return false
	}
	if value := l.Labels[Label]; value != "" {
		return value == LabelOf(app)
	}
	return i.UID != "" && i.UID == l.UID
}

// LacksLabel reports whether the object was applied by a spoke that put no Label on objects, so that no watch shows the
// object. Such an object must be sent again.
func (i Item) LacksLabel() bool {
	return !i.Labelled && !i.Managed.IsZero() && (i.Mode == Override || i.Mode == Merge)
}
