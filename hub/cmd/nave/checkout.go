package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/shared/manifest"
)

// checkout gives the trees of sources from local folders. It is safe for concurrent use.
type checkout struct {
	dir      string // the folder that stands for the sources of main, and for those of its Git remotes
	revision string // for messages
	local    map[api.Key]string
	bases    map[string]string // see plan.PreviewConfig
	main     map[string]bool   // URLs of the sources that dir stands for
	given    string            // dir as the caller named it
	remotes  []string          // URLs of the Git remotes of dir
	guessed  string            // the URL of main that is none of the remotes; empty: there is none
	ignore   []string

	mu       sync.Mutex
	excludes map[string]func(string, bool) bool // by folder and rules

	composer composer
}

// checkoutFlags are the flags that say which folders stand for which sources.
type checkoutFlags struct {
	sources []string
	bases   []string
	ignore  []string
}

func (f *checkoutFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.sources, "local-sources", nil,
		"folders for sources, separated by commas: GitRepository/flux-system/infra=../infra")
	flags.StringSliceVar(&f.bases, "local-bases", nil, "folders for remote bases, separated by commas: "+
		"https://github.com/org/base@v1.0.0=../base")
	flags.StringSliceVar(&f.ignore, "ignore-paths", nil, "paths to leave out, as in .gitignore, separated by commas")
}

// open returns the checkout in a folder. The folder stands for the sources whose URL is one of its Git remotes.
func (f *checkoutFlags) open(dir string) (*checkout, error) {
	c := &checkout{
		local: map[api.Key]string{}, main: map[string]bool{}, ignore: f.ignore,
		excludes: map[string]func(string, bool) bool{}, revision: plan.LocalRevision,
	}
	var err error
	if c.dir, err = folder(dir); err != nil {
		return nil, err
	}
	if c.bases, err = f.localBases(); err != nil {
		return nil, err
	}
	urls := remotes(c.dir)
	c.given, c.remotes = dir, hosted(urls)
	for _, remote := range urls {
		c.main[sameURL(remote)] = true
	}
	for _, pair := range f.sources {
		name, dir, ok := strings.Cut(pair, "=")
		parts := strings.Split(name, "/")
		if !ok || len(parts) != 3 {
			return nil, usageError("--local-sources %q: want Kind/namespace/name=DIR", pair)
		}
		kind, err := api.FindKind(parts[0])
		if err != nil {
			return nil, usageError("--local-sources %q: %w", pair, err)
		}
		key := api.Key{Kind: kind.Name, Namespace: parts[1], Name: parts[2]}
		if c.local[key], err = folder(dir); err != nil {
			return nil, fmt.Errorf("--local-sources %s: %w", name, err)
		}
	}
	return c, nil
}

// localBases returns the folders of --local-bases.
func (f *checkoutFlags) localBases() (bases map[string]string, err error) {
	bases = map[string]string{}
	for _, pair := range f.bases {
		name, dir, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usageError("--local-bases %q: want URL@REF=DIR", pair)
		}
		if bases[name], err = folder(dir); err != nil {
			return nil, fmt.Errorf("--local-bases %s: %w", name, err)
		}
	}
	return bases, nil
}

// moveTo makes another folder, such as one with the files of a commit, stand for all that the folder stood for.
func (c *checkout) moveTo(dir string) error {
	real, err := folder(dir)
	if err != nil {
		return err
	}
	for key, at := range c.local {
		if at == c.dir {
			c.local[key] = real
		}
	}
	c.dir = real
	return nil
}

// folder returns the real path of a folder.
func folder(dir string) (string, error) {
	real, err := realPath(dir)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(real)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", dir)
	}
	return real, err
}

// remotes returns the URLs of the remotes of the Git work tree in a folder. If there is none, or no git command,
// remotes returns nil.
func remotes(dir string) []string {
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err != nil {
		return nil
	}
	out, err := exec.Command("git", "-C", dir, "config", "--get-regexp", "--null", `^remote\..*\.url$`).Output()
	if err != nil {
		return nil
	}
	var urls []string
	for _, line := range strings.Split(string(out), "\x00") {
		if _, address, ok := strings.Cut(line, "\n"); ok {
			urls = append(urls, address)
		}
	}
	return urls
}

