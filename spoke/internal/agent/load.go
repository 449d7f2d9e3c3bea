package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/generate"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// loader loads the objects of one run of one application. It holds plaintext, and is dropped when the run ends.
type loader struct {
	app          *bundle.Application
	blob         func(manifest.Digest) ([]byte, error)
	secret       func(ctx context.Context, namespace, name string) (map[string][]byte, error)
	budget       *budget
	known        *redactors
	service      *decrypt.Service // that the application may ask; nil: none
	compares     bool             // each object is compared with other versions of itself, one object at a time
	placeholders map[sealed.Placeholder]place
	// expressions are the texts of fields that the objects have as placeholders.
	expressions map[sealed.Placeholder]string
	data        func(context.Context, bundle.ObjectIdentity) (kube.Data, error)

	reserving sync.Mutex // guards the following
	reserved  func()     // gives back the memory for the files; nil: no memory was acquired
	weight    int64      // bytes of the files

	mu     sync.Mutex // guards the following; held while decrypting, so that each file is decrypted once
	keys   *decrypt.Keys
	opened map[int]*decrypt.Plaintext
	closed map[int]error // why files do not open
	// recipients are of the files that there are no keys for.
	recipients map[int]string

	reading sync.Mutex  // guards the following; held while reading
	live    []kube.Data // of the substitution's sources; nil: they were not read yet
	sources []source    // of values, read together with live
	// versions are those of the sources as they were first read in this run: no run has values of two.
	versions []string
	// sourcesCost is the memory that parsing the sources takes.
	sourcesCost int64

	// inner are the placeholders of values in sources.
	inner map[sealed.Placeholder]innerPlace
	hash  func(context.Context, *bundle.ShapeQuestion, string) ([]byte, error)
	// appliedAs returns the digest with which an application applied an object last; zero: it did not.
	appliedAs func(bundle.ApplicationName, manifest.ID) manifest.Digest
	making    sync.Mutex       // guards the following; held while values are found and made
	made      *generate.Values // of recipes; nil: they were not needed yet
	client    func(*bundle.Application) (*kube.Client, error)
	// mayTake reports whether values of an object in the cluster may be taken.
	mayTake func(bundle.ObjectIdentity) bool

	// doubt says that an entry has another shape than the one that the application was rendered with.
	doubt func(bundle.ShapeQuestion)
}

// place is where the value of a placeholder is.
type place struct {
	file  int
	value bundle.SealedValue
}

// newLoader returns the loader of a run. The caller must close it.
func (a *Agent) newLoader(ctx context.Context, app *bundle.Application) *loader {
	l := &loader{
		app: app, blob: a.blob(ctx), secret: a.Kubernetes.Secret, budget: a.budget, known: a.redactors,
		service:      a.keyServiceOf(app),
		placeholders: map[sealed.Placeholder]place{}, opened: map[int]*decrypt.Plaintext{},
		closed: map[int]error{}, recipients: map[int]string{},
		expressions: expressionsOf(app), data: a.readData(app), inner: innerPlacesOf(app), hash: a.hash,
		appliedAs: a.appliedAs, doubt: a.doubtShape, client: a.clientOf, mayTake: a.mayTake,
	}
	for i, file := range app.SealedFiles {
		for _, v := range file.Values {
			l.placeholders[sealed.Placeholder(v.Placeholder)] = place{i, v}
		}
	}
	return l
}

// close gives back the memory for the files, and forgets them. If an object is loaded after it, close must be called
// again.
func (l *loader) close() {
	l.reading.Lock() // before reserving, as readSources does
	defer l.reading.Unlock()
	l.reserving.Lock()
	defer l.reserving.Unlock()
	if l.reserved == nil {
		return
	}
	l.live, l.sources = nil, nil
	l.mu.Lock()
	l.keys, l.opened, l.closed = nil, map[int]*decrypt.Plaintext{}, map[int]error{}
	l.mu.Unlock()
	l.reserved()
	l.reserved = nil
}

// sealedError means that a sealed value of an object cannot be loaded.
type sealedError struct{ error }

func (e *sealedError) Unwrap() error { return e.error }

