package api

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ExternalArtifactKind is the kind of ExternalArtifacts.
const ExternalArtifactKind = "ExternalArtifact"

func init() {
	Register(Kind{
		Name: ExternalArtifactKind, Plural: "externalartifacts", Short: "ea", Group: GroupSource, Version: "v1",
		Namespaced: true, Words: []string{"source external"}, Role: SourceRole,
		Check: checked(checkExternalArtifact), View: viewed(sourceOfExternalArtifact),
		Missing: "ArtifactGenerators make ExternalArtifacts: name it in spec.artifacts of one",
	})
}

// ExternalArtifact is Flux's kind. In Nave an ArtifactGenerator makes the artifact, and writes its composition here.
type ExternalArtifact struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ExternalArtifactSpec `json:"spec"`
}

// ExternalArtifactSpec is the spec of an ExternalArtifact.
type ExternalArtifactSpec struct {
	SourceRef   *ArtifactMaker       `json:"sourceRef,omitempty"`
	Composition *ArtifactComposition `json:"composition,omitempty"`
}

// ArtifactMaker is the object that an ExternalArtifact comes from.
type ArtifactMaker struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
}

// ArtifactComposition lists the sources and the copies of an artifact. It is Nave's own field.
type ArtifactComposition struct {
	Sources        []GeneratorSource `json:"sources"`
	Copy           []GeneratorCopy   `json:"copy"`
	Revision       string            `json:"revision,omitempty"`
	OriginRevision string            `json:"originRevision,omitempty"`
}

// checkExternalArtifact refuses an artifact without a composition, because no controller makes it. Otherwise it repeats
// the checks of the generator, because users can write ExternalArtifacts, too.
func checkExternalArtifact(e *ExternalArtifact) field.ErrorList {
	at := specPath().Child("composition")
	c := e.Spec.Composition
	if c == nil {
		return field.ErrorList{field.Forbidden(specPath(), "nothing makes this artifact: Nave runs no controllers of "+
			"others; let an ArtifactGenerator make it (spec.artifacts) and remove this object")}
	}
	check := generatorCheck{aliases: map[string]bool{}, names: map[string]bool{}, captures: map[string]bool{}}
	check.sources(c.Sources, at.Child("sources"))
	check.artifact(GeneratedArtifact{
		Name: e.Name, Copy: c.Copy, Revision: c.Revision, OriginRevision: c.OriginRevision,
	}, at)
	return check.errs
}

// sourceOfExternalArtifact returns the view of an ExternalArtifact.
func sourceOfExternalArtifact(e *ExternalArtifact) *Source {
	s := &Source{Interval: time.Hour, Identity: "composed"}
	c := e.Spec.Composition
	s.Composition.Revision = strings.TrimPrefix(c.Revision, "@")
	s.Composition.Origin = strings.TrimPrefix(c.OriginRevision, "@")
	for _, from := range c.Sources {
		key := Key{Kind: from.Kind, Namespace: cmp.Or(from.Namespace, e.Namespace), Name: from.Name}
		s.Inputs = append(s.Inputs, SourceInput{Field: "source @" + from.Alias, Key: key})
		s.Composition.Aliases = append(s.Composition.Aliases, from.Alias)
	}
	for i, copied := range c.Copy {
		alias, from, _ := strings.Cut(strings.TrimPrefix(copied.From, "@"), "/")
		s.Composition.Copies = append(s.Composition.Copies, Copy{
			Field:  fmt.Sprintf("copy[%d] from %s", i, copied.From),
			Source: alias, From: from, To: strings.TrimPrefix(copied.To, artifactRoot),
			Exclude: copied.Exclude, Strategy: copied.Strategy, Optional: copied.Optional,
		})
	}
	return s
}
