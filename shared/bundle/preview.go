package bundle

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/wording"
)

// PreviewType is the DSSE payload type of a Preview. It is part of what is signed, so that no preview is a Bundle.
const PreviewType = "application/vnd.nave.preview.v1+protobuf"

// The limits of one Preview.
const (
	MaxPreviewApplications = 10
	MaxPreviewBytes        = 8 << 20 // of its Applications and of what they list and the cluster does not have
	MaxPreviewObjects      = 4096    // of the same: each takes memory, however small it is
)

// Preview asks what Applications would change in a cluster. Nothing of it is applied.
type Preview struct {
	Cluster      string // SPIFFE ID of the cluster
	IssuedAt     time.Time
	ExpiresAt    time.Time
	Applications []Entry // sorted by name; only Name, Digest and Features are set
}

// Features returns the features that a spoke must know to answer the preview.
func (p *Preview) Features() FeatureSet {
	used := []string{previews}
	for _, e := range p.Applications {
		used = append(used, e.Features.Names()...)
	}
	return setOf(used)
}

// Encode returns the bytes of nave.bundle.v1.Preview. If DecodePreview would not accept the bytes, Encode returns an
// error.
func (p *Preview) Encode() ([]byte, error) {
	sorted := *p
	sorted.Applications = slices.SortedFunc(slices.Values(p.Applications),
		func(a, b Entry) int { return a.Name.Compare(b.Name) })
	if err := sorted.check(); err != nil {
		return nil, fmt.Errorf("encode preview: %w", err)
	}
	m := &bundlev1.Preview{Cluster: p.Cluster, IssuedAt: timestamppb.New(p.IssuedAt),
		ExpiresAt: timestamppb.New(p.ExpiresAt)}
	for _, e := range sorted.Applications {
		m.Applications = append(m.Applications, e.message())
	}
	return marshal("preview", m, MaxBundleBytes)
}

// DecodePreview returns the preview of bytes from Encode. It is as strict as DecodeBundle.
func DecodePreview(data []byte) (*Preview, error) {
	m := new(bundlev1.Preview)
	err := unmarshal(data, m, MaxBundleBytes)
	p := &Preview{Cluster: m.GetCluster()}
	if err == nil {
		p.IssuedAt, err = timeOf(m.GetIssuedAt())
	}
	if err == nil {
		p.ExpiresAt, err = timeOf(m.GetExpiresAt())
	}
	for _, e := range m.GetApplications() {
		entry, wrong := entryOf(e)
		err = cmp.Or(err, wrong)
		p.Applications = append(p.Applications, entry)
	}
	if err = cmp.Or(err, p.check()); err != nil {
		return nil, fmt.Errorf("decode preview: %w", err)
	}
	return p, nil
}

func (p *Preview) check() error {
	switch n := len(p.Applications); {
	case p.Cluster == "" || len(p.Cluster) > maxCluster:
		return fmt.Errorf("cluster of %d bytes", len(p.Cluster))
	case !p.ExpiresAt.After(p.IssuedAt):
		return fmt.Errorf("expires at %s, issued at %s", wording.Time(p.ExpiresAt), wording.Time(p.IssuedAt))
	case n == 0 || n > MaxPreviewApplications:
		return fmt.Errorf("%d applications, want 1 to %d", n, MaxPreviewApplications)
	}
	for _, e := range p.Applications {
		if e != (Entry{Name: e.Name, Digest: e.Digest, Features: e.Features}) {
			return fmt.Errorf("%s has more than a name, a digest and features", e.Name)
		}
	}
	return checkList(map[ApplicationName]string{}, "applications", p.Applications, Entry.check,
		func(e Entry) ApplicationName { return e.Name })
}
