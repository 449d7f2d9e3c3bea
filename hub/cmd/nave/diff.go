package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/render/worker"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// errDifferent ends a command with exit code 1 after it has printed differences.
var errDifferent = errors.New("there are differences, as printed")

// newDiffCommand returns "nave diff".
func newDiffCommand(s *session) *cobra.Command {
	return errorsExit2(group("diff", "Compare what is local with what was published",
		without(newDiffClusterCommand(s), "cluster", "namespace"), without(newDiffFleetCommand(s), "cluster", "namespace"),
		newDiffApplicationCommand(s, diffedKustomization), newDiffApplicationCommand(s, diffedRelease),
		without(newDiffArtifactCommand(s), "cluster", "config", "context", "namespace")))
}

// diff has the flags of "nave diff cluster|fleet|kustomization|helmrelease".
type diff struct {
	checkoutFlags
	validateFlags
	capabilityFlags
	session         *session
	files           []string
	ref, output     string
	strict, noCross bool
	live            bool // ask the spokes
	recursive       bool // of a Kustomization: also what is below it
}

const diffLong = `Render what a checkout, or a commit of it, gives to %s, and compare the
result with what the hub last released. Print each difference once, with the clusters that it is for.

DIR is the root of the checkout, by default that of the Git work tree around the current folder; with --ref, a commit,
branch or tag of it. It stands for the same sources as with nave build fleet, but not for a GitRepository if all its Git
remotes are other repositories. Kustomizations of sources without a folder stay as they are.

Changes that would not reach a cluster are printed apart, with the reason after "held:": the cluster is pinned (nave
rollback), or something is suspended.

With --live, the spokes ask their API servers what would change: defaults and webhooks count, and what would be refused
is said. Secret values do not leave the cluster. A spoke that is away or too old is named. If an object would be
refused, the exit code is 2.

With --validate, the objects that would be added or changed are checked against the schemas of the clusters that they
go to. If one is not valid, the exit code is 2.

With -o json or yaml: clusters (how many were compared); groups, each with clusters, held (if the changes do not reach
them) and changes; notRendered, notAsked, notCompared and notValid, each with clusters and message. A change has
application and object (group, kind, namespace, name; without object it is about the application), part (hook or
definition, of a chart), action (added, changed, deleted, left, removed, unchanged, recreated, refused, unlisted), and
diff or message.

Encrypted values are not shown, and neither are the values of Secrets; where one changed, the diff says so.

The exit code is 0 if there is no difference, 1 if there is one, and 2 after an error, if something could not be
rendered, if an object would be refused, or if nothing was compared, because no source has a folder, or because
the cluster has not told yet which keys the values of the one release have.`

func newDiffClusterCommand(s *session) *cobra.Command {
	d := diff{session: s}
	return d.command(&cobra.Command{
		Use:     "cluster NAME [DIR]",
		Short:   "Compare what a checkout gives to a cluster with what was released; exit code 1 if they differ",
		Long:    fmt.Sprintf(diffLong, "one cluster"),
		Example: "  nave diff cluster prod-1\n  nave diff cluster prod-1 ~/fleet --ref feature",
	}, func(name string) (selection, error) { return selection{clusters: []string{name}}, nil })
}

func newDiffFleetCommand(s *session) *cobra.Command {
	d := diff{session: s}
	return d.command(&cobra.Command{
		Use:     "fleet NAME [DIR]",
		Short:   "Compare what a checkout gives to a Fleet with what was released; exit code 1 if they differ",
		Long:    fmt.Sprintf(diffLong, "the clusters of a Fleet"),
		Example: "  nave diff fleet production\n  nave diff fleet production --ref origin/main -o markdown",
	}, func(name string) (selection, error) { return selection{fleet: name}, nil })
}

// diffedKind is a kind of which "nave diff" compares one object.
type diffedKind struct {
	word    string
	aliases []string
	example string
}

var (
	diffedKustomization = diffedKind{"kustomization", []string{"ks", "kustomizations"}, "apps"}
	diffedRelease       = diffedKind{"helmrelease", []string{"hr", "helmreleases"}, "podinfo -n apps"}
)

func newDiffApplicationCommand(s *session, of diffedKind) *cobra.Command {
	d := diff{session: s}
	kind, _ := api.KindByName(of.word)
	cmd := d.command(&cobra.Command{
		Use:     of.word + " NAME [DIR]",
		Aliases: of.aliases,
		Short:   "Compare one " + kind.Name + " of a checkout with what was released; exit code 1 if they differ",
		Long:    fmt.Sprintf(diffLong, "one "+kind.Name+" on all clusters, or on --cluster"),
		Example: "  nave diff " + of.word + " " + of.example + " --cluster prod-1",
	}, func(name string) (selection, error) {
		key := api.Key{Kind: kind.Name, Namespace: s.namespace, Name: name}
		chosen := selection{application: key.Application(), below: d.recursive}
		if s.cluster != "" {
			chosen.clusters = []string{s.cluster}
		}
		return chosen, nil
	})
	if of.word == diffedKustomization.word {
		cmd.Flags().BoolVarP(&d.recursive, "recursive", "r", false, "also compare the Kustomizations below it")
	}
	return cmd
}

