package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/helm"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/render/seal"
	"github.com/navefleet/nave/hub/internal/render/worker"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/wording"
)

// chartBuild has the flags of "nave build helmrelease".
type chartBuild struct {
	validateFlags
	session         *session
	check           *validator // nil: without --validate
	name, namespace string
	chart, root     string
	from            []string
	facts           api.Capabilities
	upgrade         bool
	noHooks         bool
	skipCRDs        bool
	showNotes       bool
}

const buildChartLong = `Render the chart of a HelmRelease from local files, and print the objects of the release in
the order in which Helm installs them: first what the chart has in crds/, last the hooks. No repository, no cluster and
no hub is asked.

FILE has the HelmRelease, and perhaps other objects; - is standard input. --chart is the folder of the chart, with its
dependencies in charts/ (helm dependency build), or an archive (helm package, helm pull). The ConfigMaps and Secrets
that spec.valuesFrom names are those of FILE and of --values-from. SOPS files stay encrypted: placeholders stand for
their values, as on the hub.

As in helm template, the cluster is one with the kinds of Kubernetes itself: --kube-version and --api-versions tell of
another. Objects have the labels of Flux, the common metadata and the patches of the HelmRelease.`

func newBuildChartCommand(s *session) *cobra.Command {
	b := &chartBuild{session: s, facts: helm.DefaultCapabilities()}
	var apis []string
	cmd := &cobra.Command{
		Use:     "helmrelease FILE --chart CHART",
		Aliases: []string{"hr", "helmreleases"},
		Short:   "Render the chart of a HelmRelease from local files",
		Long:    buildChartLong,
		Example: `  nave build helmrelease clusters/production/podinfo.yaml --chart charts/podinfo
  nave build helmrelease clusters/production/podinfo.yaml --chart charts/podinfo --values-from values \
    --kube-version v1.33.4 --api-versions monitoring.coreos.com/v1 --validate`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if !b.asksClusters(false) {
				if err := refuse(cmd, "cluster", "config", "context", "timeout"); err != nil {
					return err
				}
			}
			var done func()
			if b.check, done, err = b.validateFlags.open(cmd.Context(), s, false); err != nil {
				return err
			}
			defer done()
			defer sendWarnings(cmd.ErrOrStderr())()
			b.facts.APIVersions = append(b.facts.APIVersions, apis...)
			result, err := b.render(cmd.Context(), cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			return b.print(cmd, result)
		},
	}
	b.addFlags(cmd.Flags())
	cmd.Flags().StringSliceVarP(&apis, "api-versions", "a", nil, "further APIs of the cluster: group/version or "+
		"group/version/Kind")
	_ = cmd.MarkFlagRequired("chart")
	return cmd
}

// sendWarnings sends the warnings of Helm's library, which quote the chart, to a writer until the returned function is
// called.
func sendWarnings(w io.Writer) func() {
	before, flags, prefix := log.Writer(), log.Flags(), log.Prefix()
	log.SetOutput(w)
	log.SetFlags(0)
	log.SetPrefix("nave: ")
	return func() {
		log.SetOutput(before)
		log.SetFlags(flags)
		log.SetPrefix(prefix)
	}
}

func (b *chartBuild) addFlags(flags *pflag.FlagSet) {
	b.validateFlags.add(flags)
	flags.StringVar(&b.chart, "chart", "", "folder of the chart, or a .tgz of one")
	flags.StringVar(&b.root, "root", "", "folder that spec.chart.spec.valuesFiles begin at, if the chart comes from a "+
		"source of files; default: the Git work tree that --chart is in")
	flags.StringVar(&b.name, "name", "", "name of the HelmRelease, when FILE has several")
	flags.StringVarP(&b.namespace, "namespace", "n", "", "namespace of the HelmRelease, when FILE has several of the name")
	flags.StringSliceVar(&b.from, "values-from", nil, "files or folders with ConfigMaps and Secrets of spec.valuesFrom")
	flags.StringVar(&b.facts.KubeVersion, "kube-version", b.facts.KubeVersion, "version of the cluster's Kubernetes")
	flags.BoolVar(&b.upgrade, "is-upgrade", false, "render for an upgrade; default: for the first install")
	flags.BoolVar(&b.noHooks, "no-hooks", false, "leave out the hooks")
	flags.BoolVar(&b.skipCRDs, "skip-crds", false, "leave out what the chart has in crds/; default: if the release "+
		"does not install it")
	flags.BoolVar(&b.showNotes, "notes", false, "print the notes of the chart to standard error")
}

