package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/trust"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// previewTimeout is how long a preview may take.
const previewTimeout = 50 * time.Second

var (
	errPreviewTime = fmt.Errorf("not finished in %s: compare fewer Kustomizations at a time", previewTimeout)
	// errPreempted ends a preview because an application is to be applied or deleted.
	errPreempted = errors.New("an application is being applied")
	// errWithdrawn ends a preview because nobody waits for its answer any more.
	errWithdrawn = errors.New("nobody waits for the preview any more")
)

// Questions are the previews that the hub asks for.
type Questions interface {
	// Previews has the encoded envelope of the latest one; empty: none is asked for any more.
	Previews() <-chan []byte
	AnswerPreview(ctx context.Context, answer *spokev1.AnswerPreviewRequest) error
}

// running is a running preview.
type running struct {
	digest manifest.Digest // of the envelope
	end    context.CancelCauseFunc
	next   []byte // envelope of the preview that is asked for instead; empty: none
}

// previewed is the end of a preview.
type previewed struct {
	answer *spokev1.AnswerPreviewRequest // nil: nobody waits for it
}

func (previewed) advance(*model) []action { return nil }

// questions returns the channel with previews; nil if there is none.
func (a *Agent) questions() <-chan []byte {
	if a.Questions == nil {
		return nil
	}
	return a.Questions.Previews()
}

// preview begins to answer the preview that the hub asks for, and ends any other one. An empty envelope asks for none.
// While an application is applied, the answer is that the hub should ask again.
func (a *Agent) preview(envelope []byte) {
	digest := manifest.DigestOf(envelope)
	switch {
	case a.previewing != nil:
		a.previewing.next = envelope
		if a.previewing.digest != digest {
			a.previewing.end(errWithdrawn)
		}
		return
	case a.draining || len(envelope) == 0:
		return
	}
	answer := &spokev1.AnswerPreviewRequest{Preview: digest[:], Busy: len(a.working) > 0}
	if answer.Busy {
		a.answer(answer)
		return
	}
	ctx, cancel := context.WithCancelCause(a.base)
	a.previewing = &running{digest: digest, end: cancel}
	p := &preview{Agent: a, known: a.redactors.clone(), apps: map[bundle.ApplicationName]*node{},
		inventories: maps.Clone(a.inventories)}
	for name, n := range a.model.nodes {
		p.apps[name] = &node{app: n.app, mark: n.mark}
	}
	a.spawn(func() input {
		p.fill(ctx, envelope, answer)
		if errors.Is(context.Cause(ctx), errWithdrawn) {
			answer = nil
		}
		cancel(nil)
		return previewed{answer}
	})
}

// stopPreview ends a running preview, because an apply must not wait for it.
func (a *Agent) stopPreview() {
	if a.previewing != nil {
		a.previewing.end(errPreempted)
	}
}

// endPreview answers a preview. The next one can begin before the hub has the answer.
func (a *Agent) endPreview(p previewed) {
	next := a.previewing.next
	a.previewing = nil
	if a.draining {
		return
	}
	if p.answer != nil {
		a.answer(p.answer)
	}
	a.preview(next)
}

// answer sends an answer in another goroutine.
func (a *Agent) answer(answer *spokev1.AnswerPreviewRequest) {
	a.work.Go(func() {
		if err := a.Questions.AnswerPreview(a.base, answer); err != nil {
			a.Log.Info("a preview was not answered", telemetry.Err(err))
		}
	})
}

// preview is one preview, with what the agent knew when it began. Nothing that it decrypts outlives it.
type preview struct {
	*Agent
	known       *redactors
	apps        map[bundle.ApplicationName]*node // only app and mark are set
	inventories map[bundle.ApplicationName]*inventory.Inventory
}

// fill fills in an answer.
func (p *preview) fill(ctx context.Context, envelope []byte, answer *spokev1.AnswerPreviewRequest) {
	ctx, cancel := context.WithTimeoutCause(ctx, previewTimeout, errPreviewTime)
	defer cancel()
	var err error
	if answer.Applications, err = p.applications(ctx, envelope); err != nil {
		answer.Busy = errors.Is(context.Cause(ctx), errPreempted)
		answer.Error = telemetry.Printable(err.Error(), reporting.MaxMessage)
	}
}

// applications verifies a preview and previews its applications.
func (p *preview) applications(ctx context.Context, envelope []byte) (all []*spokev1.ApplicationPreview, err error) {
	asked, err := trust.OpenPreview(envelope, trust.Inputs{Keyring: p.Keyring, Cluster: p.Cluster, Now: p.Now()})
	if err != nil {
		return nil, err
	}
	for _, e := range asked.Applications {
		found, err := p.application(ctx, e)
		if err = cmp.Or(context.Cause(ctx), err); err != nil {
			return nil, err
		}
		all = append(all, found)
	}
	return all, nil
}

// application previews one application. If the application cannot be read, it returns an error.
func (p *preview) application(ctx context.Context, e bundle.Entry) (*spokev1.ApplicationPreview, error) {
	r := &rehearsal{preview: p, memory: p.budget.holding(), content: map[manifest.Digest][]byte{}}
	defer r.memory.release()
	app, err := r.read(ctx, e)
	if err != nil {
		return nil, err
	}
	m := &spokev1.ApplicationPreview{Name: app.Name.Message()}
	found, err := r.dryRun(ctx, app)
	known, _ := p.known.of(filesOf(app))
	text := func(s string) string { return decrypt.Redact(s, known...) }
	if err != nil {
		m.Error = telemetry.Printable(text(err.Error()), reporting.MaxMessage)
	}
	size := 0
	for i, o := range found.Objects {
		object := objectPreview(o, text, reporting.MaxPreview-size)
		if size += proto.Size(object); size > reporting.MaxPreview {
			found.More += len(found.Objects) - i
			break
		}
		m.Objects = append(m.Objects, object)
	}
	m.More = uint32(found.More)
	return m, nil
}

// objectPreview returns the message about one object, with as many fields as fit into a number of bytes. text takes
// secret values out of a text.
func objectPreview(o apply.Preview, text func(string) string, room int) *spokev1.ObjectPreview {
	m := &spokev1.ObjectPreview{Object: o.Object.Message(), Action: string(o.Action), More: uint32(o.More)}
	if o.Err != nil {
		m.Message = telemetry.Printable(text(o.Err.Error()), reporting.MaxMessage)
	}
	for _, c := range o.Changes {
		m.Fields = append(m.Fields, &spokev1.FieldPreview{Path: c.Path, Before: text(c.Old), After: text(c.New)})
	}
	for proto.Size(m) > room && len(m.Fields) > 0 {
		m.Fields = m.Fields[:len(m.Fields)-1]
		m.More++
	}
	return m
}