// command adds flags and the run function to a command. selected returns what its argument selects.
func (d *diff) command(cmd *cobra.Command, selected func(name string) (selection, error)) *cobra.Command {
	cmd.Args = cobra.RangeArgs(1, 2)
	flags := cmd.Flags()
	d.checkoutFlags.add(flags)
	d.validateFlags.add(flags)
	d.capabilityFlags.add(flags)
	flags.StringArrayVarP(&d.files, "filename", "f", nil, "file or folder with objects of the hub that take the place of "+
		"those that the hub has (repeatable)")
	flags.StringVar(&d.ref, "ref", "", "compare a commit, branch or tag of the Git repository in DIR")
	flags.StringVarP(&d.output, "output", "o", "diff", "diff, markdown for a pull request, json or yaml")
	flags.BoolVar(&d.strict, "strict-substitute", true, "as the hub does by default; =false: as nave-hub "+
		"--lenient-substitution")
	flags.BoolVar(&d.noCross, "no-cross-namespace-refs", false, "as the hub's flag")
	flags.BoolVar(&d.live, "live", false, "ask the clusters what would change, by a server-side dry run; nothing "+
		"is applied")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		chosen, err := selected(args[0])
		if err != nil {
			return err
		}
		return d.run(cmd, append(args, "")[1], chosen)
	}
	return cmd
}

// run compares and prints. If dir is empty, the checkout is that of the current folder.
func (d *diff) run(cmd *cobra.Command, dir string, chosen selection) error {
	if !slices.Contains([]string{"diff", "markdown", "json", "yaml"}, d.output) {
		return usageError("--output %q: want diff, markdown, json or yaml", d.output)
	}
	client, done, err := d.session.dial()
	if err != nil {
		return err
	}
	defer done()
	check, endCheck, err := d.validateFlags.open(cmd.Context(), d.session, true)
	if err != nil {
		return err
	}
	defer endCheck()
	c := &comparison{client: client, chosen: chosen, check: check}
	if err := d.compare(cmd, dir, c); err != nil {
		return err
	}
	switch d.output {
	case "diff":
		c.print(cmd.OutOrStdout())
	case "markdown":
		c.printMarkdown(cmd.OutOrStdout())
	default:
		if err := printIn(cmd.OutOrStdout(), d.output, c.report()); err != nil {
			return err
		}
	}
	for _, note := range byClusters(c.notCompared()) {
		fmt.Fprintln(cmd.ErrOrStderr(), "nave:", note)
	}
	c.check.printNotes(noteTo(cmd))
	return c.err()
}

// compare renders the checkout and compares the result with what the hub released.
func (d *diff) compare(cmd *cobra.Command, dir string, c *comparison) error {
	ctx := cmd.Context()
	asking, cancel := context.WithTimeout(ctx, d.session.timeout)
	defer cancel()
	released, err := askPublished(asking, c.client, c.chosen.clusters, false)
	if err != nil {
		return err
	}
	v, closeTrees, err := d.open(cmd, dir, released)
	defer closeTrees()
	if err != nil {
		return err
	}
	resumed, err := v.Resume(ctx)
	if err != nil {
		return err
	}
	clusters, err := c.chosen.in(resumed, released)
	if err != nil {
		return err
	}
	c.unreadable = map[string]string{}
	clusters = slices.DeleteFunc(clusters, func(name string) bool {
		why := released.unreadable[name]
		if why != "" {
			c.unreadable[name] = why
		}
		return why != ""
	})
	all, err := outlooks(ctx, c.client, v, resumed, clusters, released)
	if err != nil {
		return err
	}
	c.hub = append(v.Problems, resumed.Problems...)
	if err := c.compare(ctx, released, all); err != nil {
		return err
	}
	if err := c.validate(ctx, all); err != nil {
		return err
	}
	if d.live {
		if err := c.askSpokes(ctx, d.session.timeout); err != nil {
			return err
		}
	}
	return c.chosen.find(released, all)
}

