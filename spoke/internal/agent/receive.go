package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// maxPending is the number of bytes of received blobs that stay in memory for the accepting transaction. If there are
// more, they are stored before it.
const maxPending = 4 << 20

// receive verifies an offer, takes missing blobs from the offer, fetches those that the offer lacks, and stores all of
// them in one transaction.
func (a *Agent) receive(ctx context.Context, o session.Offer, last bundle.ID) received {
	a.blobs.RLock()
	defer a.blobs.RUnlock()
	in := received{id: o.ID}
	in.bundle, in.apps, in.err = a.fetchBundle(ctx, o, last)
	in.retry, in.quiet = recoverable(in.err)
	if in.quiet && in.err != nil && ctx.Err() == nil {
		a.Log.Info("bundle not received yet, tried again", telemetry.Sequence(o.ID.Sequence), telemetry.Err(in.err))
	}
	return in
}

// recoverable reports whether another attempt may succeed, and whether the bundle is not the cause of the error, so
// that the hub need not get a report.
func recoverable(err error) (retry, quiet bool) {
	is := func(any ...error) bool {
		return slices.ContainsFunc(any, func(one error) bool { return errors.Is(err, one) })
	}
	switch {
	case is(trust.ErrMalformed, trust.ErrSignature, trust.ErrCluster, trust.ErrOlder, trust.ErrFork, trust.ErrFeature,
		state.ErrOlder):
		return false, false
	case is(state.ErrFull, state.ErrBlob, session.ErrProtocol, trust.ErrExpired, trust.ErrFuture):
		return true, false
	}
	return err != nil, true
}

