package artifact

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/navefleet/nave/shared/manifest"
)

// Verify reads the whole artifact at a path that Store.Path returned, and compares it with its digest: every folder and
// every content. A difference is ErrStorage.
func Verify(ctx context.Context, path string, digest manifest.Digest) error {
	if filepath.Base(path) != hexOf(digest) {
		return fmt.Errorf("%w: %s does not match its digest", ErrStorage, path)
	}
	r, err := open(path, true)
	if err != nil {
		return err
	}
	seen := map[Entry]bool{} // without names
	return r.walk(ctx, r.root, "", func(_ string, e Entry) (bool, error) {
		if e.Name = ""; seen[e] {
			return false, nil
		}
		seen[e] = true
		if e.Mode == Directory {
			return true, nil
		}
		_, err := r.Read(e, e.Bytes)
		return false, err
	})
}