// open returns the preview of the checkout with the objects of the hub, and a function that removes the files that were
// made for it.
func (d *diff) open(cmd *cobra.Command, dir string, released *published) (*plan.Preview, func(), error) {
	remove := func() {}
	if dir == "" {
		var err error
		if dir, err = currentRoot(released.objects); err != nil {
			return nil, remove, err
		}
	}
	work := dir
	if d.ref != "" {
		var err error
		if work, remove, err = checkOut(cmd.Context(), dir, d.ref); err != nil {
			return nil, remove, err
		}
	}
	trees, err := d.checkoutFlags.open(dir)
	if err == nil {
		err = trees.moveTo(work)
	}
	if err != nil {
		remove()
		return nil, func() {}, err
	}
	v, err := d.preview(cmd, trees, released)
	return v, func() { trees.composer.close(); remove() }, err
}

// preview returns the preview of a checkout with the objects of the hub.
func (d *diff) preview(cmd *cobra.Command, trees *checkout, released *published) (*plan.Preview, error) {
	given, err := readObjects(cmd.InOrStdin(), d.files)
	if err != nil {
		return nil, err
	}
	objects, owned, unapplied := released.with(given)
	if objects, err = trees.complete(objects); err != nil {
		return nil, err
	}
	trees.claim(objects)
	if err := trees.requireRepository(objects); err != nil {
		return nil, err
	}
	capabilities := &hubCapabilities{capabilityFlags: d.capabilityFlags, client: released.client,
		ids: released.capabilities}
	shapes, reader := &hubShapes{client: released.client}, newLastReader(released.client)
	worker.DenyNetwork() // after git was asked
	return plan.NewPreview(cmd.Context(), plan.PreviewConfig{
		Objects: objects, Owned: owned, Unapplied: unapplied, Suspended: released.suspended, HoldSources: true,
		Tree: trees.tree, Bases: trees.bases, Renderer: worker.All(), Salt: cache.Salt(released.epoch),
		NoCrossNamespaceRefs: d.noCross, LenientSubstitution: !d.strict, Capabilities: capabilities.of,
		Shapes: shapes.of, Released: func(ctx context.Context, cluster string, name bundle.ApplicationName) (
			*bundle.Application, error) {
			a, ok := released.clusters[cluster][name]
			if !ok {
				return nil, nil
			}
			return reader.application(ctx, a)
		}, Newest: newestRevision(released.client),
		Told: func(cluster string, name bundle.ApplicationName) *api.ReleaseState {
			return released.clusters[cluster][name].told
		},
	})
}

// with returns the objects of the hub with those of files in their place, the owners of those that stay, and which of
// the others Git gives.
func (p *published) with(given []*api.Object) (objects []*api.Object, owned map[api.Key]api.Key,
	unapplied map[api.Key]bool) {
	objects, owned, unapplied = slices.Clone(given), maps.Clone(p.owned), map[api.Key]bool{}
	isGiven := map[api.Key]bool{}
	for _, g := range given {
		isGiven[g.Key] = true
	}
	for _, o := range p.objects {
		if isGiven[o.Key] {
			_, unapplied[o.Key] = owned[o.Key]
			delete(owned, o.Key)
		} else {
			objects = append(objects, o)
		}
	}
	return objects, owned, unapplied
}

// checkOut writes the files of a commit of the Git repository in a folder to a new folder, and returns a function that
// removes them.
func checkOut(ctx context.Context, dir, ref string) (work string, remove func(), err error) {
	base, err := os.MkdirTemp("", "nave-diff-")
	if err != nil {
		return "", func() {}, err
	}
	remove = func() { _ = os.RemoveAll(base) }
	work = filepath.Join(base, "tree")
	if err := os.Mkdir(work, 0o700); err != nil {
		return "", remove, err
	}
	commit, err := gitIn(ctx, dir, "", "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = fmt.Errorf("the repository in %s has no such commit, branch or tag; if it is new, git fetch first", dir)
	}
	if err != nil {
		remove()
		return "", func() {}, fmt.Errorf("--ref %s: %w", ref, err)
	}
	index := filepath.Join(base, "index")
	_, err = gitIn(ctx, dir, index, "read-tree", strings.TrimSpace(commit))
	if err == nil {
		_, err = gitIn(ctx, dir, index, "checkout-index", "--all", "--prefix="+work+string(filepath.Separator))
	}
	if err != nil {
		remove()
		return "", func() {}, fmt.Errorf("check out %s: %w", ref, err)
	}
	return work, remove, nil
}

// gitIn runs git in a folder, with an index of its own if index is not empty, and returns what git prints.
func gitIn(ctx context.Context, dir, index string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	if index != "" {
		cmd.Env = append(os.Environ(), "GIT_INDEX_FILE="+index)
	}
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(messages.String()))
	}
	return out.String(), nil
}

// isUnmapped reports whether a problem is only that no folder stands for a source or a remote base.
func isUnmapped(p plan.Problem) bool { return p.Reason == condition.ArtifactFailed }
