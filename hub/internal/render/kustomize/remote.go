package kustomize

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

var (
	// errNeeds is the error of a build that needs Remotes which are not mounted, if it may report them.
	errNeeds       = errors.New("remote bases are needed")
	errManyRemotes = fmt.Errorf("%w: it has more than %d remote bases", render.ErrLimit, render.MaxMounts)
)

// remotes are the remote bases and files of a build.
type remotes struct {
	mounts  map[api.Remote]string     // paths in the tree
	parents map[api.Remote]api.Remote // which base names the Remote first; zero: the tree itself
	report  bool                      // collect needs instead of failing
	needs   []render.Need
}

func newRemotes(report bool) *remotes {
	return &remotes{mounts: map[api.Remote]string{}, parents: map[api.Remote]api.Remote{}, report: report}
}

// mount mounts the Remotes of a request.
func (r *remotes) mount(t *tree.Tree, all []render.Mount) error {
	if len(all) > render.MaxMounts {
		return errManyRemotes
	}
	for _, m := range all {
		at := mountPath(m.Remote)
		if err := t.Mount(at, m.Root); err != nil {
			return err
		}
		r.mounts[m.Remote] = at
	}
	return nil
}

// need notes a Remote that is not mounted, once.
func (r *remotes) need(n render.Need) error {
	if slices.ContainsFunc(r.needs, func(known render.Need) bool { return known.Remote == n.Remote }) {
		return nil
	}
	if r.needs = append(r.needs, n); len(r.mounts)+len(r.needs) > render.MaxMounts {
		return r.tooMany(n.Remote)
	}
	return nil
}

// noteParent notes that a Remote is named by a file of what is mounted at a path; "": of the tree itself.
func (r *remotes) noteParent(named api.Remote, at string) {
	if _, known := r.parents[named]; known {
		return
	}
	for parent, mounted := range r.mounts {
		if mounted == at {
			r.parents[named] = parent
			return
		}
	}
	r.parents[named] = api.Remote{}
}

// tooMany returns the error of a build with one Remote too many. It names the bases that lead to this one.
func (r *remotes) tooMany(last api.Remote) error {
	const ends = 3 // names at each end of a long chain
	var chain []string
	for ; last != (api.Remote{}); last = r.parents[last] {
		chain = append(chain, last.String())
	}
	slices.Reverse(chain)
	if n := len(chain); n > 2*ends {
		chain = slices.Replace(chain, ends, n-ends, fmt.Sprintf("%d more", n-2*ends))
	}
	return fmt.Errorf("%w; the last, each named by the one before: %s", errManyRemotes, strings.Join(chain, ", "))
}

// unsafePath matches what mountPath does not keep of an address.
var unsafePath = regexp.MustCompile(`[^a-zA-Z0-9._/-]+`)

// mountPath returns the path at which a Remote is mounted. Messages show it.
func mountPath(r api.Remote) string {
	_, name, _ := strings.Cut(r.Address(), "://")
	if !r.File {
		name += "@" + strings.ReplaceAll(r.Ref, "/", "_")
	}
	digest := sha256.Sum256([]byte(r.ID()))
	return path.Join("/.remote", unsafePath.ReplaceAllString(name, "_")+"-"+hex.EncodeToString(digest[:4]))
}

// remoteTarget is a directory or a file of a Remote.
type remoteTarget struct {
	api.Remote
	path string // in the artifact
}

// remoteTarget returns what a remote path in a field names. kustomize asks a server whether a resource is a file, and
// takes it for a directory of a repository otherwise; here its name decides. Other fields take either directories or
// files. If the hub cannot fetch the path, remoteTarget returns false.
func (r reference) remoteTarget() (t remoteTarget, ok bool) {
	base, isBase := parseRemoteBase(r.path)
	single, isFile := parseRemoteFile(r.path)
	directories := r.field == "components" || r.field == "resources" && isBase && !hasManifestName(r.path)
	switch {
	case directories:
		return remoteTarget{base.Remote(), base.path}, isBase && base.fetchable()
	case isFile:
		return remoteTarget{single, api.RemoteFile}, true
	}
	return t, false
}

