package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/shared/manifest"
)

// buildSalt is the salt of the placeholders of sealed values. The placeholders of a hub differ, because it has its own
// salt.
const buildSalt = "nave build"

// newBuildCommand returns "nave build". Only the builds of clusters and fleets may ask a hub for its objects.
func newBuildCommand(s *session) *cobra.Command {
	return group("build", "Build what the hub would put into a bundle, without a hub",
		without(newBuildKustomizationCommand(), "cluster", "config", "context"),
		without(newBuildArtifactCommand(), "cluster", "config", "context"),
		without(newBuildClusterCommand(s), "cluster", "namespace"),
		without(newBuildFleetCommand(s), "cluster", "namespace"))
}

// kustomizationBuild has the flags of "nave build kustomization".
type kustomizationBuild struct {
	kind            api.Kind
	name, namespace string
	path, file      string
	root            string
	ignore          []string
	dryRun, strict  bool
}

func newBuildKustomizationCommand() *cobra.Command {
	var b kustomizationBuild
	cmd := &cobra.Command{
		Use:     "kustomization NAME --path DIR --kustomization-file FILE",
		Aliases: []string{"ks", "kustomizations"},
		Short:   "Build a Kustomization from local files",
		Long: `Build a Kustomization from local files, and print exactly the objects that the hub would put into the bundle,
in the order in which they are applied, as YAML documents.

The artifact is --root, else the Git work tree around --path, without what .sourceignore and Flux's defaults leave out.
SOPS files stay encrypted: placeholders stand for their values, as on the hub.`,
		Example: `  nave build kustomization apps --path ./apps/prod --kustomization-file ./clusters/prod/apps.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			b.name = args[0]
			if b.kind, err = api.FindKind(cmd.Name()); err != nil {
				return err
			}
			// The default is that of the hub. In a dry run variables that only a cluster knows are empty.
			if !cmd.Flags().Changed("strict-substitute") {
				b.strict = !b.dryRun
			}
			return b.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	b.addFlags(cmd.Flags())
	_ = cmd.MarkFlagRequired("path")
	_ = cmd.MarkFlagRequired("kustomization-file")
	return cmd
}

func (b *kustomizationBuild) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&b.path, "path", "", "directory with the manifests; takes the place of spec.path")
	flags.StringVar(&b.file, "kustomization-file", "", "file with the Kustomization (and perhaps other objects)")
	flags.StringVar(&b.root, "root", "", "root of the artifact; default: the Git work tree that --path is in")
	flags.StringVarP(&b.namespace, "namespace", "n", "",
		"namespace of the Kustomization, when the file has several of this name")
	flags.StringSliceVar(&b.ignore, "ignore-paths", nil, "paths to leave out, as in .gitignore, separated by commas")
	flags.BoolVar(&b.dryRun, "dry-run", false, "variables that are not given are empty; no build needs a cluster")
	flags.BoolVar(&b.strict, "strict-substitute", false,
		"fail on a variable that is not given and has no default, as the hub does; default: unless --dry-run")
}

// run builds the Kustomization and prints its objects.
func (b *kustomizationBuild) run(ctx context.Context, out io.Writer) error {
	object, err := b.load()
	if err != nil {
		return err
	}
	spec, err := kustomize.SpecOf(object)
	if err != nil {
		return err
	}
	root, below, err := artifactRoot(b.path, b.root)
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
	render.Confine()
	result, err := kustomize.Renderer{}.Render(ctx, render.Request{
		Spec: encoded, Root: root, Salt: []byte(buildSalt), Exclude: exclude,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", object.Key, err)
	}
	showTexts(result)
	return printObjects(out, result.Objects)
}

// showTexts replaces placeholders in the objects by their texts, with variables that only a cluster knows.
func showTexts(result *render.Result) {
	if result.Substitution == nil {
		return
	}
	texts := map[string]any{}
	for _, e := range result.Substitution.Expressions {
		texts[e.Placeholder] = e.Text
	}
	var show func(v any) any
	show = func(v any) any {
		switch v := v.(type) {
		case string:
			if text, ok := texts[v]; ok {
				return text
			}
		case map[string]any:
			for key, field := range v {
				v[key] = show(field)
			}
		case []any:
			for i, item := range v {
				v[i] = show(item)
			}
		}
		return v
	}
	for _, o := range result.Objects {
		show(o.Object)
	}
}

// load finds the Kustomization in its file and admits it as the hub would.
func (b *kustomizationBuild) load() (*api.Object, error) {
	data, err := os.ReadFile(b.file)
	if err != nil {
		return nil, fmt.Errorf("read the Kustomization: %w", err)
	}
	objects, err := manifest.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.file, err)
	}
	var found *manifest.Object
	for _, o := range objects {
		isIn := b.namespace == "" || o.GetNamespace() == b.namespace
		if kind, ok := api.KindOf(o); !ok || kind.Name != b.kind.Name || o.GetName() != b.name || !isIn {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%s has more than one %s %s: choose one with --namespace", b.file, b.kind.Name, b.name)
		}
		found = o
	}
	if found == nil {
		return nil, fmt.Errorf("%s has no %s %s (group %s)", b.file, b.kind.Name, b.name, b.kind.Group)
	}
	if found.GetNamespace() == "" {
		found.SetNamespace(api.DefaultNamespace)
	}
	admitted, err := api.Admit(found, api.ClusterGraph)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.file, err)
	}
	return admitted, nil
}

// artifactRoot returns the root of the artifact and the path below it.
func artifactRoot(dir, root string) (string, string, error) {
	dir, err := realPath(dir)
	if err != nil {
		return "", "", err
	}
	if root == "" {
		if root = workTree(dir); root == "" {
			return "", "", fmt.Errorf("%s is not in a Git work tree: set --root to the root of the artifact", dir)
		}
	}
	if root, err = realPath(root); err != nil {
		return "", "", err
	}
	below, err := filepath.Rel(root, dir)
	if err != nil || !filepath.IsLocal(below) {
		return "", "", fmt.Errorf("--path %s is not below --root %s", dir, root)
	}
	return root, filepath.ToSlash(below), nil
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
	patterns, err := sourceignore.LoadIgnorePatterns(root, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s files: %w", sourceignore.IgnoreFile, err)
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
