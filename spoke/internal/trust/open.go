package trust

import (
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/wording"
)

// The reasons for which a bundle is not trusted.
var (
	ErrMalformed = errors.New("malformed")
	ErrSignature = errors.New("not signed by a trusted key")
	ErrCluster   = errors.New("for another cluster")
	ErrOlder     = errors.New("older than the last verified bundle")
	ErrFork      = errors.New("another bundle with the sequence of the last verified one: two hubs sign for this " +
		"cluster, or one was restored from a backup")
	ErrExpired = errors.New("expired")
	ErrFuture  = errors.New("issued in the future")
	ErrFeature = errors.New("of a newer hub")
)

// MaxSkew is the tolerated difference of clocks: a bundle may be issued so far in the future.
const MaxSkew = 10 * time.Minute

// setClocks is the advice about a payload that is too old or too new.
const setClocks = "set the clocks of the hub and of this machine right"

// Inputs are the facts that Open checks an envelope against.
type Inputs struct {
	Keyring *signing.Keyring
	Cluster identity.ID // this spoke's own identity
	Last    bundle.ID   // the last verified bundle; zero: none
	Now     time.Time
}

// Open returns the Bundle in an encoded envelope, and its ID. If the bundle cannot be trusted, Open returns one of the
// errors of this package. The last verified bundle is accepted again even after it expired, because the cluster runs
// it, and a spoke repairs drift without its hub.
func Open(envelope []byte, in Inputs) (*bundle.Bundle, bundle.ID, error) {
	payload, err := verify("envelope", envelope, bundle.PayloadType, in.Keyring)
	if err != nil {
		return nil, bundle.ID{}, err
	}
	b, err := bundle.DecodeBundle(payload)
	if err != nil {
		return nil, bundle.ID{}, fmt.Errorf("signed bundle: %w: %w", ErrMalformed, err)
	}
	id := bundle.ID{Epoch: b.Epoch, Sequence: b.Sequence, Digest: manifest.DigestOf(payload)}
	if err := judge(b, id, in); err != nil {
		return nil, bundle.ID{}, err
	}
	return b, id, nil
}

// verify returns the payload of an encoded envelope that a key of the ring signed.
func verify(name string, envelope []byte, payloadType string, keys *signing.Keyring) ([]byte, error) {
	e, err := signing.DecodeEnvelope(envelope)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrMalformed, err)
	}
	payload, err := keys.Verify(e, payloadType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrSignature, err)
	}
	return payload, nil
}

// judgeRecipient returns an error unless a payload is for the cluster of this spoke, and uses only features that the
// spoke knows.
func judgeRecipient(name, cluster string, used bundle.FeatureSet, in Inputs) error {
	recipient, err := identity.ParseID(cluster)
	if err != nil {
		return fmt.Errorf("%s: cluster: %w: %w", name, ErrMalformed, err)
	}
	if recipient != in.Cluster || in.Cluster.Role != identity.Cluster {
		return fmt.Errorf("%s: %w: it names %s, this is %s", name, ErrCluster, recipient, in.Cluster)
	}
	if unknown := used.Without(bundle.Known); unknown != "" {
		return fmt.Errorf("%s: %w: this spoke does not know bundle feature %s; upgrade the spoke", name, ErrFeature, unknown)
	}
	return nil
}

func judge(b *bundle.Bundle, id bundle.ID, in Inputs) error {
	if err := judgeRecipient("bundle "+number(id), b.Cluster, b.Features(), in); err != nil {
		return err
	}
	if id == in.Last {
		return nil
	}
	if id.Epoch == in.Last.Epoch && id.Sequence == in.Last.Sequence {
		return fmt.Errorf("bundle %s: %w: its digest is %s, was %s", number(id), ErrFork, id.Digest, in.Last.Digest)
	}
	if !id.Newer(in.Last) {
		return fmt.Errorf("bundle %s: %w: that was %s", number(id), ErrOlder, number(in.Last))
	}
	return judgeTime(b, id, in.Now)
}

func judgeTime(b *bundle.Bundle, id bundle.ID, now time.Time) error {
	if !b.ExpiresAt.After(b.IssuedAt) {
		return fmt.Errorf("bundle %s: %w: it expires before it is issued", number(id), ErrMalformed)
	}
	if !now.Before(b.ExpiresAt) {
		return fmt.Errorf("bundle %s: %w at %s, and it is %s here: the hub did not renew it, or a clock is wrong: "+
			setClocks+"; the bundle is tried again by itself",
			number(id), ErrExpired, wording.Time(b.ExpiresAt), wording.Time(now))
	}
	if b.IssuedAt.After(now.Add(MaxSkew)) {
		return fmt.Errorf("bundle %s: %w, at %s, and it is %s here: a clock is wrong: "+
			setClocks+"; the bundle is tried again by itself",
			number(id), ErrFuture, wording.Time(b.IssuedAt), wording.Time(now))
	}
	return nil
}

func number(id bundle.ID) string { return fmt.Sprintf("%d.%d", id.Epoch, id.Sequence) }
