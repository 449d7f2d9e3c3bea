package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/wait"
)

// outcome is how far a spoke has come.
type outcome struct {
	revision string    // that it has acknowledged
	at       time.Time // when APPLIED was sent
	reported bool
	welcomed time.Time // when the session began; zero: there is none
}

// crowd is many scripted spokes in one process.
type crowd struct {
	ctx    context.Context
	cancel context.CancelFunc
	blobs  library
	work   sync.WaitGroup
	raw    []*scripted // clients of the bare server

	mu       sync.Mutex
	spokes   []*scripted
	outcomes []outcome      // of each spoke
	ended    map[string]int // sessions, by cause
	lost     int            // calls that ran into a timeout before the welcome
	failed   error          // the first spoke that could not go on
	changed  chan struct{}
}

func newCrowd(ctx context.Context) *crowd {
	c := &crowd{ended: map[string]int{}, changed: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// add lets a spoke live: it has sessions, one after the other, with the pauses of nave-spoke.
func (c *crowd) add(s *scripted) {
	c.mu.Lock()
	s.index = len(c.spokes)
	c.spokes, c.outcomes = append(c.spokes, s), append(c.outcomes, outcome{})
	c.mu.Unlock()
	c.work.Go(func() {
		pauses := wait.Backoff{First: firstPause, Most: longPause, Spread: 1, Chance: rand.Float64}
		for c.ctx.Err() == nil {
			began, err := c.session(s)
			if !began.IsZero() && time.Since(began) >= livedLong {
				pauses.Reset()
			}
			pause := pauses.Next()
			if asked, is := askedDelay(err); is {
				pause = asked + rand.N(firstPause)
			}
			c.noteEnd(s, !began.IsZero(), err)
			_ = wait.For(c.ctx, pause)
		}
	})
}

// askedDelay returns the delay that a busy hub asked for.
func askedDelay(err error) (time.Duration, bool) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// session has one session, and returns when it was welcomed; zero: never.
func (c *crowd) session(s *scripted) (began time.Time, err error) {
	defer s.hangUp()
	if err := s.open(c.ctx, s.hello()); err != nil {
		return began, err
	}
	began = time.Now()
	c.note(s, func(o *outcome) { o.welcomed = began })
	beat := func() time.Duration { return heartbeat*4/5 + rand.N(heartbeat*2/5) }
	var timer *time.Timer
	var mu sync.Mutex
	mu.Lock()
	timer = time.AfterFunc(beat(), func() {
		mu.Lock()
		defer mu.Unlock()
		alive := &spokev1.SessionRequest_Heartbeat{Heartbeat: &spokev1.Heartbeat{}}
		if s.send(&spokev1.SessionRequest{Message: alive}) == nil {
			timer.Reset(beat())
		}
	})
	mu.Unlock()
	defer timer.Stop()
	for {
		if err := c.take(s); err != nil {
			return began, err
		}
	}
}

// noteEnd counts the end of a session or of the try to begin one. If the hub refuses a spoke for good, the crowd fails.
func (c *crowd) noteEnd(s *scripted, welcomed bool, err error) {
	if c.ctx.Err() != nil {
		return
	}
	code := status.Code(err)
	_, asked := askedDelay(err)
	cause := code.String()
	switch {
	case welcomed:
		cause = "ended: " + cause
	case asked:
		cause = "told to come back: " + cause
	}
	// Why no connection came about, gRPC says in text only.
	timeout := code == codes.DeadlineExceeded || strings.Contains(err.Error(), "timeout") ||
		strings.Contains(err.Error(), "deadline")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes[s.index].welcomed = time.Time{}
	if !welcomed && timeout {
		c.lost++
		cause = "timeout: " + cause
	}
	c.ended[cause]++
	refused := []codes.Code{codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition, codes.Unknown,
		codes.InvalidArgument, codes.OK}
	if c.failed == nil && slices.Contains(refused, code) {
		c.failed = fmt.Errorf("%s: %w", s.name, err)
	}
	c.signal()
}

// take carries out the next offer.
func (c *crowd) take(s *scripted) error {
	message, err := s.stream.Recv()
	if err != nil {
		return err
	}
	offer := message.GetOffer()
	if offer == nil {
		return nil
	}
	entry, err := c.receive(s, offer)
	if err != nil {
		return err
	}
	s.verified = offer.GetBundle()
	for stage := spokev1.AckStage_ACK_STAGE_RECEIVED; stage <= spokev1.AckStage_ACK_STAGE_HEALTHY; stage++ {
		s.stage = stage
		ack := &spokev1.Ack{Bundle: offer.GetBundle(), Stage: stage}
		if err := s.send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Ack{Ack: ack}}); err != nil {
			return err
		}
		if stage == spokev1.AckStage_ACK_STAGE_APPLIED {
			c.note(s, func(o *outcome) { o.revision, o.at, o.reported = entry.Revision, time.Now(), false })
		}
	}
	time.AfterFunc(reportGather, func() {
		if err := c.report(s, entry); err != nil {
			s.hangUp() // as a spoke that comes back and reports again
			return
		}
		c.note(s, func(o *outcome) { o.reported = o.reported || o.revision == entry.Revision })
	})
	return nil
}

