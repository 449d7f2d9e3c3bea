package bundle

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
)

// The limits of what goes from a hub to a spoke, in bytes. Both ends hold to these and no others: what the hub lets pass,
// a spoke can take. What is over a limit is refused where it is made, on the object it belongs to.
const (
	// MaxBundleBytes is of an encoded Bundle: with its envelope it fits into one message of 1 MiB.
	MaxBundleBytes = 1<<20 - 1<<12
	// MaxApplicationBytes is of an encoded Application.
	MaxApplicationBytes = MaxBlobBytes
	// MaxObjectBytes is of one object's canonical JSON: an API server takes no larger request.
	MaxObjectBytes = 3 << 20
	// MaxSealedFileBytes is of one SOPS file as it was committed: Flux decrypts no larger one either.
	MaxSealedFileBytes = 5 << 20
	// MaxBlobBytes is of anything that is fetched by its digest, before compression.
	MaxBlobBytes = 16 << 20
)

const (
	// maxCluster is how many bytes a cluster's SPIFFE ID has at most.
	maxCluster = 2048
	// maxEntriesBytes is of the entries of a bundle; the cluster, the numbers and the times fit into what they leave.
	maxEntriesBytes = MaxBundleBytes - maxCluster - 256
)

// TooLargeError says that something is over its limit.
type TooLargeError struct {
	What         string // what it is, for people: "application Kustomization flux-system/apps"
	Bytes, Limit int
}

// Error names the thing, its size and the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s has %d bytes, the limit is %d", e.What, e.Bytes, e.Limit)
}

// FitsObject returns a *TooLargeError when the canonical JSON of an object is over its limit.
func FitsObject(name string, json []byte) error {
	return fits(name, len(json), MaxObjectBytes)
}

// FitsSealedFile returns a *TooLargeError when a SOPS file is over its limit.
func FitsSealedFile(path string, data []byte) error {
	return fits("sealed file "+path, len(data), MaxSealedFileBytes)
}

// FitsBundle returns a *TooLargeError when the lists of b are more than one bundle holds. It is all that Encode asks of
// their number and length, so who plans a bundle knows before it is signed.
func FitsBundle(b *Bundle) error {
	return fitsBundle(b.message())
}

func fitsBundle(m *bundlev1.Bundle) error {
	list := &bundlev1.Bundle{Applications: m.Applications, Pending: m.Pending, Removals: m.Removals}
	return fits(fmt.Sprintf("a bundle of %d applications", len(m.Applications)), proto.Size(list), maxEntriesBytes)
}

func fits(what string, size, limit int) error {
	if size > limit {
		return &TooLargeError{What: what, Bytes: size, Limit: limit}
	}
	return nil
}
