package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/render/worker"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// buildSalt is the salt of the placeholders of sealed values. The placeholders of a hub differ, because it has its own
// salt.
const buildSalt = "nave build"

// newBuildCommand returns "nave build". A hub is asked only for objects that no file gives.
func newBuildCommand(s *session) *cobra.Command {
	return group("build", "Build what the hub would put into a bundle, without a hub", newBuildKustomizationCommand(s),
		without(newBuildArtifactCommand(), globalFlags...),
		newBuildChartCommand(s),
		without(newBuildClusterCommand(s), "cluster", "namespace"),
		without(newBuildFleetCommand(s), "cluster", "namespace"))
}

// kustomizationBuild has the flags of "nave build kustomization".
type kustomizationBuild struct {
	checkoutFlags
	validateFlags
	check           *validator // nil: without --validate
	kind            api.Kind
	session         *session
	name, namespace string
	path, file      string
	root            string
	dryRun, strict  bool
	recursive       bool
	inMemory        bool
	ignoreNotFound  bool
}

const buildKustomizationLong = `Build a Kustomization from local files, and print exactly the objects that the hub would
put into the bundle, in the order in which they are applied, as YAML documents. The flags are those of flux build
kustomization.

The Kustomization is the one in --kustomization-file; without the flag, it is the one of the hub, in the graph of
--cluster. The artifact is --root, else the Git work tree around --path, without what .sourceignore and Flux's defaults
leave out. SOPS files stay encrypted: placeholders stand for their values, as on the hub.

With --recursive, the Kustomizations among the objects are built as well, and those among theirs. A source whose URL is
a Git remote of the artifact is the artifact; other sources need --local-sources. What could not be built is listed on
standard error, and the exit code is then 1.`