// receive opens an offer, takes from it what the spoke lacks and fetches the rest; it returns the only application.
func (c *crowd) receive(s *scripted, offer *spokev1.Offer) (entry bundle.Entry, err error) {
	envelope, err := signing.DecodeEnvelope(offer.GetEnvelope())
	if err != nil {
		return entry, err
	}
	b, err := bundle.DecodeBundle(envelope.Payload)
	if err != nil {
		return entry, err
	}
	if len(b.Applications) == 0 {
		return entry, nil
	}
	entry = b.Applications[0]
	if err := c.obtain(s, offer, []manifest.Digest{entry.Digest}); err != nil {
		return entry, err
	}
	objects, err := c.blobs.objects(entry.Digest)
	if err != nil {
		return entry, err
	}
	return entry, c.obtain(s, offer, objects)
}

// obtain takes those of the blobs that the spoke lacks from the offer, and fetches what is not in it.
func (c *crowd) obtain(s *scripted, offer *spokev1.Offer, digests []manifest.Digest) error {
	for _, b := range offer.GetBlobs() {
		d, err := manifest.DigestFromBytes(b.GetDigest())
		if err != nil {
			return err
		}
		if slices.Contains(digests, d) && !s.have[d] {
			s.have[d] = true
			c.blobs.put(d, b.GetFrame())
		}
	}
	return c.fetch(s, digests)
}

// fetch fetches those of the blobs that the spoke lacks.
func (c *crowd) fetch(s *scripted, digests []manifest.Digest) error {
	request := &spokev1.FetchRequest{}
	for _, d := range digests {
		if !s.have[d] {
			request.Digests = append(request.Digests, d[:])
		}
	}
	if len(request.Digests) == 0 {
		return nil
	}
	stream, err := s.client.Fetch(c.ctx, request)
	if err != nil {
		return err
	}
	var digest manifest.Digest
	var frame []byte
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("fetch %d blobs: %w", len(request.Digests), err)
		}
		if len(chunk.GetDigest()) > 0 {
			digest, frame = manifest.Digest(chunk.GetDigest()), nil
		}
		if frame = append(frame, chunk.GetData()...); chunk.GetLast() {
			s.have[digest] = true
			c.blobs.put(digest, frame)
		}
	}
}

// report sends what nave-spoke would.
func (c *crowd) report(s *scripted, e bundle.Entry) error {
	r := &spokev1.ApplicationReport{
		Name: e.Name.Message(), Digest: e.Digest[:], Revision: e.Revision,
		AppliedDigest: e.Digest[:], AppliedRevision: e.Revision, Ready: "True", Reason: "ReconciliationSucceeded",
		Message: "Applied revision: " + e.Revision, Since: timestamppb.Now(), Current: smallTree,
	}
	for i := range smallTree {
		r.Inventory = append(r.Inventory,
			&bundlev1.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "default", Name: objectName(i)})
	}
	_, err := s.client.Report(c.ctx, &spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{r}})
	return err
}

