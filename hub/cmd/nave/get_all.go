package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// getAll prints what flux calls all: the sources, and the objects that are rendered from them, in a table for each kind
// that has objects. names are the arguments after "all"; there may be none.
func (s *session) getAll(cmd *cobra.Command, names []string, client adminv1.AdminServiceClient, o getOptions,
	p *printer) error {
	if len(names) > 0 {
		return usageError("all takes no name, got %s: name one kind, such as helmrelease", strings.Join(names, " "))
	}
	if o.watch {
		return usageError("all cannot be watched: name one kind, such as helmreleases")
	}
	var all []row
	for _, kind := range kindsOfAll() {
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
	return printRows(p, cmd.ErrOrStderr(), api.Kind{Plural: "objects"}, all, false)
}

// kindsOfAll returns the kinds of sources, and those of what is rendered from them.
func kindsOfAll() []api.Kind {
	all := api.SourceKinds()
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
