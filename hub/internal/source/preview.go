package source

import (
	"encoding/json"
	"fmt"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// PreviewFile is the only file of the artifact of a request for a preview: a Preview as JSON.
const PreviewFile = "preview"

// maxPreview limits PreviewFile, in bytes.
const maxPreview = 16 << 20

// Preview is what a source that writes would push now.
type Preview struct {
	Checkout string            `json:"checkout"`           // the revision that would be changed
	Commits  []PreviewedCommit `json:"commits,omitempty"`  // none: nothing would be pushed
	Problems []string          `json:"problems,omitempty"` // markers and policies that would not be carried out
	Unpushed []string          `json:"unpushed,omitempty"` // why there are no Commits, or not all; none: there are all
}

// PreviewedCommit is a commit that would be pushed.
type PreviewedCommit struct {
	Targets []string `json:"targets"` // full names of references
	Message string   `json:"message"`
	Diff    string   `json:"diff,omitempty"` // of the files, unified, without the values of Secrets
}

// ReadPreview reads what the fetcher has made for a request for a preview, from the path of the artifact.
func ReadPreview(path string) (p Preview, err error) {
	r, err := artifact.Open(path)
	if err != nil {
		return p, err
	}
	file, found, err := r.Find(PreviewFile)
	if err == nil && !found {
		err = fmt.Errorf("%w: it made no preview", ErrWorker)
	}
	if err != nil {
		return p, err
	}
	text, err := r.Read(file, maxPreview)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	return p, err
}
