package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// ArtifactGeneratorKind is the kind of ArtifactGenerators.
const ArtifactGeneratorKind = "ArtifactGenerator"

// An ArtifactGenerator renders only to ExternalArtifacts, which have the Compositions of the artifacts.
func init() {
	Register(Kind{
		Name: ArtifactGeneratorKind, Plural: "artifactgenerators", Short: "ag", Group: groupExtensions, Version: "v1beta1",
		Namespaced: true, Words: []string{"artifact generator"}, Role: RenderableRole,
		Default: defaultArtifactGenerator, Required: map[string]string{"sources": "", "artifacts": ""},
		Refused: map[string]string{
			"serviceAccountName": "the artifacts are objects of the hub, and no account of a cluster makes them: remove it",
			"managedNamespaces": "namespaces are not made by generators: remove it, and give the Namespaces to the " +
				"Kustomization that uses the artifact",
		},
		Check: checked(checkArtifactGenerator), View: viewed(renderableOfGenerator), Columns: generatorColumns(),
	})
}

func generatorColumns() []Column {
	return []Column{nameColumn, {Name: "REVISION", Value: revisionOf}, suspendedColumn, readyColumn, messageColumn}
}

// ArtifactGenerator is Flux's kind with the fields of its versions 2.2 and 2.3.
type ArtifactGenerator struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec GeneratorSpec `json:"spec"`
}

// GeneratorSpec is the spec of an ArtifactGenerator.
type GeneratorSpec struct {
	// Suspend is set if the object has the annotation source.extensions.fluxcd.io/reconcile: disabled.
	Suspend        bool                        `json:"suspend,omitempty"`
	CommonMetadata *kustomizev1.CommonMetadata `json:"commonMetadata,omitempty"`
	Sources        []GeneratorSource           `json:"sources"`
	// PathPattern is @alias/path, with {captures}. Each matching folder gets its own set of the artifacts.
	PathPattern string              `json:"pathPattern,omitempty"`
	Artifacts   []GeneratedArtifact `json:"artifacts"`
}

// GeneratorSource is a source under an alias.
type GeneratorSource struct {
	Alias     string `json:"alias"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// GeneratedArtifact is one ExternalArtifact that a generator makes.
type GeneratedArtifact struct {
	Name           string          `json:"name"`
	Revision       string          `json:"revision,omitempty"`       // @alias
	OriginRevision string          `json:"originRevision,omitempty"` // @alias
	Copy           []GeneratorCopy `json:"copy"`
	Namespace      string          `json:"namespace,omitempty"`  // refused
	InputsFrom     string          `json:"inputsFrom,omitempty"` // refused
}

// GeneratorCopy copies files of a source into an artifact.
type GeneratorCopy struct {
	From     string   `json:"from"` // @alias/glob
	To       string   `json:"to"`   // @artifact/path
	Exclude  []string `json:"exclude,omitempty"`
	Strategy string   `json:"strategy,omitempty"`
	Optional bool     `json:"optional,omitempty"`
}

// artifactRoot is the prefix of the destination of a copy.
const artifactRoot = "@artifact/"

// reconcileAnnotation suspends a generator if its value is disabled, in upper or lower case.
const reconcileAnnotation = groupExtensions + "/reconcile"

// defaultArtifactGenerator sets spec.suspend of a generator whose reconcileAnnotation is disabled.
func defaultArtifactGenerator(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if ok && strings.EqualFold(o.GetAnnotations()[reconcileAnnotation], "disabled") {
		spec["suspend"] = true
	}
}

// Limits of a generator, beside those of Flux.
const (
	maxOutputs      = 1000
	maxExcludes     = 100
	maxAlternatives = 64  // patterns that the braces of one pattern stand for: each path is matched with each
	maxExcluded     = 256 // the same, of all patterns in exclude of one copy
)

var aliasPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$`)

func checkArtifactGenerator(g *ArtifactGenerator) field.ErrorList {
	spec := specPath()
	c := generatorCheck{aliases: map[string]bool{}, names: map[string]bool{}, captures: map[string]bool{}}
	c.sources(g.Spec.Sources, spec.Child("sources"))
	if m := g.Spec.CommonMetadata; m != nil {
		at := spec.Child("commonMetadata")
		c.errs = append(c.errs, metavalidation.ValidateLabels(m.Labels, at.Child("labels"))...)
		c.errs = append(c.errs, apivalidation.ValidateAnnotations(m.Annotations, at.Child("annotations"))...)
	}
	if p := g.Spec.PathPattern; p != "" {
		c.patterned = true
		pattern := c.below(p, spec.Child("pathPattern"))
		names, err := CapturesOf(pattern)
		if err != nil {
			c.errs = append(c.errs, field.Invalid(spec.Child("pathPattern"), p, err.Error()))
		}
		for _, name := range names {
			if c.captures[name] {
				c.invalid(spec.Child("pathPattern"), p, "{%s} is there twice", name)
			}
			c.captures[name] = true
		}
	}
	if n := len(g.Spec.Artifacts); n == 0 || n > maxOutputs {
		c.errs = append(c.errs, field.Invalid(spec.Child("artifacts"), n, fmt.Sprintf("want 1 to %d artifacts", maxOutputs)))
	}
	for i, a := range g.Spec.Artifacts {
		c.artifact(a, spec.Child("artifacts").Index(i))
	}
	return c.errs
}

