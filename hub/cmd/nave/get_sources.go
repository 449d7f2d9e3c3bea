package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// isAllSources reports whether args begin with flux's words for the sources of all kinds, "sources all", or are
// "sources" alone.
func isAllSources(args []string) bool {
	return slices.Contains([]string{"source", "sources"}, args[0]) && (len(args) == 1 || args[1] == "all")
}

// getSources prints the sources of all kinds that the hub carries out in one list. names are the arguments after
// "sources all"; there may be none.
func (s *session) getSources(cmd *cobra.Command, names []string, client adminv1.AdminServiceClient,
	o getOptions, p *printer) error {
	if len(names) > 0 {
		return usageError("sources all takes no name, got %s: name one kind, such as sources git",
			strings.Join(names, " "))
	}
	if o.watch {
		return usageError("sources all cannot be watched: name one kind, such as sources git")
	}
	var rows []row
	for _, kind := range api.SourceKinds() {
		found, err := listRows(cmd.Context(), client, s.listRequest(kind, o), o.chunk, "")
		if err != nil {
			return err
		}
		rows = append(rows, found...)
	}
	return printRows(p, cmd.ErrOrStderr(), sourcesOfAllKinds(), rows, false)
}

// sourcesOfAllKinds returns what lists of the sources of all kinds have in place of a kind. As in flux, the name of an
// object includes the kind: gitrepository/fleet.
func sourcesOfAllKinds() api.Kind {
	return named(api.Kind{Plural: "sources", Namespaced: true, Columns: api.SourceKinds()[0].Columns})
}
