package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

const (
	// hostile is a text with escape sequences for a terminal, and with a forged line.
	hostile = "a\x1b[2J\x1b]0;t\x07b\u202ec\u0085d\u200be\x7f\U000e0041f\r\n" + forged + "\n"
	forged  = "✔ forged"
)

// hostileObject is an object of a hub with hostile texts, also in keys.
var hostileObject = map[string]any{
	"apiVersion": "v1", "kind": hostile,
	"metadata": map[string]any{"name": hostile, "labels": map[string]any{hostile: hostile}},
	"spec": map[string]any{"url": hostile, "plain\u202e": "x\u202ey", "block": "one\ntwo \u2066\n",
		"list": []any{hostile, true, nil}},
	"status": map[string]any{"lastAppliedRevision": hostile, "version": hostile, "conditions": []any{
		map[string]any{"type": "Ready", "status": "False", "reason": hostile, "message": hostile,
			"lastTransitionTime": hostile},
	}},
}

// hostileHub answers each call with hostile texts in every field, or with an error of them.
type hostileHub struct {
	adminv1.UnimplementedAdminServiceServer
	refuses bool
	hangs   bool                    // of Explain: until the caller gives up
	asked   chan *adminv1.ObjectKey // of Explain; nil: not noted
}

// answer fills a message.
func (h *hostileHub) answer(m proto.Message) error {
	if h.refuses {
		return status.Error(codes.Internal, hostile)
	}
	fill(m.ProtoReflect(), 3)
	return nil
}

// fill sets every field of a message, down to some depth.
func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsMap() || f.Kind() == protoreflect.BoolKind:
		case f.Name() == "json":
			data, _ := json.Marshal(hostileObject)
			m.Set(f, protoreflect.ValueOfBytes(data))
		case f.IsList() && f.Kind() == protoreflect.StringKind:
			m.Mutable(f).List().Append(protoreflect.ValueOfString(hostile))
		case f.IsList() && f.Kind() == protoreflect.MessageKind && depth > 0:
			fill(m.Mutable(f).List().AppendMutable().Message(), depth-1)
		case f.Kind() == protoreflect.MessageKind && !f.IsList() && depth > 0 && f.Message().Name() != "Timestamp":
			fill(m.Mutable(f).Message(), depth-1)
		case f.Kind() == protoreflect.StringKind && !f.IsList():
			m.Set(f, protoreflect.ValueOfString(hostile))
		}
	}
}

func unary[Q, A any, P interface {
	*A
	proto.Message
}](h *hostileHub, _ *Q) (*A, error) {
	answer := P(new(A))
	err := h.answer(answer)
	return answer, err
}

func (h *hostileHub) Get(_ context.Context, q *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	return unary[adminv1.GetRequest, adminv1.GetResponse](h, q)
}

func (h *hostileHub) List(_ context.Context, q *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	answer, err := unary[adminv1.ListRequest, adminv1.ListResponse](h, q)
	if q.Continue != "" { // the last page is empty
		return &adminv1.ListResponse{}, err
	}
	return answer, err
}

func (h *hostileHub) Apply(_ context.Context, q *adminv1.ApplyRequest) (*adminv1.ApplyResponse, error) {
	return unary[adminv1.ApplyRequest, adminv1.ApplyResponse](h, q)
}

func (h *hostileHub) Delete(_ context.Context, q *adminv1.DeleteRequest) (*adminv1.DeleteResponse, error) {
	return unary[adminv1.DeleteRequest, adminv1.DeleteResponse](h, q)
}

func (h *hostileHub) Impact(_ context.Context, q *adminv1.ImpactRequest) (*adminv1.ImpactResponse, error) {
	return unary[adminv1.ImpactRequest, adminv1.ImpactResponse](h, q)
}

func (h *hostileHub) Reconcile(_ context.Context, q *adminv1.ReconcileRequest) (*adminv1.ReconcileResponse, error) {
	return unary[adminv1.ReconcileRequest, adminv1.ReconcileResponse](h, q)
}