func (a *Agent) fetchBundle(ctx context.Context, o session.Offer, last bundle.ID) (*bundle.Bundle, applications,
	error) {
	c := &collector{store: a.Store, hub: a.Hub, log: a.Log}
	envelope := o.Envelope
	if len(envelope) == 0 {
		opened := map[manifest.Digest][]byte{}
		if err := c.fetch(ctx, []manifest.Digest{o.EnvelopeDigest}, opened); err != nil {
			return nil, nil, err
		}
		envelope = opened[o.EnvelopeDigest]
		c.pending, c.weight = nil, 0 // it is kept as the envelope, not as a blob
	}
	b, id, err := trust.Open(envelope, trust.Inputs{Keyring: a.Keyring, Cluster: a.Cluster, Last: last, Now: a.Now()})
	if err != nil {
		return nil, nil, err
	}
	if id != o.ID {
		return nil, nil, fmt.Errorf("%w: the offer names bundle %d.%d, its envelope holds %d.%d", trust.ErrMalformed,
			o.ID.Epoch, o.ID.Sequence, id.Epoch, id.Sequence)
	}
	c.enclose(o.Blobs) // only after the signature of the bundle was verified
	apps, err := a.fetchContent(ctx, c, b)
	if err != nil {
		// if the connection fails again and again, the next attempt need not fetch these blobs again
		return nil, nil, errors.Join(err, c.keep())
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	return b, apps, a.Store.Accept(state.Accepted{Recipient: a.Cluster.String(), ID: id, Envelope: envelope}, c.pending)
}

// fetchContent fetches the applications that are missing, and then the blobs that these refer to.
func (a *Agent) fetchContent(ctx context.Context, c *collector, b *bundle.Bundle) (applications, error) {
	var digests []manifest.Digest
	for _, e := range b.Applications {
		digests = append(digests, e.Digest)
	}
	fresh := map[manifest.Digest][]byte{}
	if err := c.fetchMissing(ctx, digests, fresh); err != nil {
		return nil, err
	}
	apps, err := a.readApplications(b.Applications, fresh)
	if err != nil {
		return nil, err
	}
	return apps, c.fetchMissing(ctx, digestsOf(apps), nil)
}

// blob returns a function that reads blobs of the bundle. If a blob is missing or damaged on disk, the function fetches
// it again.
func (a *Agent) blob(ctx context.Context) func(manifest.Digest) ([]byte, error) {
	return func(d manifest.Digest) ([]byte, error) {
		data, err := a.Store.Blob(d)
		if !errors.Is(err, state.ErrNotFound) && !errors.Is(err, state.ErrBlob) {
			return data, err
		}
		a.Log.Warn("blob not on disk, fetching it again", telemetry.Digest(d), telemetry.Err(err))
		c := &collector{store: a.Store, hub: a.Hub, log: a.Log}
		opened := map[manifest.Digest][]byte{}
		if again := c.fetch(ctx, []manifest.Digest{d}, opened); again != nil {
			return nil, fmt.Errorf("%w; fetch it again: %w", err, again)
		}
		return opened[d], a.Store.PutBlobs(c.pending)
	}
}

// digestsOf lists the blobs that applications refer to.
func digestsOf(apps applications) []manifest.Digest {
	var digests []manifest.Digest
	for _, app := range apps {
		digests = append(digests, app.Digests()...)
	}
	return digests
}

// collector gets blobs, verifies each, and keeps them for the accepting transaction.
type collector struct {
	store    *state.Store
	hub      Hub
	log      *slog.Logger
	enclosed map[manifest.Digest]session.Blob // with the offer
	pending  []state.Blob
	weight   int
}

// fetchMissing gets the blobs that are not on disk: those that the offer encloses from the offer, the others from the
// hub. Unless opened is nil, fetchMissing puts their content into opened.
func (c *collector) fetchMissing(ctx context.Context, digests []manifest.Digest,
	opened map[manifest.Digest][]byte) error {
	slices.SortFunc(digests, manifest.Digest.Compare)
	missing, err := c.store.Missing(slices.Compact(digests))
	if err == nil {
		missing, err = c.unpack(missing, opened)
	}
	if err != nil || len(missing) == 0 {
		return err
	}
	return c.fetch(ctx, missing, opened)
}

func (c *collector) enclose(blobs []session.Blob) {
	c.enclosed = make(map[manifest.Digest]session.Blob, len(blobs))
	for _, b := range blobs {
		c.enclosed[b.Digest] = b
	}
}

// unpack takes the blobs that the offer encloses, and returns the digests that are still missing. If an enclosed blob
// does not match its digest, it counts as missing, so that it is fetched.
func (c *collector) unpack(missing []manifest.Digest, opened map[manifest.Digest][]byte) (left []manifest.Digest,
	err error) {
	for _, d := range missing {
		b, ok := c.enclosed[d]
		if ok {
			err = c.take(d, b.Size, b.Frame, opened)
		}
		switch {
		case !ok:
			left = append(left, d)
		case errors.Is(err, state.ErrBlob):
			c.log.Debug("enclosed blob not used", telemetry.Digest(d), telemetry.Err(err))
			left = append(left, d)
		case err != nil:
			return nil, err
		}
	}
	return left, nil
}

func (c *collector) fetch(ctx context.Context, digests []manifest.Digest, opened map[manifest.Digest][]byte) error {
	return c.hub.Fetch(ctx, digests, func(d manifest.Digest, size uint64, frame []byte) error {
		return c.take(d, size, frame, opened)
	})
}

// take verifies a blob and keeps it. If the blob does not match its digest, take returns state.ErrBlob.
func (c *collector) take(d manifest.Digest, size uint64, frame []byte, opened map[manifest.Digest][]byte) error {
	blob, data, err := c.store.Check(d, size, frame)
	if err != nil {
		return err
	}
	if opened != nil {
		opened[d] = data
	}
	c.pending = append(c.pending, blob)
	if c.weight += blob.Weight(); c.weight < maxPending {
		return nil
	}
	return c.keep()
}

// keep stores the pending blobs before the accepting transaction.
func (c *collector) keep() error {
	blobs := c.pending
	c.pending, c.weight = nil, 0
	return c.store.PutBlobs(blobs)
}
