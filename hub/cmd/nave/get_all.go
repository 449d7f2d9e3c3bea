package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// collection is several kinds that one word stands for.
type collection struct {
	words, noun, example string // "images all", "images", "image repository"
	kinds                []api.Kind
}

// collectionOf returns the collection that arguments begin with: flux's words "all", "sources all" or "images all", or
// "sources" or "images" alone. The rest are the arguments after these words. If there is no such word, collectionOf
// returns false.
func collectionOf(args []string) (c collection, rest []string, ok bool) {
	isImages := slices.Contains([]string{"image", "images"}, args[0])
	switch {
	case args[0] == "all":
		return collection{"all", "objects", "helmrelease", kindsOfAll()}, args[1:], true
	case isAllSources(args):
		return collection{"sources all", "sources", "source git", api.SourceKinds()}, args[min(2, len(args)):], true
	case isImages && (len(args) == 1 || args[1] == "all"):
		return collection{"images all", "images", "image repository", api.ImageKinds()}, args[min(2, len(args)):], true
	}
	return c, nil, false
}

// checkNames returns an error about the arguments after the words of the collection, if there are some.
func (c collection) checkNames(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return usageError("%s takes no name, got %s: name one kind, such as %s", c.words, strings.Join(names, " "), c.example)
}

// getAll prints the objects of a collection, in a table for each kind that has objects. names are the arguments after
// the words of the collection; there may be none.
func (s *session) getAll(cmd *cobra.Command, c collection, names []string, client adminv1.AdminServiceClient,
	o getOptions, p *printer) error {
	if err := c.checkNames(names); err != nil {
		return err
	}
	if o.watch {
		return usageError("%s cannot be watched: name one kind, such as %s", c.words, c.example)
	}
	var all []row
	for _, kind := range c.kinds {
		rows, err := listRows(cmd.Context(), client, s.listRequest(kind, o), o.chunk, "")
		if err != nil {
			return err
		}
		if all = append(all, rows...); !o.isTable() || len(rows) == 0 {
			continue
		}
		p.endTable()
		if err := p.print(printoutOf(named(kind), rows, o.isWide())); err != nil {
			return err
		}
	}
	if o.isTable() && len(all) > 0 {
		return nil
	}
	return printRows(p, cmd.ErrOrStderr(), api.Kind{Plural: c.noun}, all, false)
}

// kindsOfAll returns what flux calls all: the kinds of sources, of images, and of what is rendered from sources.
func kindsOfAll() []api.Kind {
	all := append(api.SourceKinds(), api.ImageKinds()...)
	for _, kind := range api.Kinds() {
		if kind.Role == api.RenderableRole && kind.Supported() {
			all = append(all, kind)
		}
	}
	return all
}

// named returns a kind in whose lists, as in flux, the name of an object includes the kind: helmrelease/podinfo.
func named(kind api.Kind) api.Kind {
	columns := kind.Columns
	kind.Columns = nil
	for _, c := range columns {
		if name := c.Value; c.Name == "NAME" {
			c.Value = func(object map[string]any) string {
				return strings.ToLower(fmt.Sprint(object["kind"])) + "/" + name(object)
			}
		}
		kind.Columns = append(kind.Columns, c)
	}
	return kind
}