// load waits for memory and returns the plaintext of an object. The keys are read, and files are decrypted, when the
// first object needs them. Errors hold no values.
func (l *loader) load(ctx context.Context, ref bundle.ObjectReference) (apply.Loaded, error) {
	data, cost, err := l.look(ctx, ref)
	if err != nil {
		return apply.Loaded{}, err
	}
	memory := l.budget.holding()
	if err := memory.grow(ctx, cost); err != nil {
		return apply.Loaded{}, err
	}
	loaded, err := l.replaced(ctx, ref, data)
	if err != nil {
		memory.release()
		return apply.Loaded{}, err
	}
	loaded.Release = memory.release
	loaded.Hold = func(json []byte) error { return memory.stretch(versionCost(json) - cost/2) }
	loaded.Await = func(json []byte) error { return memory.await(ctx, versionCost(json)-cost/2) }
	if l.compares {
		loaded.Hold = func(json []byte) error { return memory.grow(ctx, versionCost(json)) }
		loaded.Await = loaded.Hold
	}
	return loaded, nil
}

// look reads an object and returns the memory that applying it takes, in bytes. If the object may need sealed files,
// look acquires the memory for these. If the object is too large to be kept while it waits, data is nil.
func (l *loader) look(ctx context.Context, ref bundle.ObjectReference) (data []byte, cost int64, err error) {
	if data, err = l.read(ctx, ref.Digest); err != nil {
		return nil, 0, err
	}
	if err := bundle.FitsObject(ref.ID().String(), data); err != nil {
		return nil, 0, err
	}
	cost = objectCost(data)
	mayHoldSealed := l.mayHoldSealed(ref.ObjectIdentity, data)
	if len(data) > keepable {
		data = nil
	}
	if mayHoldSealed {
		if err := l.needValues(ctx); err != nil {
			return nil, 0, err
		}
		weight, err := l.reserve(ctx)
		if err != nil {
			return nil, 0, &sealedError{err}
		}
		weight += int64(l.made.Size())
		cost += objectByteCost * min(weight+l.substitutionSize(), bundle.MaxObjectBytes)
	}
	return data, cost, nil
}

// read waits for the memory to look at a blob of unknown size, and returns the blob.
func (l *loader) read(ctx context.Context, d manifest.Digest) ([]byte, error) {
	done, err := l.budget.acquire(ctx, l.budget.objects, l.budget.look())
	if err != nil {
		return nil, err
	}
	defer done()
	return l.blob(d)
}

// mayHoldSealed reports whether an object may hold placeholders. Base64 is not decoded: data in base64 may hold
// placeholders of sealed values.
func (l *loader) mayHoldSealed(id bundle.ObjectIdentity, data []byte) bool {
	has := func(text string) bool { return bytes.Contains(data, []byte(text)) }
	recipes := len(recipesOf(l.app))
	encoded := id.Kind == "Secret" && has(`"data"`) || id.Kind == "ConfigMap" && has(`"binaryData"`) ||
		recipes > 0 && has(`"caBundle"`)
	return len(l.placeholders)+len(l.inner)+recipes > 0 && (encoded || has(sealed.Mark)) ||
		len(l.expressions) > 0 && has(sealed.Mark)
}

// decode returns the object of a blob.
func decode(ref bundle.ObjectReference, data []byte) (*manifest.Object, error) {
	o := &manifest.Object{}
	if err := o.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("blob %s is not a Kubernetes object", ref.Digest)
	}
	if got := kube.Identify(o); got != ref.ObjectIdentity {
		return nil, fmt.Errorf("blob %s is %s: the bundle is inconsistent", ref.Digest, got.ID())
	}
	return o, nil
}

// replaced returns an object with its values.
func (l *loader) replaced(ctx context.Context, ref bundle.ObjectReference, data []byte) (apply.Loaded, error) {
	if data == nil {
		var err error
		if data, err = l.blob(ref.Digest); err != nil {
			return apply.Loaded{}, err
		}
	}
	o, err := decode(ref, data)
	if err != nil {
		return apply.Loaded{}, err
	}
	plain, holdsSealed, err := l.finish(ctx, o, len(data))
	if err != nil || !holdsSecrets(l.app) {
		return apply.Loaded{Object: plain}, err
	}
	return apply.Loaded{Object: plain, Sealed: holdsSealed, Redact: l.redactor(ctx, plain)}, nil
}

