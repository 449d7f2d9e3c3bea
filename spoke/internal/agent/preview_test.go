package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/spoke/internal/apply"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

func (h *farHub) Previews() <-chan []byte { return h.previews }

func (h *farHub) AnswerPreview(_ context.Context, answer *spokev1.AnswerPreviewRequest) error {
	h.answers <- answer
	return nil
}

// preview signs a preview of applications.
func (h *farHub) preview(t *testing.T, cluster identity.ID, until time.Time, apps ...*bundle.Application) []byte {
	t.Helper()
	p := &bundle.Preview{Cluster: cluster.String(), IssuedAt: until.Add(-time.Minute), ExpiresAt: until}
	for _, app := range apps {
		data, err := app.Encode()
		if err != nil {
			t.Fatal(err)
		}
		p.Applications = append(p.Applications, bundle.Entry{Name: app.Name, Digest: h.put(data), Features: app.Features()})
	}
	payload, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := h.signer.Sign(bundle.PreviewType, payload).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// ask asks for a preview and returns the answer.
func (h *farHub) ask(t *testing.T, envelope []byte) *spokev1.AnswerPreviewRequest {
	t.Helper()
	h.previews <- envelope
	return h.answered(t)
}

func (h *farHub) answered(t *testing.T) *spokev1.AnswerPreviewRequest {
	t.Helper()
	select {
	case answer := <-h.answers:
		return answer
	case <-time.After(patience):
		t.Fatal("no answer")
		return nil
	}
}

// Preview shows the data of each object, or that the object is hidden.
func (c *farCluster) Preview(ctx context.Context, s apply.Set, hides func(manifest.ID) bool) (found apply.Previews,
	err error) {
	if c.looking != nil {
		c.looking <- struct{}{}
		<-ctx.Done()
		select {
		case c.left <- struct{}{}:
		default:
		}
		return found, context.Cause(ctx)
	}
	for _, d := range s.Objects {
		loaded, err := d.Load(ctx)
		if err != nil {
			return found, err
		}
		text, _ := manifest.Canonical(loaded.Object)
		if loaded.Sealed || hides(d.ID()) {
			text = []byte(reporting.Mask)
		}
		loaded.Release()
		found.Objects = append(found.Objects, apply.Preview{Object: d.ObjectIdentity, Action: apply.Configured,
			Changes: []apply.FieldChange{{Path: "/data", New: string(text)}}})
	}
	return found, nil
}

// TestPreview previews what was not released. Nothing of it is applied or kept, and no secret is shown: neither a new
// one, nor one that the cluster has from before.
func TestPreview(t *testing.T) {
	r := newRig(t)
	r.api.secrets["flux-system/sops-age"] = map[string][]byte{"identity.agekey": fixture(t, "secret.agekey")}
	r.start(t)
	holding := sealedApplication(t, r, fixture(t, "secret.sops.yaml"))
	holding.Name.Name, holding.Objects = "sealed", holding.Objects[1:]
	r.hub.send(r.hub.sign(t, 1, application("apps", r.hub.object(t, "ConfigMap", "a", nil)), holding))
	r.hub.expect(t, "1 received", "1 healthy")

	data := func(text string) map[string]any { return map[string]any{"data": map[string]any{"k": text}} }
	next := application("apps", r.hub.object(t, "ConfigMap", "a", data("shown")), r.hub.object(t, "ConfigMap", "b", nil))
	plain := *holding
	secret := holding.Objects[0]
	plain.SealedFiles, plain.Objects = nil, []bundle.ObjectReference{
		r.hub.object(t, secret.Kind, secret.Name, data("was sealed")),
	}
	answer := r.hub.ask(t, r.hub.preview(t, self, time.Now().Add(time.Minute), next, &plain))
	text := prototext.Format(answer)
	if answer.Error != "" || answer.Busy || len(answer.Applications) != 2 || !strings.Contains(text, "shown") ||
		!strings.Contains(text, `"b"`) || strings.Contains(text, "was sealed") {
		t.Errorf("answer: %s", text)
	}
	r.hub.silent(t)
	if r.cluster.applies != 2 || r.cluster.has("b") != nil {
		t.Errorf("%d applies", r.cluster.applies)
	}
	r.hub.send(r.hub.sign(t, 2, next, holding))
	r.hub.expect(t, "2 received", "2 healthy")
	if r.cluster.has("b") == nil {
		t.Error("the release after it is not applied")
	}
}

// TestPreview_untrusted asks for what no hub of this cluster signed as a preview.
func TestPreview_untrusted(t *testing.T) {
	r := newRig(t)
	r.start(t)
	app := application("apps", r.hub.object(t, "ConfigMap", "a", nil))
	offer := r.hub.sign(t, 1, app)
	soon := time.Now().Add(time.Minute)
	valid := r.hub.preview(t, self, soon, app)
	stranger := newFarHub()
	stranger.signer = signing.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32)))
	for _, c := range []struct {
		name     string
		envelope []byte
		want     string
	}{
		{"bundle", offer.Envelope, "not signed by a trusted key"},
		{"stranger", stranger.preview(t, self, soon, app), "not signed by a trusted key"},
		{"other_cluster", r.hub.preview(t, identity.ID{TrustDomain: self.TrustDomain, Role: identity.Cluster, Name: "x"},
			soon, app), "for another cluster"},
		{"expired", r.hub.preview(t, self, time.Now().Add(-time.Second), app), "expired"},
		{"future", r.hub.preview(t, self, time.Now().Add(time.Hour), app), "issued in the future"},
		{"damaged", valid[:len(valid)-9], "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := r.hub.ask(t, c.envelope)
			if !strings.Contains(answer.Error, c.want) || answer.Busy || len(answer.Applications) > 0 {
				t.Errorf("answer %s, want %q", prototext.Format(answer), c.want)
			}
		})
	}
	offer.Envelope = valid
	r.hub.send(offer)
	r.hub.expect(t, "1 rejected: envelope: not signed by a trusted key")
	if r.cluster.applies != 0 {
		t.Error("a preview was applied")
	}
}