// render renders the chart of the HelmRelease in a file.
func (b *chartBuild) render(ctx context.Context, stdin io.Reader, file string) (*render.Result, error) {
	objects, err := b.objects(stdin, file)
	if err != nil {
		return nil, err
	}
	found, err := b.choose(objects, file)
	if err != nil {
		return nil, err
	}
	if found.GetNamespace() == "" {
		found.SetNamespace(api.DefaultNamespace)
	}
	release, err := api.NewChartRelease(found)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	b.skipCRDs = b.skipCRDs || release.SkipCRDs
	remove, err := b.unpackChart(ctx, release)
	defer remove()
	if err != nil {
		return nil, fmt.Errorf("--chart: %w", err)
	}
	root, below, err := b.artifact(release)
	if err != nil {
		return nil, err
	}
	build := release.ChartAt(below, b.upgrade, b.facts)
	if err := setData(&build, objects); err != nil {
		return nil, fmt.Errorf("%s: %w", api.KeyOf(found), err)
	}
	spec, err := json.Marshal(build)
	if err != nil {
		return nil, err
	}
	worker.DenyNetwork()
	result, err := helm.Renderer{Patch: kustomize.Patch}.Render(ctx, render.Request{Spec: spec, Root: root})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", api.KeyOf(found), err)
	}
	return result, nil
}

// objects returns the objects of the file and of --values-from, with placeholders in place of encrypted values. A file
// that is named twice counts once.
func (b *chartBuild) objects(stdin io.Reader, file string) (all []*manifest.Object, err error) {
	more, err := manifestsIn(b.from, true)
	if err != nil {
		return nil, fmt.Errorf("--values-from: %w", err)
	}
	for _, name := range withoutRepeated(append([]string{file}, more...)) {
		data, err := readInput(stdin, name)
		if err != nil {
			return nil, err
		}
		file, err := seal.Seal(name, data, sealed.NewSalt([]byte(buildSalt)), seal.Fragments)
		if err != nil {
			return nil, err
		}
		if file != nil {
			data = file.Text
		}
		objects, err := manifest.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, objects...)
	}
	return all, nil
}

// setData sets the data of values that the objects have. If data is missing that is not optional, setData returns an
// error.
func setData(build *api.ChartBuild, objects []*manifest.Object) error {
	if err := build.SetData(objects); err != nil {
		return err
	}
	for _, v := range build.ValuesFrom {
		if v.Data != nil || v.Optional {
			continue
		}
		keys, err := v.KeysIn(objects)
		switch {
		case err != nil:
			return err
		case keys == nil:
			return fmt.Errorf("%s: %s, key %s: no such object in the files: name a file that has it with --values-from",
				v.Field, v.Input, v.Key)
		}
		return fmt.Errorf("%s: %s, key %s: no such key in the object, which has: %s", v.Field, v.Input, v.Key,
			wording.List(keys, len(keys), 5))
	}
	return nil
}

// withoutRepeated returns the names without those of a file that an earlier name has.
func withoutRepeated(names []string) (different []string) {
	var seen []os.FileInfo
	for _, name := range names {
		info, err := os.Stat(name)
		isSame := func(other os.FileInfo) bool { return os.SameFile(info, other) }
		if name != "-" && err == nil {
			if slices.ContainsFunc(seen, isSame) {
				continue
			}
			seen = append(seen, info)
		}
		different = append(different, name)
	}
	return different
}

// choose returns the one HelmRelease with the name and the namespace of the flags.
func (b *chartBuild) choose(objects []*manifest.Object, file string) (*manifest.Object, error) {
	all, found := withName(objects, b.name, b.namespace, api.RendersChart)
	files := strings.Join(append([]string{file}, b.from...), ", ")
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, fmt.Errorf("%s has %d such HelmReleases: %s; choose one with --name, or with --name and --namespace",
			files, len(found), listObjects(found))
	case len(all) > 0:
		return nil, fmt.Errorf("%s has no such HelmRelease, but %s; choose one with --name and --namespace", files,
			listObjects(all))
	}
	return nil, fmt.Errorf("%s has no such HelmRelease: it has none", files)
}

