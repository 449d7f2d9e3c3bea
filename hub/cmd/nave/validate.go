package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/openapi"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/wording"
)

// validateFlags are the flags of --validate.
type validateFlags struct {
	validate            bool
	kubeconfig, context string
	schemas             []string
}

func (f *validateFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.validate, "validate", false, "check the objects against the schemas of an API server: unknown "+
		"fields, missing fields, wrong types and values, broken rules")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "with --validate: file that names the cluster whose schemas hold; "+
		"default as kubectl")
	flags.StringVar(&f.context, "kube-context", "", "with --validate: context of the kubeconfig")
	flags.StringSliceVar(&f.schemas, "schemas", nil, "with --validate: files, or folders of files, with the schemas, in "+
		"place of a cluster; written by kubectl get --raw /openapi/v3/apis/apps/v1; builtin: only the kinds of Kubernetes "+
		"itself; cluster: those of the clusters that are built, asked for through the hub")
}

// The values of --schemas that are no files.
const (
	fromBuiltIn  = "builtin"
	fromClusters = "cluster"
)

// refuse refuses flags that contradict one another.
func (f *validateFlags) refuse() error {
	switch {
	case !f.validate && (f.kubeconfig != "" || f.context != "" || len(f.schemas) > 0):
		return usageError("--kubeconfig, --kube-context and --schemas do nothing without --validate")
	case len(f.schemas) > 0 && (f.kubeconfig != "" || f.context != ""):
		return usageError("--schemas takes the place of a cluster: leave out --kubeconfig and --kube-context")
	case len(f.schemas) > 1 && (slices.Contains(f.schemas, fromBuiltIn) || slices.Contains(f.schemas, fromClusters)):
		return usageError("--schemas: builtin and cluster stand alone")
	}
	return nil
}

// asksClusters reports whether the schemas are those of the clusters: because of --schemas, or by default if ask is
// set.
func (f *validateFlags) asksClusters(ask bool) bool {
	return slices.Equal(f.schemas, []string{fromClusters}) ||
		ask && len(f.schemas) == 0 && f.kubeconfig == "" && f.context == ""
}

// open returns the validator that the flags ask for, nil without --validate, and a function that ends its connection.
// If ask is set and no flag names the schemas, they are those of the clusters.
func (f *validateFlags) open(ctx context.Context, s *session, ask bool) (*validator, func(), error) {
	done := func() {}
	if err := f.refuse(); err != nil || !f.validate {
		return nil, done, err
	}
	if !f.asksClusters(ask) {
		all, err := f.schemasOfAll(ctx)
		return newValidator(func(context.Context, string) (*schemas, error) { return all, nil }), done, err
	}
	client, end, err := s.dial()
	if err == nil {
		if _, err = client.GetVersion(ctx, &adminv1.GetVersionRequest{}); err != nil { // later it may be the spoke's fault
			end()
		}
	}
	if err != nil {
		return nil, done, fmt.Errorf("the schemas of a cluster are asked for through the hub: %w", err)
	}
	return newValidator(newClusterSchemas(client).of), end, nil
}

// schemasOfAll returns the schemas that hold for all clusters.
func (f *validateFlags) schemasOfAll(ctx context.Context) (*schemas, error) {
	switch {
	case slices.Equal(f.schemas, []string{fromBuiltIn}):
		return builtInSchemas(""), nil
	case len(f.schemas) > 0:
		return schemasIn(f.schemas)
	}
	s, err := schemasOf(ctx, f.kubeconfig, f.context)
	if f.kubeconfig == "" && f.context == "" && isNoKubeconfig(err) {
		return builtInSchemas("there is no kubeconfig"), nil
	}
	return s, err
}

// validator checks objects against schemas and collects what is wrong with them. A nil validator checks nothing.
type validator struct {
	// schemasOf returns the schemas of a cluster.
	schemasOf func(ctx context.Context, cluster string) (*schemas, error)
	// complete: definitions are among the objects that are checked, unless the cluster has them.
	complete bool

	mu      sync.Mutex
	wrong   map[schemaFault][]string // clusters by what is wrong with an object
	skipped map[string][]string      // clusters by a kind that was not checked
	notes   map[string][]string      // clusters by note
	rules   map[string][]string      // clusters by how many rules of which kind were not checked
	checked map[string]bool          // clusters
	files   map[string]manifestFiles
}

