package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

type getOptions struct {
	all      bool
	output   string
	selector string
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
			"  nave get sources all -A\n  nave get all -A\n" +
			"  nave get kustomization apps --cluster prod-eu-1 -o yaml",
		Args: cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			return s.get(cmd, args, client, o)
		}),
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all-namespaces", "A", false, "in all namespaces, of the hub and all clusters")
	f.StringVarP(&o.output, "output", "o", "", "json, yaml, wide or name (kind.group/name, as with kubectl)")
	f.StringVarP(&o.selector, "selector", "l", "", "label selector")
	f.BoolVarP(&o.watch, "watch", "w", false, "print the present objects, then each change")
	f.Int64Var(&o.chunk, "chunk-size", chunkSize, "ask the hub for a large list in chunks of so many objects; 0: at once")
	return cmd
}

// get prints a list of objects, or one object. Without --cluster it lists the objects of the hub and of all clusters,
// because users of "get kustomizations" expect those of the fleet.
func (s *session) get(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient, o getOptions) error {
	if isAllSources(args) {
		return s.getSources(cmd, args[2:], client, o)
	}
	if args[0] == "all" {
		return s.getAll(cmd, args[1:], client, o)
	}
	kind, rest, err := kindOf(args)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return fmt.Errorf("want at most one name, got %s", strings.Join(rest, " "))
	}
	request := s.listRequest(kind, o)
	var name string
	if len(rest) == 1 {
		name = rest[0]
	}
	if o.watch {
		return watch(cmd, client, kind, &adminv1.WatchRequest{List: request, Name: name}, o.output)
	}
	objects, err := list(cmd.Context(), client, request, o.chunk)
	if err != nil {
		return err
	}
	rows, err := decodeRows(objects, name)
	if err == nil && name != "" && len(rows) == 0 {
		rows, err = s.heldRow(cmd.Context(), client, kind, name)
	}
	if len(rows) == 0 {
		if hint := others(cmd.Context(), client, kind, request, name); hint != "" && err != nil {
			return fmt.Errorf("%w. %s", err, hint)
		} else if hint != "" && cmp.Or(o.output, "wide") == "wide" {
			fmt.Fprintf(cmd.ErrOrStderr(), "No %s found here. %s\n", kind.Plural, hint)
			return nil
		}
	}
	if err != nil {
		return err
	}
	return printRows(cmd.OutOrStdout(), cmd.ErrOrStderr(), kind, rows, o.output, name != "")
}

// heldRow returns the application of a cluster that is in no list, because it left Git, and that its spoke still has.
func (s *session) heldRow(ctx context.Context, client adminv1.AdminServiceClient, kind api.Kind, name string) ([]row,
	error) {
	missing := fmt.Errorf("%s %s not found", kind.Name, name)
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
		LabelSelector: o.selector}
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
		rows = append(rows, row{o.GetKey(), object})
	}
	return rows, nil
}

// decode returns an object of the hub as JSON values.
func decode(o *adminv1.Object) (object map[string]any, err error) {
	if err := json.Unmarshal(o.GetJson(), &object); err != nil {
		return nil, fmt.Errorf("read %s: %w", show(o.GetKey()), err)
	}
	return object, nil
}

func printRows(out, errOut io.Writer, kind api.Kind, rows []row, format string, single bool) error {
	switch format {
	case "", "wide":
		if len(rows) == 0 {
			fmt.Fprintf(errOut, "No %s found.%s\n", kind.Plural, unsupportedHint(kind))
			return nil
		}
		return printTable(out, kind, rows, format == "wide")
	case "json", "yaml":
		return printDocument(out, kind, rows, format, single && len(rows) == 1)
	case "name":
		return printNames(out, rows)
	default:
		return fmt.Errorf("unknown output %q: want json, yaml, wide or name", format)
	}
}

// printNames prints objects as kubectl does with -o name: kind.group/name.
func printNames(out io.Writer, rows []row) error {
	for _, r := range rows {
		name := strings.ToLower(r.key.GetKind())
		if kind, ok := api.KindByName(name); ok && kind.Group != "" {
			name += "." + kind.Group
		}
		if _, err := fmt.Fprintf(out, "%s/%s\n", name, oneLine(r.key.GetName())); err != nil {
			return err
		}
	}
	return nil
}

