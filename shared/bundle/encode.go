package bundle

import (
	"errors"

	"github.com/navefleet/nave/shared/manifest"
)

var errSkeleton = errors.New("not yet")

// Encode returns the bytes.
func (b *Bundle) Encode() ([]byte, error) { return nil, errSkeleton }

// DecodeBundle reads.
func DecodeBundle(data []byte) (*Bundle, error) { return nil, errSkeleton }

// Encode returns the bytes.
func (a *Application) Encode() ([]byte, error) { return nil, errSkeleton }

// DecodeApplication reads.
func DecodeApplication(data []byte) (*Application, error) { return nil, errSkeleton }

// Digests of all blobs.
func (a *Application) Digests() []manifest.Digest { return nil }
