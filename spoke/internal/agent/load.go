package agent

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// loader gives out the objects of one run of one application. Plaintext lives in it, and it lives as long as the run.
type loader struct {
	app    *bundle.Application
	blob   func(manifest.Digest) ([]byte, error)
	secret func(ctx context.Context, namespace, name string) (map[string][]byte, error)
	tokens map[sealed.Token]place

	mu     sync.Mutex // guards the following; held while decrypting, so that nothing is decrypted twice
	keys   *decrypt.Keys
	opened map[int]*decrypt.Plaintext
	redact decrypt.Redactor
}

// place is where the value of a token is.
type place struct {
	file     int
	document int
	path     []string
}

func newLoader(app *bundle.Application, blob func(manifest.Digest) ([]byte, error), secret func(context.Context, string, string) (map[string][]byte, error)) *loader {
	l := &loader{app: app, blob: blob, secret: secret, tokens: map[sealed.Token]place{}, opened: map[int]*decrypt.Plaintext{}}
	for i, file := range app.SealedFiles {
		for _, v := range file.Values {
			l.tokens[sealed.Token(v.Token)] = place{i, v.Document, v.Path}
		}
	}
	return l
}

// sealedError is that a sealed value of an object cannot be had.
type sealedError struct{ error }

func (e *sealedError) Unwrap() error { return e.error }

// load returns the plaintext of an object. The keys are asked for, and files are decrypted, when the first object needs
// them. No error of it holds a value.
func (l *loader) load(ctx context.Context, ref bundle.ObjectReference) (apply.Loaded, error) {
	data, err := l.blob(ref.Digest)
	if err != nil {
		return apply.Loaded{}, err
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(data); err != nil {
		return apply.Loaded{}, fmt.Errorf("blob %s is no object", ref.Digest)
	}
	if got := kube.Identify(o); got != ref.ObjectIdentity {
		return apply.Loaded{}, fmt.Errorf("blob %s is %s: the bundle is inconsistent", ref.Digest, got.ID())
	}
	var failed error // why a token has no value says more than that it has none
	plain, err := sealed.ReplaceObject(o, func(t sealed.Token) (sealed.Value, bool) {
		v, err := l.value(ctx, t)
		failed = cmp.Or(failed, err)
		return v, err == nil
	})
	if failed != nil {
		return apply.Loaded{}, &sealedError{failed}
	}
	if err != nil {
		return apply.Loaded{}, err
	}
	if len(l.tokens) == 0 {
		return apply.Loaded{Object: plain}, nil
	}
	l.redact.HideData(plain)
	return apply.Loaded{Object: plain, Redact: l.redact.Redact}, nil
}

// value returns what a token stands for.
func (l *loader) value(ctx context.Context, t sealed.Token) (sealed.Value, error) {
	at, ok := l.tokens[t]
	if !ok {
		return sealed.Value{}, fmt.Errorf("no sealed file of the application has token %s", t)
	}
	file := l.app.SealedFiles[at.file]
	plain, err := l.open(ctx, at.file)
	if err != nil {
		return sealed.Value{}, fmt.Errorf("decrypt %s: %w", file.Path, err)
	}
	v, ok := plain.Value(at.document, at.path)
	if !ok {
		return sealed.Value{}, fmt.Errorf("decrypt %s: document %d has no encrypted value at %q", file.Path, at.document, at.path)
	}
	return v, nil
}

func (l *loader) open(ctx context.Context, i int) (*decrypt.Plaintext, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.opened[i]; p != nil {
		return p, nil
	}
	if err := l.needKeys(ctx); err != nil {
		return nil, err
	}
	file := l.app.SealedFiles[i]
	data, err := l.blob(file.Digest)
	if err != nil {
		return nil, err
	}
	p, err := decrypt.Open(ctx, data, file.Format, l.keys)
	if err != nil {
		return nil, err
	}
	p.HideIn(&l.redact)
	l.opened[i] = p
	return p, nil
}

func (l *loader) needKeys(ctx context.Context) error {
	if l.keys != nil {
		return nil
	}
	ref := l.app.Decryption
	if ref.Name == "" {
		return fmt.Errorf("%w: the Kustomization names no keys (spec.decryption.secretRef)", decrypt.ErrNoKey)
	}
	if l.app.ServiceAccount != "" && ref.Namespace != l.app.Owner.Namespace {
		return fmt.Errorf("%w: keys of namespace %s are not for an application with a service account of namespace %s", decrypt.ErrNoKey,
			ref.Namespace, l.app.Owner.Namespace)
	}
	data, err := l.secret(ctx, ref.Namespace, ref.Name)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	keys, err := decrypt.ParseKeys(data)
	if err != nil {
		return fmt.Errorf("keys of Secret %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	l.keys = keys
	return nil
}
