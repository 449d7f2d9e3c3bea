package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/ledger"
	"github.com/navefleet/nave/spoke/internal/report"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
	"github.com/navefleet/nave/spoke/internal/watch"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

const patience = 10 * time.Second

var self = identity.ID{TrustDomain: "nave-0123456789abcdef", Role: identity.Cluster, Name: "prod"}

// farHub is a hub in this process that signs with real keys.
type farHub struct {
	signer *signing.Signer
	offers chan struct{}
	acks   chan string
	now    time.Time // of its bundles; zero: now

	previews chan []byte
	answers  chan *spokev1.AnswerPreviewRequest

	mu      sync.Mutex
	offer   *session.Offer
	blobs   map[manifest.Digest][]byte
	fetched int
	broken  bool // the connection
	breaks  int  // it breaks once, after so many blobs
	shapes  []*spokev1.ShapeAnswer
}

func newFarHub() *farHub {
	return &farHub{
		signer: signing.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))),
		offers: make(chan struct{}, 1), acks: make(chan string, 64), blobs: map[manifest.Digest][]byte{},
		previews: make(chan []byte, 1), answers: make(chan *spokev1.AnswerPreviewRequest, 1),
	}
}

func (h *farHub) Offers() <-chan struct{} { return h.offers }

func (h *farHub) TakeOffer() (session.Offer, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.offer == nil {
		return session.Offer{}, false
	}
	o := *h.offer
	h.offer = nil
	return o, true
}

func (h *farHub) Progress(id bundle.ID, stage bundle.Stage) {
	h.acks <- fmt.Sprintf("%d %s", id.Sequence, stage)
}

func (h *farHub) Reject(id bundle.ID, reason string) {
	h.acks <- fmt.Sprintf("%d rejected: %s", id.Sequence, reason)
}

func (h *farHub) Fetch(_ context.Context, digests []manifest.Digest,
	store func(manifest.Digest, uint64, []byte) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken {
		return session.ErrDisconnected
	}
	for _, d := range digests {
		if h.breaks > 0 && h.fetched == h.breaks {
			h.breaks = 0
			return session.ErrDisconnected
		}
		data, ok := h.blobs[d]
		if !ok {
			return fmt.Errorf("no blob %s", d)
		}
		h.fetched++
		w, err := zstd.NewWriter(nil)
		if err != nil {
			return err
		}
		if err := store(d, uint64(len(data)), w.EncodeAll(data, nil)); err != nil {
			return err
		}
	}
	return nil
}

func (h *farHub) put(data []byte) manifest.Digest {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := manifest.DigestOf(data)
	h.blobs[d] = data
	return d
}

// object makes a blob of an object and returns its reference.
func (h *farHub) object(t *testing.T, kind, name string, fields map[string]any) bundle.ObjectReference {
	t.Helper()
	o := &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": kind,
		"metadata": map[string]any{"namespace": "shop", "name": name}}}
	for k, v := range fields {
		o.Object[k] = v
	}
	data, err := manifest.Canonical(o)
	if err != nil {
		t.Fatal(err)
	}
	return bundle.ObjectReference{ObjectIdentity: kube.Identify(o), Digest: h.put(data)}
}

// sign makes a bundle of applications and returns the offer of it.
func (h *farHub) sign(t testing.TB, sequence uint64, apps ...*bundle.Application) *session.Offer {
	t.Helper()
	var entries []bundle.Entry
	for _, app := range apps {
		data, err := app.Encode()
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, bundle.Entry{Name: app.Name, Digest: h.put(data), Revision: "main@sha1:0123"})
	}
	return h.signEntries(t, sequence, entries...)
}

func (h *farHub) signEntries(t testing.TB, sequence uint64, entries ...bundle.Entry) *session.Offer {
	t.Helper()
	now := h.now
	if now.IsZero() {
		now = time.Now()
	}
	return h.signBundle(t, &bundle.Bundle{
		Cluster: self.String(), Epoch: 1, Sequence: sequence, Applications: entries,
		IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour),
	})
}