// generatorCheck collects the errors of a generator.
type generatorCheck struct {
	errs      field.ErrorList
	aliases   map[string]bool
	names     map[string]bool
	captures  map[string]bool
	patterned bool
}

func (c *generatorCheck) invalid(at *field.Path, value any, format string, args ...any) {
	c.errs = append(c.errs, field.Invalid(at, value, fmt.Sprintf(format, args...)))
}

func (c *generatorCheck) sources(list []GeneratorSource, at *field.Path) {
	if n := len(list); n == 0 || n > maxOutputs {
		c.invalid(at, n, "want 1 to %d sources", maxOutputs)
	}
	for i, s := range list {
		at := at.Index(i)
		switch {
		case !aliasPattern.MatchString(s.Alias) || len(s.Alias) > 63:
			c.invalid(at.Child("alias"), s.Alias, "want small letters, digits, - and _, a letter or digit at both ends")
		case c.aliases[s.Alias]:
			c.errs = append(c.errs, field.Duplicate(at.Child("alias"), s.Alias))
		}
		c.aliases[s.Alias] = true
		ref := kustomizev1.CrossNamespaceSourceReference{Kind: s.Kind, Name: s.Name, Namespace: s.Namespace}
		c.errs = append(c.errs, checkSourceRef(ref, at, HelmChartKind)...)
	}
}

// below checks @alias/path, and returns the path.
func (c *generatorCheck) below(from string, at *field.Path) string {
	alias, path, _ := strings.Cut(strings.TrimPrefix(from, "@"), "/")
	switch {
	case !strings.HasPrefix(from, "@") || !strings.Contains(from, "/"):
		c.invalid(at, from, "want @alias/path, with an alias of spec.sources")
	case !c.aliases[alias]:
		c.invalid(at, from, "there is no source with the alias %s in spec.sources", alias)
	default:
		c.errs = append(c.errs, optional(path, at, badPath)...)
	}
	return path
}

func (c *generatorCheck) artifact(a GeneratedArtifact, at *field.Path) {
	switch {
	case c.patterned:
		c.template(a.Name, at.Child("name"))
	case c.names[a.Name]:
		c.errs = append(c.errs, field.Duplicate(at.Child("name"), a.Name))
	default:
		c.errs = append(c.errs, required(a.Name, at.Child("name"), validation.IsDNS1123Subdomain)...)
	}
	c.names[a.Name] = true
	for name, ref := range map[string]string{"revision": a.Revision, "originRevision": a.OriginRevision} {
		if alias, ok := strings.CutPrefix(ref, "@"); ref != "" && (!ok || !c.aliases[alias]) {
			c.invalid(at.Child(name), ref, "want @alias, with an alias of spec.sources")
		}
	}
	if a.Namespace != "" {
		c.errs = append(c.errs, field.Forbidden(at.Child("namespace"),
			"artifacts are made in the namespace of their generator: remove it, and give each namespace a generator of its own"))
	}
	if a.InputsFrom != "" {
		c.errs = append(c.errs, field.Forbidden(at.Child("inputsFrom"), "exported inputs are not supported: remove it"))
	}
	if len(a.Copy) == 0 {
		c.errs = append(c.errs, field.Required(at.Child("copy"), ""))
	}
	for i, copied := range a.Copy {
		c.copy(copied, at.Child("copy").Index(i))
	}
}

func (c *generatorCheck) copy(copied GeneratorCopy, at *field.Path) {
	c.pattern(c.below(copied.From, at.Child("from")), at.Child("from"))
	to, ok := strings.CutPrefix(copied.To, artifactRoot)
	if !ok {
		c.invalid(at.Child("to"), copied.To, "want %spath", artifactRoot)
	}
	c.errs = append(c.errs, optional(to, at.Child("to"), badPath)...)
	if slices.Contains(strings.Split(to, "/"), "..") || strings.HasPrefix(to, "/") {
		c.invalid(at.Child("to"), copied.To, "want a path below the root of the artifact, without ..")
	}
	c.errs = append(c.errs, oneOf(copied.Strategy, at.Child("strategy"), CopyOverwrite, CopyMerge, CopyExtract)...)
	if c.patterned {
		c.template(copied.From, at.Child("from"))
		c.template(copied.To, at.Child("to"))
	}
	if len(copied.Exclude) > maxExcludes {
		c.errs = append(c.errs, field.TooMany(at.Child("exclude"), len(copied.Exclude), maxExcludes))
	}
	all := 0
	for i, p := range copied.Exclude {
		c.pattern(p, at.Child("exclude").Index(i))
		all += alternatives(p)
	}
	if all > maxExcluded {
		c.invalid(at.Child("exclude"), field.OmitValueType{}, "want patterns whose braces stand for at most %d patterns "+
			"together", maxExcluded)
	}
}

