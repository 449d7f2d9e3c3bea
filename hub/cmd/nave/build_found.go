package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// fluxSync is the file in which flux bootstrap writes the root of a cluster, in the folder flux-system of that root.
const fluxSync = "gotk-sync.yaml"

// foundObject is an object of the hub that a file of a checkout has.
type foundObject struct {
	*api.Object
	file string // below the checkout
}

// find returns the objects of a hub without asking one: those that are given, and a root for the folder of the checkout
// that has Clusters and Fleets, as nave bootstrap makes it. If there is no such folder, the root of the cluster is the
// folder that flux bootstrap made for it. named are the objects that the walk will find. note prints what was taken.
func (p *preview) find(cluster string, trees *checkout, given []*api.Object, note func(string)) (objects,
	named []*api.Object, err error) {
	files, syncs, err := trees.filesOfHub()
	if err != nil {
		return nil, nil, err
	}
	folders := foldersOf(files)
	at, err := trees.rootFolder(folders)
	switch {
	case err != nil:
		return nil, nil, err
	case len(folders) == 0:
		objects, err = p.findBootstrapped(cluster, trees, given, syncs, note)
		return objects, nil, withFaults(err, files)
	}
	all, err := trees.objectsIn(at)
	if err != nil {
		return nil, nil, err
	}
	for _, o := range all {
		if slices.ContainsFunc(given, func(g *api.Object) bool { return g.Key == o.Key }) {
			return given, nil, nil // files of this folder
		}
		named = append(named, o.Object)
	}
	p.found = filepath.Join(trees.given, at)
	note("no hub is asked: its objects are those in " + p.found + ": " + describeFound(all))
	trees.claimBootstrap(named)
	p.root, err = rootOfHub(at)
	return append(given, p.root), named, err
}

// findBootstrapped returns the objects for the folder that flux bootstrap made for a cluster.
func (p *preview) findBootstrapped(cluster string, trees *checkout, given []*api.Object, syncs []string,
	note func(string)) ([]*api.Object, error) {
	var roots []string
	for _, sync := range syncs {
		if root := path.Dir(path.Dir(sync)); path.Base(root) == cluster {
			roots = append(roots, root)
		}
	}
	switch len(roots) {
	case 0:
		return nil, fmt.Errorf("no hub is asked, and %s has no Cluster and no Fleet: give them with --filename, name the "+
			"root of a cluster with --path, or configure the hub (nave-hub operator-config prints a configuration)",
			trees.given)
	case 1:
		note(fmt.Sprintf("no hub is asked, and %s has no Cluster and no Fleet: the root of cluster %s is %s, which flux "+
			"bootstrap made", trees.given, cluster, roots[0]))
		p.path = roots[0]
		return p.objectsOfPath(cluster, trees, given)
	}
	return nil, fmt.Errorf("several folders may be the root of cluster %s: %s; name one with --path", cluster,
		listed(roots))
}

// withFaults adds to an error of a search that found no Clusters and Fleets the faults of files that may have some.
func withFaults(err error, files []api.File) error {
	var faults []string
	for _, file := range files {
		if file.Data == nil {
			faults = append(faults, fmt.Sprintf("%s has more than %d MiB", file.Name, maxInput>>20))
		} else if _, all := manifest.ParseAll(file.Data); len(all) > 0 {
			faults = append(faults, all[0].In(file.Name))
		}
	}
	if err == nil || len(faults) == 0 {
		return err
	}
	return fmt.Errorf("%w; files that cannot be read may have some: %s", err, wording.List(faults, len(faults), 3))
}

// filesOfHub returns the manifests of the checkout that name the group of Clusters and Fleets, and the paths of those
// that flux bootstrap wrote. Manifests that are too large to be read are among them, without data.
func (c *checkout) filesOfHub() (files []api.File, syncs []string, err error) {
	exclude, err := c.exclude(c.dir, "")
	if err != nil {
		return nil, nil, err
	}
	err = filepath.WalkDir(c.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(c.dir, name)
		below = filepath.ToSlash(below)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && exclude(below, true):
			return fs.SkipDir
		case !entry.Type().IsRegular() || !isManifest(name) || exclude(below, false):
			return nil
		case path.Base(below) == fluxSync:
			syncs = append(syncs, below)
		}
		data, err := readManifest(name, entry)
		if err == nil && (data == nil || bytes.Contains(data, []byte(api.GroupFleet+"/"))) {
			files = append(files, api.File{Name: below, Data: data})
		}
		return err
	})
	return files, syncs, err
}