func (h *farHub) signBundle(t testing.TB, b *bundle.Bundle) *session.Offer {
	t.Helper()
	payload, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := h.signer.Sign(bundle.PayloadType, payload).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return &session.Offer{ID: bundle.ID{Epoch: 1, Sequence: b.Sequence, Digest: manifest.DigestOf(payload)},
		Envelope: envelope}
}

func (h *farHub) send(o *session.Offer) {
	h.mu.Lock()
	h.offer = o
	h.mu.Unlock()
	select {
	case h.offers <- struct{}{}:
	default:
	}
}

func (h *farHub) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-h.acks:
			if !strings.HasPrefix(got, w) {
				t.Fatalf("the hub hears %q, want %q", got, w)
			}
		case <-time.After(patience):
			t.Fatalf("the hub does not hear %q", w)
		}
	}
}

func (h *farHub) silent(t *testing.T) {
	t.Helper()
	select {
	case got := <-h.acks:
		t.Fatalf("unasked, the hub hears %q", got)
	default:
	}
}

// farCluster accepts objects as an API server would, or refuses them with the message of an API server.
type farCluster struct {
	mu      sync.Mutex
	index   *inventory.Index
	applies int
	live    map[manifest.ID]*manifest.Object
	refuse  func(o *manifest.Object) string // the message of the API server; empty: accepted
	hold    chan struct{}                   // an apply waits for it
	began   chan struct{}
	looking chan struct{} // a preview sends to it, and waits until it is ended; nil: it does not wait
	left    chan struct{} // a preview that was ended sends to it; nil: it does not
}

func (c *farCluster) Apply(ctx context.Context, s apply.Set) (*apply.ChangeSet, error) {
	c.mu.Lock()
	c.applies++
	hold, began := c.hold, c.began
	c.mu.Unlock()
	if hold != nil {
		close(began)
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	changes := &apply.ChangeSet{Application: s.Application, Inventory: inventory.New(s.Application)}
	for _, d := range s.Objects {
		changes.Entries = append(changes.Entries, c.one(ctx, d))
		changes.Inventory.Items[d.ID()] = inventory.Item{Version: d.Version, Resource: strings.ToLower(d.Kind) + "s",
			UID: "1", Digest: d.Digest}
	}
	c.index.Replace(changes.Inventory)
	return changes, s.Save(changes.Inventory)
}

func (c *farCluster) one(ctx context.Context, d apply.Object) apply.Entry {
	e := apply.Entry{Object: d.ObjectIdentity, Action: apply.Created}
	loaded, err := d.Load(ctx)
	if err != nil {
		e.Action, e.Err = apply.Refused, err
		return e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		if words := c.refuse(loaded.Object); words != "" {
			if loaded.Redact != nil {
				words = loaded.Redact(words)
			}
			e.Action, e.Err = apply.Refused, errors.New(words)
			return e
		}
	}
	c.live[d.ID()] = loaded.Object
	return e
}

func (c *farCluster) Delete(_ context.Context, r apply.Removal) (*apply.ChangeSet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range r.Previous.Items {
		if _, claimed := r.Claimed(id); !claimed && r.Prune {
			delete(c.live, id)
		}
	}
	return &apply.ChangeSet{Application: r.Application, Inventory: inventory.New(r.Application)}, nil
}

func (c *farCluster) has(name string) *manifest.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, o := range c.live {
		if id.Name == name {
			return o
		}
	}
	return nil
}

// farAPI answers the agent's own requests to the API server.
type farAPI struct{ secrets map[string]map[string][]byte }

func (f *farAPI) Secret(_ context.Context, namespace, name string) (map[string][]byte, error) {
	if s := f.secrets[namespace+"/"+name]; s != nil {
		return s, nil
	}
	return nil, &kube.Error{Op: "get", Object: "Secret " + namespace + "/" + name, Reason: kube.NotFound,
		Message: "not found"}
}
func (f *farAPI) List(context.Context, kube.Mapping, kube.Scope, func(kube.Live) error) (string, error) {
	return "", nil
}
func (f *farAPI) Warm(...kube.Mapping) {}

