package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// sameName is a hub that has one Kustomization of its own, and one of the same name on a cluster.
type sameName struct {
	adminv1.UnimplementedAdminServiceServer
}

func (sameName) List(_ context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	answer := &adminv1.ListResponse{}
	for _, cluster := range []string{"", "east"} {
		if r.Kind != "Kustomization" || !r.AllClusters && r.Cluster != cluster {
			continue
		}
		answer.Objects = append(answer.Objects, &adminv1.Object{
			Key: &adminv1.ObjectKey{Cluster: cluster, Kind: r.Kind, Namespace: "flux-system", Name: "app"},
			Json: []byte(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app",` +
				`"labels":{"a.b/c":"d"},"generation":12345678},"spec":{"prune":true,"list":[{"a":1},{"a":2}]}}`)})
	}
	return answer, nil
}

// TestPrint prints lists in each format as kubectl does, each object with its cluster.
func TestPrint(t *testing.T) {
	config := serve(t, sameName{})
	for _, c := range []struct{ name, args, want string }{
		{"name", "get ks -o name",
			"kustomization.kustomize.toolkit.fluxcd.io/app\nkustomization.kustomize.toolkit.fluxcd.io/app\n"},
		{"jsonpath_list", "get ks -o jsonpath={.items[*].metadata.generation}", "12345678 12345678"},
		{"jsonpath_one", "get ks app --cluster east -o jsonpath={.status.cluster}", "east"},
		{"jsonpath_range", `get ks -o jsonpath={range|.items[*]}{.status.cluster}{"/"}{.metadata.name}{"\n"}{end}`,
			"/app\neast/app\n"},
		{"jsonpath_bare", "get ks app --cluster east -o jsonpath=.metadata.name", "app"},
		{"jsonpath_dots", `get ks app --cluster east -o jsonpath={.metadata.labels.a\.b/c}`, "d"},
		{"jsonpath_missing", "get ks app --cluster east -o jsonpath={.spec.none}", ""},
		{"columns", "get ks -o custom-columns=CLUSTER:.status.cluster,NAME:metadata.name,A:{.spec.list[*].a}",
			"CLUSTER   NAME   A\n<none>    app    1,2\neast      app    1,2\n"},
		{"columns_bare", "get ks --no-headers -o custom-columns=N:.metadata.generation", "12345678\n12345678\n"},
		{"table", "get ks --no-headers", "-      flux-system   app   -"},
		{"columns_none", "get hr -A -o custom-columns=N:.metadata.name", "No helmreleases found.\n"},
		{"json_none", "get hr -A -o json", `"items": []`},
		{"unknown", "get ks -o xml", `unknown output "xml": want json, yaml, name, wide, jsonpath=TEMPLATE or custom-`},
		{"wrong_path", "get ks -o jsonpath={.a", `JSONPath "{.a": unclosed action`},
		{"no_path", "get ks -o jsonpath=", `JSONPath "": it is empty`},
		{"nested_ranges", `get ks -o jsonpath={range|.none[*]}{range}{end}`, "see whether each {range PATH} has a path"},
		{"wrong_column", "get ks -o custom-columns=NAME", `"NAME" is no column: want HEADING:PATH`},
		{"no_headers", "get ks -o json --no-headers", "--no-headers does nothing with -o json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := strings.Fields(c.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "|", " ")
			}
			out, errOut := nave(t, config, args...)
			if !strings.HasPrefix(strings.TrimPrefix(out+errOut, "nave: "), c.want) &&
				!strings.Contains(out+errOut, c.want) || (c.want == "" && out+errOut != "") {
				t.Errorf("printed\n%s%s\nwant\n%s", out, errOut, c.want)
			}
		})
	}
}