// note changes the outcome of a spoke.
func (c *crowd) note(s *scripted, change func(*outcome)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.outcomes[s.index])
	c.signal()
}

func (c *crowd) signal() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// await waits until every spoke has acknowledged a revision that contains a text.
func (c *crowd) await(ctx context.Context, revision string) error {
	return c.wait(ctx, "acknowledged "+revision, func(o outcome) bool { return strings.Contains(o.revision, revision) })
}

// reported waits until every spoke has reported what it acknowledged last.
func (c *crowd) reported(ctx context.Context) error {
	return c.wait(ctx, "reported", func(o outcome) bool { return o.reported })
}

// back waits until every spoke has a session at the same moment.
func (c *crowd) back(ctx context.Context) error {
	return c.wait(ctx, "a session", func(o outcome) bool { return !o.welcomed.IsZero() })
}

// wait waits until all outcomes are as they should be.
func (c *crowd) wait(ctx context.Context, what string, done func(outcome) bool) error {
	for first := 0; ; {
		c.mu.Lock()
		for first < len(c.outcomes) && done(c.outcomes[first]) {
			first++
		}
		if first == len(c.outcomes) && slices.ContainsFunc(c.outcomes, func(o outcome) bool { return !done(o) }) {
			first = 0 // one lost its session meanwhile
		}
		missing, failed := len(c.outcomes)-first, c.failed
		c.mu.Unlock()
		if failed != nil || missing == 0 {
			return failed
		}
		select {
		case <-c.changed:
		case <-ctx.Done():
			return fmt.Errorf("%d or fewer spokes have not %s: %w", missing, what, context.Cause(ctx))
		}
	}
}

// account returns what the spokes did.
func (c *crowd) account() account {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := account{Ended: maps.Clone(c.ended), Lost: c.lost}
	for i, o := range c.outcomes {
		a.Applied, a.Welcomed = append(a.Applied, o.at), append(a.Welcomed, o.welcomed)
		a.Received = append(a.Received, c.spokes[i].bytes.received.Load())
		a.Sent = append(a.Sent, c.spokes[i].bytes.sent.Load())
	}
	return a
}

// reset begins to count anew.
func (c *crowd) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.ended)
	c.lost = 0
	for _, s := range c.spokes {
		s.bytes.received.Store(0)
		s.bytes.sent.Store(0)
	}
}

// drop ends all connections at once. No spoke has a session when drop returns.
func (c *crowd) drop() {
	c.mu.Lock()
	spokes := slices.Clone(c.spokes)
	for i := range c.outcomes {
		c.outcomes[i].welcomed = time.Time{}
	}
	c.mu.Unlock()
	for _, s := range spokes {
		s.hangUp()
	}
}

func (c *crowd) close() {
	c.cancel()
	c.drop()
	for _, s := range c.raw {
		s.hangUp()
	}
	c.work.Wait()
}

// library is what the spokes fetched. Each has fetched its own copy; it is read once.
type library struct {
	mu     sync.Mutex
	frames map[manifest.Digest][]byte
	apps   map[manifest.Digest][]manifest.Digest
}

func (l *library) put(d manifest.Digest, frame []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frames == nil {
		l.frames = map[manifest.Digest][]byte{}
	}
	l.frames[d] = frame
}

// objects returns the blobs that an application reaches.
func (l *library) objects(d manifest.Digest) ([]manifest.Digest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if digests, read := l.apps[d]; read {
		return slices.Clone(digests), nil
	}
	reader, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	data, err := reader.DecodeAll(l.frames[d], nil)
	if err != nil {
		return nil, fmt.Errorf("application %s: %w", d, err)
	}
	app, err := bundle.DecodeApplication(data)
	if err != nil {
		return nil, err
	}
	if l.apps == nil {
		l.apps = map[manifest.Digest][]manifest.Digest{}
	}
	l.apps[d] = app.Digests()
	return slices.Clone(l.apps[d]), nil
}
