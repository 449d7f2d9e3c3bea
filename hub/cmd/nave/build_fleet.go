package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/render/worker"
	"github.com/navefleet/nave/hub/internal/upgrade"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/substitution"
	"github.com/navefleet/nave/shared/wording"
)

// preview has the flags that say what a checkout is planned for.
type preview struct {
	checkoutFlags
	validateFlags
	capabilityFlags
	session *session
	files   []string
	path    string
	strict  bool
	noCross bool
	found   string      // the folder of the checkout that has the objects of the hub; empty: none was searched
	root    *api.Object // that gives these objects to the hub
}

func (p *preview) add(flags *pflag.FlagSet) {
	p.checkoutFlags.add(flags)
	p.validateFlags.add(flags)
	p.capabilityFlags.add(flags)
	flags.StringArrayVarP(&p.files, "filename", "f", nil, "file or folder with the objects of the hub: Clusters, Fleets, "+
		"sources; - is standard input (repeatable). Without it and --path, the hub is asked, or if none is configured, they "+
		"are searched in DIR")
	flags.StringVar(&p.path, "path", "", "folder of the checkout that is the root of the cluster, if there is no Fleet")
	flags.BoolVar(&p.strict, "strict-substitute", true, "fail on a variable that is not given and has no default, as the "+
		"hub does by default")
	flags.BoolVar(&p.noCross, "no-cross-namespace-refs", false, "as the hub's flag")
}

const buildFleetLong = `Render everything that a checkout gives to %s: the roots of its Fleets, and all
Kustomizations below them, with the same walk as on the hub. Print the objects of each Application in the order in which
they are applied, as YAML documents.

DIR is the root of the checkout. It stands for the sources of the Fleets' templates, and for all sources whose URL is
one of its Git remotes; other sources need --local-sources. The Clusters and Fleets are those in --filename, else those
of the hub. If no hub is configured, they are those of the one folder of DIR that has any, as if nave bootstrap had made
it the hub's root; Fleets are those of this folder also if --filename has none. If DIR has neither Clusters nor Fleets,
the root of a cluster is the folder that flux bootstrap made for it. Standard error tells what was taken. With --path,
no objects are needed.

SOPS files stay encrypted: placeholders stand for their values, as on the hub. What cannot be rendered is listed on
standard error, and the exit code is then 1.`

func newBuildClusterCommand(s *session) *cobra.Command {
	p := preview{session: s}
	cmd := &cobra.Command{
		Use:   "cluster NAME DIR",
		Short: "Build everything that a checkout gives to a cluster",
		Long:  fmt.Sprintf(buildFleetLong, "one cluster"),
		Example: `  nave build cluster prod-1 . -f hub/ -f ../clusters.yaml
  nave build cluster prod-1 . --path clusters/production
  nave build cluster prod-1 .`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			check, done, err := p.validateFlags.open(cmd.Context(), p.session, p.asks())
			if err != nil {
				return err
			}
			defer done()
			v, closeTrees, err := p.open(cmd, args[0], args[1], nil)
			defer closeTrees()
			if err != nil {
				return err
			}
			if !slices.Contains(v.Clusters(), args[0]) {
				return p.notGiven(api.ClusterKey(args[0]), v.Clusters())
			}
			return build(cmd, v, check, args[:1], "")
		},
	}
	p.add(cmd.Flags())
	return cmd
}