// TestTable ends the last column where the line of a terminal ends, and no line with blanks.
func TestTable(t *testing.T) {
	rows := [][]string{{"a", "True", "one two three four five"}, {"much-longer", "", ""}, {"b", "False", "six"}}
	for _, c := range []struct {
		name    string
		columns int
		wide    bool
		want    string
	}{
		{"pipe", 0, false, "NAME          READY   MESSAGE\na             True    one two three four five\nmuch-longer\n" +
			"b             False   six\n"},
		{"terminal", 32, false, "NAME          READY   MESSAGE\na             True    one two t…\nmuch-longer\n" +
			"b             False   six\n"},
		{"narrow", 10, false, "NAME          READY   MESSAGE\na             True    one tw…\nmuch-longer\n" +
			"b             False   six\n"},
		{"wide", 32, true, "NAME          READY   MESSAGE\na             True    one two three four five\nmuch-longer\n" +
			"b             False   six\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var text strings.Builder
			out := &visible{out: &text, columns: func() int { return c.columns }}
			p := &printer{out: out}
			if c.wide {
				p.format = "wide"
			}
			if err := p.print(printout{table: table{[]string{"NAME", "READY", "MESSAGE"}, rows}}); err != nil {
				t.Fatal(err)
			}
			if text.String() != c.want {
				t.Errorf("printed\n%s\nwant\n%s", text.String(), c.want)
			}
		})
	}
}

// TestTable_kinds lists an object of each kind: which columns come first and last, short revisions, no labels of Flux
// and Nave, no blanks at the ends of lines.
func TestTable_kinds(t *testing.T) {
	commit := strings.Repeat("0123456789", 4)
	for _, kind := range api.Kinds() {
		for _, wide := range []bool{false, true} {
			rows, err := decodeRows([]*adminv1.Object{{Key: &adminv1.ObjectKey{Cluster: "east", Kind: kind.Name,
				Namespace: "apps", Name: "app"}, Json: []byte(`{"metadata":{"name":"app","labels":{"env":"prod",` +
				`"kustomize.toolkit.fluxcd.io/name":"hub","fleet.nave.io/application":"x"}},"status":{` +
				`"artifact":{"revision":"main@sha1:` + commit + `"},"conditions":[{"type":"Ready","status":"True",` +
				`"message":"Applied revision: main@sha1:` + commit + `"}]}}`)}}, "")
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			p := &printer{out: &out}
			if wide {
				p.format = "wide"
			}
			if err := printRows(p, &out, kind, rows, false); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			first, last := "NAME ", "   AGE   MESSAGE\n"
			if kind.Namespaced {
				first = "CLUSTER   NAMESPACE   NAME "
			}
			if kind.Role == api.CredentialRole {
				last = "   AGE\n"
			}
			heading, _, _ := strings.Cut(text, "\n")
			if !strings.HasPrefix(text, first) || !strings.HasSuffix(heading+"\n", last) || strings.Contains(text, " \n") {
				t.Errorf("%s:\n%s", kind.Name, text)
			}
			if !wide && strings.Contains(text, commit) || strings.Contains(text, "toolkit") ||
				strings.Contains(text, "fleet.nave.io") {
				t.Errorf("%s has what is not for people:\n%s", kind.Name, text)
			}
		}
	}
}

