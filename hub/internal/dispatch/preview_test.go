package dispatch

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// ask asks cluster a, and returns the question and the channel with its end.
func (r *rig) ask(content ...string) (Question, chan error, chan []*spokev1.ApplicationPreview) {
	q := Question{Cluster: "a", Envelope: []byte("envelope " + strings.Join(content, "")), Features: "previews",
		Content: map[manifest.Digest][]byte{}}
	for _, text := range content {
		q.Content[manifest.DigestOf([]byte(text))] = []byte(text)
	}
	ended, answers := make(chan error, 1), make(chan []*spokev1.ApplicationPreview, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		found, err := r.server.Preview(ctx, q)
		answers <- found
		ended <- err
	}()
	return q, ended, answers
}

// TestPreview asks a spoke, which fetches what it lacks, is busy first, and answers. Nobody else can.
func TestPreview(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.cluster("b", false)
	client, other := r.dial(identity.Cluster, "a"), r.dial(identity.Cluster, "b")
	c := r.helloWith(client, bundle.ID{}, &spokev1.Hello{Features: []string{"previews"}})
	c.welcome()
	r.open(other, bundle.ID{}, 0)

	q, ended, answers := r.ask("an object that was not pushed")
	m, err := c.Recv()
	must(t, err)
	if !bytes.Equal(m.GetPreview().GetEnvelope(), q.Envelope) {
		t.Fatalf("asked with %v", m)
	}
	object, id := manifest.DigestOf([]byte("an object that was not pushed")), manifest.DigestOf(q.Envelope)
	if got := r.fetch(client, object); string(got[object]) != "an object that was not pushed" {
		t.Errorf("fetched %q", got[object])
	}
	_, err = r.tryFetch(other, object)
	wantCode(t, err, codes.NotFound)

	name := &bundlev1.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "app"}
	answer := &spokev1.AnswerPreviewRequest{Preview: id[:], Applications: []*spokev1.ApplicationPreview{{Name: name,
		Objects: []*spokev1.ObjectPreview{{Object: &bundlev1.ObjectIdentity{Kind: "ConfigMap", Name: "x"},
			Action: "configured\x1b[2J", Fields: []*spokev1.FieldPreview{{Path: "/data",
				After: strings.Repeat("x", 2*reporting.MaxPreviewValue)}}}}}}}
	_, err = other.AnswerPreview(t.Context(), answer)
	wantCode(t, err, codes.NotFound)
	_, err = client.AnswerPreview(t.Context(), &spokev1.AnswerPreviewRequest{Preview: object[:]})
	wantCode(t, err, codes.NotFound)
	_, err = client.AnswerPreview(t.Context(), &spokev1.AnswerPreviewRequest{Preview: id[:], Busy: true})
	must(t, err)
	if m, err = c.Recv(); err != nil || !bytes.Equal(m.GetPreview().GetEnvelope(), q.Envelope) {
		t.Fatalf("not asked again: %v, error %v", m, err)
	}
	_, err = client.AnswerPreview(t.Context(), answer)
	must(t, err)
	found := <-answers
	must(t, <-ended)
	o := found[0].Objects[0]
	if strings.Contains(o.Action, "\x1b") || len(o.Fields[0].After) > reporting.MaxPreviewValue {
		t.Errorf("not cleaned: %v", found)
	}
	_, err = client.AnswerPreview(t.Context(), answer)
	wantCode(t, err, codes.NotFound)
	_, err = r.tryFetch(client, object)
	wantCode(t, err, codes.NotFound)
}