func newBuildFleetCommand(s *session) *cobra.Command {
	p := preview{session: s}
	cmd := &cobra.Command{
		Use:   "fleet NAME DIR",
		Short: "Build everything that a checkout gives to the clusters of a Fleet",
		Long: fmt.Sprintf(buildFleetLong, "the clusters of a Fleet") +
			"\n\nClusters with equal results are printed once.",
		Example: `  nave build fleet production .
  nave build fleet production . -f ../clusters.yaml
  nave build fleet production . -f hub/ -f ../clusters.yaml`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			check, done, err := p.validateFlags.open(cmd.Context(), p.session, p.asks())
			if err != nil {
				return err
			}
			defer done()
			v, closeTrees, err := p.open(cmd, "", args[1], nil)
			defer closeTrees()
			if err != nil {
				return err
			}
			if !slices.Contains(v.Fleets(), args[0]) {
				return p.notGiven(api.FleetKey(args[0]), v.Fleets())
			}
			clusters, err := v.Selected(args[0])
			if err != nil {
				return err
			}
			if len(clusters) == 0 {
				return fmt.Errorf("%s: spec.clusterSelector matches no cluster: compare it with the labels of the Clusters, or "+
					"give more Clusters with --filename", api.FleetKey(args[0]))
			}
			return build(cmd, v, check, clusters, args[0])
		},
	}
	p.add(cmd.Flags())
	return cmd
}

// open returns the preview of a checkout, and a function that removes what was composed for it. The cluster is the one
// that is created for --path. A nil salt is that of builds.
func (p *preview) open(cmd *cobra.Command, cluster, dir string, salt []byte) (*plan.Preview, func(), error) {
	trees, err := p.checkoutFlags.open(dir)
	if err != nil {
		return nil, func() {}, err
	}
	objects, named, err := p.objects(cmd, cluster, trees)
	if err != nil {
		return nil, func() {}, err
	}
	all := slices.Concat(objects, named)
	completed, err := trees.complete(all)
	if err != nil {
		return nil, func() {}, err
	}
	trees.claim(slices.DeleteFunc(slices.Clone(completed), func(o *api.Object) bool { return o == p.root }))
	objects = append(objects, completed[len(all):]...)
	config := plan.PreviewConfig{
		Objects: objects, Tree: trees.tree, Bases: trees.bases, Renderer: worker.All(), Salt: salt,
		NoCrossNamespaceRefs: p.noCross, LenientSubstitution: !p.strict,
	}
	closeHub, err := p.addFacts(cmd.Context(), &config)
	if err != nil {
		return nil, func() {}, err
	}
	worker.DenyNetwork() // after git was asked
	v, err := plan.NewPreview(cmd.Context(), config)
	return v, func() { trees.composer.close(); closeHub() }, err
}

// addFacts adds what charts can know of a cluster: from the hub if that is asked. The hub knows the keys of a text by
// the placeholders in it, so its salt is used. done ends the connection.
func (p *preview) addFacts(ctx context.Context, c *plan.PreviewConfig) (done func(), err error) {
	if !p.asks() {
		c.Capabilities = p.anyCluster
		if c.Salt == nil {
			c.Salt = []byte(buildSalt)
		}
		return func() {}, nil
	}
	client, done, err := p.session.dial()
	if err != nil {
		return nil, err
	}
	version, err := client.GetVersion(ctx, &adminv1.GetVersionRequest{})
	if err != nil {
		done()
		return nil, err
	}
	c.Salt = cache.Salt(version.GetEpoch())
	c.Capabilities = (&hubCapabilities{capabilityFlags: p.capabilityFlags, client: client}).of
	c.Shapes = (&hubShapes{client: client}).of
	return done, nil
}

// asks reports whether the hub is asked for its objects.
func (p *preview) asks() bool { return p.path == "" && len(p.files) == 0 && p.session.isConfigured() }

// objects returns the objects of the hub: from files, made for --path, found in the checkout, or from the hub itself.
// named are those that the walk of the hub's own root will add.
func (p *preview) objects(cmd *cobra.Command, cluster string, trees *checkout) (objects, named []*api.Object,
	err error) {
	if p.asks() {
		objects, err = p.ask(cmd.Context())
		return objects, nil, err
	}
	given, err := readObjects(cmd.InOrStdin(), p.files)
	switch {
	case err != nil:
		return nil, nil, err
	case p.path != "":
		objects, err = p.objectsOfPath(cluster, trees, given)
		return objects, nil, err
	case slices.ContainsFunc(given, func(o *api.Object) bool { return o.Key.Role() == api.FleetRole }):
		return given, nil, nil
	}
	return p.find(cluster, trees, given, noteTo(cmd))
}

