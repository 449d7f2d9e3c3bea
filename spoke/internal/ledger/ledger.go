package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/state"
)

const (
	manager      = kube.FieldManager + "-inventory"
	pause        = time.Second // how long changes are collected
	maxPause     = time.Minute // the longest pause after failures
	aheadTimeout = 10 * time.Second
)

// Kubernetes is the part of the API server that a Ledger uses.
type Kubernetes interface {
	Apply(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions) (kube.Applied, error)
	Delete(ctx context.Context, id bundle.ObjectIdentity, opts kube.DeleteOptions) error
	List(ctx context.Context, m kube.Mapping, s kube.Scope, see func(kube.Live) error) (string, error)
}

// Disk reads the encoded inventories that the pages are copied from. If there is no inventory, the error is
// state.ErrNotFound.
type Disk interface {
	Inventory(app bundle.ApplicationName) ([]byte, error)
}

// Config has the dependencies of a Ledger.
type Config struct {
	Client    Kubernetes
	Namespace string
	Disk      Disk
	Log       *slog.Logger // nil: slog.Default
}

// Ledger keeps pages. Its methods are safe for concurrent use.
type Ledger struct {
	Config
	wake wait.Signal

	mu    sync.Mutex // guards the following, and the fields of pages without a comment on their guard
	read  bool       // Read has succeeded
	pages map[bundle.ApplicationName]*page
}

// page is the page of one application.
type page struct {
	app       bundle.ApplicationName
	mark      state.Mark
	print     uint64 // fingerprint of the inventory
	dirty     bool   // the page must be written
	forgotten bool   // the page must be deleted

	writing sync.Mutex                   // held while the page is written
	written map[string][sha256.Size]byte // guarded by writing: digests of the ConfigMaps' data
}

// New returns a Ledger. It does not write before Read succeeded, because it would overwrite unknown pages.
func New(c Config) *Ledger {
	c.Log = cmp.Or(c.Log, slog.Default())
	return &Ledger{Config: c, wake: wait.NewSignal(), pages: map[bundle.ApplicationName]*page{}}
}

func newPage(app bundle.ApplicationName) *page {
	return &page{app: app, written: map[string][sha256.Size]byte{}}
}

// page returns the page of an application, and makes one if there is none. The caller holds the mutex.
func (l *Ledger) page(app bundle.ApplicationName) *page {
	p := l.pages[app]
	if p == nil {
		p = newPage(app)
		l.pages[app] = p
	}
	return p
}

// Mark notes the options that are needed to delete an application.
func (l *Ledger) Mark(app bundle.ApplicationName, m state.Mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.read {
		return
	}
	p := l.page(app)
	if m = bareMark(m); p.forgotten || !sameMark(p.mark, m) {
		p.mark, p.forgotten = m, false
		l.spoil(p)
	}
}

// Save notes an inventory that is on disk. If the inventory has objects that may not exist in the cluster yet, Save
// writes the page before it returns. A failure is logged and tried again later, because the disk has the inventory,
// too.
func (l *Ledger) Save(v *inventory.Inventory) {
	p, changed := l.change(v)
	if !changed || !awaits(v) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), aheadTimeout)
	defer cancel()
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := l.write(ctx, p, v); err != nil {
		l.Log.Warn("inventory not kept in the cluster before the apply", telemetry.Application(v.Application),
			telemetry.Err(err))
		l.again(p)
	}
}

// change notes an inventory, and reports whether its page must be written.
func (l *Ledger) change(v *inventory.Inventory) (*page, bool) {
	print := fingerprint(v)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.read {
		return nil, false
	}
	p := l.page(v.Application)
	if p.print == print && !p.forgotten {
		return p, false
	}
	p.print, p.forgotten = print, false
	l.spoil(p)
	return p, true
}

// awaits reports whether an object of the inventory was not created yet.
func awaits(v *inventory.Inventory) bool {
	for _, item := range v.Items {
		if item.UID == "" && item.Mode != inventory.Ignore {
			return true
		}
	}
	return false
}

// Forget deletes an application's page.
func (l *Ledger) Forget(app bundle.ApplicationName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.read {
		return
	}
	p := l.page(app)
	p.forgotten = true
	l.spoil(p)
}

// spoil marks a page for writing. The caller holds the mutex.
func (l *Ledger) spoil(p *page) {
	p.dirty = true
	l.wake.Raise()
}

// again marks a page for writing after a failure.
func (l *Ledger) again(p *page) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoil(p)
}

// Run writes changed pages until ctx ends.
func (l *Ledger) Run(ctx context.Context) {
	pauses := wait.Backoff{First: pause, Most: maxPause}
	for l.wake.Wait(ctx) == nil && pauses.Pause(ctx) == nil {
		if err := l.Flush(ctx); err == nil {
			pauses.Reset()
		} else if ctx.Err() == nil {
			l.Log.Warn("inventories not kept in the cluster, tried again", telemetry.Err(err))
		}
	}
}

// Flush writes the changed pages now.
func (l *Ledger) Flush(ctx context.Context) error {
	var errs []error
	for _, p := range l.dirty() {
		if err := l.renew(ctx, p); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.app, err))
			l.again(p)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (l *Ledger) dirty() []*page {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*page
	for _, p := range l.pages {
		if p.dirty {
			out = append(out, p)
		}
	}
	return out
}

// renew writes a page from the inventory on disk, or deletes a forgotten page.
func (l *Ledger) renew(ctx context.Context, p *page) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	v := inventory.New(p.app)
	data, err := l.Disk.Inventory(p.app)
	if err == nil {
		v, err = inventory.Decode(data)
	}
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	return l.write(ctx, p, v)
}

// write writes the ConfigMaps of a page, and then deletes those that the page does not need any more. The caller holds
// writing.
func (l *Ledger) write(ctx context.Context, p *page, v *inventory.Inventory) error {
	mark, forgotten := l.begin(p)
	next := parts{}
	if !forgotten {
		var err error
		if next, err = encode(mark, v); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		if err := l.writePart(ctx, p, name, next[name]); err != nil {
			return err
		}
	}
	for name := range p.written {
		if _, stays := next[name]; stays {
			continue
		}
		id := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: l.Namespace, Name: name}
		if err := l.Client.Delete(ctx, id, kube.DeleteOptions{}); err != nil && kube.ReasonOf(err) != kube.NotFound {
			return err
		}
		delete(p.written, name)
	}
	l.end(p)
	return nil
}

// begin returns the mark of a page and clears dirty, so that a later change marks the page again. It returns false if
// the page was forgotten.
func (l *Ledger) begin(p *page) (state.Mark, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.dirty = false
	return p.mark, p.forgotten
}

// end removes the page of a forgotten application from memory.
func (l *Ledger) end(p *page) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.forgotten && !p.dirty {
		delete(l.pages, p.app)
	}
}

// writePart writes one ConfigMap, unless its data is unchanged.
func (l *Ledger) writePart(ctx context.Context, p *page, name string, data map[string]string) error {
	sum := sumOf(data)
	if was, there := p.written[name]; there && was == sum {
		return nil
	}
	_, err := l.Client.Apply(ctx, configMap(l.Namespace, name, p.app, data),
		kube.ApplyOptions{FieldManager: manager})
	if err == nil {
		p.written[name] = sum
	}
	return err
}

func sumOf(data map[string]string) [sha256.Size]byte {
	return sha256.Sum256([]byte(data[markKey] + "\x00" + data[inventoryKey]))
}

func sameMark(a, b state.Mark) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