func newBuildKustomizationCommand(s *session) *cobra.Command {
	b := kustomizationBuild{session: s}
	cmd := &cobra.Command{
		Use:     "kustomization NAME --path DIR",
		Aliases: []string{"ks", "kustomizations"},
		Short:   "Build a Kustomization from local files",
		Long:    buildKustomizationLong,
		Example: `  nave build kustomization apps --path ./apps/production --kustomization-file ./clusters/production/apps.yaml
  nave build kustomization root --path ./clusters/production --recursive --cluster prod-1 \
    --local-sources GitRepository/flux-system/hub=.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			b.name = args[0]
			if b.kind, err = api.FindKind(cmd.Name()); err != nil {
				return err
			}
			// The default is that of the hub. In a dry run variables that only a cluster knows are empty.
			if !cmd.Flags().Changed("strict-substitute") {
				b.strict = !b.dryRun
			}
			if err := b.refuse(cmd); err != nil {
				return err
			}
			var done func()
			if b.check, done, err = b.validateFlags.open(cmd.Context(), s, s.cluster != ""); err != nil {
				return err
			}
			defer done()
			err = b.run(cmd.Context(), cmd.OutOrStdout())
			b.check.printNotes(noteTo(cmd))
			return err
		},
	}
	b.addFlags(cmd.Flags())
	_ = cmd.MarkFlagRequired("path")
	return cmd
}

func (b *kustomizationBuild) addFlags(flags *pflag.FlagSet) {
	b.checkoutFlags.add(flags)
	b.validateFlags.add(flags)
	flags.StringVar(&b.path, "path", "", "directory with the manifests; takes the place of spec.path")
	flags.StringVar(&b.file, "kustomization-file", "",
		"file with the Kustomization (and perhaps other objects); without it the hub is asked")
	flags.StringVar(&b.root, "root", "", "root of the artifact; default: the Git work tree that --path is in")
	flags.StringVarP(&b.namespace, "namespace", "n", "",
		"namespace of the Kustomization, when the file has several of this name")
	flags.BoolVar(&b.dryRun, "dry-run", false, "variables that are not given are empty; no build needs a cluster")
	flags.BoolVar(&b.strict, "strict-substitute", false,
		"fail on a variable that is not given and has no default, as the hub does; default: unless --dry-run")
	flags.BoolVarP(&b.recursive, "recursive", "r", false, "build the Kustomizations among the objects as well")
	flags.BoolVar(&b.inMemory, "in-memory-build", true, "write nothing into --path; Nave never does")
	flags.BoolVar(&b.ignoreNotFound, "ignore-not-found", false, "if the hub does not have the Kustomization, build "+
		"--path as a Kustomization that sets nothing else")
}

// refuse refuses flags that have no effect, or not the one that they have in flux.
func (b *kustomizationBuild) refuse(cmd *cobra.Command) error {
	schemasOfCluster := b.validate && b.asksClusters(b.session.cluster != "")
	switch {
	case !b.inMemory:
		return usageError("--in-memory-build=false: nave never writes into --path: leave it out")
	case schemasOfCluster && b.session.cluster == "":
		return usageError("--schemas cluster: name the cluster with --cluster")
	case b.file == "" || schemasOfCluster && !b.ignoreNotFound:
		return nil
	case b.ignoreNotFound:
		return usageError("--ignore-not-found does nothing with --kustomization-file, which says what is built: leave it out")
	}
	return refuse(cmd, "cluster", "config", "context", "timeout")
}

// run builds the Kustomization and prints its objects.
func (b *kustomizationBuild) run(ctx context.Context, out io.Writer) error {
	object, err := b.load(ctx)
	if err != nil {
		return err
	}
	root, below, err := artifactRoot(b.path, b.root)
	if err != nil {
		return err
	}
	if b.recursive {
		return b.runRecursive(ctx, out, object, root, below)
	}
	spec, err := kustomize.SpecOf(object)
	if err != nil {
		return err
	}
	bases, err := b.localBases()
	if err != nil {
		return err
	}
	exclude, err := ignored(root, b.ignore)
	if err != nil {
		return err
	}
	spec.Path, spec.Strict = below, b.strict
	encoded, err := kustomize.Encode(spec)
	if err != nil {
		return err
	}
	worker.DenyNetwork()
	result, err := plan.RenderWithBases(ctx, kustomize.Renderer{}, bases, render.Request{
		Spec: encoded, Root: root, Salt: []byte(buildSalt), Exclude: exclude,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", object.Key, err)
	}
	showTexts(result.Objects, result.Substitution)
	origin := plan.OriginOf(root, result.Reads)
	var objects []renderedObject
	for _, o := range result.Objects {
		objects = append(objects, renderedObject{o, origin})
	}
	return b.print(ctx, out, objects)
}

// print prints objects and validates them.
func (b *kustomizationBuild) print(ctx context.Context, out io.Writer, objects []renderedObject) error {
	d := definitions{}
	var plain []*manifest.Object
	for _, o := range objects {
		d.add(o.Object)
		plain = append(plain, o.Object)
	}
	if err := printObjects(out, plain); err != nil {
		return err
	}
	return cmp.Or(b.check.check(ctx, []string{b.session.cluster}, objects, d), b.check.err())
}

// noteTo returns a function that prints a note on the standard error of a command.
func noteTo(cmd *cobra.Command) func(string) {
	return func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), "nave:", line) }
}

// showTexts replaces placeholders in the objects by their texts, with variables that only a cluster knows.
func showTexts(objects []*manifest.Object, s *bundle.Substitution) {
	if s == nil {
		return
	}
	var texts []string
	for _, e := range s.Expressions {
		texts = append(texts, e.Placeholder, e.Text)
	}
	shown := strings.NewReplacer(texts...)
	for _, o := range objects {
		mapStrings(o.Object, func(_, text string) string { return shown.Replace(text) })
	}
}

// load finds the Kustomization in its file, or in the hub, and admits it as the hub would.
func (b *kustomizationBuild) load(ctx context.Context) (*api.Object, error) {
	if b.file == "" {
		return b.ask(ctx)
	}
	data, err := readInput(nil, b.file)
	if err != nil {
		return nil, fmt.Errorf("read the Kustomization: %w", err)
	}
	objects, wrong := manifest.ParseAll(data)
	for _, w := range wrong {
		err = errors.Join(err, errors.New(w.In(b.file)))
	}
	if err != nil {
		return nil, err
	}
	found, err := b.choose(objects)
	if err != nil {
		return nil, err
	}
	if found.GetNamespace() == "" {
		found.SetNamespace(api.DefaultNamespace)
	}
	admitted, err := api.Admit(found.Object, api.ClusterGraph)
	if err != nil {
		return nil, errors.New(strings.Join(api.PlaceOf(b.file, found, err).Faults(err), "\n"))
	}
	return admitted, nil
}

// choose returns the one Kustomization with the name and the namespace of the flags.
func (b *kustomizationBuild) choose(located []manifest.Located) (*manifest.Located, error) {
	objects := make([]*manifest.Object, len(located))
	for i, o := range located {
		objects[i] = o.Object
	}
	all, found := withName(objects, b.name, b.namespace, func(o *manifest.Object) bool {
		kind, ok := api.KindOf(o)
		return ok && kind.Name == b.kind.Name
	})
	what := fmt.Sprintf("%s %s", b.kind.Name, b.name)
	switch {
	case len(found) == 1:
		return &located[slices.Index(objects, found[0])], nil
	case len(found) > 1:
		return nil, fmt.Errorf("%s has more than one %s: %s; choose one with --namespace", b.file, what, listObjects(found))
	case len(all) > 0:
		return nil, fmt.Errorf("%s has no %s (group %s), but %s", b.file, what, b.kind.Group, listObjects(all))
	}
	return nil, fmt.Errorf("%s has no %s (group %s)", b.file, what, b.kind.Group)
}

// artifactRoot returns the root of the artifact and the path below it.
func artifactRoot(dir, root string) (string, string, error) {
	path, err := realPath(dir)
	if err != nil {
		return "", "", fmt.Errorf("--path %s: %w", dir, err)
	}
	if root == "" {
		if root = workTree(path); root == "" {
			return "", "", fmt.Errorf("%s is not in a Git work tree: set --root to the root of the artifact", path)
		}
	}
	top, err := realPath(root)
	if err != nil {
		return "", "", fmt.Errorf("--root %s: %w", root, err)
	}
	below, err := filepath.Rel(top, path)
	if err != nil || !filepath.IsLocal(below) {
		return "", "", usageError("--path %s is not below --root %s", path, top)
	}
	return top, filepath.ToSlash(below), nil
}

// realPath returns the absolute path with symbolic links followed.
func realPath(p string) (string, error) {
	abs, err := filepath.Abs(p)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// workTree returns the Git work tree of a directory. If there is none, workTree returns "".
func workTree(dir string) string {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		} else if !errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// ignored returns a function that reports whether a source would leave a path out of the artifact: by the .sourceignore
// files and the flag, or else by Flux's defaults. Git's own files are always left out.
func ignored(root string, flag []string) (func(string, bool) bool, error) {
	patterns, err := ignorePatterns(root)
	if err != nil {
		return nil, err
	}
	patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(strings.Join(flag, "\n")), nil)...)
	matcher := sourceignore.NewDefaultMatcher(nil, nil)
	if len(patterns) > 0 {
		matcher = sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), patterns...))
	}
	return func(path string, dir bool) bool {
		if dir { // an artifact has only files, so an empty directory is the same as a missing one
			return filepath.Base(path) == ".git"
		}
		return matcher.Match(strings.Split(path, "/"), false)
	}, nil
}

// printObjects writes objects as YAML documents.
func printObjects(out io.Writer, objects []*manifest.Object) error {
	values := make([]map[string]any, len(objects))
	for i, o := range objects {
		values[i] = o.Object
	}
	text, err := documents(values...)
	fmt.Fprint(out, text)
	return err
}
