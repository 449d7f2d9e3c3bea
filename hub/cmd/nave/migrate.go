package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/migrate"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/render/worker"
	"github.com/navefleet/nave/shared/manifest"
)

// migration has the flags of "nave migrate flux".
type migration struct {
	checkoutFlags
	session                 *session
	kubeconfig, kubecontext string
	path                    string
	name                    string
	output                  string
	export                  bool
	noCross                 bool
}

const migrateFluxLong = `Look at a cluster that Flux runs and at its repository, and print what becomes of them on
Nave: what is taken over, what is refused and why, what Flux applied and Git does not have any more, which Secrets the
hub and which keys the spoke need, and the commands of the migration.

Nothing is written, neither to the cluster nor to a hub. The account needs get and list of Flux's kinds and of
Deployments. No Secret is read.

--path is a checkout of the repository. Without it, the repository of Flux's root is cloned with git, which asks its
credential helpers. Sources in other repositories need --local-sources, and remote bases --local-bases.

The exit code is 0 if everything in Git was compared and is taken over and nothing is left behind, 1 if not, and 2 after
an error.`

// newMigrateCommand returns "nave migrate", which needs no hub.
func newMigrateCommand(s *session) *cobra.Command {
	return group("migrate", "Move clusters to Nave", newMigrateFluxCommand(s))
}