// TestPreview_unanswered asks spokes that do not answer.
func TestPreview_unanswered(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	_, ended, _ := r.ask()
	wantCode(t, <-ended, codes.Unavailable)
	client := r.dial(identity.Cluster, "a")
	old := r.open(client, bundle.ID{}, 0)
	_, ended, _ = r.ask()
	wantCode(t, <-ended, codes.FailedPrecondition)
	must(t, old.CloseSend())
	c := r.helloWith(client, bundle.ID{}, &spokev1.Hello{Features: []string{"previews"}})
	c.welcome()
	q, ended, _ := r.ask()
	_, err := c.Recv()
	must(t, err)
	id := manifest.DigestOf(q.Envelope)
	_, err = client.AnswerPreview(t.Context(), &spokev1.AnswerPreviewRequest{Preview: id[:], Error: "no key fits"})
	must(t, err)
	wantCode(t, <-ended, codes.Aborted)
	_, ended, _ = r.ask("again")
	_, err = c.Recv()
	must(t, err)
	must(t, c.CloseSend())
	wantCode(t, <-ended, codes.Unavailable)
}

// TestPreview_withdrawn gives up on a question. The spoke is told, and the next question is asked at once.
func TestPreview_withdrawn(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	client := r.dial(identity.Cluster, "a")
	c := r.helloWith(client, bundle.ID{}, &spokev1.Hello{Features: []string{"previews"}})
	c.welcome()
	object := manifest.DigestOf([]byte("an object"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := r.server.Preview(ctx, Question{Cluster: "a", Envelope: []byte("envelope"), Features: "previews",
			Content: map[manifest.Digest][]byte{object: []byte("an object")}})
		ended <- err
	}()
	m, err := c.Recv()
	if must(t, err); len(m.GetPreview().GetEnvelope()) == 0 {
		t.Fatalf("asked with %v", m)
	}
	cancel()
	m, err = c.Recv()
	if must(t, err); m.GetPreview() == nil || len(m.GetPreview().GetEnvelope()) > 0 {
		t.Fatalf("not withdrawn: %v", m)
	}
	wantCode(t, <-ended, codes.DeadlineExceeded)
	_, err = r.tryFetch(client, object)
	wantCode(t, err, codes.NotFound)
	q, next, _ := r.ask("next")
	m, err = c.Recv()
	if must(t, err); !bytes.Equal(m.GetPreview().GetEnvelope(), q.Envelope) {
		t.Fatalf("asked with %v", m)
	}
	id := manifest.DigestOf(q.Envelope)
	_, err = client.AnswerPreview(t.Context(), &spokev1.AnswerPreviewRequest{Preview: id[:]})
	must(t, err)
	must(t, <-next)
}

func TestAnswer_limits(t *testing.T) {
	name := &bundlev1.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "app"}
	object := &bundlev1.ObjectIdentity{Kind: "ConfigMap", Name: "x"}
	of := func(objects ...*spokev1.ObjectPreview) []*spokev1.ApplicationPreview {
		return []*spokev1.ApplicationPreview{{Name: name, Objects: objects}}
	}
	for _, c := range []struct {
		name string
		apps []*spokev1.ApplicationPreview
	}{
		{"applications", make([]*spokev1.ApplicationPreview, bundle.MaxPreviewApplications+1)},
		{"objects", of(make([]*spokev1.ObjectPreview, reporting.MaxPreviewObjects+1)...)},
		{"fields", of(&spokev1.ObjectPreview{Object: object,
			Fields: make([]*spokev1.FieldPreview, reporting.MaxPreviewFields+1)})},
		{"bytes", of(slices.Repeat([]*spokev1.ObjectPreview{{Object: object, Message: strings.Repeat("x", 700)}},
			reporting.MaxPreviewObjects)...)},
		{"all_bytes", slices.Repeat([]*spokev1.ApplicationPreview{{Name: name, Error: strings.Repeat("x", 90<<10)}}, 9)},
		{"no_name", []*spokev1.ApplicationPreview{{}}},
		{"no_identity", of(&spokev1.ObjectPreview{})},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantCode(t, checkAnswer(&spokev1.AnswerPreviewRequest{Applications: c.apps}), codes.InvalidArgument)
		})
	}
	answer := &spokev1.AnswerPreviewRequest{Applications: of(&spokev1.ObjectPreview{Object: object})}
	if err := checkAnswer(answer); err != nil {
		t.Error(err)
	}
}
