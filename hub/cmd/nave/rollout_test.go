package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// rolloutHub is a hub with the Fleet prod, whose clusters are in the stages canary and rest.
type rolloutHub struct {
	adminv1.UnimplementedAdminServiceServer

	mu       sync.Mutex
	answers  []*adminv1.GetRolloutResponse // one after the other, the last one again and again
	control  *adminv1.ControlRolloutResponse
	asked    []*adminv1.ControlRolloutRequest
	planned  *adminv1.PlanRolloutRequest
	looks    int
	goneOnce bool // the second look fails
}

const pacedFleetText = `{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Fleet","metadata":{"name":"prod"},"spec":{` +
	`"clusterSelector":{"matchLabels":{"env":"prod"}},"template":{"spec":{"interval":"10m","prune":true,"path":"./x",` +
	`"sourceRef":{"kind":"GitRepository","name":"hub"}}},"rollout":{"stages":[{"name":"canary",` +
	`"clusterSelector":{"matchLabels":{"ring":"canary"}},"afterStage":[{"type":"Approval"}]}]}}}`

func (h *rolloutHub) Get(_ context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	if r.GetKey().GetName() != "prod" {
		return nil, notFoundError(r.GetKey())
	}
	return &adminv1.GetResponse{Object: &adminv1.Object{Key: r.GetKey(), Json: []byte(pacedFleetText)}}, nil
}

func (h *rolloutHub) List(_ context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	answer := &adminv1.ListResponse{}
	for name, labels := range map[string]string{"west": `{"env":"prod"}`, "east": `{"env":"prod","ring":"canary"}`, "dev": `{}`} {
		if r.GetKind() == "Cluster" {
			answer.Objects = append(answer.Objects, &adminv1.Object{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: name},
				Json: fmt.Appendf(nil, `{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":%q,"labels":%s}}`,
					name, labels)})
		}
	}
	return answer, nil
}

func (h *rolloutHub) ListRollouts(_ context.Context, r *adminv1.ListRolloutsRequest) (*adminv1.ListRolloutsResponse,
	error) {
	if fleet := r.GetFleet(); fleet != "" && fleet != "prod" {
		return nil, notFoundError(&adminv1.ObjectKey{Kind: "Fleet", Name: fleet})
	}
	return &adminv1.ListRolloutsResponse{Rollouts: []*adminv1.Rollout{h.answers[0].GetRollout()}}, nil
}

func (h *rolloutHub) GetRollout(_ context.Context, r *adminv1.GetRolloutRequest) (*adminv1.GetRolloutResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.GetFleet() != "prod" {
		return nil, status.Errorf(codes.FailedPrecondition, "Fleet %s has no spec.rollout", r.GetFleet())
	}
	if h.looks++; h.goneOnce && h.looks == 2 {
		return nil, status.Error(codes.Unavailable, "the hub ends")
	}
	answer := h.answers[0]
	if len(h.answers) > 1 {
		h.answers = h.answers[1:]
	}
	return answer, nil
}

func (h *rolloutHub) ControlRollout(_ context.Context,
	r *adminv1.ControlRolloutRequest) (*adminv1.ControlRolloutResponse, error) {
	h.asked = append(h.asked, r)
	return h.control, nil
}

func (h *rolloutHub) PlanRollout(_ context.Context, r *adminv1.PlanRolloutRequest) (*adminv1.PlanRolloutResponse,
	error) {
	h.planned = r
	return &adminv1.PlanRolloutResponse{Clusters: []*adminv1.PlannedCluster{
		{Cluster: "east", Stage: "canary", Change: adminv1.PlannedChange_PLANNED_CHANGE_CHANGES, Concurrency: 1,
			Root: "Kustomization a/root: other spec.path", MoreApplications: 1, Applications: []*adminv1.PlannedApplication{
				{Kind: "Kustomization", Namespace: "a", Name: "new", Planned: proto.String("main@sha1:1")},
				{Kind: "Kustomization", Namespace: "a", Name: "changes", Released: proto.String("1"), Planned: proto.String("2")},
				{Kind: "Kustomization", Namespace: "a", Name: "gone", Released: proto.String("1")}}},
		{Cluster: "west", Stage: "rest", Concurrency: 2, Excluded: "it is pinned", Unhealthy: "Kustomization a/b is ill",
			Problem: "size is not set"},
	}}, nil
}