// TestTable_watch keeps the columns of a watch below their headings while cells change.
func TestTable_watch(t *testing.T) {
	var out strings.Builder
	p := &printer{out: &out, stable: true}
	headings := []string{"NAME", "REVISION", "READY", "AGE", "MESSAGE"}
	for _, row := range [][]string{
		{"app", "-", "True", "9s", "a"}, {"app", "main@sha1:01234567", "Unknown", "59m59s", "b"},
	} {
		if err := p.print(printout{table: table{headings, [][]string{row}}}); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(out.String(), "\n")
	if at := strings.Index(lines[0], "MESSAGE"); strings.Index(lines[1], "   a") != at-3 ||
		strings.Index(lines[2], "   b") != at-3 || len(lines) != 4 {
		t.Errorf("printed\n%s", out.String())
	}
}

// TestColours colours cells and signs on a terminal that wants it, and no text of others.
func TestColours(t *testing.T) {
	for _, c := range []struct {
		noColor, term string
		want          bool
	}{{"", "xterm", true}, {"1", "xterm", false}, {"", "dumb", false}, {"", "", false}} {
		if got := wantsColours(c.noColor, c.term); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	for colours, want := range map[bool]string{
		true: "READY     MESSAGE\n\x1b[32mTrue\x1b[0m      \\u001b[31mTrue\n\x1b[31mFalse\x1b[0m     x\n" +
			"\x1b[33mUnknown\x1b[0m   x\n\x1b[32m✔\x1b[0m well ✗ ✔\n\x1b[31m✗\x1b[0m ill\n",
		false: "READY     MESSAGE\nTrue      \\u001b[31mTrue\nFalse     x\nUnknown   x\n✔ well ✗ ✔\n✗ ill\n",
	} {
		var text strings.Builder
		out := &visible{out: &text, colours: colours}
		p := &printer{out: out}
		rows := [][]string{{"True", "\x1b[31mTrue"}, {"False", "x"}, {"Unknown", "x"}}
		if err := p.print(printout{table: table{[]string{"READY", "MESSAGE"}, rows}}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(out, "✔ well ✗ ")
		fmt.Fprint(out, "✔\n✗ ill\n")
		if text.String() != want {
			t.Errorf("printed\n%q\nwant\n%q", text.String(), want)
		}
	}
}

// readHub is a hub with an answer to each verb that reads.
type readHub struct{ sameName }

// eastApp is the key of a Kustomization on a cluster.
var eastApp = &adminv1.ObjectKey{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: "app"}

func (readHub) ListEvents(context.Context, *adminv1.ListEventsRequest) (*adminv1.ListEventsResponse, error) {
	return &adminv1.ListEventsResponse{Events: []*adminv1.Event{{Object: eastApp, Type: "Warning", Reason: "BuildFailed",
		Message: "no file"}}}, nil
}

func (readHub) Explain(context.Context, *adminv1.ExplainRequest) (*adminv1.ExplainResponse, error) {
	return &adminv1.ExplainResponse{Explanations: []*adminv1.Explanation{{Object: eastApp, Reason: "BuildFailed",
		Message: "no file", Advice: "Push it"}}}, nil
}

func (readHub) Tree(context.Context, *adminv1.TreeRequest) (*adminv1.TreeResponse, error) {
	return &adminv1.TreeResponse{Root: &adminv1.TreeNode{Object: "Cluster.fleet.nave.io east", Status: "False",
		Children: []*adminv1.TreeNode{{Object: "Kustomization.kustomize.toolkit.fluxcd.io flux-system/app on east",
			Children: []*adminv1.TreeNode{{Object: "Namespace shop", Status: "Current"}}}}}}, nil
}

func (readHub) History(_ context.Context, r *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	return &adminv1.HistoryResponse{Releases: []*adminv1.PastRelease{{Sequence: 7, Listed: []*adminv1.ReleasedApplication{
		{Key: eastApp, Revision: "main@sha1:0123456789abcdef"}}}}}, nil
}

// TestPrint_flags gives each command that reads the formats of kubectl. Other commands have no -o, or one of their own.
func TestPrint_flags(t *testing.T) {
	reads := map[string]bool{}
	for _, name := range []string{"get", "cluster get", "cluster list", "events", "audit", "tree", "explain", "history",
		"history helmrelease", "version", "check", "stats", "trace", "list artifacts", "operator list", "plan",
		"rollout list", "rollout plan", "rollout status", "keys list"} {
		reads["nave "+name] = true
	}
	others := map[string]bool{"nave diff cluster": true, "nave diff fleet": true, "nave diff helmrelease": true,
		"nave diff kustomization": true, "nave migrate flux": true, "nave push artifact": true, "nave pull artifact": true,
		"nave build artifact": true, "nave logs": true, "nave image update": true}
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		path, output := cmd.CommandPath(), cmd.Flags().Lookup("output")
		if has := output != nil && output.Usage == formats+", as with kubectl"; has != reads[path] ||
			has != (cmd.Flags().Lookup("no-headers") != nil) || !has && output != nil && !others[path] {
			t.Errorf("%s: it has the formats of kubectl: %v", path, has)
		}
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	visit(newCommand())
}

// TestPrint_verbs prints what each verb reads in each format.
func TestPrint_verbs(t *testing.T) {
	config := serve(t, readHub{})
	const app = "kustomization.kustomize.toolkit.fluxcd.io/app"
	const clusters = "custom-columns=A:.cluster,B:.kind,C:.name,D:.reason"
	for _, c := range []struct{ name, args, want string }{
		{"events", "events",
			"CLUSTER   NAMESPACE     LAST SEEN   TYPE      REASON        OBJECT              MESSAGE\n" +
				"east      flux-system   -           Warning   BuildFailed   kustomization/app   no file\n"},
		{"events_headless", "events --no-headers",
			"east   flux-system   -   Warning   BuildFailed   kustomization/app   no file\n"},
		{"events_path", "events -o jsonpath={.items[*].cluster}{.items[*].involvedObject.name}", "eastapp"},
		{"events_json", "events -o json", `"involvedObject"`},
		{"events_name", "events -o name", "-o name: these are no objects with names"},
		{"explain_columns", "explain -o " + clusters, "A      B               C     D\n" +
			"east   Kustomization   app   BuildFailed\n"},
		{"explain_name", "explain -o name", app + "\n"},
		{"explain_path", "explain -o jsonpath={.items[0].advice}", "Push it"},
		{"explain_headless", "explain --no-headers", "--no-headers does nothing here"},
		{"tree_columns", "tree cluster east --no-headers -o " + clusters, "<none>   Cluster         east   <none>\n" +
			"east     Kustomization   app    <none>\neast     Namespace       shop   <none>\n"},
		{"tree_name", "tree cluster east -o name", "cluster.fleet.nave.io/east\n" + app + "\nnamespace/shop\n"},
		{"tree_path", "tree cluster east -o jsonpath={.children[0].children[0].name}", "shop"},
		{"tree", "tree cluster east", "Cluster.fleet.nave.io east  False\n└── Kust"},
		{"history_columns", "history east -o custom-columns=A:.cluster,B:.bundle", "A      B\neast   7\n"},
		{"history_path", "history east -o jsonpath={.releases[*].bundle}", "7"},
		{"history_headless", "history east --no-headers", "7   1970-01-01T00:00:00Z   0      -\n"},
		{"history_release", "history east --release 7 -o name", app + "\n"},
		{"history_unknown", "history east -o xml", `unknown output "xml": want json`},
		{"revisions_unknown", "history helmrelease web -o xml", `unknown output "xml": want json`},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errOut := nave(t, config, strings.Fields(c.args)...)
			if !strings.Contains(out+errOut, c.want) {
				t.Errorf("printed\n%s%s\nwant\n%s", out, errOut, c.want)
			}
		})
	}
}

// TestUsage_values ends with 2 if the value of a flag is wrong, or a flag is missing.
func TestUsage_values(t *testing.T) {
	config := serve(t, readHub{})
	for name, line := range map[string]string{
		"negative_limit": "events --limit -1", "negative_since": "events --since -1h", "no_names": "events -o name",
		"headless": "explain --no-headers", "no_image": "cluster upgrade east",
	} {
		t.Run(name, func(t *testing.T) {
			cmd, end := program(io.Discard, io.Discard)
			cmd.SetArgs(append(strings.Fields(line), "--config", config))
			if err := end(cmd.ExecuteContext(t.Context())); exitCode(err) != 2 {
				t.Errorf("exit code %d: %v", exitCode(err), err)
			}
		})
	}
}