func newValidator(schemasOf func(context.Context, string) (*schemas, error)) *validator {
	return &validator{schemasOf: schemasOf, wrong: map[schemaFault][]string{}, skipped: map[string][]string{},
		notes: map[string][]string{}, rules: map[string][]string{}, checked: map[string]bool{},
		files: map[string]manifestFiles{}}
}

// definitionKind is the kind of the definitions of custom resources.
const definitionKind = "CustomResourceDefinition"

// definitions are the schemas of the kinds that CustomResourceDefinitions among the objects give to a cluster; nil for
// a version that is not served.
type definitions map[schema.GroupVersionKind]*openapi.Schema

// add adds the kinds of an object, if it is a CustomResourceDefinition. No definition changes a kind that every API
// server has: Kubernetes would not establish it.
func (d definitions) add(o *manifest.Object) {
	if gvk := o.GroupVersionKind(); gvk.Group != "apiextensions.k8s.io" || gvk.Kind != definitionKind {
		return
	}
	for kind, s := range openapi.Defined(o.Object) {
		if !isOfKubernetes(kind.Group) {
			d[kind] = s
		}
	}
}

// versions returns the versions of a kind that the definitions serve, and whether there is a definition of the kind.
func (d definitions) versions(kind schema.GroupKind) (served []string, defined bool) {
	for gvk, s := range d {
		if gvk.GroupKind() == kind {
			defined = true
			if s != nil {
				served = append(served, gvk.Version)
			}
		}
	}
	slices.Sort(served)
	return served, defined
}

// check checks objects of clusters that have equal ones. The error is that of reading schemas.
func (v *validator) check(ctx context.Context, clusters []string, objects []renderedObject, d definitions) error {
	if v == nil {
		return nil
	}
	all, err := v.ask(ctx, clusters)
	if err != nil {
		return err
	}
	versions, first, same := objectVersions(objects), map[any]*schemas{}, map[any][]string{}
	for i, s := range all {
		key := s.keyFor(ctx, versions)
		if first[key] == nil {
			first[key] = s
		}
		same[key] = append(same[key], clusters[i])
	}
	for key, s := range first {
		if err := v.checkBy(ctx, s, same[key], objects, d); err != nil {
			return err
		}
	}
	return nil
}

// objectVersions returns the versions of objects.
func objectVersions(objects []renderedObject) (versions []schema.GroupVersion) {
	seen := map[schema.GroupVersion]bool{}
	for _, o := range objects {
		if gv := o.GroupVersionKind().GroupVersion(); !seen[gv] {
			seen[gv] = true
			versions = append(versions, gv)
		}
	}
	return versions
}