// rolloutIn returns rollout 3 of prod in a phase, in which east is done.
func rolloutIn(phase, message, west string) *adminv1.GetRolloutResponse {
	at := timestamppb.New(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	return &adminv1.GetRolloutResponse{Restorable: 1, Rollout: &adminv1.Rollout{Fleet: "prod", Number: 3,
		Revision: "main@sha1:1", Phase: phase, Message: message, Since: at, BeganAt: at, Stages: []*adminv1.RolloutStage{
			{Name: "canary", State: "Settled", Clusters: 1, Done: 1}, {Name: "rest", State: "Waiting", Clusters: 1, Waiting: 1}}},
		Clusters: []*adminv1.RolloutCluster{{Cluster: "west", Stage: "rest", State: west, Since: at},
			{Cluster: "east", Stage: "canary", State: "Done", Since: at, OfferedAt: at, Previous: "sha256:1"}}}
}

// rolloutRun runs a command against a hub, and returns all that it prints and its exit code.
func rolloutRun(t *testing.T, h *rolloutHub, args ...string) (out, errOut string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root, end := program(&stdout, &stderr)
	root.SetArgs(append(args, "--config="+serve(t, h), "--timeout=10s"))
	root.SetIn(strings.NewReader(""))
	code = exitCode(end(root.ExecuteContext(t.Context())))
	return stdout.String(), stderr.String(), code
}

// wantLines wants lines in a text, in order.
func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	rest := text
	for _, line := range lines {
		_, after, found := strings.Cut(rest, line)
		if !found {
			t.Fatalf("%s\nwithout %q", text, line)
		}
		rest = after
	}
}

// TestRolloutStatus prints the stages, the clusters that are not done, and what to do next.
func TestRolloutStatus(t *testing.T) {
	waits := rolloutIn("Waiting", "it waits for an approval after stage canary", "Waiting")
	waits.Rollout.Stages[0].AwaitsApproval = "after"
	waits.More = 7
	failed := rolloutIn("Failed", "stage rest failed on west: it is ill", "Failed")
	failed.Clusters[0].Message = "it is ill"
	suspended := rolloutIn("Suspended", "no cluster begins until it is resumed", "Waiting")
	for name, tt := range map[string]struct {
		answer *adminv1.GetRolloutResponse
		args   []string
		want   []string
	}{
		"waits": {waits, nil, []string{
			"Fleet prod, rollout 3 of main@sha1:1: Waiting since 2026-01-02T12:00:00Z: it waits for an approval after",
			"STAGE    CLUSTERS   DONE   UNDERWAY   FAILED   SKIPPED   WAITING   STATE",
			"canary   1          1      0          0        0         0         Settled, an approval is awaited after it",
			"rest     1          0      0          0        0         1         Waiting",
			"CLUSTER   STAGE   STATE     SINCE                  MESSAGE",
			"west      rest    Waiting   2026-01-02T12:00:00Z   -", "and 7 clusters more",
			"To approve: nave rollout approve prod --stage canary"}},
		"failed": {failed, nil, []string{"west      rest    Failed   2026-01-02T12:00:00Z   it is ill",
			"To try again: nave rollout retry prod; without the clusters that failed: nave rollout skip prod CLUSTER"}},
		"suspended":   {suspended, nil, []string{"Suspended since", "To go on: nave rollout resume prod"}},
		"rolled_back": {rolloutIn("RolledBack", "", "Restored"), nil, []string{"nave rollout release prod"}},
		"none":        {&adminv1.GetRolloutResponse{Rollout: &adminv1.Rollout{Fleet: "prod"}}, nil, []string{"Fleet prod had no rollout yet"}},
		"json":        {waits, []string{"-o", "json"}, []string{`"phase": "Waiting"`, `"awaitsApproval": "after"`, `"cluster": "west"`, `"moreClusters": 7`}},
		"columns":     {waits, []string{"-o", "custom-columns=C:.cluster,S:.state"}, []string{"west   Waiting", "east   Done"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &rolloutHub{answers: []*adminv1.GetRolloutResponse{tt.answer}}
			out, errOut, code := rolloutRun(t, h, append([]string{"rollout", "status", "prod"}, tt.args...)...)
			if code != 0 || errOut != "" {
				t.Fatalf("exit code %d, %s", code, errOut)
			}
			wantLines(t, out, tt.want...)
		})
	}
}