// findRemote checks a remote path in a kustomization file. If the path is that of a Remote which is not mounted,
// findRemote notes the need.
func (f *fileSystem) findRemote(p string, r reference) error {
	t, ok := r.remoteTarget()
	at, mounted := f.remotes.mounts[t.Remote]
	if ok {
		f.remotes.noteParent(t.Remote, f.tree.MountOf(p))
	}
	if ok && mounted {
		at = path.Join(at, t.path)
		if err := f.findAt(at, r); err != nil || !t.File {
			return err
		}
		return f.requireContent(at, r)
	}
	err := refuseRemote(r)
	if ok && f.remotes.report {
		refusal := fmt.Sprintf("%s: %s: %v", tree.Local(p), r.field, err)
		return f.remotes.need(render.Need{Remote: t.Remote, Refusal: refusal})
	}
	return err
}

// requireContent returns an error for a single file without content, unless the file is data of a generator. Without
// the error an empty answer of the server would delete the objects that the file gave, or undo its patch.
func (f *fileSystem) requireContent(at string, r reference) error {
	if r.field == "configMapGenerator" || r.field == "secretGenerator" {
		return nil
	}
	data, err := f.content(at)
	if err != nil || hasContent(data) {
		return err
	}
	return fmt.Errorf("%s is empty; if that is intended, remove the URL", withoutCredentials(r.path))
}

// hasContent reports whether a document of a file is not empty. A file that cannot be parsed has content, so that
// kustomize reports the mistake.
func hasContent(data []byte) bool {
	d := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		if err := d.Decode(&doc); err != nil {
			return !errors.Is(err, io.EOF)
		}
		if len(doc.Content) > 0 && !isEmpty(doc.Content[0]) {
			return true
		}
	}
}

// isEmpty reports whether a document is null, an empty map or list, or a List of any kind without items, or with empty
// ones.
func isEmpty(n *yaml.Node) bool {
	switch n.Kind {
	case yaml.MappingNode:
	case yaml.SequenceNode:
		return len(n.Content) == 0
	default:
		return n.Tag == "!!null"
	}
	isList, hasItems := false, false
	eachField(n, func(name string, value *yaml.Node) {
		switch name {
		case "kind":
			isList = strings.HasSuffix(value.Value, "List")
		case "items":
			hasItems = value.Kind != yaml.SequenceNode && value.Tag != "!!null" ||
				slices.ContainsFunc(value.Content, func(item *yaml.Node) bool { return !isEmpty(item) })
		}
	})
	return len(n.Content) == 0 || isList && !hasItems
}

// refuseRemote returns the error for a path that kustomize would fetch. For a directory of a Git server the error names
// the objects to use instead.
func refuseRemote(r reference) error {
	err := fmt.Errorf("%s: %w; remote bases and files are not fetched: commit a copy of it", withoutCredentials(r.path),
		render.ErrRemote)
	t, fetchable := r.remoteTarget()
	switch base, ok := parseRemoteBase(r.path); {
	case t.File:
	case ok:
		err = fmt.Errorf("%w, or take it out and add a GitRepository with url: %s, %s and a Kustomization with "+
			"path: %s that names it", err, base.url, base.reference(), base.path)
	default:
		err = fmt.Errorf("%w, or make it a source and a Kustomization of its own", err)
	}
	if fetchable {
		err = fmt.Errorf("%w, or let the hub fetch it (--remote-base-host %s)", err, t.Host())
	}
	return err
}

// gitParameters are the parameters of a URL that kustomize itself reads. All others are for the server.
var gitParameters = []string{"ref", "version", "submodules", "timeout"}

// withoutCredentials returns a path without the user of a URL, and without a query for the server: each may be a token.
func withoutCredentials(p string) string {
	u, err := url.Parse(strings.TrimPrefix(p, "git::"))
	if err != nil {
		return p
	}
	user := u.User != nil && u.Scheme != "ssh"
	if user {
		u.User = url.User("…")
	}
	values, err := url.ParseQuery(u.RawQuery)
	forServer := func(name string) bool { return !slices.Contains(gitParameters, name) }
	query := err != nil || slices.ContainsFunc(slices.Collect(maps.Keys(values)), forServer)
	if query {
		u.RawQuery = "…"
	}
	if !user && !query {
		return p
	}
	return strings.ReplaceAll(u.String(), "%E2%80%A6", "…")
}