// farWatch is a watcher with the observations of a test.
// farInputs are the ConfigMaps and Secrets that variables come from.
type farInputs struct {
	c       chan struct{}
	mu      sync.Mutex
	objects map[string]kube.Data // by Kind/name
	changed map[manifest.ID]bool
	account string // that read last
}

func (f *farInputs) Follow([]bundle.ObjectIdentity) {}
func (f *farInputs) C() <-chan struct{}             { return f.c }

func (f *farInputs) Drain() map[manifest.ID]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := f.changed
	f.changed = nil
	return changed
}

func (f *farInputs) data(_ context.Context, account string, id bundle.ObjectIdentity) (kube.Data, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.account = account
	d, ok := f.objects[id.Kind+"/"+id.Name]
	if !ok {
		return d, &kube.Error{Op: "get", Object: id.ID().String(), Reason: kube.NotFound}
	}
	return d, nil
}

// put makes or changes an object.
func (f *farInputs) put(kind, name, version string, values map[string]string) {
	f.putIn("flux-system", kind, name, version, "", values)
}

// putIn makes or changes an object of a namespace, with an annotation about what may be revealed.
func (f *farInputs) putIn(namespace, kind, name, version, reveal string, values map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[kind+"/"+name] = kube.Data{UID: "1", ResourceVersion: version, Values: values, Reveal: reveal}
	f.changed = map[manifest.ID]bool{{Kind: kind, Namespace: namespace, Name: name}: true}
	f.c <- struct{}{}
}

type farWatch struct {
	c   chan struct{}
	mu  sync.Mutex
	out []watch.Observation
}

func (w *farWatch) C() <-chan struct{} { return w.c }
func (w *farWatch) Drain() []watch.Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.out
	w.out = nil
	return out
}

func (w *farWatch) see(o watch.Observation) {
	w.mu.Lock()
	w.out = append(w.out, o)
	w.mu.Unlock()
	w.c <- struct{}{}
}

// wire records every byte that would leave the spoke.
type wire struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (w *wire) Report(_ context.Context, r *spokev1.ReportRequest) error {
	data, err := proto.Marshal(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes.Write(data)
	return err
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes.Write(p)
}

// forget drops the recorded bytes.
func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes.Reset()
}

// await waits until a text was recorded.
func (w *wire) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	for !w.holds(text) {
		select {
		case <-deadline:
			t.Fatalf("nobody is told %q", text)
		case <-time.After(time.Millisecond):
		}
	}
}

func (w *wire) holds(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Contains(w.bytes.Bytes(), []byte(text))
}

// rig is a real agent with its real state between a far hub and a far cluster.
type rig struct {
	hub     *farHub
	cluster *farCluster
	api     *farAPI
	watch   *farWatch
	inputs  *farInputs
	out     *wire
	dir     string
	disk    int // bytes; 0: no limit
	keys    []ed25519.PublicKey
	now     func() time.Time // nil: time.Now

	wantImage func(string) // nil: nobody gets the image of bundles
}

func newRig(t *testing.T) *rig {
	hub := newFarHub()
	return &rig{
		hub: hub, keys: []ed25519.PublicKey{hub.signer.Public()},
		cluster: &farCluster{live: map[manifest.ID]*manifest.Object{}},
		api:     &farAPI{secrets: map[string]map[string][]byte{}},
		inputs:  &farInputs{c: make(chan struct{}, 16), objects: map[string]kube.Data{}},
		watch:   &farWatch{c: make(chan struct{}, 16)}, out: &wire{}, dir: t.TempDir(),
	}
}