func (h *hostileHub) CreateJoinToken(_ context.Context,
	q *adminv1.CreateJoinTokenRequest) (*adminv1.CreateJoinTokenResponse, error) {
	return unary[adminv1.CreateJoinTokenRequest, adminv1.CreateJoinTokenResponse](h, q)
}

func (h *hostileHub) ListEvents(_ context.Context, q *adminv1.ListEventsRequest) (*adminv1.ListEventsResponse, error) {
	return unary[adminv1.ListEventsRequest, adminv1.ListEventsResponse](h, q)
}

func (h *hostileHub) Tree(_ context.Context, q *adminv1.TreeRequest) (*adminv1.TreeResponse, error) {
	return unary[adminv1.TreeRequest, adminv1.TreeResponse](h, q)
}

func (h *hostileHub) Explain(ctx context.Context, q *adminv1.ExplainRequest) (*adminv1.ExplainResponse, error) {
	if h.asked != nil {
		h.asked <- q.GetKey()
	}
	if h.hangs {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return unary[adminv1.ExplainRequest, adminv1.ExplainResponse](h, q)
}

func (h *hostileHub) GetVersion(_ context.Context, q *adminv1.GetVersionRequest) (*adminv1.GetVersionResponse, error) {
	return unary[adminv1.GetVersionRequest, adminv1.GetVersionResponse](h, q)
}

func (h *hostileHub) Published(_ *adminv1.PublishedRequest,
	stream grpc.ServerStreamingServer[adminv1.PublishedResponse]) error {
	m := &adminv1.PublishedResponse{}
	if err := h.answer(m); err != nil {
		return err
	}
	return stream.Send(m)
}

func (h *hostileHub) History(_ context.Context, q *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	return unary[adminv1.HistoryRequest, adminv1.HistoryResponse](h, q)
}

func (h *hostileHub) Rollback(_ context.Context, q *adminv1.RollbackRequest) (*adminv1.RollbackResponse, error) {
	return unary[adminv1.RollbackRequest, adminv1.RollbackResponse](h, q)
}

func (h *hostileHub) Release(_ context.Context, q *adminv1.ReleaseRequest) (*adminv1.ReleaseResponse, error) {
	return unary[adminv1.ReleaseRequest, adminv1.ReleaseResponse](h, q)
}

func (h *hostileHub) ListRollouts(_ context.Context,
	q *adminv1.ListRolloutsRequest) (*adminv1.ListRolloutsResponse, error) {
	return unary[adminv1.ListRolloutsRequest, adminv1.ListRolloutsResponse](h, q)
}

func (h *hostileHub) GetRollout(_ context.Context, q *adminv1.GetRolloutRequest) (*adminv1.GetRolloutResponse, error) {
	answer, err := unary[adminv1.GetRolloutRequest, adminv1.GetRolloutResponse](h, q)
	if err == nil {
		answer.Rollout.Number = 1
	}
	return answer, err
}

func (h *hostileHub) PlanRollout(_ context.Context,
	q *adminv1.PlanRolloutRequest) (*adminv1.PlanRolloutResponse, error) {
	return unary[adminv1.PlanRolloutRequest, adminv1.PlanRolloutResponse](h, q)
}

func (h *hostileHub) ControlRollout(_ context.Context,
	q *adminv1.ControlRolloutRequest) (*adminv1.ControlRolloutResponse, error) {
	return unary[adminv1.ControlRolloutRequest, adminv1.ControlRolloutResponse](h, q)
}

func (h *hostileHub) Watch(_ *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	m := &adminv1.WatchResponse{}
	if err := h.answer(m); err != nil {
		return err
	}
	m.Type = adminv1.WatchType_WATCH_TYPE_CHANGED
	if err := stream.Send(m); err != nil {
		return err
	}
	m.Type = adminv1.WatchType_WATCH_TYPE_DELETED
	return stream.Send(m)
}

// serve starts a hostile hub and returns the file of an operator of it.
func serve(t *testing.T, h adminv1.AdminServiceServer) string {
	t.Helper()
	dir := t.TempDir()
	authority, err := identity.LoadOrCreateAuthority(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	id := identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Hub, Name: "hub"}
	chain, err := authority.Issue(key.Public(), id, time.Hour, []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	credential := &identity.Credential{}
	credential.Set(tls.Certificate{Certificate: chain, PrivateKey: key}, []*x509.Certificate{authority.Certificate()})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.ServerTLS(credential))))
	adminv1.RegisterAdminServiceServer(server, h)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	config, err := hub.IssueOperator(dir, "admin", listener.Addr().String(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config")
	if err := config.Save(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// nave runs a command as the program does, and returns all that it prints.
func nave(t *testing.T, config string, args ...string) (out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root, end := program(&stdout, &stderr)
	root.SetArgs(append(args, "--config="+config, "--timeout=10s"))
	_ = end(root.ExecuteContext(t.Context()))
	return stdout.String(), stderr.String()
}

// commandsOfTest are all commands that print answers of a hub.
var commandsOfTest = map[string][]string{
	"get": {"get", "kustomizations", "-A"}, "get_clusters": {"get", "clusters", "-o", "wide"}, "get_fleets": {"get",
		"fleets"},
	"get_sources": {"get", "gitrepositories", "-A", "-o", "wide"}, "get_json": {"get", "kustomizations", "-o", "json"},
	"get_yaml": {"get", "kustomizations", "-o", "yaml"}, "watch": {"get", "kustomizations", "-w"}, "watch_json": {"get",
		"kustomizations", "-w", "-o", "json"},
	"describe": {"describe", "kustomization", "a"}, "tree": {"tree", "kustomization",
		"a"}, "events": {"events"}, "explain": {"explain"},
	"debug_status": {"debug", "helmrelease", "a", "--show-status"}, "debug_values": {"debug", "hr", "a", "--show-values",
		"--cluster=a"}, "debug_vars": {"debug", "kustomization", "a", "--show-vars", "--cluster=a"},
	"version": {"version"}, "reconcile": {"reconcile", "kustomization", "a",
		"--with-source"}, "reconcile_no_wait": {"reconcile", "kustomization", "a", "--no-wait"},
	"trace": {"trace", "kustomization/a", "--cluster=a"}, "check": {"check"}, "check_yaml": {"check", "-o=yaml"},
	"wait":         {"wait", "kustomizations", "--all", "--timeout=1s"},
	"wait_deleted": {"wait", "kustomization/a", "--for=delete"},
	"stats":        {"stats"}, "export": {"export", "fleets"}, "export_secrets": {"export", "secrets"},
	"delete": {"delete", "fleet", "a", "--yes"}, "suspend": {"suspend", "kustomization", "a"}, "confirm": {"confirm",
		"hub", "--yes"},
	"cluster_add": {"cluster", "add", "a"}, "cluster_add_image": {"cluster", "add", "a",
		"--image=spoke:1"}, "cluster_list": {"cluster", "list"}, "cluster_remove": {"cluster", "remove", "a", "--yes"},
	"apply":   {"apply", "--yes", "-f", "testdata/fleet.yaml"},
	"history": {"history", "a"}, "rollback": {"rollback", "a"}, "release": {"release", "a"},
	"diff": {"diff", "cluster", "a"}, "build_hub": {"build", "cluster", "a", "."},
	"rollout_list": {"rollout", "list"}, "rollout_status": {"rollout", "status", "a"}, "rollout_plan": {"rollout", "plan",
		"a"}, "rollout_skip": {"rollout", "skip", "a", "b"}, "rollout_abort": {"rollout", "abort", "a", "--yes"},
	"missing": {"get", "fleets", hostile}, "unknown": {"get", hostile}, "flag": {"get", "--" + hostile},
}

// TestOutput runs every command against a hub that answers with hostile texts, and one that refuses with them.
func TestOutput(t *testing.T) {
	for name, refuses := range map[string]bool{"answers": false, "refuses": true} {
		t.Run(name, func(t *testing.T) {
			config := serve(t, &hostileHub{refuses: refuses})
			for name, args := range commandsOfTest {
				t.Run(name, func(t *testing.T) {
					out, errOut := nave(t, config, args...)
					if out+errOut == "" {
						t.Error("it prints nothing")
					}
					checkVisible(t, out+errOut)
				})
			}
		})
	}
}

// checkVisible fails the test if the text has control characters or forged lines.
func checkVisible(t *testing.T, text string) {
	t.Helper()
	if i := strings.IndexFunc(text, telemetry.Unprintable); i >= 0 || !utf8.ValidString(text) {
		t.Errorf("byte %d of %q", i, text)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, forged) {
			t.Errorf("a line that nobody wrote in %q", text)
		}
	}
}

// TestOutput_documents decodes the output of -o json and -o yaml.
func TestOutput_documents(t *testing.T) {
	config := serve(t, &hostileHub{})
	for _, format := range []string{"json", "yaml"} {
		t.Run(format, func(t *testing.T) {
			out, errOut := nave(t, config, "get", "kustomizations", "-o", format)
			var list struct{ Items []map[string]any }
			read := func(data []byte, to any) error { return yaml.Unmarshal(data, to) }
			if format == "json" {
				read = json.Unmarshal
			}
			if err := read([]byte(out), &list); err != nil || len(list.Items) != 1 {
				t.Fatalf("%v: %q\n%s", err, out, errOut)
			}
			want := maps.Clone(hostileObject)
			want["status"] = maps.Clone(want["status"].(map[string]any))
			want["status"].(map[string]any)["cluster"] = hostile
			if !reflect.DeepEqual(list.Items[0], want) {
				t.Errorf("%q, want %q", list.Items[0], want)
			}
		})
	}
}

// TestOutput_onePlace checks that the command prints only through its writers.
func TestOutput_onePlace(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, way := range []string{"os.Std" + "out", "os.Std" + "err", "fmt.Print" + "ln(", "fmt.Print" + "f(",
			"fmt.Print" + "("} {
			if uses := strings.Count(string(text), way); uses > 0 &&
				!(file == "main.go" && uses == 1 && strings.HasPrefix(way, "os.")) {
				t.Errorf("%s uses %s", file, way)
			}
		}
	}
}

// TestTimeout checks that --timeout ends a call to a hub that does not answer.
func TestTimeout(t *testing.T) {
	var out, errOut bytes.Buffer
	root, end := program(&out, &errOut)
	root.SetArgs([]string{"explain", "--timeout=100ms", "--config=" + serve(t, &hostileHub{hangs: true})})
	if err := end(root.ExecuteContext(t.Context())); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v, it prints %q", err, errOut.String())
	}
}