// readManifest returns the content of a file of a walk; nil if it is too large.
func readManifest(name string, entry fs.DirEntry) ([]byte, error) {
	info, err := entry.Info()
	if err != nil || info.Size() > maxInput {
		return nil, err
	}
	return readInput(nil, name)
}

// foldersOf returns the folders of the files that have Clusters or Fleets, without those that are below others. The
// faults of files are ignored: a template of a Helm chart is no manifest.
func foldersOf(files []api.File) (top []string) {
	for _, file := range files {
		objects, _ := manifest.ParseAll(file.Data)
		if slices.ContainsFunc(objects, func(o manifest.Located) bool {
			kind, ok := api.KindOf(o.Object)
			return ok && (kind.Role == api.ClusterRole || kind.Role == api.FleetRole)
		}) {
			top = append(top, path.Dir(file.Name))
		}
	}
	slices.Sort(top)
	top = slices.Compact(top)
	return slices.DeleteFunc(slices.Clone(top), func(folder string) bool {
		return slices.ContainsFunc(top, func(above string) bool {
			return folder != "." && above == "." || strings.HasPrefix(folder, above+"/")
		})
	})
}

// rootFolder returns the folder of the hub's root that has the folders: the only one, or else the one that all of them
// are in, and of several with kustomization files the uppermost.
func (c *checkout) rootFolder(folders []string) (root string, err error) {
	for i, folder := range folders {
		if parent := path.Dir(folder); i == 0 {
			root = parent
		} else if parent != root || root == "." {
			return "", fmt.Errorf("no hub is asked, and several folders of %s have Clusters or Fleets: %s; name the one "+
				"of the hub, such as --filename %s", c.given, listed(folders), filepath.Join(c.given, folders[0]))
		}
	}
	if len(folders) == 1 {
		root = folders[0]
	}
	for parent := path.Dir(root); parent != "." && root != "."; parent = path.Dir(parent) {
		files, err := os.ReadDir(filepath.Join(c.dir, parent))
		if err != nil {
			return "", err
		}
		if slices.ContainsFunc(files, func(f fs.DirEntry) bool { return isKustomizationFile(f.Name()) }) {
			root = parent
		}
	}
	return root, nil
}

// objectsIn returns the objects of a folder that the hub admits. The walk tells about the others.
func (c *checkout) objectsIn(folder string) (found []foundObject, err error) {
	names, err := manifestsIn([]string{filepath.Join(c.dir, folder)}, true)
	if err != nil {
		return nil, err
	}
	files, err := readFiles(nil, names)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		objects, _ := manifest.ParseAll(file.Data)
		below, err := filepath.Rel(c.dir, file.Name)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if !api.Known(o.Object) {
				continue
			}
			if admitted, err := api.Admit(o.Object, api.Hub); err == nil {
				found = append(found, foundObject{admitted, filepath.ToSlash(below)})
			}
		}
	}
	return found, nil
}

// describeFound lists the Clusters and Fleets of a folder with their files.
func describeFound(all []foundObject) string {
	var parts []string
	for _, role := range []api.Role{api.ClusterRole, api.FleetRole} {
		var names, files []string
		title := "no Fleet"
		if role == api.ClusterRole {
			title = "no Cluster"
		}
		for _, o := range all {
			if o.Key.Role() == role {
				names, files, title = append(names, o.Key.Name), append(files, o.file), o.Key.Kind
			}
		}
		slices.Sort(names)
		files = slices.Compact(files)
		if len(names) > 0 {
			title = fmt.Sprintf("%ss %s (%s)", title, listed(names), wording.List(files, len(files), 3))
		}
		parts = append(parts, title)
	}
	return strings.Join(parts, "; ")
}

// rootOfHub returns the Kustomization that nave bootstrap makes for a folder.
func rootOfHub(folder string) (*api.Object, error) {
	return api.Admit(&manifest.Object{Object: map[string]any{
		"apiVersion": api.GroupKustomize + "/v1", "kind": api.KustomizationKind,
		"metadata": map[string]any{"name": bootstrapName, "namespace": api.DefaultNamespace},
		"spec": map[string]any{"interval": "10m", "prune": true, "path": "./" + folder,
			"sourceRef": map[string]any{"kind": api.GitRepositoryKind, "name": bootstrapName}},
	}}, api.Hub)
}