// objectsOfPath returns the given objects with a Cluster and a Fleet that gives --path to it.
func (p *preview) objectsOfPath(cluster string, trees *checkout, objects []*api.Object) ([]*api.Object, error) {
	if cluster == "" {
		return nil, usageError("--path is the root of one cluster: use it with nave build cluster")
	}
	if slices.ContainsFunc(objects, func(o *api.Object) bool { return o.Key.Role() == api.FleetRole }) {
		return nil, usageError("--path takes the place of a Fleet: leave out --path, or the Fleets in --filename")
	}
	below, err := trees.below(p.path)
	if err != nil {
		return nil, fmt.Errorf("--path: %w", err)
	}
	trees.claimBootstrap(objects)
	made, err := objectsFor(cluster, below, objects)
	return append(objects, made...), err
}

// notGiven returns the error about an object that does not exist: where it was looked for, and which of the names that
// exist was probably meant.
func (p *preview) notGiven(key api.Key, names []string) error {
	text := "there is no " + key.String()
	switch {
	case p.found != "":
		text += " in " + strings.Join(append(p.files, p.found), ", ") +
			", and no hub is asked: add a file that has it with --filename, or configure the hub"
	case len(p.files) > 0:
		text += " in " + strings.Join(p.files, ", ") +
			", and with --filename the hub is not asked: add a file that has it, or leave out --filename"
	}
	if name := wording.Nearest(key.Name, names); name != "" {
		text += "; did you mean " + oneLine(name) + "?"
	}
	return exitError{errors.New(text), notFound}
}

// objectsFor returns the Fleet that gives a path to a cluster, and the Cluster unless the objects have it. The root and
// its source have the names that `flux bootstrap` gives.
func objectsFor(cluster, path string, objects []*api.Object) (made []*api.Object, err error) {
	made, err = clusterAndFleet(cluster, "path", map[string]any{"spec": map[string]any{
		"interval": "10m", "prune": true, "path": substitution.Escape(path),
		"sourceRef": map[string]any{"kind": api.GitRepositoryKind, "name": api.FluxRoot},
	}})
	return slices.DeleteFunc(made, func(o *api.Object) bool {
		return slices.ContainsFunc(objects, func(given *api.Object) bool { return given.Key == o.Key })
	}), err
}

// clusterAndFleet returns a Cluster, and a Fleet that gives a root to all clusters.
func clusterAndFleet(cluster, fleet string, template map[string]any) (made []*api.Object, err error) {
	for _, o := range []map[string]any{
		{"kind": api.ClusterKind, "metadata": map[string]any{"name": cluster}},
		{"kind": api.FleetKind, "metadata": map[string]any{"name": fleet},
			"spec": map[string]any{"clusterSelector": map[string]any{}, "template": template}},
	} {
		o["apiVersion"] = api.GroupFleet + "/" + api.Version
		admitted, err := api.Admit(&manifest.Object{Object: o}, api.Hub)
		if err != nil {
			return nil, err
		}
		made = append(made, admitted)
	}
	return made, nil
}

// readObjects reads files, and the YAML and JSON files of folders, and admits the objects that belong to the hub. The
// error lists all faults of all files.
func readObjects(stdin io.Reader, files []string) (objects []*api.Object, err error) {
	names, err := manifestsIn(files, true)
	if err != nil {
		return nil, err
	}
	all, err := readFiles(stdin, names)
	if err != nil {
		return nil, err
	}
	return objects, api.AdmitAll(all, func(o *manifest.Object) (api.Key, error) {
		if !api.Known(o) {
			return api.Key{}, nil // a Secret of a source, or an object of a cluster
		}
		admitted, err := api.Admit(o, api.Hub)
		if err != nil {
			return api.Key{}, err
		}
		objects = append(objects, admitted)
		return admitted.Key, nil
	})
}