// start runs an agent until the test ends or the returned function is called.
func (r *rig) start(t *testing.T) (stop func()) {
	t.Helper()
	store, err := state.OpenLimited(filepath.Join(r.dir, "spoke.db"), r.disk)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := signing.NewKeyring(r.keys...)
	if err != nil {
		t.Fatal(err)
	}
	index := inventory.NewIndex()
	r.cluster.index = index
	log := slog.New(slog.NewJSONHandler(r.out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	reporter := report.New(r.out, log)
	reporter.Connected(true)
	a := New(Config{
		Cluster: self,
		Keyring: keyring,
		Store:   store,
		Hub:     r.hub,
		Applier: r.cluster,
		Watcher: r.watch,
		Index:   index,
		Ledger: ledger.New(
			ledger.Config{},
		),
		Kubernetes: r.api,
		Reporter:   reporter,
		Log:        log,
		Now:        r.now,
		Jitter:     func() float64 { return 0 },
		WantImage:  r.wantImage,
		Check: func(context.Context, bundle.ApplicationName, string, bundle.ObjectIdentity) (health.Report, error) {
			return health.Report{}, nil
		},
		Data:   r.inputs.data,
		Inputs: r.inputs,

		Questions: r.hub,
		Shapes:    r.hub,
		ShapeKey:  func(context.Context) ([]byte, error) { return []byte("key"), nil },
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	running.Go(func() { reporter.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func application(name string, objects ...bundle.ObjectReference) *bundle.Application {
	slices.SortFunc(objects, func(a, b bundle.ObjectReference) int { return strings.Compare(a.Name, b.Name) })
	return &bundle.Application{
		Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: name}, Objects: objects,
		Prune: true, Interval: time.Hour, RetryInterval: time.Hour, Timeout: time.Minute, DeletionPolicy: bundle.MirrorPrune,
	}
}

func TestBundle_restart(t *testing.T) {
	r := newRig(t)
	stop := r.start(t)
	r.hub.send(r.hub.sign(t, 1, application("apps", r.hub.object(t, "ConfigMap", "a", nil))))
	r.hub.expect(t, "1 received", "1 healthy")
	if r.cluster.has("a") == nil {
		t.Error("the object is not in the cluster")
	}
	stop()
	applies, fetched := r.cluster.applies, r.hub.fetched
	r.hub.broken = true
	r.start(t)
	r.hub.expect(t, "1 healthy")
	if r.cluster.applies != applies || r.hub.fetched != fetched {
		t.Errorf("after the restart: %d applies, %d blobs fetched", r.cluster.applies-applies, r.hub.fetched-fetched)
	}
	name := bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
	r.watch.see(watch.Observation{Application: name, Object: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap",
		Namespace: "shop", Name: "a"}, Drift: inventory.Drift{Kind: inventory.Missing}})
	deadline := time.After(patience)
	for {
		r.cluster.mu.Lock()
		repaired := r.cluster.applies > applies
		r.cluster.mu.Unlock()
		if repaired {
			return
		}
		select {
		case <-deadline:
			t.Fatal("without a hub, drift is not repaired")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestBundle_changed_line(t *testing.T) {
	r := newRig(t)
	r.start(t)
	var objects []bundle.ObjectReference
	for i := range 50 {
		objects = append(objects, r.hub.object(t, "ConfigMap", fmt.Sprintf("cm-%02d", i), nil))
	}
	r.hub.send(r.hub.sign(t, 1, application("apps", objects...)))
	r.hub.expect(t, "1 received", "1 healthy")
	before := r.hub.fetched
	objects[7] = r.hub.object(t, "ConfigMap", "cm-07", map[string]any{"data": map[string]any{"changed": "yes"}})
	r.hub.send(r.hub.sign(t, 2, application("apps", objects...)))
	r.hub.expect(t, "2 received", "2 healthy")
	if n := r.hub.fetched - before; n != 2 {
		t.Errorf("%d blobs were fetched, want the application and the object", n)
	}
}

func TestBundle_untrusted(t *testing.T) {
	r := newRig(t)
	r.start(t)
	app := application("apps", r.hub.object(t, "ConfigMap", "a", nil))
	r.hub.send(r.hub.sign(t, 5, app))
	r.hub.expect(t, "5 received", "5 healthy")

	tampered := r.hub.sign(t, 6)
	tampered.Envelope[len(tampered.Envelope)-1] ^= 1
	r.hub.send(tampered)
	r.hub.expect(t, "6 rejected")
	r.hub.send(r.hub.sign(t, 4))
	r.hub.expect(t, "4 rejected")
	mixed := r.hub.sign(t, 7, app)
	mixed.ID.Sequence = 8
	r.hub.send(mixed)
	r.hub.expect(t, "8 rejected")
	other := application("other", r.hub.object(t, "ConfigMap", "b", nil))
	other.Name.Name = "apps" // the entry is named "other", and its blob "apps"
	data, err := other.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r.hub.send(r.hub.signEntries(t, 9, bundle.Entry{
		Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system",
			Name: "other"}, Digest: r.hub.put(data), Revision: "main",
	}))
	r.hub.expect(t, "9 rejected")
	if r.cluster.has("a") == nil || r.cluster.has("b") != nil {
		t.Error("a rejected bundle changed the cluster")
	}
	r.hub.send(r.hub.sign(t, 10, app))
	r.hub.expect(t, "10 received", "10 healthy")
}

func TestBundle_full_disk(t *testing.T) {
	r := newRig(t)
	r.disk = 512 << 10
	r.start(t)
	r.hub.send(r.hub.sign(t, 1, application("apps", r.hub.object(t, "ConfigMap", "a", nil))))
	r.hub.expect(t, "1 received", "1 healthy")
	noise := make([]byte, 1<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	large := r.hub.object(t, "ConfigMap", "large",
		map[string]any{"binaryData": map[string]any{"x": base64.StdEncoding.EncodeToString(noise)}})
	r.hub.send(r.hub.sign(t, 2, application("apps", large)))
	r.hub.expect(t, "2 rejected: accept bundle 1.2: the state volume is full")
	if r.cluster.has("a") == nil {
		t.Error("the old bundle's object is gone")
	}
	r.hub.send(r.hub.sign(t, 3, application("apps", r.hub.object(t, "ConfigMap", "small", nil))))
	for {
		select {
		case got := <-r.hub.acks:
			if strings.HasPrefix(got, "2 rejected") {
				continue // tried again meanwhile
			}
			if got != "3 received" {
				t.Fatalf("the hub hears %q", got)
			}
		case <-time.After(patience):
			t.Fatal("it does not heal")
		}
		break
	}
	r.hub.expect(t, "3 healthy")
}

func TestBundle_large_envelope(t *testing.T) {
	r := newRig(t)
	r.start(t)
	o := r.hub.sign(t, 1, application("apps", r.hub.object(t, "ConfigMap", "a", nil)))
	o.EnvelopeDigest, o.Envelope = r.hub.put(o.Envelope), nil
	r.hub.send(o)
	r.hub.expect(t, "1 received", "1 healthy")
}

func TestBundle_swapped_blob(t *testing.T) {
	r := newRig(t)
	r.start(t)
	honest, swapped := r.hub.object(t, "ConfigMap", "honest", nil), r.hub.object(t, "Secret", "s", nil)
	swapped.ObjectIdentity.Kind = "ConfigMap"
	r.hub.send(r.hub.sign(t, 1, application("apps", honest, swapped)))
	r.hub.expect(t, "1 received")
	deadline := time.After(patience)
	for !r.out.holds("the bundle is inconsistent") {
		select {
		case <-deadline:
			t.Fatal("nobody is told")
		case <-time.After(time.Millisecond):
		}
	}
	if r.cluster.has("honest") == nil || r.cluster.has("s") != nil {
		t.Error("the honest object should be there, the other not")
	}
	r.hub.silent(t)
}

func TestStop_while_applying(t *testing.T) {
	r := newRig(t)
	r.cluster.hold, r.cluster.began = make(chan struct{}), make(chan struct{})
	stop := r.start(t)
	r.hub.send(r.hub.sign(t, 1, application("apps", r.hub.object(t, "ConfigMap", "a", nil))))
	r.hub.expect(t, "1 received")
	<-r.cluster.began
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	close(r.cluster.hold)
	<-stopped
	r.cluster.hold = nil
	for len(r.hub.acks) > 0 {
		<-r.hub.acks
	}
	r.start(t)
	r.hub.expect(t, "1 healthy")
	if r.cluster.applies != 1 {
		t.Errorf("applied %d times", r.cluster.applies)
	}
}

// sealedApplication is an application with a Secret of one sealed value, as the hub makes it.
func sealedApplication(t *testing.T, r *rig, file []byte) *bundle.Application {
	t.Helper()
	token := sealed.NewSalt([]byte("salt")).Placeholder("ENC[…]", []string{"stringData", "password"})
	secret := r.hub.object(t, "Secret", "db", map[string]any{"stringData": map[string]any{"password": string(token),
		"url": "postgres://app:" + string(token) + "@db"}})
	app := application("apps", r.hub.object(t, "ConfigMap", "a", nil), secret)
	app.Decryption = bundle.SecretReference{Namespace: "flux-system", Name: "sops-age"}
	app.SealedFiles = []bundle.SealedFile{{Path: "db.yaml", Digest: r.hub.put(file), Format: bundle.YAML,
		Values: []bundle.SealedValue{
			{Placeholder: string(token), Path: []string{"stringData", "password"}, Type: "str"},
		}}}
	return app
}

// canary is the value in testdata/secret.sops.yaml, which is encrypted for the key beside that file.
const canary = "c4n4ry-never-leaves-the-cluster"

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSecret_canary(t *testing.T) {
	r := newRig(t)
	r.api.secrets["flux-system/sops-age"] = map[string][]byte{"identity.agekey": fixture(t, "secret.agekey")}
	r.cluster.refuse = func(o *manifest.Object) string {
		if o.GetName() != "db" {
			return ""
		}
		text, _ := json.Marshal(o.Object)
		return "Secret \"db\" is invalid: " + string(text) // as some webhooks do
	}
	stop := r.start(t)
	r.hub.send(r.hub.sign(t, 1, sealedApplication(t, r, fixture(t, "secret.sops.yaml"))))
	r.hub.expect(t, "1 received")
	deadline := time.After(patience)
	for !r.out.holds("is invalid") {
		select {
		case <-deadline:
			t.Fatal("the refusal is not told")
		case <-time.After(time.Millisecond):
		}
	}
	r.cluster.mu.Lock()
	r.cluster.refuse = nil
	r.cluster.mu.Unlock()
	r.hub.expect(t, "1 healthy")
	o := r.cluster.has("db")
	if o == nil {
		t.Fatal("the Secret is not in the cluster")
	}
	data := o.Object["stringData"].(map[string]any)
	if data["password"] != canary || data["url"] != "postgres://app:"+canary+"@db" {
		t.Error("the values were not put in")
	}
	stop()
	disk, err := os.ReadFile(filepath.Join(r.dir, "spoke.db"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(disk, []byte(canary)) {
		t.Error("the secret is on the disk")
	}
	if r.out.holds(canary) || r.out.holds(canary[:12]) {
		t.Error("the secret is in a report or a log")
	}
}

func TestSecret_without_key(t *testing.T) {
	r := newRig(t)
	stop := r.start(t)
	r.hub.send(r.hub.sign(t, 1, sealedApplication(t, r, fixture(t, "secret.sops.yaml")),
		application("other", r.hub.object(t, "ConfigMap", "b", nil))))
	r.hub.expect(t, "1 received")
	deadline := time.After(patience)
	for r.cluster.has("a") == nil || r.cluster.has("b") == nil || !r.out.holds("Secret flux-system/sops-age") {
		select {
		case <-deadline:
			t.Fatal("the others are not applied, or the missing key is not named")
		case <-time.After(time.Millisecond):
		}
	}
	if r.cluster.has("db") != nil {
		t.Error("the Secret was applied with its tokens")
	}
	stop()
	r.api.secrets["flux-system/sops-age"] = map[string][]byte{"identity.agekey": fixture(t, "secret.agekey")}
	r.start(t)
	r.hub.expect(t, "1 healthy")
}