// ask returns the schemas of clusters. Those that were asked before are not asked again.
func (v *validator) ask(ctx context.Context, clusters []string) ([]*schemas, error) {
	if v == nil {
		return nil, nil
	}
	all := make([]*schemas, len(clusters))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxAsked)
	for i, cluster := range clusters {
		group.Go(func() (err error) {
			all[i], err = v.schemasOf(ctx, cluster)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("--validate: %w", err)
	}
	return all, nil
}

// checkBy checks objects against the schemas of some clusters.
func (v *validator) checkBy(ctx context.Context, s *schemas, clusters []string, objects []renderedObject,
	d definitions) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s.fallback != "" {
		note := s.fallback + ": validated by the schemas that nave has of Kubernetes' own kinds"
		v.notes[note] = append(v.notes[note], clusters...)
	}
	for _, cluster := range clusters {
		v.checked[cluster] = true
	}
	for _, o := range objects {
		found, err := s.check(ctx, o.Object, d, v.complete)
		problems := found.wrong
		switch {
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			problems = append(problems, openapi.Problem{Text: "not validated: " + err.Error()})
		case found.unserved != "":
			v.skipped[found.unserved] = append(v.skipped[found.unserved], clusters...)
		case found.rules > 0:
			kind := fmt.Sprintf("%d of %s %s", found.rules, o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
			v.rules[kind] = append(v.rules[kind], clusters...)
		}
		for _, p := range problems {
			at := v.describe(o, p.Field)
			at.text += ": " + p.Text
			v.wrong[at] = append(v.wrong[at], clusters...)
		}
	}
	return nil
}

// isUnknown reports whether a text is, or has in it, a value that only the cluster knows. Its type is not known either.
func isUnknown(text string) bool {
	return strings.Contains(text, "${") || len(sealed.Find(text)) > 0
}

// ofVersion returns the problem of an object whose kind or version no server has.
func ofVersion(text string) []openapi.Problem {
	return []openapi.Problem{{Field: "apiVersion", Text: text}}
}

// findings are what a check of an object found.
type findings struct {
	wrong    []openapi.Problem
	unserved string // the kind, which has no schema; empty: it has one
	rules    int    // that only the API server can check
}

// check returns what is wrong with an object. If complete is set, a kind without a schema is wrong in a cluster whose
// own schemas these are.
func (s *schemas) check(ctx context.Context, o *manifest.Object, d definitions, complete bool) (f findings, err error) {
	gvk := o.GroupVersionKind()
	found, given := d[gvk]
	versions, defined := d.versions(gvk.GroupKind())
	switch {
	case given && found != nil:
	case defined:
		f.wrong = ofVersion(fmt.Sprintf("apiVersion %s is not served; its definition among the objects serves %s",
			gvk.GroupVersion(), wording.List(versions, len(versions), 10)))
		return f, nil
	default:
		if found, err = s.schema(ctx, gvk); err != nil {
			return f, err
		}
	}
	_, isOfHub := api.KindOf(o)
	switch {
	case found != nil:
		if f.wrong, err = found.Check(ctx, gvk.Kind, o.Object, isUnknown); err == nil && len(f.wrong) == 0 {
			f.wrong, f.rules, err = found.CheckRules(ctx, gvk.Kind, o.Object, isUnknown)
		}
	case isOfHub: // the hub has checked it
	case isOfKubernetes(gvk.Group) || s.has(gvk.GroupVersion()):
		f.wrong = ofVersion(s.explainUnserved(gvk))
	case s.ofCluster && complete:
		f.wrong = ofVersion(s.explainUndefined(gvk))
	default:
		f.unserved = s.describeMissing(gvk)
	}
	return f, err
}

// printNotes says which schemas were used if no flag does, and which kinds were not checked.
func (v *validator) printNotes(print func(line string)) {
	if v == nil {
		return
	}
	for _, note := range slices.Sorted(maps.Keys(v.notes)) {
		print(v.on(v.notes[note]) + note)
	}
	v.printKinds(print, "not validated, because there is no schema: ", v.skipped)
	v.printKinds(print, "not validated, because only the API server can, as nave diff --live asks it, rules "+
		"(x-kubernetes-validations): ", v.rules)
}

// printKinds prints what was not checked, with the clusters of each kind.
func (v *validator) printKinds(print func(line string), title string, clusters map[string][]string) {
	kinds := map[string][]string{} // by clusters
	for _, kind := range slices.Sorted(maps.Keys(clusters)) {
		on := v.on(clusters[kind])
		kinds[on] = append(kinds[on], kind)
	}
	for _, on := range slices.Sorted(maps.Keys(kinds)) {
		print(on + title + wording.List(kinds[on], len(kinds[on]), 10))
	}
}

// on names clusters in front of a text, unless they are all that were checked.
func (v *validator) on(clusters []string) string {
	clusters = slices.Compact(slices.Sorted(slices.Values(clusters)))
	if len(clusters) == len(v.checked) {
		return ""
	}
	return "on " + listed(clusters) + ": "
}

// schemaFault is what is wrong with an object, and its first place.
type schemaFault struct {
	file string // or the name of the object, if no file has it
	line int
	text string
}

// compare orders faults by their places.
func (f schemaFault) compare(other schemaFault) int {
	return cmp.Or(cmp.Compare(f.file, other.file), cmp.Compare(f.line, other.line), cmp.Compare(f.text, other.text))
}

// lines returns what is wrong, one line each.
func (v *validator) lines() (lines []string) {
	if v == nil {
		return nil
	}
	for _, at := range slices.SortedFunc(maps.Keys(v.wrong), schemaFault.compare) {
		lines = append(lines, v.on(v.wrong[at])+at.text)
	}
	return lines
}

// err returns the error that lists what is wrong. If nothing is, err returns nil.
func (v *validator) err() error {
	lines := v.lines()
	if len(lines) == 0 {
		return nil
	}
	return errors.New("not valid:\n" + strings.Join(lines, "\n"))
}