// finish returns an object of a size in bytes with its values, and whether sealed values are among them.
func (l *loader) finish(ctx context.Context, o *manifest.Object, size int) (plain *manifest.Object, holdsSealed bool,
	err error) {
	variables, err := l.variables(ctx, o)
	if err != nil {
		return nil, false, err
	}
	var failed error // the cause, which is returned in place of FinishObject's error that a value is missing
	plain, err = sealed.FinishObject(o, func(t sealed.Placeholder) (sealed.Value, bool) {
		v, err := l.value(ctx, t)
		if size += v.Size(); err == nil && size > bundle.MaxObjectBytes {
			err = errors.New("with its sealed values the object is larger than any API server takes")
		}
		holdsSealed, failed = true, cmp.Or(failed, err)
		return v, err == nil
	}, variables)
	if failed != nil {
		return nil, false, &sealedError{failed}
	}
	return plain, holdsSealed, l.unset(err)
}

// value returns the value of a placeholder.
func (l *loader) value(ctx context.Context, t sealed.Placeholder) (sealed.Value, error) {
	if text, ok := l.expressions[t]; ok {
		return sealed.Expression(text), nil
	}
	if at, ok := l.inner[t]; ok {
		return l.innerValue(ctx, at)
	}
	if v, ok := l.made.Find(t); ok {
		return v, nil
	}
	at, ok := l.placeholders[t]
	if !ok {
		return sealed.Value{}, fmt.Errorf("no sealed file and no recipe of the application has placeholder %s", t)
	}
	file := l.app.SealedFiles[at.file]
	plain, err := l.open(ctx, at.file)
	if err != nil {
		return sealed.Value{}, fmt.Errorf("decrypt %s: %w", file.Path, err)
	}
	v, err := plain.Find(at.value)
	if err != nil {
		return sealed.Value{}, fmt.Errorf("decrypt %s: %w", file.Path, err)
	}
	return v, nil
}

// reserve acquires the memory for opening the sealed files, and holds it until the run ends. It returns the size of the
// files in bytes. The caller must not hold memory for objects.
func (l *loader) reserve(ctx context.Context) (weight int64, err error) {
	l.reserving.Lock()
	defer l.reserving.Unlock()
	if l.reserved != nil {
		return l.weight, nil
	}
	kept, open := l.sourcesCost, int64(0)
	for _, file := range l.app.SealedFiles {
		data, err := l.read(ctx, file.Digest)
		if err != nil {
			return 0, fmt.Errorf("decrypt %s: %w", file.Path, err)
		}
		weight += int64(len(data))
		kept += keptCost(data)
		open = max(open, openCost(data, textsOf(file)...))
	}
	if l.reserved, err = l.budget.acquire(ctx, l.budget.files, kept+open); err != nil {
		return 0, fmt.Errorf("to decrypt the sealed files of %s %w", l.app.Name, err)
	}
	l.weight = weight
	return weight, nil
}

// open decrypts a sealed file. It reads each file once in a run, whether the file opens or not. The caller must have
// called reserve.
func (l *loader) open(ctx context.Context, i int) (*decrypt.Plaintext, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opened[i] != nil || l.closed[i] != nil {
		return l.opened[i], l.closed[i]
	}
	if err := l.needKeys(ctx); err != nil {
		return nil, l.keyless(i, err)
	}
	file := l.app.SealedFiles[i]
	data, err := l.blob(file.Digest)
	if err != nil {
		return nil, err
	}
	p, err := decrypt.Open(ctx, data, file.Format, l.keys, textsOf(file)...)
	switch {
	case err == nil:
		l.known.learn(file.Digest, p)
		l.opened[i] = p
	case ctx.Err() == nil:
		l.closed[i] = err
	}
	return p, err
}

// keyless adds the recipients of a file to the reason why there are no keys; the caller holds the mutex.
func (l *loader) keyless(i int, err error) error {
	recipients, known := l.recipients[i]
	if !known {
		file := l.app.SealedFiles[i]
		data, err := l.blob(file.Digest)
		if err != nil {
			return err
		}
		recipients = decrypt.Recipients(data, file.Format)
		l.recipients[i] = recipients
	}
	if recipients == "" {
		return err
	}
	return fmt.Errorf("%w; the file is encrypted for %s", err, recipients)
}

// textsOf returns the formats in which an application uses a file as a whole.
func textsOf(file bundle.SealedFile) []bundle.Format {
	var texts []bundle.Format
	for _, v := range file.Values {
		if v.Text != "" && len(v.Path) == 0 && !slices.Contains(texts, v.Text) {
			texts = append(texts, v.Text)
		}
	}
	return texts
}