func newMigrateFluxCommand(s *session) *cobra.Command {
	m := migration{session: s}
	cmd := &cobra.Command{
		Use:   "flux",
		Short: "Report what becomes of a cluster that Flux runs",
		Long:  migrateFluxLong,
		Example: `  nave migrate flux --context prod --path .
  nave migrate flux --context prod --path . --export > hub.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	m.add(f)
	f.StringVar(&m.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default $KUBECONFIG or ~/.kube/config)")
	f.StringVar(&m.kubecontext, "context", "", "context of the kubeconfig (default: the current one)")
	f.StringVar(&m.path, "path", "", "checkout of the repository; default: clone the repository of Flux's root")
	f.StringVar(&m.name, "name", "", "name of the cluster on Nave (default: the last folder in the path of Flux's root)")
	f.StringVarP(&m.output, "output", "o", "", "json, yaml; default: for people")
	f.BoolVar(&m.export, "export", false, "print only the objects that the hub needs, as YAML")
	f.BoolVar(&m.noCross, "no-cross-namespace-refs", false, "as the hub's flag")
	return cmd
}

func (m *migration) run(ctx context.Context, out, errOut io.Writer) error {
	if m.output != "" && m.output != "json" && m.output != "yaml" {
		return usageError("--output %q: want json or yaml", m.output)
	}
	if m.export && m.output != "" {
		return usageError("--export prints YAML of objects: leave out --output")
	}
	cluster, err := connectKubernetes(m.kubeconfig, m.kubecontext, "get and list of Flux's kinds and of Deployments, in "+
		"all namespaces")
	if err != nil {
		return err
	}
	cluster.http.Timeout = m.session.timeout
	flux, err := migrate.Read(ctx, cluster)
	if err != nil {
		return err
	}
	if m.name = cmp.Or(m.name, flux.ClusterName()); m.name == "" {
		return errors.New("the path of Flux's root does not end in a name for the cluster: give one with --name")
	}
	if m.export {
		return m.exportObjects(out, errOut, flux)
	}
	report, err := m.compare(ctx, flux)
	if err != nil {
		return err
	}
	if err := printMigration(out, report, m.output); err != nil || report.OK() {
		return err
	}
	return errReported
}

// exportObjects prints the objects that the hub needs, but for the Cluster, which "nave cluster add" makes.
func (m *migration) exportObjects(out, errOut io.Writer, flux *migrate.Flux) error {
	objects, refused := flux.HubObjects(m.name, false)
	for _, r := range refused {
		fmt.Fprintf(errOut, "left out %s: %s\n", r.Object, oneLine(r.Message))
	}
	return printObjects(out, objects[1:])
}

// compare walks the checkout as the hub would, and compares the walk with the cluster.
func (m *migration) compare(ctx context.Context, flux *migrate.Flux) (*migrate.Report, error) {
	dir, remove, err := m.checkout(ctx, flux)
	if err != nil {
		return nil, err
	}
	defer remove()
	trees, err := m.open(dir)
	if err != nil {
		return nil, err
	}
	defer trees.composer.close()
	if err := m.requireRoot(flux, trees); err != nil {
		return nil, err
	}
	folded, err := migrate.FoldedTexts(os.DirFS(trees.dir))
	if err != nil {
		return nil, fmt.Errorf("read the checkout: %w", err)
	}
	worker.DenyNetwork() // after git was asked
	walk, problems, err := m.walk(ctx, flux, trees, false)
	if err != nil {
		return nil, err
	}
	whole, _, err := m.walk(ctx, flux, trees, true)
	if err != nil {
		return nil, err
	}
	_, refused := flux.HubObjects(m.name, false)
	return migrate.Compare(migrate.Input{
		Flux: flux, Walk: walk, Whole: whole, Problems: problems, Refused: refused, Folded: folded, Access: m.access(),
		Checkout: quoted(m.path), HasFolder: trees.hasFolder,
		Recipients: func(path string) []string { return recipientsIn(trees.dir, path) },
	}), nil
}

// requireRoot returns an error if --path does not have the folder of Flux's first root: it is another repository.
func (m *migration) requireRoot(flux *migrate.Flux, trees *checkout) error {
	source := flux.RootSource()
	if m.path == "" || source == nil {
		return nil
	}
	key := api.Key{Kind: source.GetKind(), Namespace: source.GetNamespace(), Name: source.GetName()}
	root := flux.Roots()[0]
	below, ok := nestedText(root, "spec", "path")
	if !ok || trees.local[key] != "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(trees.dir, filepath.Clean("/"+below))); !errors.Is(err, fs.ErrNotExist) {
		return nil // another error is the walk's
	}
	address, _ := nestedText(source, "spec", "url")
	return fmt.Errorf("--path %s: it does not have %s, the path of Flux's root %s: give a checkout of %s, or leave out "+
		"--path to clone it (Git remotes of --path: %s)", m.path, below, manifest.IDOf(root), address,
		cmp.Or(listed(trees.remotes), "none"))
}

// walk walks the checkout for the cluster, with or without Flux's components.
func (m *migration) walk(ctx context.Context, flux *migrate.Flux, trees *checkout, keepFlux bool) (*plan.Previewed,
	[]plan.Problem, error) {
	given, _ := flux.HubObjects(m.name, keepFlux)
	objects, err := admitAll(given)
	if err != nil {
		return nil, nil, err
	}
	if source := flux.RootSource(); source != nil {
		if address, ok := nestedText(source, "spec", "url"); ok {
			trees.main[sameURL(address)] = true
		}
	}
	v, err := plan.NewPreview(ctx, plan.PreviewConfig{
		Objects: objects, Tree: trees.tree, Bases: trees.bases, Renderer: worker.All(), Salt: []byte(buildSalt),
		NoCrossNamespaceRefs: m.noCross, Capabilities: new(capabilityFlags).anyCluster,
	})
	if err != nil {
		return nil, nil, err
	}
	walked, err := v.Cluster(ctx, m.name, plan.Last{})
	return walked, v.Problems, err
}

func admitAll(given []*manifest.Object) (objects []*api.Object, err error) {
	var errs []error
	for _, o := range given {
		admitted, err := api.Admit(o, api.Hub)
		errs = append(errs, err)
		objects = append(objects, admitted)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("the hub would refuse what Flux begins with: %w", err)
	}
	return objects, nil
}

func nestedText(o *manifest.Object, first, second string) (string, bool) {
	fields, _ := o.Object[first].(map[string]any)
	text, ok := fields[second].(string)
	return text, ok
}

// access returns the flags that the commands of the report repeat to reach the cluster, quoted for a shell.
func (m *migration) access() string {
	var flags []string
	for _, f := range []struct{ name, value string }{{"kubeconfig", m.kubeconfig}, {"context", m.kubecontext}} {
		if f.value != "" {
			flags = append(flags, "--"+f.name+"="+quoted(f.value))
		}
	}
	return strings.Join(flags, " ")
}

// quoted returns a text as one word of a shell; "" for an empty text.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// recipientsIn returns the public names of the keys of a file in a checkout; none if the file cannot be read.
func recipientsIn(dir, path string) []string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	data, err := root.ReadFile(filepath.FromSlash(path))
	if err != nil {
		return nil
	}
	return migrate.Recipients(data)
}

// checkout returns the folder of the repository, and a function that removes the folder if it was cloned.
func (m *migration) checkout(ctx context.Context, flux *migrate.Flux) (dir string, remove func(), err error) {
	if m.path != "" {
		return m.path, func() {}, nil
	}
	source := flux.RootSource()
	if source == nil {
		return "", nil, errors.New("the cluster does not have the source of Flux's root: give a checkout with --path")
	}
	admitted, err := api.Admit(source, api.Hub) // which checks the address
	if err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp("", "nave-migrate-"); err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if err := clone(ctx, admitted, dir); err != nil {
		remove()
		return "", nil, fmt.Errorf("%w; give a checkout with --path", err)
	}
	return dir, remove, nil
}

// clone clones the Git repository of a source at its branch or tag with git, which knows the user's credentials.
func clone(ctx context.Context, source *api.Object, dir string) error {
	var o struct {
		Spec struct {
			URL string
			Ref struct{ Branch, Tag, Semver, Name, Commit string }
		}
	}
	if err := json.Unmarshal(source.JSON, &o); err != nil {
		return err
	}
	if scheme, _, _ := strings.Cut(o.Spec.URL, ":"); !slices.Contains([]string{"https", "http", "ssh"}, scheme) {
		return fmt.Errorf("%s is no Git repository", source.Key)
	}
	if ref := o.Spec.Ref; ref.Semver+ref.Name+ref.Commit != "" {
		return fmt.Errorf("%s names a commit, a full reference or a range of versions, which is not cloned", source.Key)
	}
	branch := cmp.Or(o.Spec.Ref.Tag, o.Spec.Ref.Branch, api.DefaultBranch)
	cmd := exec.CommandContext(ctx, "git", "clone", "--quiet", "--depth=1", "--branch="+branch, "--", o.Spec.URL, dir)
	cmd.Env = append(os.Environ(), "GIT_ALLOW_PROTOCOL=https:http:ssh")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git clone %s: %w: %s", o.Spec.URL, err, strings.TrimSpace(string(text)))
	}
	return nil
}
