package bundle

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
)

// The limits of what a hub sends to a spoke, in bytes unless said otherwise. Both ends have the same limits, so that a
// spoke accepts whatever a hub sends. The hub refuses what is over a limit where it is made, on the object it belongs
// to.
const (
	// MaxBundleBytes is of an encoded Bundle: with its envelope it fits into one message of 1 MiB.
	MaxBundleBytes = 1<<20 - 1<<12
	// MaxApplicationBytes is of an encoded Application.
	MaxApplicationBytes = MaxBlobBytes
	// MaxObjectBytes is of one object's canonical JSON: an API server takes no larger request.
	MaxObjectBytes = 3 << 20
	// MaxObjectValues is how many values one object has at most: each takes up to some 600 bytes of a spoke's memory. An
	// object of 1.5 MiB, which is what etcd takes, has so many if each is written in 24 bytes.
	MaxObjectValues = 1 << 16
	// MaxSealedFileBytes is of one SOPS file as it was committed: Flux decrypts no larger one either.
	MaxSealedFileBytes = 5 << 20
	// MaxSealedFileValues is how many values a SOPS file has at most, as SealedFileValues counts them. So many encrypted
	// ones do not fit into MaxSealedFileBytes.
	MaxSealedFileValues = 1 << 16
	// MaxBlobBytes is of anything that is fetched by its digest, before compression.
	MaxBlobBytes = 16 << 20
)

const (
	// maxCluster is how many bytes a cluster's SPIFFE ID has at most.
	maxCluster = 2048
	// maxEntriesBytes is of the entries of a bundle; the cluster, the image, the numbers and the times fit into what they
	// leave.
	maxEntriesBytes = MaxBundleBytes - maxCluster - MaxImageBytes - 256
)

// TooLargeError is the error of something that is over its limit.
type TooLargeError struct {
	What        string // what it is, for people: "application Kustomization flux-system/apps"
	Unit        string // of Size and Limit: "bytes" or "values"
	Size, Limit int
}

// Error names the thing, its size and the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s has %d %s, the limit is %d", e.What, e.Size, e.Unit, e.Limit)
}

// FitsObject returns a *TooLargeError if the canonical JSON of an object is over its limit.
func FitsObject(name string, json []byte) error {
	if err := fits(name, "bytes", len(json), MaxObjectBytes); err != nil {
		return err
	}
	values, _ := ObjectValues(json)
	return fits(name, "values", values, MaxObjectValues)
}

// FitsSealedFile returns a *TooLargeError if a SOPS file is over its limit. The path is for the message and may be
// empty.
func FitsSealedFile(path string, data []byte) error {
	name := strings.TrimSpace("sealed file " + path)
	if err := fits(name, "bytes", len(data), MaxSealedFileBytes); err != nil {
		return err
	}
	return fits(name, "values", SealedFileValues(data), MaxSealedFileValues)
}

// FitsBundle returns a *TooLargeError if the lists of b are too large for one bundle. Encode has no other limit on
// their number and length, so that a planner knows before the bundle is signed.
func FitsBundle(b *Bundle) error { return fitsBundle(b.message()) }

func fitsBundle(m *bundlev1.Bundle) error {
	lists := &bundlev1.Bundle{Applications: m.Applications, Pending: m.Pending, Removals: m.Removals,
		Handovers: m.Handovers, Questions: m.Questions}
	what := fmt.Sprintf("a bundle of %d applications", len(m.Applications))
	return fits(what, "bytes", proto.Size(lists), maxEntriesBytes)
}

func fits(what, unit string, size, limit int) error {
	if size > limit {
		return &TooLargeError{What: what, Unit: unit, Size: size, Limit: limit}
	}
	return nil
}