// TestRolloutStatus_past prints no next command for a rollout that is not the newest.
func TestRolloutStatus_past(t *testing.T) {
	h := &rolloutHub{answers: []*adminv1.GetRolloutResponse{rolloutIn("Aborted", "", "Waiting")}}
	if out, _, _ := rolloutRun(t, h, "rollout", "status", "prod", "--revision=3"); strings.Contains(out, "release") {
		t.Error(out)
	}
}

// TestRolloutStatus_watch prints what changes until the rollout has ended, also when the hub goes away meanwhile, and
// ends with 1 if it did not succeed.
func TestRolloutStatus_watch(t *testing.T) {
	for name, tt := range map[string]struct {
		last *adminv1.GetRolloutResponse
		code int
		want string // of the error
	}{
		"succeeded":  {rolloutIn("Succeeded", "", "Done"), 0, ""},
		"failed":     {rolloutIn("Failed", "stage rest failed on west", "Failed"), 1, "rollout 3 of Fleet prod is Failed: stage rest failed on west"},
		"aborted":    {rolloutIn("Aborted", "", "Waiting"), 1, "rollout 3 of Fleet prod is Aborted"},
		"superseded": {rolloutIn("Superseded", "by rollout 4", "Waiting"), 1, "is Superseded: by rollout 4"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &rolloutHub{goneOnce: true, answers: []*adminv1.GetRolloutResponse{rolloutIn("Progressing", "a", "Waiting"),
				rolloutIn("Progressing", "b", "UnderWay"), tt.last}}
			s := session{config: serve(t, h), timeout: 10 * time.Second}
			client, done, err := s.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer done()
			var stdout bytes.Buffer
			cmd := &cobra.Command{}
			cmd.SetOut(&stdout)
			cmd.SetErr(&bytes.Buffer{})
			w := rolloutWatch{printer: &printer{out: &stdout}, client: client, progress: newProgress(cmd),
				request: &adminv1.GetRolloutRequest{Fleet: "prod"}, pause: time.Millisecond}
			if err = w.run(t.Context()); exitCode(err) != tt.code || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ended with %v", err)
			}
			wantLines(t, stdout.String(), "rollout 3 of main@sha1:1: Progressing", "west (rest): UnderWay\n", "Progressing: b\n",
				tt.last.Rollout.Phase)
		})
	}
}