// sameURL returns a form of a Git URL that is equal for all usual ways to write one repository: without scheme, user,
// port and .git.
func sameURL(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		rest, scheme = strings.Replace(address, ":", "/", 1), "ssh" // git@host:path
	}
	host, path, _ := strings.Cut(rest, "/")
	if _, after, found := strings.Cut(host, "@"); found {
		host = after
	}
	if scheme == "ssh" {
		host, _, _ = strings.Cut(host, ":")
	}
	return strings.ToLower(host) + "/" + strings.TrimSuffix(strings.Trim(path, "/"), ".git")
}

// complete adds the sources that a Fleet or --local-sources names and that no object is, such as the source that
// nave bootstrap makes. HelmCharts are left to the HelmReleases that make them.
func (c *checkout) complete(objects []*api.Object) ([]*api.Object, error) {
	missing := maps.Clone(c.local)
	maps.DeleteFunc(missing, func(key api.Key, _ string) bool { return key.IsMadeByReleases() })
	for _, o := range objects {
		if key, ok := o.SourceReference(); ok {
			missing[key] = ""
		}
	}
	for _, o := range objects {
		delete(missing, o.Key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(missing), api.Key.Compare) {
		o, err := stub(key)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// stub returns a source of the hub of which only the name is known.
func stub(key api.Key) (o *api.Object, err error) {
	if key.Role() != api.SourceRole {
		return nil, fmt.Errorf("%s is not a source", key)
	}
	kind, _ := api.KindByName(key.Kind)
	for _, spec := range []map[string]any{
		{"interval": "1m", "url": stubURL}, {"interval": "1m", "url": "oci" + strings.TrimPrefix(stubURL, "https")},
		{"interval": "1m", "bucketName": "checkout", "endpoint": "checkout.invalid"}, {},
	} {
		o, err = api.Admit(&manifest.Object{Object: map[string]any{
			"apiVersion": kind.Group + "/" + kind.Version, "kind": key.Kind, "spec": spec,
			"metadata": map[string]any{"name": key.Name, "namespace": key.Namespace},
		}}, api.Hub)
		if err == nil {
			return o, nil
		}
	}
	return nil, err
}

// stubURL is the URL of a source of which only the name is known.
const stubURL = "https://checkout.invalid/checkout"

// claimBootstrap makes the folder stand for the source that nave bootstrap makes, unless another folder or an object is
// given for it.
func (c *checkout) claimBootstrap(objects []*api.Object) {
	key := api.Key{Kind: api.GitRepositoryKind, Namespace: api.DefaultNamespace, Name: bootstrapName}
	if c.local[key] == "" && !slices.ContainsFunc(objects, func(o *api.Object) bool { return o.Key == key }) {
		c.local[key] = c.dir
	}
}

// claim makes the folder stand for the source that Fleets and renderables of the hub name, if all of them name one URL.
// If they name several, only the Git remotes decide which of them the folder stands for. Sources that have another
// folder do not count.
func (c *checkout) claim(objects []*api.Object) {
	named, sources := map[string]bool{}, map[api.Key]string{}
	for _, o := range objects {
		if view, err := o.Source(); err == nil && len(view.Inputs) == 0 {
			sources[o.Key] = sameURL(view.URL)
		}
	}
	for _, o := range objects {
		key, _ := o.SourceReference()
		if at := sources[key]; at != "" && (c.local[key] == "" || c.local[key] == c.dir) {
			named[at] = true
		}
	}
	if len(named) != 1 {
		return
	}
	for at := range named {
		if !c.main[at] {
			c.main[at], c.guessed = true, at
		}
	}
}

// requireRepository returns an error if the folder stands for a GitRepository only because Fleets name no other source,
// and the Git remotes of the folder say that it is another repository.
func (c *checkout) requireRepository(objects []*api.Object) error {
	var other error
	for _, o := range objects {
		view, err := o.Source()
		if err != nil || !view.IsGit || view.URL == stubURL || sameURL(view.URL) != c.guessed {
			continue
		}
		if c.local[o.Key] == c.dir {
			return nil
		}
		other = fmt.Errorf("%s is another repository than that of the hub: its Git remotes are %s, and %s is %s; give a "+
			"checkout of %[4]s, or, if it is one, add --local-sources %s=%[1]s", c.given, listed(c.remotes), o.Key,
			sameURL(view.URL), pathOf(o.Key))
	}
	if len(c.remotes) == 0 {
		return nil
	}
	return other
}

// hosted returns the Git remotes that are no local paths, as sameURL writes them. A path does not say which repository
// it is.
func hosted(remotes []string) (found []string) {
	for _, remote := range remotes {
		before, _, _ := strings.Cut(remote, "/")
		if strings.Contains(before, ":") && !strings.HasPrefix(remote, "file:") {
			found = append(found, sameURL(remote))
		}
	}
	return found
}

// currentRoot returns the root of the Git work tree that the current folder is in. If its remotes are no sources among
// the objects, currentRoot returns the current folder; if there is no work tree, an error.
func currentRoot(objects []*api.Object) (string, error) {
	current, err := realPath(".")
	if err != nil {
		return "", err
	}
	root := workTree(current)
	if root == "" {
		return "", fmt.Errorf("%s is not in a Git work tree: name the root of the checkout as DIR, such as . for this "+
			"folder", current)
	}
	remotes := hosted(remotes(root))
	if len(remotes) == 0 || slices.ContainsFunc(objects, func(o *api.Object) bool {
		view, err := o.Source()
		return err == nil && slices.Contains(remotes, sameURL(view.URL))
	}) {
		return root, nil
	}
	return ".", nil
}

// tree returns the folder of a source. That of a source which is made of others is composed, unless a folder is given.
func (c *checkout) tree(ctx context.Context, source *api.Object,
	inputs func() ([]plan.Tree, error)) (plan.Tree, error) {
	dir, known := c.local[source.Key]
	view, err := source.Source()
	switch {
	case err != nil:
		return plan.Tree{}, err
	case known:
	case view.Upstream:
		return plan.Tree{}, noFolder("no folder stands for %s; give the folder of the chart, as of helm pull --untar, "+
			"with --local-sources %s=DIR", source.Key, pathOf(source.Key))
	case len(view.Inputs) > 0:
		return c.compose(ctx, source, view, inputs)
	default:
		if dir, err = c.folderOf(source, view); err != nil {
			return plan.Tree{}, err
		}
	}
	t, err := c.treeIn(dir, ignoreOf(source))
	t.Git = view.IsGit
	return t, err
}

// folderOf returns the folder that stands for the URL of a source.
func (c *checkout) folderOf(source *api.Object, view *api.Source) (string, error) {
	if c.main[sameURL(view.URL)] {
		return c.dir, nil
	}
	return "", noFolder("no folder stands for %s (%s); give one with --local-sources %s=DIR", source.Key, view.URL,
		pathOf(source.Key))
}

// noFolder returns the error of a source that no folder stands for.
func noFolder(format string, args ...any) error {
	return &plan.NoFolder{Err: fmt.Errorf(format, args...)}
}

// hasFolder reports whether a folder stands for a source with a URL.
func (c *checkout) hasFolder(source *api.Object, url string) bool {
	_, known := c.local[source.Key]
	return known || c.main[sameURL(url)]
}

// treeIn returns a folder without what rules leave out.
func (c *checkout) treeIn(dir, rules string) (t plan.Tree, err error) {
	t = plan.Tree{Dir: dir, Revision: c.revision, Rules: rules}
	t.Exclude, err = c.exclude(dir, rules)
	return t, err
}

func pathOf(key api.Key) string { return key.Kind + "/" + key.Namespace + "/" + key.Name }

// ignoreOf returns spec.ignore of a source.
func ignoreOf(source *api.Object) string {
	var o struct {
		Spec struct {
			Ignore string `json:"ignore"`
		} `json:"spec"`
	}
	_ = json.Unmarshal(source.JSON, &o) // admitted
	return o.Spec.Ignore
}

// exclude returns the function that reports the paths of a folder that a source leaves out.
func (c *checkout) exclude(dir, rules string) (func(string, bool) bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := dir + "\x00" + rules
	if found := c.excludes[id]; found != nil {
		return found, nil
	}
	found, err := ignored(dir, append(strings.Split(rules, "\n"), c.ignore...))
	if err == nil {
		c.excludes[id] = found
	}
	return found, err
}

// errOutside is the error of a path that is not in its checkout.
var errOutside = errors.New("is not below")

// below returns a path as a Kustomization names it: relative to the root of the checkout. The path is that of a folder
// of the checkout, or relative to the checkout.
func (c *checkout) below(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.dir, path)
	}
	real, err := realPath(path)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(c.dir, real)
	if err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s %w %s", path, errOutside, c.dir)
	}
	return "./" + filepath.ToSlash(rel), nil
}
