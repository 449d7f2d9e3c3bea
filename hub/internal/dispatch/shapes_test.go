package dispatch

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/signing"
)

// ask makes the bundle of a cluster ask questions.
func (r *rig) askShapes(cluster string, questions ...bundle.ShapeQuestion) {
	r.t.Helper()
	r.cluster(cluster, false)
	e, err := signing.DecodeEnvelope(r.desire(cluster, 1, r.application("app")).Envelope)
	must(r.t, err)
	b, err := bundle.DecodeBundle(e.Payload)
	must(r.t, err)
	b.Questions = questions
	payload, err := b.Encode()
	must(r.t, err)
	r.update(func(tx *store.Tx) error {
		signed, _, err := store.SignedBundles.Get(tx, cluster)
		if err != nil {
			return err
		}
		if signed.Envelope, err = signer.Sign(bundle.PayloadType, payload).Encode(); err != nil {
			return err
		}
		return store.SignedBundles.Put(tx, cluster, signed)
	})
}

// shape returns the answer to a question for a cluster; empty: there is none.
func (r *rig) shape(cluster string, q bundle.ShapeQuestion) (text string) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) error {
		s, _, err := store.ShapeOf(tx, cluster, q)
		text = string(s.Shape) + s.Problem
		return err
	}))
	return text
}

func shapeAnswer(q bundle.ShapeQuestion, shape string) *spokev1.AnswerShapesRequest {
	id := q.ID()
	return &spokev1.AnswerShapesRequest{Answers: []*spokev1.ShapeAnswer{{Question: id[:], Shape: []byte(shape)}}}
}

// TestAnswerShapes answers questions of bundles. What only one cluster has is no other's; what an application of the
// bundle gives serves all clusters, but for one that answers otherwise.
func TestAnswerShapes(t *testing.T) {
	r := newRig(t)
	live := bundle.ShapeQuestion{Reader: bundle.ApplicationName{Kind: "HelmRelease", Namespace: "shop", Name: "web"},
		Kind: "Secret", Name: "values", Key: "values.yaml", Form: bundle.ShapeYAML, Reveal: []string{sealed.RevealAll}}
	given := live
	given.Giver, given.Object = live.Reader, manifest.DigestOf([]byte("object"))
	both := []bundle.ShapeQuestion{live, given}
	clients := map[string]spokev1.SpokeServiceClient{}
	for _, name := range []string{"a", "b", "c"} {
		r.askShapes(name, both...)
		clients[name] = r.dial(identity.Cluster, name)
	}
	r.askShapes("quiet")
	clients["quiet"] = r.dial(identity.Cluster, "quiet")
	answer := func(cluster string, q bundle.ShapeQuestion, shape string) {
		t.Helper()
		_, err := clients[cluster].AnswerShapes(t.Context(), shapeAnswer(q, shape))
		must(t, err)
	}
	answer("quiet", given, `{"unasked":"str"}`)
	answer("a", live, `{"a":"str"}`)
	answer("a", given, `{"a":"str"}`)
	answer("b", given, `{"a":"str"}`)
	answer("c", given, `{"c":"str"}`)
	for cluster, want := range map[string][2]string{"a": {`{"a":"str"}`, `{"a":"str"}`}, "b": {"", `{"a":"str"}`},
		"c": {"", `{"c":"str"}`}, "d": {"", `{"a":"str"}`}} {
		if got := [2]string{r.shape(cluster, live), r.shape(cluster, given)}; got != want {
			t.Errorf("%s: %q, want %q", cluster, got, want)
		}
	}
	answer("c", given, `{"a":"str"}`)
	if got := r.shape("c", given); got != `{"a":"str"}` {
		t.Errorf("c, corrected: %q", got)
	}
	rows := 0
	must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
		rows = 0
		return store.Shapes.Sizes(tx, "", func(string, int) error { rows++; return nil })
	}))
	if rows != 2 {
		t.Errorf("%d rows, want one for a's object and one for all", rows)
	}
}

func TestAnswerShapes_hostile(t *testing.T) {
	r := newRig(t)
	q := bundle.ShapeQuestion{Reader: bundle.ApplicationName{Kind: "HelmRelease", Namespace: "shop", Name: "web"},
		Kind: "Secret", Name: "values", Key: "values.yaml", Form: bundle.ShapeYAML}
	r.askShapes("a", q)
	client := r.dial(identity.Cluster, "a")
	many := &spokev1.AnswerShapesRequest{}
	for range reporting.MaxShapes + 1 {
		many.Answers = append(many.Answers, shapeAnswer(q, `"str"`).Answers...)
	}
	large := &spokev1.AnswerShapesRequest{}
	for range 5 {
		large.Answers = append(large.Answers, shapeAnswer(q, `"`+strings.Repeat("x", 120<<10)+`"`).Answers...)
	}
	content := shapeAnswer(q, `"str"`)
	content.Answers[0].Content = []byte("short")
	for name, m := range map[string]*spokev1.AnswerShapesRequest{
		"many": many, "large": large, "content": content, "value": shapeAnswer(q, `{"a":"hunter2"}`),
		"number": shapeAnswer(q, `{"a":1}`), "deep": shapeAnswer(q, strings.Repeat("[", 99)+strings.Repeat("]", 99)),
		"question": {Answers: []*spokev1.ShapeAnswer{{Question: []byte("x")}}},
	} {
		_, err := client.AnswerShapes(t.Context(), m)
		if wantCode(t, err, codes.InvalidArgument); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := r.shape("a", q); got != "" {
		t.Errorf("stored: %q", got)
	}
	odd := shapeAnswer(q, `{"a":"str"}`)
	odd.Answers[0].Problem = "line\n\x1b[2J" + strings.Repeat("x", 1<<16)
	_, err := client.AnswerShapes(t.Context(), odd)
	must(t, err)
	if got := r.shape("a", q); !strings.HasPrefix(got, "line") || strings.ContainsAny(got, "\x1b{") ||
		len(got) > reporting.MaxMessage {
		t.Errorf("problem %.100q of %d bytes", got, len(got))
	}
	before, now := store.Shape{AnsweredAt: time.Now(), Content: []byte("x")}, store.Shape{Content: []byte("x")}
	if !before.Same(now) || before.Same(store.Shape{}) || !bytes.Equal(before.Content, now.Content) {
		t.Error("answers are compared with their times, or without their content")
	}
}