// unsupportedHint returns a sentence about a kind that the hub does not carry out; "" about any other kind.
func unsupportedHint(kind api.Kind) string {
	if kind.Supported() {
		return ""
	}
	return " The hub does not carry out objects of this kind yet: nave explain lists those that it refused; with " +
		"passThrough they are left to a controller in the cluster. See docs/kinds.md"
}

// printDocument prints one object, or a List of them as kubectl does.
func printDocument(out io.Writer, kind api.Kind, rows []row, format string, single bool) error {
	items := make([]any, 0, len(rows))
	for _, r := range rows {
		items = append(items, r.object)
	}
	var document any = map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
	if single {
		document = rows[0].object
	}
	if err := printIn(out, format, document); err != nil {
		return fmt.Errorf("print %s: %w", kind.Plural, err)
	}
	return nil
}

func printTable(out io.Writer, kind api.Kind, rows []row, wide bool) error {
	columns := columnsOf(kind, wide)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, c := range columns {
		fmt.Fprint(w, c.name, "\t")
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		for _, c := range columns {
			fmt.Fprint(w, oneLine(c.value(r)), "\t")
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// watch prints the present objects, then each change, until it is interrupted.
func watch(cmd *cobra.Command, client adminv1.AdminServiceClient, kind api.Kind, request *adminv1.WatchRequest,
	format string) error {
	stream, err := client.Watch(cmd.Context(), request)
	if err != nil {
		return err
	}
	p := &changePrinter{out: cmd.OutOrStdout(), kind: kind, format: format}
	for {
		change, err := stream.Recv()
		if errors.Is(err, io.EOF) || cmd.Context().Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.print(change); err != nil {
			return err
		}
	}
}

// changePrinter prints the objects of a watch. In a table, all rows have the columns of the objects that there were at
// first, so that later ones are below their headings.
type changePrinter struct {
	out    io.Writer
	kind   api.Kind
	format string
	first  []row // until all of them are known
	synced bool
	widths []int
}

func (p *changePrinter) print(change *adminv1.WatchResponse) error {
	table := p.format == "" || p.format == "wide"
	if change.GetType() == adminv1.WatchType_WATCH_TYPE_SYNCED {
		p.synced = true
		if table && len(p.first) > 0 {
			return p.printAligned(p.first)
		}
		return nil
	}
	rows, err := decodeRows([]*adminv1.Object{change.GetObject()}, "")
	switch {
	case err != nil:
		return err
	case change.GetType() == adminv1.WatchType_WATCH_TYPE_DELETED:
		fmt.Fprintf(p.out, "%s deleted\n", show(rows[0].key))
		return nil
	case p.format == "json" || p.format == "yaml":
		return printDocument(p.out, p.kind, rows, p.format, true)
	case p.format == "name":
		return printNames(p.out, rows)
	case !table:
		return fmt.Errorf("unknown output %q: want json, yaml, wide or name", p.format)
	case !p.synced:
		p.first = append(p.first, rows...)
		return nil
	}
	return p.printAligned(rows)
}

// printAligned prints rows, the first time below their headings.
func (p *changePrinter) printAligned(rows []row) error {
	columns := columnsOf(p.kind, p.format == "wide")
	var lines [][]string
	if p.widths == nil {
		p.widths = make([]int, len(columns))
		heads := make([]string, len(columns))
		for i, c := range columns {
			heads[i] = c.name
		}
		lines = append(lines, heads)
	}
	for _, r := range rows {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = oneLine(c.value(r))
		}
		lines = append(lines, cells)
	}
	for _, cells := range lines {
		for i, cell := range cells {
			p.widths[i] = max(p.widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, cells := range lines {
		line := ""
		for i, cell := range cells {
			line += fmt.Sprintf("%-*s   ", p.widths[i], cell)
		}
		if _, err := fmt.Fprintln(p.out, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// age returns the time since t in kubectl's format: 5s, 3m20s, 2h, 4d. If t is zero, age returns "-".
func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(time.Since(t))
}