// TestExplain_namespace checks that the request has a namespace only if the command names one.
func TestExplain_namespace(t *testing.T) {
	h := &hostileHub{asked: make(chan *adminv1.ObjectKey, 1)}
	config := serve(t, h)
	for want, args := range map[string][]string{"": {"explain"}, "apps": {"explain", "-n", "apps"}} {
		nave(t, config, args...)
		if got := (<-h.asked).GetNamespace(); got != want {
			t.Errorf("%v asks for %q, want %q", args, got, want)
		}
	}
}

// full is a file on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestOutput_full checks that commands fail if they print to a full disk, for each kind of output.
func TestOutput_full(t *testing.T) {
	config := serve(t, &hostileHub{})
	for name, args := range map[string][]string{"table": {"get", "fleets"}, "version": {"version", "--client"},
		"describe": {"describe", "fleet", "a"}, "events": {"events"}, "join": {"cluster", "add", "a", "--image=x"}} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			root, end := program(full{}, &stderr)
			root.SetArgs(append(args, "--config="+config))
			if err := end(root.ExecuteContext(t.Context())); !errors.Is(err, syscall.ENOSPC) ||
				!strings.Contains(stderr.String(), "no space left") {
				t.Errorf("%v, it prints %q", err, stderr.String())
			}
		})
	}
}

func TestVisible(t *testing.T) {
	var out bytes.Buffer
	v := &visible{out: &out}
	for _, b := range []byte("grün\t\x1b[0m 東京\u202e\xff.\n") { // one byte at a time
		if n, err := v.Write([]byte{b}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	_, _ = v.Write([]byte("\xe6\x9d"))
	v.flush()
	if want := "grün\t\\u001b[0m 東京\\u202e\ufffd.\n\ufffd"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
