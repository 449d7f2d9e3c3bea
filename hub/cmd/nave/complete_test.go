package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// completingHub has two objects of each kind, in the namespaces of the requests or of its own, or hangs.
type completingHub struct {
	adminv1.UnimplementedAdminServiceServer
	hangs bool
}

func (h *completingHub) List(ctx context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	if h.hangs {
		<-ctx.Done()
		return nil, status.Error(codes.DeadlineExceeded, "late")
	}
	answer := &adminv1.ListResponse{}
	for _, name := range []string{"one", "other"} {
		key := &adminv1.ObjectKey{Kind: r.GetKind(), Namespace: r.GetNamespace(),
			Name: strings.ToLower(r.GetKind()) + "-" + name}
		if key.Namespace == "" {
			key.Namespace = "ns-" + name
		}
		answer.Objects = append(answer.Objects, &adminv1.Object{Key: key})
	}
	return answer, nil
}

// Get returns an ImagePolicy and its ImageRepository.
func (h *completingHub) Get(_ context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	texts := map[string]string{
		"ImagePolicy/apps/app": `{"spec": {"imageRepositoryRef": {"name": "app", "namespace": "shared"}}, "status": {
			"latestRef": {"tag": "1.2.0"}, "observedPreviousRef": {"tag": "1.0.0"}, "excluded": [{"tag": "1.3.0"}]}}`,
		"ImageRepository/shared/app": `{"status": {"lastScanResult": {"latestTags": ["1.3.0", "1.2.0", "1.1.0"]}}}`,
	}
	key := r.GetKey()
	text, ok := texts[key.GetKind()+"/"+key.GetNamespace()+"/"+key.GetName()]
	if !ok {
		return nil, status.Error(codes.NotFound, "no such object")
	}
	return &adminv1.GetResponse{Object: &adminv1.Object{Key: key, Json: []byte(text)}}, nil
}

// completed returns the words that the shell would offer, and the directive.
func completed(t *testing.T, config string, args ...string) (words []string, directive string) {
	t.Helper()
	var out bytes.Buffer
	root, end := program(&out, t.Output())
	root.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd, "--config=" + config}, args...))
	if err := end(root.ExecuteContext(t.Context())); err != nil {
		t.Error(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1]
}

func TestCompletion(t *testing.T) {
	config := serve(t, &completingHub{})
	for name, c := range map[string]struct{ args, want string }{
		"kind":        {"describe kustomiz", "kustomizations"},
		"all":         {"get al", "all"},
		"name":        {"describe fleets fleet-", "fleet-one fleet-other"},
		"second_word": {"reconcile source g", "git"},
		"of_two":      {"reconcile source git gitrepository-on", "gitrepository-one"},
		"slash":       {"trace ks/kustomization-on", "ks/kustomization-one"},
		"cluster":     {"cluster get cluster-ot", "cluster-other"},
		"history":     {"history c", "cluster-one cluster-other"},
		"logs":        {"logs h", "hub"},
		"logs_for":    {"logs --for fleets/fleet-ot", "fleets/fleet-other"},
		"release":     {"test helm", "helmrelease-one helmrelease-other"},
		"of_kind":     {"diff fleet fleet-on", "fleet-one"},
		"of_words":    {"image update image", "imageupdateautomation-one imageupdateautomation-other"},
		"policy":      {"image pin imagepolicy-on", "imagepolicy-one"},
		"tags":        {"image pin -n apps app 1", "1.0.0 1.1.0 1.2.0 1.3.0"},
		"one_tag":     {"image pin -n apps app 1.0.0 1", ""},
		"exclude":     {"image exclude -n apps app 1.2.0 1.", "1.0.0 1.1.0 1.3.0"},
		"include":     {"image include -n apps app 1", "1.3.0"},
		"no_policy":   {"image pin -n apps none 1", ""},
		"flag":        {"get ks --cluster cluster-on", "cluster-one"},
		"namespace":   {"get ks -n ns-o", "ns-one ns-other"},
		"context":     {"get ks --context n", "nave"},
		"output":      {"get ks -o js", "json jsonpath="},
		"output_few":  {"version -o y", "yaml"},
		"level":       {"logs --level w", "warn"},
		"nothing":     {"cluster add c", ""},
		"no_such":     {"describe nonsense x", ""},
		"folder":      {"diff fleet a x", ""},
		"subcommands": {"cluster rot", "rotate"},
	} {
		t.Run(name, func(t *testing.T) {
			words, directive := completed(t, config, strings.Fields(c.args)...)
			if c.want == "" && strings.Join(words, "") == "" {
				return
			}
			if got := strings.Join(words, " "); got != c.want || directive == ":0" {
				t.Errorf("got %q %s, want %q", got, directive, c.want)
			}
		})
	}
}

// TestCompletion_silent offers nothing, soon and without an error, if the hub does not answer.
func TestCompletion_silent(t *testing.T) {
	for name, config := range map[string]string{"hangs": serve(t, &completingHub{hangs: true}), "missing": "/nowhere"} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			words, _ := completed(t, config, "describe", "fleets", "")
			if took := time.Since(start); strings.Join(words, "") != "" || took > completeTime+5*time.Second {
				t.Errorf("%q after %s", words, took)
			}
		})
	}
}

// TestCompletion_all has a completion for every command with arguments, and for every flag with a value.
func TestCompletion_all(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		takesFile := strings.Contains(cmd.Use, " FILE") || !cmd.HasParent()
		if cmd.ValidArgsFunction == nil && !takesFile {
			t.Errorf("%s completes no arguments", cmd.CommandPath())
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if _, ok := cmd.GetFlagCompletionFunc(f.Name); !ok && f.NoOptDefVal == "" {
				t.Errorf("%s completes no --%s", cmd.CommandPath(), f.Name)
			}
		})
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	visit(newCommand())
}

func TestCompletion_scripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out, errOut := nave(t, "/nowhere", "completion", shell)
		if !slices.ContainsFunc(strings.Split(out, "\n"), func(l string) bool { return strings.Contains(l, "__complete") }) {
			t.Errorf("%s: %q, %q", shell, out, errOut)
		}
	}
}
