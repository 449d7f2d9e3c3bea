package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	answer := &spokev1.AnswerPreviewRequest{Preview: digest[:], Busy: len(a.cancels) > 0}
	if answer.Busy {
		a.answer(answer)
		return
	}
	ctx, cancel := context.WithCancelCause(a.base)
	a.previewing = &running{digest: digest, end: cancel}
	p := &preview{Agent: a, known: a.redactors.clone(), apps: map[bundle.ApplicationName]*node{},
		inventories: maps.Clone(a.inventories), content: map[manifest.Digest][]byte{}}
	for name, n := range a.model.nodes {
		p.apps[name] = &node{app: n.app, mark: n.mark}
	}
	a.spawn(func() input {
		p.fill(ctx, envelope, answer)
		if context.Cause(ctx) == errWithdrawn { //nolint:errorlint // it is the cause itself
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
	content     map[manifest.Digest][]byte // that the disk does not have
}

// fill fills in an answer.
func (p *preview) fill(ctx context.Context, envelope []byte, answer *spokev1.AnswerPreviewRequest) {
	ctx, cancel := context.WithTimeoutCause(ctx, previewTimeout, errPreviewTime)
	defer cancel()
	apps, err := p.open(ctx, envelope)
	for _, app := range apps {
		if err == nil {
			answer.Applications = append(answer.Applications, p.application(ctx, app))
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		answer.Applications, answer.Busy = nil, errors.Is(context.Cause(ctx), errPreempted)
		answer.Error = telemetry.Printable(err.Error(), reporting.MaxMessage)
	}
}

// open verifies a preview and gets what the disk lacks.
func (p *preview) open(ctx context.Context, envelope []byte) ([]*bundle.Application, error) {
	asked, err := trust.OpenPreview(envelope, trust.Inputs{Keyring: p.Keyring, Cluster: p.Cluster, Now: p.Now()})
	if err != nil {
		return nil, err
	}
	var digests []manifest.Digest
	for _, e := range asked.Applications {
		digests = append(digests, e.Digest)
	}
	if err := p.fetch(ctx, digests); err != nil {
		return nil, err
	}
	apps, err := p.readApplications(asked.Applications, p.content)
	if err == nil {
		err = p.fetch(ctx, digestsOf(apps))
	}
	if err != nil {
		return nil, err
	}
	ordered := make([]*bundle.Application, len(asked.Applications))
	for i, e := range asked.Applications {
		ordered[i] = apps[e.Name]
	}
	return ordered, nil
}

// fetch gets the blobs that the disk lacks, and keeps them in memory.
func (p *preview) fetch(ctx context.Context, digests []manifest.Digest) error {
	slices.SortFunc(digests, func(a, b manifest.Digest) int { return bytes.Compare(a[:], b[:]) })
	missing, err := p.Store.Missing(slices.Compact(digests))
	if err != nil || len(missing) == 0 {
		return err
	}
	size := 0
	return p.Hub.Fetch(ctx, missing, func(d manifest.Digest, announced uint64, frame []byte) error {
		if announced > bundle.MaxPreviewBytes || size+int(announced) > bundle.MaxPreviewBytes {
			return fmt.Errorf("the preview needs more than %d bytes of content", bundle.MaxPreviewBytes)
		}
		_, data, err := p.Store.Check(d, announced, frame)
		size += len(data)
		p.content[d] = data
		return err
	})
}

// application previews one application.
func (p *preview) application(ctx context.Context, app *bundle.Application) *spokev1.ApplicationPreview {
	m := &spokev1.ApplicationPreview{Name: app.Name.Message()}
	found, err := p.dryRun(ctx, app)
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
	return m
}

// dryRun loads the objects of an application as an apply does.
func (p *preview) dryRun(ctx context.Context, app *bundle.Application) (apply.Previews, error) {
	l := p.loader(ctx, app)
	defer l.close()
	set := apply.Set{
		Target: apply.Target{Application: app.Name, Previous: p.inventories[app.Name], ServiceAccount: app.ServiceAccount},
		Force:  app.Force, Ignore: app.Ignore,
	}
	inputs, err := l.inputs(ctx)
	if err == nil {
		before := p.apps[app.Name]
		set.Objects, err = l.objects(ctx, before == nil || inputs != before.mark.Inputs)
	}
	if err != nil {
		return apply.Previews{}, err
	}
	return p.Applier.Preview(ctx, set, func(id manifest.ID) bool { return p.hides(ctx, id) })
}

// loader returns a loader that reads the content of the preview, and whose Redactors end with the preview.
func (p *preview) loader(ctx context.Context, app *bundle.Application) *loader {
	l := p.newLoader(ctx, app)
	l.known, l.compares = p.known, true
	stored := l.blob
	l.blob = func(d manifest.Digest) ([]byte, error) {
		if data, ok := p.content[d]; ok {
			return data, nil
		}
		return stored(d)
	}
	return l
}

// hides reports whether an object in the cluster may hold secret values of the application that applied it.
func (p *preview) hides(ctx context.Context, id manifest.ID) bool {
	owner, item, owned := p.Index.Application(id)
	if !owned {
		return false
	}
	if n := p.apps[owner]; n != nil && n.app != nil {
		for _, ref := range n.app.Objects {
			if ref.ID() == id && ref.Digest == item.Digest {
				return holdsSecrets(n.app) && p.dependsOnSecrets(ctx, n.app, ref)
			}
		}
	}
	return true // an earlier version was applied, of which nothing is known
}

// dependsOnSecrets reports whether an object may have values of sealed files or of Secrets.
func (p *preview) dependsOnSecrets(ctx context.Context, app *bundle.Application, ref bundle.ObjectReference) bool {
	l := p.loader(ctx, app)
	defer l.close()
	depends, err := l.depends(ctx, ref)
	return depends || err != nil
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