// withName returns the objects for which is returns true, and those of them with a name and a namespace; "" for any.
func withName(objects []*manifest.Object, name, namespace string, is func(*manifest.Object) bool) (
	all, found []*manifest.Object) {
	for _, o := range objects {
		if !is(o) {
			continue
		}
		all = append(all, o)
		if (name == "" || o.GetName() == name) && (namespace == "" || namespaceOf(o) == namespace) {
			found = append(found, o)
		}
	}
	return all, found
}

// namespaceOf returns the namespace of an object of a file: that of the hub if the file names none.
func namespaceOf(o *manifest.Object) string { return cmp.Or(o.GetNamespace(), api.DefaultNamespace) }

// listObjects lists objects of a file, each as "namespace/name".
func listObjects(objects []*manifest.Object) string {
	names := make([]string, len(objects))
	for i, o := range objects {
		names[i] = oneLine(namespaceOf(o) + "/" + o.GetName())
	}
	return strings.Join(names, ", ")
}

// unpackChart puts the folder of the chart in place of an archive, and returns a function that removes the folder.
func (b *chartBuild) unpackChart(ctx context.Context, release *api.ChartRelease) (remove func(), err error) {
	remove = func() {}
	if scheme, _, isURL := strings.Cut(b.chart, "://"); isURL {
		return remove, fmt.Errorf("%s: nave fetches no charts over %s: get it with helm pull, and give the file", b.chart,
			scheme)
	}
	info, err := os.Stat(b.chart)
	if errors.Is(err, fs.ErrNotExist) {
		return remove, fmt.Errorf("%s does not exist: give the folder of a chart or a .tgz of one; nave fetches no charts, "+
			"helm pull does", b.chart)
	}
	if err != nil || info.IsDir() {
		return remove, err
	}
	if !release.InRepository && len(release.Build.ValuesFiles) > 0 {
		return remove, errors.New("spec.chart.spec.valuesFiles are in the source of the chart: give the folder of the " +
			"chart in a checkout, not an archive")
	}
	file, err := os.Open(b.chart)
	if err != nil {
		return remove, err
	}
	defer file.Close()
	dir, err := os.MkdirTemp("", "nave-chart-")
	if err != nil {
		return remove, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if _, err := unpackArchive(ctx, file, dir); err != nil {
		return remove, fmt.Errorf("%s is no packed chart, as helm package writes it: %w", b.chart, err)
	}
	entries, err := os.ReadDir(dir)
	if err == nil && (len(entries) != 1 || !entries[0].IsDir()) {
		err = fmt.Errorf("%s is no packed chart: want one folder in it", b.chart)
	}
	if err == nil {
		b.chart = filepath.Join(dir, entries[0].Name())
	}
	return remove, err
}

// artifact returns the root of the artifact with the chart, and the folder of the chart below it.
func (b *chartBuild) artifact(release *api.ChartRelease) (root, below string, err error) {
	chart, err := realPath(b.chart)
	if err != nil {
		return "", "", fmt.Errorf("--chart: %w", err)
	}
	root = cmp.Or(b.root, workTree(chart), chart)
	switch {
	case release.InRepository && b.root != "":
		return "", "", usageError("--root does nothing for a chart of a repository, whose values files are in the chart: " +
			"leave it out")
	case release.InRepository:
		root = path.Dir(chart)
	}
	return artifactRoot(chart, root)
}

// print prints the objects and validates them.
func (b *chartBuild) print(cmd *cobra.Command, result *render.Result) error {
	var objects []*manifest.Object
	if !b.skipCRDs {
		objects = append(objects, result.Release.CRDs...)
	}
	objects = append(objects, result.Objects...)
	if !b.noHooks {
		for _, h := range result.Release.Hooks {
			objects = append(objects, h.Object)
		}
	}
	if b.showNotes {
		fmt.Fprint(cmd.ErrOrStderr(), result.Release.Notes)
	}
	shown := withGenerated(objects, renderedRecipes(result.Release))
	if err := printObjects(cmd.OutOrStdout(), shown); err != nil {
		return err
	}
	d, templates := definitions{}, result.Release.TemplatesByID()
	var rendered []renderedObject
	for _, o := range objects {
		d.add(o)
		rendered = append(rendered, renderedObject{o, plan.Origin{Templates: templates}})
	}
	err := b.check.check(cmd.Context(), []string{b.session.cluster}, rendered, d)
	b.check.printNotes(noteTo(cmd))
	return cmp.Or(err, b.check.err())
}
