package kustomize

import (
	"bytes"
	"fmt"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// pluginMark is the apiVersion of the configuration of kustomize's own plugins, which a tree may name as generators,
// transformers and validators. They too can name files, and so URLs.
var pluginMark = []byte("builtin")

// pluginPaths are the fields of such a configuration that name files.
var pluginPaths = []string{"path", "paths", "files", "envs", "env", "valuesFile", "additionalValuesFiles", "repo"}

// admitPlugin refuses the configuration of one of kustomize's own plugins if it names a remote path, and notes how the
// plugin uses files. For other content admitPlugin returns nil, also if the content cannot be parsed: kustomize parses
// it before it acts on it.
func (f *fileSystem) admitPlugin(p string, data []byte) error {
	if !bytes.Contains(data, pluginMark) {
		return nil
	}
	for doc := range documents(data) {
		if !isPlugin(doc) {
			continue
		}
		if remote := remotePath(doc, false, 0); remote != "" {
			return fmt.Errorf("%s: %s: %w; remote files are not fetched: commit a copy of it", tree.Local(p), remote,
				render.ErrRemote)
		}
		if err := f.notePlugin(path.Dir(p), doc); err != nil {
			return err
		}
	}
	return nil
}

// notePlugin notes how a plugin uses the files that it names.
func (f *fileSystem) notePlugin(dir string, doc *yaml.Node) error {
	var plugin struct {
		Kind  string   `yaml:"kind"`
		Path  string   `yaml:"path"`
		Files []string `yaml:"files"`
		Envs  []string `yaml:"envs"`
		Env   string   `yaml:"env"`
	}
	if doc.Decode(&plugin) != nil {
		return nil // kustomize decodes it, too
	}
	for i, file := range slices.Concat(plugin.Files, plugin.Envs, []string{plugin.Env, plugin.Path}) {
		at := tree.Clean(path.Join(dir, sourcePath(file)))
		if f.tree.MountOf(at) != f.tree.MountOf(dir) {
			return fmt.Errorf("%s: %w: it leads out of the repository", file, render.ErrRemote)
		}
		if k, err := f.tree.Type(at); err != nil || k != render.Regular {
			continue // kustomize reports it
		}
		u := use{kind: asFragment}
		switch {
		case plugin.Kind == "ConfigMapGenerator":
			u.kind = asCommitted
		case plugin.Kind == "SecretGenerator" && i < len(plugin.Files):
			u = secretFile(file)
		}
		if err := f.note(at, u); err != nil {
			return err
		}
	}
	return nil
}

func isPlugin(doc *yaml.Node) bool {
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return false
	}
	fields := doc.Content[0].Content
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i].Value == "apiVersion" && fields[i+1].Value == string(pluginMark) {
			return true
		}
	}
	return false
}

const maxPluginDepth = 64

// remotePath returns a remote path in the configuration of a plugin. If there is none, remotePath returns "". If n is
// the value of a field that names files, named is true.
func remotePath(n *yaml.Node, named bool, depth int) string {
	if depth > maxPluginDepth {
		return "nested too deep"
	}
	if n.Kind == yaml.AliasNode {
		return "an alias" // aliases in a plugin's configuration could hide a path and have no use
	}
	if n.Kind == yaml.ScalarNode {
		if p := sourcePath(n.Value); named && isRemote(p) {
			return p
		}
		return ""
	}
	for i, c := range n.Content {
		isValue := n.Kind == yaml.MappingNode && i%2 == 1
		here := named && n.Kind == yaml.SequenceNode || isValue && slices.Contains(pluginPaths, n.Content[i-1].Value)
		if remote := remotePath(c, here, depth+1); remote != "" {
			return remote
		}
	}
	return ""
}
