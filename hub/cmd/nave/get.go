package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/util/duration"
	kjson "sigs.k8s.io/json"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

type getOptions struct {
	outputFlags
	all      bool
	selector selector
	watch    bool
	chunk    int64
}

// chunkSize is the default number of objects in one answer of the hub.
const chunkSize = 500

func newGetCommand(s *session) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get KIND [NAME]",
		Short: "List objects of the hub and of the clusters' graphs",
		Example: "  nave get clusters\n  nave get kustomizations -A\n  nave get sources git -A -o wide\n" +
			"  nave get sources all -A\n  nave get images all -A\n  nave get all -A\n" +
			"  nave get kustomization apps --cluster prod-1 -o yaml",
		Args: cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			return s.get(cmd, args, client, o)
		}),
	}
	f := cmd.Flags()
	addAllNamespaces(cmd, &o.all, "")
	o.add(cmd)
	addSelector(cmd, &o.selector, "label selector")
	f.BoolVarP(&o.watch, "watch", "w", false, "print the present objects, then each change, also after the "+
		"hub was away")
	f.Int64Var(&o.chunk, "chunk-size", chunkSize, "ask the hub for a large list in chunks of so many objects; 0: at once")
	return cmd
}

// get prints a list of objects, or one object. Without --cluster it lists the objects of the hub and of all clusters,
// because users of "get kustomizations" expect those of the fleet.
func (s *session) get(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient, o getOptions) error {
	p, err := o.printer(cmd)
	switch {
	case err != nil:
		return err
	case isAllSources(args):
		return s.getSources(cmd, args[min(2, len(args)):], client, o, p)
	}
	if all, names, ok := collectionOf(args); ok {
		return s.getAll(cmd, all, names, client, o, p)
	}
	kind, rest, err := kindOf(args)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return usageError("want at most one name, got %s", strings.Join(rest, " "))
	}
	if err := s.checkScope(kind); err != nil {
		return err
	}
	for _, name := range rest {
		if err := checkName(kind, name); err != nil {
			return err
		}
	}
	request, name := s.listRequest(kind, o), strings.Join(rest, "")
	if o.watch {
		return watch(cmd, client, kind, &adminv1.WatchRequest{List: request, Name: name}, p)
	}
	return s.getKind(cmd, client, o, p, kind, request, name)
}

// getKind prints the objects of a kind, or the one of a name.
func (s *session) getKind(cmd *cobra.Command, client adminv1.AdminServiceClient, o getOptions, p *printer,
	kind api.Kind, request *adminv1.ListRequest, name string) error {
	rows, err := listRows(cmd.Context(), client, request, o.chunk, name)
	if err != nil {
		return err
	}
	if name != "" && len(rows) == 0 {
		rows, err = s.heldRow(cmd.Context(), client, kind, name)
	}
	if len(rows) == 0 {
		if hint := others(cmd.Context(), client, kind, request, name); hint != "" && err != nil {
			return fmt.Errorf("%w. %s", err, hint)
		} else if hint != "" && o.isForPeople() {
			fmt.Fprintf(cmd.ErrOrStderr(), "No %s found here. %s\n", kind.Plural, hint)
			return nil
		}
	}
	if err != nil {
		return err
	}
	return printRows(p, cmd.ErrOrStderr(), kind, rows, name != "")
}