// pattern checks the limits on the cost of matching a pattern.
func (c *generatorCheck) pattern(p string, at *field.Path) {
	if len(p) > 1024 || alternatives(p) > maxAlternatives {
		c.invalid(at, field.OmitValueType{}, "want at most 1024 characters, and braces that stand for at most %d patterns",
			maxAlternatives)
	}
}

// alternatives returns how many patterns without braces a pattern stands for, or more. From some number on it returns
// that number.
func alternatives(p string) int {
	const most = 1 << 20
	all := 1
	var open []int // alternatives in the braces that are open
	for _, r := range p {
		switch last := len(open) - 1; {
		case r == '{':
			open = append(open, 1)
		case r == ',' && last >= 0:
			open[last]++
		case r == '}' && last >= 0:
			all = min(most, all*open[last])
			open = open[:last]
		}
	}
	return all
}

// template checks the {captures} of a text.
func (c *generatorCheck) template(text string, at *field.Path) {
	names, err := CapturesOf(text)
	if err != nil {
		c.invalid(at, text, "%s", err)
	}
	for _, name := range names {
		if !c.captures[name] {
			c.invalid(at, text, "spec.pathPattern does not capture {%s}", name)
		}
	}
}

var captureName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// CapturesOf returns the names in the braces of a text. A name that occurs twice is returned twice.
func CapturesOf(text string) (names []string, err error) {
	for rest := text; ; {
		at := strings.IndexAny(rest, "{}")
		if at < 0 {
			return names, nil
		}
		name, after, closed := strings.Cut(rest[at+1:], "}")
		if rest[at] == '}' || !closed || !captureName.MatchString(name) {
			return nil, fmt.Errorf("want each capture as {name}, of letters, digits and _, without a digit in front")
		}
		names, rest = append(names, name), after
	}
}

// renderableOfGenerator returns the view of an ArtifactGenerator. Its source is the one in PathPattern. Without a
// PathPattern it is the first source, whose content does not matter then.
func renderableOfGenerator(g *ArtifactGenerator) *Renderable {
	from := g.Spec.Sources[0]
	alias, _, _ := strings.Cut(strings.TrimPrefix(g.Spec.PathPattern, "@"), "/")
	r := &Renderable{
		Renderer: "artifacts", Prune: true, Wait: true, Composes: true,
		Interval: time.Hour, RetryInterval: time.Minute, Timeout: 5 * time.Minute,
	}
	for i, s := range g.Spec.Sources {
		if s.Alias == alias {
			from = s
		}
		if s.Namespace != "" {
			r.Namespaces = append(r.Namespaces, NamespaceReference{fmt.Sprintf("spec.sources[%d].namespace", i), s.Namespace})
		}
	}
	r.Source = Key{Kind: from.Kind, Namespace: cmp.Or(from.Namespace, g.Namespace), Name: from.Name}
	spec := g.Spec
	spec.Suspend = false
	r.Spec, _ = json.Marshal(Generation{g.Name, g.Namespace, spec}) // decoded from JSON, so encoding cannot fail
	return r
}

// Generation has the fields of an ArtifactGenerator for its artifacts. It is the Spec for the renderer artifacts.
type Generation struct {
	Name      string        `json:"name"`
	Namespace string        `json:"namespace"`
	Spec      GeneratorSpec `json:"spec"`
}

// Artifact returns the ExternalArtifact of one artifact of the generator.
func (g Generation) Artifact(a GeneratedArtifact, labels map[string]string) (*manifest.Object, error) {
	e := ExternalArtifact{ObjectMeta: metav1.ObjectMeta{Name: a.Name, Namespace: g.Namespace}}
	e.APIVersion, e.Kind = GroupSource+"/v1", ExternalArtifactKind
	e.Labels = labels
	if m := g.Spec.CommonMetadata; m != nil {
		e.Annotations = m.Annotations
		e.Labels = map[string]string{}
		for _, from := range []map[string]string{labels, m.Labels} {
			for name, value := range from {
				e.Labels[name] = value
			}
		}
	}
	e.Spec.SourceRef = &ArtifactMaker{
		APIVersion: groupExtensions + "/v1beta1", Kind: ArtifactGeneratorKind, Name: g.Name, Namespace: g.Namespace,
	}
	e.Spec.Composition = &ArtifactComposition{Copy: a.Copy, Revision: a.Revision, OriginRevision: a.OriginRevision}
	for _, s := range g.Spec.Sources {
		if a.reads(s.Alias) {
			s.Namespace = cmp.Or(s.Namespace, g.Namespace)
			e.Spec.Composition.Sources = append(e.Spec.Composition.Sources, s)
		}
	}
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	o := &manifest.Object{}
	return o, json.Unmarshal(data, &o.Object)
}

// reads reports whether the artifact depends on a source.
func (a GeneratedArtifact) reads(alias string) bool {
	return a.Revision == "@"+alias || a.OriginRevision == "@"+alias ||
		slices.ContainsFunc(a.Copy, func(c GeneratorCopy) bool { return strings.HasPrefix(c.From, "@"+alias+"/") })
}