// ask returns the Clusters, Fleets and sources of the hub.
func (p *preview) ask(ctx context.Context) (objects []*api.Object, err error) {
	client, done, err := p.session.dial()
	if err != nil {
		return nil, fmt.Errorf("without --filename and --path the hub is asked: %w", err)
	}
	defer done()
	for _, kind := range api.Kinds() {
		if !kind.Supported() || kind.Derived ||
			!slices.Contains([]api.Role{api.ClusterRole, api.FleetRole, api.SourceRole}, kind.Role) {
			continue
		}
		answer, err := client.List(ctx, &adminv1.ListRequest{Kind: kind.Name})
		if err != nil {
			return nil, err
		}
		for _, o := range answer.GetObjects() {
			admitted, err := readmit(o, api.Hub)
			if err != nil {
				return nil, err
			}
			objects = append(objects, admitted)
		}
	}
	return objects, nil
}

// readmit admits an object that the hub answered with, without its status.
func readmit(o *adminv1.Object, scope api.Scope) (*api.Object, error) {
	m := &manifest.Object{}
	if err := json.Unmarshal(o.GetJson(), &m.Object); err != nil {
		return nil, fmt.Errorf("read %s of the hub: %w", show(o.GetKey()), err)
	}
	delete(m.Object, "status")
	admitted, err := api.Admit(m, scope)
	if err != nil {
		return nil, fmt.Errorf("%s of the hub: %w", show(o.GetKey()), err)
	}
	return admitted, nil
}

// build prints what clusters run, each of the different results once. If fleet is not empty, only its Applications are
// printed. The error lists the objects that could not be rendered.
func build(cmd *cobra.Command, v *plan.Preview, check *validator, clusters []string, fleet string) error {
	all, err := previewAll(cmd.Context(), v, clusters)
	if err != nil {
		return err
	}
	if check != nil {
		check.complete = true
	}
	if _, err := check.ask(cmd.Context(), clusters); err != nil { // all at the same time
		return err
	}
	var order []string
	groups := map[string][]*plan.Previewed{}
	for _, p := range all {
		p.Applications = slices.DeleteFunc(p.Applications, func(a plan.PreviewedApplication) bool {
			return fleet != "" && a.Fleet != fleet
		})
		id := ""
		for _, a := range p.Applications {
			id += a.Application.Name.String() + a.Digest.String()
		}
		if groups[id] == nil {
			order = append(order, id)
		}
		groups[id] = append(groups[id], p)
	}
	for _, id := range order {
		if err := printPreviewed(cmd.Context(), cmd.OutOrStdout(), groups[id], check); err != nil {
			return err
		}
	}
	noteUndecrypted(noteTo(cmd), all)
	check.printNotes(noteTo(cmd))
	return errors.Join(problemsError(v, all), check.err())
}

// previewAll walks clusters concurrently.
func previewAll(ctx context.Context, v *plan.Preview, clusters []string) ([]*plan.Previewed, error) {
	all := make([]*plan.Previewed, len(clusters))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, name := range clusters {
		group.Go(func() (err error) {
			all[i], err = v.Cluster(ctx, name, plan.Last{})
			return err
		})
	}
	return all, group.Wait()
}

// printPreviewed prints the objects of clusters that run the same, and checks them.
func printPreviewed(ctx context.Context, out io.Writer, same []*plan.Previewed, check *validator) error {
	var clusters []string
	for _, p := range same {
		clusters = append(clusters, p.Cluster)
	}
	fmt.Fprintf(out, "# %s\n", listed(clusters))
	var objects []renderedObject
	d := definitions{}
	for _, a := range same[0].Applications {
		references := inOrder(a.Application)
		fmt.Fprintf(out, "# %s: %s\n", a.Application.Name, wording.Count(len(references), "object"))
		for _, ref := range references {
			o, err := decodeObject(a, ref.Digest)
			if err != nil {
				return fmt.Errorf("%s: %w", ref.ID(), err)
			}
			if err := printObjects(out, withGenerated([]*manifest.Object{o}, recipesOf(a.Application))); err != nil {
				return err
			}
			if check != nil {
				objects = append(objects, renderedObject{o, a.Origin})
				d.add(o)
			}
		}
	}
	return check.check(ctx, clusters, objects, d)
}