// TestRolloutList lists rollouts, and names a Fleet that does not exist.
func TestRolloutList(t *testing.T) {
	h := &rolloutHub{answers: []*adminv1.GetRolloutResponse{rolloutIn("Waiting", "for it", "Waiting")}}
	out, _, code := rolloutRun(t, h, "rollout", "list")
	wantLines(t, out, "FLEET   ROLLOUT   REVISION      PHASE     DONE   AGE",
		"prod    3         main@sha1:1   Waiting   1/2", "for it")
	out, _, _ = rolloutRun(t, h, "rollout", "list", "prod", "-o", "json")
	var all struct{ Rollouts []map[string]any }
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 ||
		all.Rollouts[0]["beganAt"] != "2026-01-02T12:00:00Z" {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
	if _, errOut, code := rolloutRun(t, h, "rollout", "list", "prdo"); code != notFound ||
		!strings.Contains(errOut, "prdo") {
		t.Errorf("exit code %d, %s", code, errOut)
	}
}

// TestRollout_oldHub says that a hub does not know rollouts.
func TestRollout_oldHub(t *testing.T) {
	config := serve(t, adminv1.UnimplementedAdminServiceServer{})
	for _, args := range [][]string{{"list"}, {"status", "prod"}, {"plan", "prod"}, {"approve", "prod"},
		{"abort", "prod"}} {
		if _, errOut := nave(t, config, append([]string{"rollout"}, args...)...); !strings.Contains(errOut,
			"the hub is too old for rollouts: upgrade it") {
			t.Errorf("%v: %s", args, errOut)
		}
	}
}

// TestRolloutPlan lists clusters that are not healthy first, and sends a Fleet of a file.
func TestRolloutPlan(t *testing.T) {
	h := &rolloutHub{}
	out, _, _ := rolloutRun(t, h, "rollout", "plan", "prod")
	wantLines(t, out, "⚠ west is not healthy now, and comes last in stage rest: Kustomization a/b is ill\n",
		"STAGE    AT ONCE   CLUSTER   CHANGES   GETS", "canary   1         east      yes       Kustomization a/root: other "+
			"spec.path, + Kustomization a/new main@sha1:1, ~ Kustomization a/changes 1 → 2, and 2 more   -\n",
		"rest     2         west      -         - ", "size is not set; it is pinned; not healthy\n")
	if h.planned.GetFleet() != "prod" || len(h.planned.GetManifest()) > 0 {
		t.Errorf("asked %v", h.planned)
	}
	file := filepath.Join(t.TempDir(), "fleet.yaml")
	cluster := "---\napiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: a}\n"
	if err := os.WriteFile(file, []byte(pacedFleetText+"\n"+cluster), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, code := rolloutRun(t, h, "rollout", "plan", "-f", file, "-o", "json")
	if code != 0 || h.planned.GetFleet() != "prod" || !strings.Contains(string(h.planned.GetManifest()), `"canary"`) {
		t.Errorf("exit code %d, asked %v", code, h.planned)
	}
	wantLines(t, out, `"cluster": "east"`, `"changes": "yes"`, `"released": "1"`, `"moreApplications": 1`,
		`"unhealthy": "Kustomization a/b is ill"`, `"problem": "size is not set"`)
	if top, _, _ := rolloutRun(t, h, "plan", "-f", file, "-o", "json"); top != out {
		t.Errorf("nave plan prints %s", top)
	}
	for _, args := range [][]string{{}, {"other", "-f", file}, {"-f", file + "x"}} {
		if _, _, code := rolloutRun(t, h, append([]string{"rollout", "plan"}, args...)...); code == 0 {
			t.Errorf("%v passed", args)
		}
	}
}

// TestRolloutControl has the hub decide, and asks before a rollback or an abort.
func TestRolloutControl(t *testing.T) {
	done := &adminv1.ControlRolloutResponse{Changed: true, Message: "did it"}
	for name, tt := range map[string]struct {
		args    []string
		phase   string
		control *adminv1.ControlRolloutResponse
		code    int
		asked   string // of the hub; empty: nothing
		out     string
		errOut  string
	}{
		"approve":          {[]string{"approve", "prod", "--stage=canary"}, "Waiting", done, 0, "APPROVE canary [] 0", "► Fleet prod: did it\n", ""},
		"nothing":          {[]string{"approve", "prod"}, "Waiting", &adminv1.ControlRolloutResponse{Message: "it waits for nothing"}, 0, "APPROVE  [] 0", "it waits for nothing: nothing changed\n", ""},
		"held":             {[]string{"resume", "prod"}, "Waiting", &adminv1.ControlRolloutResponse{Changed: true, Held: "the Fleet is suspended"}, 0, "RESUME  [] 0", "", "⚠ the Fleet is suspended\n"},
		"suspend":          {[]string{"suspend", "prod"}, "Waiting", done, 0, "SUSPEND  [] 0", "did it", ""},
		"release":          {[]string{"release", "prod"}, "Aborted", done, 0, "RELEASE  [] 0", "did it", ""},
		"retry":            {[]string{"retry", "prod"}, "Failed", done, 0, "RETRY  [] 0", "did it", ""},
		"retry_one":        {[]string{"retry", "prod", "west"}, "Failed", done, 0, "RETRY  [west] 0", "did it", ""},
		"skip":             {[]string{"skip", "prod", "west", "east"}, "Failed", done, 0, "SKIP  [west east] 0", "did it", ""},
		"skip_none":        {[]string{"skip", "prod"}, "Failed", done, 2, "", "", ""},
		"rollback":         {[]string{"rollback", "prod", "--yes"}, "Waiting", done, 0, "ROLL_BACK  [] 3", "did it", "rollout 3 of Fleet prod: 1 cluster (east) would get back what they had before"},
		"rollback_unasked": {[]string{"rollback", "prod"}, "Waiting", done, 2, "", "", "nothing was changed: add --yes"},
		"rollback_again":   {[]string{"rollback", "prod"}, "RollingBack", &adminv1.ControlRolloutResponse{Message: "it is"}, 0, "ROLL_BACK  [] 3", "it is: nothing changed", ""},
		"abort":            {[]string{"abort", "prod", "-y"}, "Waiting", done, 0, "ABORT  [] 3", "did it", "rollout 3 of Fleet prod would end: 1 cluster (west) would keep what they have"},
		"abort_unasked":    {[]string{"abort", "prod"}, "Progressing", done, 2, "", "", "add --yes"},
		"abort_ended":      {[]string{"abort", "prod"}, "Succeeded", &adminv1.ControlRolloutResponse{Message: "it has ended"}, 0, "ABORT  [] 3", "it has ended: nothing changed", ""},
		"no_rollout":       {[]string{"rollback", "dev"}, "Waiting", done, 1, "", "", "Fleet dev has no spec.rollout"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &rolloutHub{control: tt.control, answers: []*adminv1.GetRolloutResponse{rolloutIn(tt.phase, "", "Waiting")}}
			out, errOut, code := rolloutRun(t, h, append([]string{"rollout"}, tt.args...)...)
			asked := ""
			for _, r := range h.asked {
				asked += fmt.Sprintf("%s %s %v %d", strings.TrimPrefix(r.Verb.String(), "ROLLOUT_VERB_"), r.Stage,
					r.Clusters, r.Number)
			}
			if code != tt.code || asked != tt.asked || !strings.Contains(out, tt.out) || !strings.Contains(errOut, tt.errOut) {
				t.Errorf("exit code %d, asked %q, printed %q, %q", code, asked, out, errOut)
			}
		})
	}
}

// TestRolloutComplete completes Fleets, their stages, and clusters.
func TestRolloutComplete(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"stage":    {[]string{"approve", "prod", "--stage", ""}, "canary\nrest\n:4"},
		"begun":    {[]string{"approve", "prod", "--stage", "c"}, "canary\n:4"},
		"clusters": {[]string{"skip", "prod", ""}, "dev\neast\nwest\n:4"},
		"nothing":  {[]string{"status", "prod", ""}, ":4"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			root := newCommand()
			root.SetOut(&out)
			root.SetErr(&bytes.Buffer{})
			root.SetArgs(slices.Concat([]string{"__complete", "--config=" + serve(t, &rolloutHub{}), "rollout"}, tt.args))
			if err := root.ExecuteContext(t.Context()); err != nil || strings.TrimSpace(out.String()) != tt.want {
				t.Errorf("got %q, %v", out.String(), err)
			}
		})
	}
}