// localize replaces the addresses of mounted Remotes in a kustomization file by paths in the tree. Afterwards the file
// has no remote path that kustomize would fetch itself.
func (f *fileSystem) localize(p string, data []byte) ([]byte, error) {
	if len(f.remotes.mounts) == 0 {
		return data, nil
	}
	var doc yaml.Node
	changed := false
	if yaml.Unmarshal(data, &doc) == nil && len(doc.Content) > 0 {
		eachPath(doc.Content[0], func(field string, n *yaml.Node) {
			if local, ok := f.local(path.Dir(p), field, n.Value); ok {
				n.Value, changed = local, true
			}
		})
	}
	var err error
	if changed {
		data, err = yaml.Marshal(&doc)
	}
	if err == nil {
		err = checkLocal(data)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tree.Local(p), err)
	}
	return data, nil
}

// local returns the path that takes the place of a remote one in a kustomization file of a directory. In a list of
// files the key of the remote path stays.
func (f *fileSystem) local(dir, field, value string) (string, bool) {
	remote, key := value, ""
	if field == "files" {
		if key, remote = splitSource(value); key == remote {
			key = path.Base(remote)
		}
		key += "="
	}
	t, ok := reference{field: field, path: remote}.remoteTarget()
	if at := f.remotes.mounts[t.Remote]; ok && isRemote(remote) && at != "" {
		return key + relative(dir, path.Join(at, t.path)), true
	}
	return "", false
}

// checkLocal returns an error for a kustomization file with a remote path that localize did not find.
func checkLocal(data []byte) error {
	var k types.Kustomization
	if err := k.Unmarshal(data); err != nil {
		return err
	}
	k.FixKustomization()
	for _, r := range references(&k) {
		if isRemote(r.path) && (r.accepts&inline == 0 || !strings.ContainsAny(r.path, "\n{")) {
			return fmt.Errorf("%s: %s: %w, in a form in which it is not fetched: write the field as kustomize documents it",
				r.field, withoutCredentials(r.path), render.ErrRemote)
		}
	}
	return nil
}

// lists are the fields of a kustomization file that list paths; the former name bases counts as resources.
var lists = map[string]string{"resources": "resources", "bases": "resources", "components": "components",
	"crds": "crds", "configurations": "configurations", "generators": "generators", "transformers": "transformers",
	"validators": "validators", "patchesStrategicMerge": "patchesStrategicMerge"}

// eachPath calls fn for each path in a kustomization file, with its field: one of lists, or path, files or envs.
func eachPath(root *yaml.Node, fn func(field string, n *yaml.Node)) {
	each := func(list *yaml.Node, visit func(*yaml.Node)) {
		if list.Kind == yaml.SequenceNode {
			for _, n := range list.Content {
				visit(n)
			}
		}
	}
	eachField(root, func(name string, value *yaml.Node) {
		switch name {
		case "openapi":
			eachField(value, pathField(fn))
		case "patches", "patchesJson6902", "replacements":
			each(value, func(item *yaml.Node) { eachField(item, pathField(fn)) })
		case "configMapGenerator", "secretGenerator":
			each(value, func(item *yaml.Node) {
				eachField(item, func(name string, value *yaml.Node) {
					switch name {
					case "files", "envs":
						each(value, func(n *yaml.Node) { fn(name, n) })
					case "env":
						fn("envs", value)
					}
				})
			})
		default:
			if field, ok := lists[name]; ok {
				each(value, func(n *yaml.Node) { fn(field, n) })
			}
		}
	})
}

// eachField calls fn for each field of a map.
func eachField(n *yaml.Node, fn func(name string, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		fn(n.Content[i].Value, n.Content[i+1])
	}
}

// pathField calls fn for the field path.
func pathField(fn func(string, *yaml.Node)) func(string, *yaml.Node) {
	return func(name string, value *yaml.Node) {
		if name == "path" {
			fn(name, value)
		}
	}
}

// relative returns the path from a directory to a target; both are rooted.
func relative(dir, target string) string {
	return strings.Repeat("../", strings.Count(strings.TrimSuffix(dir, "/"), "/")) + tree.Local(target)
}

// remoteBase is a directory of a repository.
type remoteBase struct{ url, ref, path string }

// Remote returns the repository at its reference.
func (b remoteBase) Remote() api.Remote { return api.Remote{URL: b.url, Ref: b.ref} }