// heldRow returns the application of a cluster that is in no list, because it left Git, and that its spoke still has.
func (s *session) heldRow(ctx context.Context, client adminv1.AdminServiceClient, kind api.Kind, name string) ([]row,
	error) {
	missing := exitError{fmt.Errorf("%s %s not found", kind.Name, name), notFound}
	if s.cluster == "" || kind.Role != api.RenderableRole {
		return nil, missing
	}
	answer, err := client.Get(ctx, &adminv1.GetRequest{Key: &adminv1.ObjectKey{Cluster: s.cluster, Kind: kind.Name,
		Namespace: s.namespace, Name: name}})
	if status.Code(err) == codes.NotFound {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	return decodeRows([]*adminv1.Object{answer.GetObject()}, name)
}

// listRequest returns the request for the objects of a kind.
func (s *session) listRequest(kind api.Kind, o getOptions) *adminv1.ListRequest {
	request := &adminv1.ListRequest{Kind: kind.Name, Cluster: s.cluster, AllClusters: s.cluster == "",
		LabelSelector: string(o.selector)}
	if kind.Namespaced && !o.all {
		request.Namespace = s.namespace
	}
	return request
}

// list returns all objects of a list. It requests chunks of that many objects. If chunk is 0, list requests all objects
// at once.
func list(ctx context.Context, client adminv1.AdminServiceClient, request *adminv1.ListRequest,
	chunk int64) (all []*adminv1.Object, err error) {
	request = proto.CloneOf(request)
	request.Limit = chunk
	for {
		answer, err := client.List(ctx, request)
		if err != nil {
			return nil, err
		}
		all = append(all, answer.GetObjects()...)
		switch next := answer.GetContinue(); next {
		case "":
			return all, nil
		case request.GetContinue():
			return nil, errors.New("the hub sends the same part of the list again: report this, and use --chunk-size=0")
		default:
			request.Continue = next
		}
	}
}

// row is one object of a list.
type row struct {
	key    *adminv1.ObjectKey
	object map[string]any
}

// listRows returns the objects of a list, of a name or all if it is empty.
func listRows(ctx context.Context, client adminv1.AdminServiceClient, request *adminv1.ListRequest, chunk int64,
	name string) ([]row, error) {
	request = proto.CloneOf(request)
	request.Name = name
	objects, err := list(ctx, client, request, chunk)
	if err != nil {
		return nil, err
	}
	return decodeRows(objects, name)
}

// decodeRows returns the objects of a name, or all if it is empty. status.cluster of each names the cluster whose graph
// has it.
func decodeRows(objects []*adminv1.Object, name string) ([]row, error) {
	var rows []row
	for _, o := range objects {
		if name != "" && o.GetKey().GetName() != name {
			continue
		}
		object, err := decode(o)
		if err != nil {
			return nil, err
		}
		if cluster := o.GetKey().GetCluster(); cluster != "" {
			fieldMap(object, "status")["cluster"] = cluster
		}
		rows = append(rows, row{o.GetKey(), object})
	}
	return rows, nil
}

// decode returns an object of the hub as JSON values.
func decode(o *adminv1.Object) (object map[string]any, err error) {
	if err := kjson.UnmarshalCaseSensitivePreserveInts(o.GetJson(), &object); err != nil {
		return nil, fmt.Errorf("read %s: %w", show(o.GetKey()), err)
	}
	return object, nil
}

// printRows prints objects. single: they are the one object that was asked for.
func printRows(p *printer, errOut io.Writer, kind api.Kind, rows []row, single bool) error {
	if len(rows) == 0 && p.isForPeople() {
		fmt.Fprintf(errOut, "No %s found.%s\n", kind.Plural, unsupportedHint(kind))
		return nil
	}
	l := printoutOf(kind, rows, p.isWide())
	if single && len(rows) == 1 {
		l.value = rows[0].object
	}
	return p.print(l)
}

// printoutOf returns the printout of objects: a List of them, as kubectl prints it.
func printoutOf(kind api.Kind, rows []row, wide bool) printout {
	l := printout{items: make([]any, len(rows)), names: make([]string, len(rows))}
	columns := columnsOf(kind, wide)
	for _, c := range columns {
		l.table.headings = append(l.table.headings, c.name)
	}
	for i, r := range rows {
		l.items[i], l.names[i] = r.object, resourceName(r.key)
		cells := make([]string, len(columns))
		for j, c := range columns {
			cells[j] = c.value(r)
		}
		l.table.rows = append(l.table.rows, cells)
	}
	l.value = listOf(l.items)
	return l
}

// listOf returns a List of objects, as kubectl prints it.
func listOf(items []any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
}

// resourceName returns the name of an object as kubectl prints it with -o name: kind.group/name.
func resourceName(key *adminv1.ObjectKey) string {
	name := strings.ToLower(key.GetKind())
	if kind, ok := api.KindByName(name); ok && kind.Group != "" {
		name += "." + kind.Group
	}
	return name + "/" + key.GetName()
}

// unsupportedHint returns a sentence about a kind that the hub does not carry out; "" about any other, or several.
func unsupportedHint(kind api.Kind) string {
	if kind.Supported() || kind.Name == "" {
		return ""
	}
	return " The hub does not carry out objects of this kind yet: nave explain lists those that it refused; with " +
		"passThrough they are left to a controller in the cluster. See docs/kinds.md"
}

// age returns the time since t in kubectl's format: 5s, 3m20s, 2h, 4d. If t is zero, age returns "-".
func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(time.Since(t))
}