// decodeObject returns an object of an Application, with variables that only a cluster knows as they are written.
func decodeObject(a plan.PreviewedApplication, d manifest.Digest) (*manifest.Object, error) {
	data, ok := a.Object(d)
	if !ok {
		return nil, errors.New("the render does not have it")
	}
	o := &manifest.Object{}
	if err := json.Unmarshal(data, &o.Object); err != nil {
		return nil, err
	}
	showTexts([]*manifest.Object{o}, a.Application.Substitution)
	return o, nil
}

// problemsError returns an error that lists what could not be rendered, each message once. If there is nothing to
// list, problemsError returns nil.
func problemsError(v *plan.Preview, all []*plan.Previewed) error {
	var order []string
	where := map[string][]string{}
	add := func(p plan.Problem, cluster, wayOut string) {
		text := p.Key.Local() + ": " + p.Message + wayOut
		if where[text] == nil {
			order = append(order, text)
		}
		where[text] = append(where[text], cluster)
	}
	for _, p := range v.Problems {
		if !isListed(p, v.Problems) {
			add(p, "the hub", "")
		}
	}
	conflicts := upgrade.Conflicts(v.Objects())
	for _, previewed := range all {
		if text := conflicts[previewed.Cluster]; text != "" {
			add(plan.Problem{Key: api.ClusterKey(previewed.Cluster), Message: text}, previewed.Cluster, "")
		}
		for _, p := range previewed.Problems {
			if !isListed(p, previewed.Problems) {
				add(p, previewed.Cluster, folderFor(v, previewed, p.Key))
			}
		}
	}
	if len(order) == 0 {
		return nil
	}
	lines := []string{"not everything could be built:"}
	for _, text := range order {
		lines = append(lines, "on "+listed(where[text])+": "+text)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// noteUndecrypted prints the Applications with encrypted files that no spoke decrypts. The hub does not refuse them.
func noteUndecrypted(note func(string), all []*plan.Previewed) {
	on := map[string][]string{} // clusters
	for _, p := range all {
		for _, a := range p.Applications {
			if text := withoutDecryption(a.Application); text != "" {
				on[text] = append(on[text], p.Cluster)
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(on)) {
		note("on " + listed(on[text]) + ": " + text)
	}
}

// withoutDecryption returns why the spoke cannot decrypt the files of an Application; "": it may have the keys.
func withoutDecryption(a *bundle.Application) string {
	if len(a.SealedFiles) == 0 || a.Decryption != (bundle.SecretReference{}) {
		return ""
	}
	var files []string
	for _, f := range a.SealedFiles {
		if !slices.Contains(files, f.Path) {
			files = append(files, f.Path)
		}
	}
	return fmt.Sprintf("%s has no spec.decryption, and %s is encrypted: set provider: sops, and in secretRef the Secret "+
		"with the keys, or the cluster says DecryptionFailed", a.Name, wording.List(files, len(files), 3))
}

// isListed reports whether a problem about a refused object is in the message about the object that gives it.
func isListed(p plan.Problem, all []plan.Problem) bool {
	return p.Reason == condition.Refused && slices.ContainsFunc(all, func(giver plan.Problem) bool {
		return giver.Reason == condition.ObjectRefused && giver.Key != p.Key && strings.Contains(giver.Message, p.Message)
	})
}

// folderFor returns the end of a message about a renderable whose source is none of the objects: the flag that gives a
// folder for the source. About any other object it returns "".
func folderFor(v *plan.Preview, p *plan.Previewed, key api.Key) string {
	node, is := p.Nodes[key]
	if !is || key.Role() != api.RenderableRole {
		return ""
	}
	source, _ := node.Object.SourceReference()
	if _, given := p.Nodes[source.In(p.Cluster)]; given || source.Name == "" || v.HubHas(source.In("")) {
		return ""
	}
	return fmt.Sprintf("; if a folder has its files, add --local-sources %s=DIR", pathOf(source))
}

// listed lists names, at most ten of them.
func listed(names []string) string { return wording.List(names, len(names), 10) }
