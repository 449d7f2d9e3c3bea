package api

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/apis/acl"
)

// ErrNotShared is the error for a source of another namespace that an object may not read.
var ErrNotShared = errors.New("no access")

// nameLabel is the label that Kubernetes sets on each namespace.
const nameLabel = "kubernetes.io/metadata.name"

// Sharing says which namespaces may read a source, beside its own.
type Sharing struct {
	All        bool
	Namespaces []string
	// Labels: namespaces are selected by labels that the hub does not know, too.
	Labels bool
}

// sharingOf reads spec.accessFrom. Of the labels of a namespace the hub knows only its name, which Kubernetes sets. So
// a selector with another label selects no namespace.
func sharingOf(from *acl.AccessFrom) *Sharing {
	s := &Sharing{}
	if from == nil {
		return s
	}
	for _, selector := range from.NamespaceSelectors {
		switch name, named := selector.MatchLabels[nameLabel]; {
		case len(selector.MatchLabels) == 0:
			s.All = true
		case named && len(selector.MatchLabels) == 1:
			s.Namespaces = append(s.Namespaces, name)
		default:
			s.Labels = true
		}
	}
	return s
}

// allow returns ErrNotShared if objects of a namespace may not read the source.
func (s *Sharing) allow(namespace string, source Key) error {
	if s == nil || s.All || namespace == source.Namespace || slices.Contains(s.Namespaces, namespace) {
		return nil
	}
	known := ""
	if s.Labels {
		known = ", of whose labels the hub knows only " + nameLabel
	}
	return fmt.Errorf("%w to %s from namespace %s: its spec.accessFrom.namespaceSelectors do not select the namespace%s",
		ErrNotShared, source.Local(), namespace, known)
}
