package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/pattern"
)

// IgnoreRule names fields of objects that are left as they are in the cluster: an entry of Flux's spec.ignore. A
// selector that is empty selects every object.
type IgnoreRule struct {
	Paths                             []string // JSON pointers
	Group, Version, Kind              string   // regular expressions for the whole of the value
	Namespace, Name                   string   // regular expressions for the whole of the value
	LabelSelector, AnnotationSelector string
}

// IgnoredFields decides which fields of an object are left as they are in the cluster.
type IgnoredFields []ignoredFields

type ignoredFields struct {
	paths               [][]string
	patterns            [5]*regexp.Regexp // of the fields of patterns; nil: any
	size                int               // of the patterns
	labels, annotations labels.Selector
}

// RuleError is the error of one field of an IgnoreRule.
type RuleError struct {
	Field string // as in Flux's Kustomization, such as paths[0] or target.name
	Value string
	Err   error
}

// Error names the field and the cause.
func (e *RuleError) Error() string { return fmt.Sprintf("%s: %q: %v", e.Field, e.Value, e.Err) }

// Unwrap returns the cause.
func (e *RuleError) Unwrap() error { return e.Err }

// Limits of the rules of one Application. Each rule is compared with each object, and each path is looked for in it.
const (
	maxIgnoreRules = 200
	maxIgnorePaths = 1000
	maxIgnoreSize  = 4000 // instructions of all regular expressions
	maxIgnoreText  = 1024 // bytes of a path or of a selector
)

// ReadIgnoreRules returns the fields that the rules name. If a rule is malformed, the error is a *RuleError. If the
// rules are too large together, it is a *TooLargeError.
func ReadIgnoreRules(rules []IgnoreRule) (IgnoredFields, error) {
	paths, size := 0, 0
	for _, r := range rules {
		paths += len(r.Paths)
	}
	if err := cmp.Or(fits("ignore", "rules", len(rules), maxIgnoreRules),
		fits("ignore", "paths", paths, maxIgnorePaths)); err != nil {
		return nil, err
	}
	all := make(IgnoredFields, 0, len(rules))
	for _, r := range rules {
		read, err := r.read()
		if err != nil {
			return nil, err
		}
		all, size = append(all, read), size+read.size
		if err := fits("ignore", "instructions of regular expressions", size, maxIgnoreSize); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (r IgnoreRule) read() (read ignoredFields, err error) {
	for i, path := range r.Paths {
		segments, err := pointer(path)
		if err != nil {
			return read, ruleError(fmt.Sprintf("paths[%d]", i), path, err)
		}
		read.paths = append(read.paths, segments)
	}
	if len(r.Paths) == 0 {
		return read, &RuleError{"paths", "", errors.New("at least one JSON pointer is needed, such as /spec/replicas")}
	}
	names := [...]string{"group", "version", "kind", "namespace", "name"}
	for i, text := range [...]string{r.Group, r.Version, r.Kind, r.Namespace, r.Name} {
		if text == "" {
			continue
		}
		whole := "^(?:" + text + ")$"
		size, err := pattern.Size(whole)
		if err == nil {
			read.patterns[i], err = regexp.Compile(whole)
		}
		if err != nil {
			return read, ruleError("target."+names[i], text, err)
		}
		read.size += size
	}
	if read.labels, err = selector(r.LabelSelector); err != nil {
		return read, ruleError("target.labelSelector", r.LabelSelector, err)
	}
	if read.annotations, err = selector(r.AnnotationSelector); err != nil {
		return read, ruleError("target.annotationSelector", r.AnnotationSelector, err)
	}
	return read, nil
}

// ruleError returns the error of a field with the beginning of its value.
func ruleError(field, value string, err error) *RuleError {
	if len(value) > maxIgnoreText {
		value = strings.ToValidUTF8(value[:40], "") + "…"
	}
	return &RuleError{field, value, err}
}

func selector(text string) (labels.Selector, error) {
	if err := fits("the selector", "bytes", len(text), maxIgnoreText); err != nil {
		return nil, err
	}
	return labels.Parse(text)
}

// identifying are the fields that must be sent with every object.
var identifying = []string{"/apiVersion", "/kind", "/metadata", "/metadata/name", "/metadata/namespace"}

// pointer returns the segments of a JSON pointer (RFC 6901).
func pointer(path string) ([]string, error) {
	if err := fits("the path", "bytes", len(path), maxIgnoreText); err != nil {
		return nil, err
	}
	rest := strings.NewReplacer("~0", "", "~1", "").Replace(path)
	switch {
	case !strings.HasPrefix(path, "/") || strings.Contains(rest, "~"):
		return nil, errors.New("want a JSON pointer, such as /spec/replicas, in which ~1 stands for / and ~0 for ~")
	case slices.Contains(identifying, strings.TrimSuffix(path, "/")), path == "/":
		return nil, errors.New("the field identifies the object and cannot be ignored")
	}
	return segmentsOf(path), nil
}

// segmentsOf returns the segments of a path that begins with a slash.
func segmentsOf(path string) []string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		segments[i] = strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
	}
	return segments
}

// Of returns the paths of the fields of an object that are left as they are in the cluster.
func (f IgnoredFields) Of(o *manifest.Object) (paths [][]string) {
	for _, rule := range f {
		if rule.selects(o) {
			paths = append(paths, rule.paths...)
		}
	}
	return paths
}

func (f ignoredFields) selects(o *manifest.Object) bool {
	gvk := o.GroupVersionKind()
	for i, value := range [...]string{gvk.Group, gvk.Version, gvk.Kind, o.GetNamespace(), o.GetName()} {
		if f.patterns[i] != nil && !f.patterns[i].MatchString(value) {
			return false
		}
	}
	return f.labels.Matches(labels.Set(o.GetLabels())) && f.annotations.Matches(labels.Set(o.GetAnnotations()))
}

func (r IgnoreRule) message() *bundlev1.IgnoreRule {
	return &bundlev1.IgnoreRule{
		Paths: r.Paths, Group: r.Group, Version: r.Version, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name,
		LabelSelector: r.LabelSelector, AnnotationSelector: r.AnnotationSelector,
	}
}

func ignoreRuleOf(m *bundlev1.IgnoreRule) IgnoreRule {
	return IgnoreRule{
		Paths: m.GetPaths(), Group: m.GetGroup(), Version: m.GetVersion(), Kind: m.GetKind(),
		Namespace: m.GetNamespace(), Name: m.GetName(),
		LabelSelector: m.GetLabelSelector(), AnnotationSelector: m.GetAnnotationSelector(),
	}
}