// TestPreview_tooLarge fetches no more than the limits allow, and answers with the limit.
func TestPreview_tooLarge(t *testing.T) {
	r := newRig(t)
	r.start(t)
	many, large := application("many"), application("large")
	for i := range bundle.MaxPreviewObjects {
		many.Objects = append(many.Objects, r.hub.object(t, "ConfigMap", fmt.Sprint(i), nil))
	}
	for i := range bundle.MaxPreviewBytes/(2<<20) + 1 {
		text := map[string]any{"k": strings.Repeat(fmt.Sprint(i), 2<<20)}
		large.Objects = append(large.Objects, r.hub.object(t, "ConfigMap", fmt.Sprint(i), map[string]any{"data": text}))
	}
	for app, want := range map[*bundle.Application]string{many: "4097 objects of content", large: "8388608 bytes"} {
		answer := r.hub.ask(t, r.hub.preview(t, self, time.Now().Add(time.Minute), app))
		if !strings.Contains(answer.Error, want) || answer.Busy || len(answer.Applications) > 0 {
			t.Errorf("%s: %.300s", app.Name, prototext.Format(answer))
		}
	}
}

// TestPreview_withdrawn ends a preview that nobody waits for any more, and begins the next one at once.
func TestPreview_withdrawn(t *testing.T) {
	for _, c := range []struct {
		name string
		next bool
	}{{"another", true}, {"none", false}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.cluster.looking, r.cluster.left = make(chan struct{}), make(chan struct{}, 1)
			r.start(t)
			app := application("apps", r.hub.object(t, "ConfigMap", "a", nil))
			first := r.hub.preview(t, self, time.Now().Add(time.Minute), app)
			r.hub.previews <- first
			<-r.cluster.looking
			next := r.hub.preview(t, self, time.Now().Add(2*time.Minute), app)
			if c.next {
				r.hub.previews <- next
				<-r.cluster.looking // it begins while the first is open at the hub
			} else {
				r.hub.previews <- nil
				<-r.cluster.left
				r.hub.previews <- next
				<-r.cluster.looking
			}
			r.hub.send(r.hub.sign(t, 1, app)) // its apply ends the next
			digest := manifest.DigestOf(next)
			if answer := r.hub.answered(t); !answer.Busy || !bytes.Equal(answer.Preview, digest[:]) {
				t.Errorf("answer: %s", prototext.Format(answer))
			}
			r.hub.expect(t, "1 received", "1 healthy")
		})
	}
}

// TestPreview_busy ends a preview when an apply begins, and begins none while one runs.
func TestPreview_busy(t *testing.T) {
	r := newRig(t)
	r.cluster.looking = make(chan struct{})
	r.start(t)
	app := application("apps", r.hub.object(t, "ConfigMap", "a", nil))
	envelope := r.hub.preview(t, self, time.Now().Add(time.Minute), app)
	r.hub.previews <- envelope
	<-r.cluster.looking
	r.cluster.mu.Lock()
	r.cluster.hold, r.cluster.began = make(chan struct{}), make(chan struct{})
	r.cluster.mu.Unlock()
	r.hub.send(r.hub.sign(t, 1, app))
	if answer := r.hub.answered(t); !answer.Busy || len(answer.Applications) > 0 {
		t.Errorf("ended by an apply: %s", prototext.Format(answer))
	}
	<-r.cluster.began
	if answer := r.hub.ask(t, envelope); !answer.Busy {
		t.Errorf("during an apply: %s", prototext.Format(answer))
	}
	close(r.cluster.hold)
	r.hub.expect(t, "1 received", "1 healthy")
}

// TestObjectPreview_room leaves out the fields of an object that an answer has no room for.
func TestObjectPreview_room(t *testing.T) {
	o := apply.Preview{Action: apply.Configured, More: 3}
	for range reporting.MaxPreviewFields {
		o.Changes = append(o.Changes, apply.FieldChange{Path: "/a", Old: strings.Repeat("x", 1000)})
	}
	text := func(s string) string { return s }
	whole, part := objectPreview(o, text, 1<<20), objectPreview(o, text, 10_000)
	if len(whole.Fields) != len(o.Changes) || whole.More != 3 {
		t.Errorf("with room: %d fields, %d more", len(whole.Fields), whole.More)
	}
	if len(part.Fields) != 9 || len(part.Fields)+int(part.More) != len(o.Changes)+3 {
		t.Errorf("with little room: %d fields, %d more", len(part.Fields), part.More)
	}
}