// refPattern is a ref that the hub asks a server for.
var refPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._/+-]{0,200}$`)

// fetchable reports whether the hub can fetch the repository without credentials.
func (b remoteBase) fetchable() bool {
	return (strings.HasPrefix(b.url, "https://") || strings.HasPrefix(b.url, "http://")) && len(b.url) <= maxURL &&
		(b.ref == "" || refPattern.MatchString(b.ref) && !strings.Contains(b.ref, ".."))
}

// commitPattern is a whole commit ID.
var commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)

// versionPattern is a ref that looks like the tag of a version.
var versionPattern = regexp.MustCompile(`^v?[0-9]+\.[0-9]+`)

// reference returns the ref as the spec.ref of a GitRepository. If the URL does not tell a branch from a tag, reference
// returns the likelier one, and says that it is a guess.
func (b remoteBase) reference() string {
	switch {
	case b.ref == "":
		return "ref: {branch: main} (a guess: give the repository's default branch)"
	case commitPattern.MatchString(b.ref):
		return fmt.Sprintf("ref: {commit: %s}", b.ref)
	case versionPattern.MatchString(b.ref):
		return fmt.Sprintf("ref: {tag: %s} (a guess: {branch: %[1]s} if it is a branch)", b.ref)
	}
	return fmt.Sprintf("ref: {branch: %s} (a guess: {tag: %[1]s} if it is a tag)", b.ref)
}

// maxURL is the most bytes of the address of a Remote.
const maxURL = 1000

// hasManifestName reports whether the path of a URL ends like that of a single file, and nothing in the URL says that
// it is in a repository.
func hasManifestName(p string) bool {
	u, err := url.Parse(p)
	if err != nil || strings.Contains(u.Path, ".git/") || strings.Contains(u.Path, "/_git/") {
		return false
	}
	ext := path.Ext(u.Path)
	return ext == ".yaml" || ext == ".yml" || ext == ".json"
}

// parseRemoteFile reads the URL of a single file. If anything in it would be a credential, or kustomize would not ask
// for it by HTTP, parseRemoteFile returns false.
func parseRemoteFile(p string) (r api.Remote, ok bool) {
	u, err := url.Parse(p)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", u.User != nil:
		return r, false
	case strings.Contains(p, "#") || strings.ContainsFunc(p, isSpaceOrControl) || len(p) > maxURL:
		return r, false
	case slices.Contains(strings.Split(u.Path, "/"), ".."):
		return r, false
	}
	u.Host = strings.ToLower(u.Host)
	return api.Remote{URL: u.String(), File: true}, true
}

func isSpaceOrControl(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// parseRemoteBase reads a kustomize URL of a directory: https://host/owner/repository//path?ref=v1. The repository ends
// at //, else after a name with .git or the name after _git, else after two names. For a single file, and for a URL
// that it cannot read, parseRemoteBase returns false.
func parseRemoteBase(p string) (b remoteBase, ok bool) {
	p = strings.TrimPrefix(p, "git::")
	for _, host := range []string{"github.com/", "gitlab.com/", "bitbucket.org/"} {
		if strings.HasPrefix(p, host) {
			p = "https://" + p
		}
	}
	u, err := url.Parse(p)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh", u.Hostname() == "":
		return b, false
	case u.Scheme != "ssh" && u.User != nil: // it may be a password
		return b, false
	}
	repository, dir, ok := splitRepository(u.Path)
	if !ok || slices.Contains(strings.Split(u.Path, "/"), "..") {
		return b, false
	}
	if ext := path.Ext(dir); ext == ".yaml" || ext == ".yml" || ext == ".json" {
		return b, false
	}
	at := url.URL{Scheme: u.Scheme, User: u.User, Host: strings.ToLower(u.Host), Path: repository}
	ref := u.Query().Get("ref")
	if ref == "" {
		ref = u.Query().Get("version")
	}
	return remoteBase{url: at.String(), ref: ref, path: "./" + strings.Trim(dir, "/")}, true
}

// splitRepository returns the path of a repository and the directory in it, as kustomize finds them in the path of a
// URL.
func splitRepository(p string) (repository, dir string, ok bool) {
	if before, after, found := strings.Cut(p, "/_git/"); found {
		name, dir, _ := strings.Cut(after, "/")
		return before + "/_git/" + name, dir, name != ""
	}
	if repository, dir, found := strings.Cut(p, "//"); found {
		return repository, dir, repository != ""
	}
	if before, after, found := strings.Cut(p, ".git"); found && (after == "" || after[0] == '/') {
		return before + ".git", after, true
	}
	parts := strings.SplitN(strings.Trim(p, "/"), "/", 3)
	if len(parts) < 2 {
		return "", "", false
	}
	return "/" + parts[0] + "/" + parts[1], strings.Join(parts[2:], "/"), true
}
