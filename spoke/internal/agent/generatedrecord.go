package agent

import (
	"context"
	"errors"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/generate"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
)

// recordsOf are the records of a release.
type recordsOf struct {
	budget   *budget
	mayTake  map[manifest.ID]bool // objects that values may be taken of
	storage  *release.Storage
	versions []int // not read yet, the newest last
	underway bool  // an action of the spoke on the newest one has not ended, or failed
}

// maxRecords is how many records of a release are searched for values.
const maxRecords = 10

func (r *recordsOf) find(ctx context.Context) error {
	history, err := r.storage.History(ctx)
	if err != nil || len(history) == 0 {
		return err
	}
	for _, revision := range history[max(0, len(history)-maxRecords):] {
		r.versions = append(r.versions, revision.Version)
	}
	newest := history[len(history)-1]
	r.underway = (newest.Status.IsPending() || newest.Status == release.Failed) && !newest.Digest.IsZero()
	return nil
}

// takeNext lets a search take the values of the newest record that was not read yet. One that cannot be read has none.
// takeNext waits for the memory that the largest record takes.
func (r *recordsOf) takeNext(ctx context.Context, search *generate.Search) error {
	done, err := r.budget.acquire(ctx, r.budget.objects, min(recordCost, r.budget.objects.size))
	if err != nil {
		return err
	}
	defer done()
	last := len(r.versions) - 1
	record, _, err := r.storage.Read(ctx, r.versions[last])
	r.versions = r.versions[:last]
	if _, unanswered := errors.AsType[*kube.Error](err); unanswered && kube.ReasonOf(err) != kube.NotFound {
		return err
	}
	if err != nil {
		return nil
	}
	taken := notes(record.Info.Notes)
	search.Take(manifest.IDOf(taken), taken)
	r.takeText(search, record.Namespace, record.Manifest)
	for _, h := range record.Hooks {
		r.takeText(search, record.Namespace, h.Manifest)
	}
	return nil
}

// takeText lets a search take the values of objects in YAML, one document after the other. A document is left out if it
// cannot be read, because another program wrote it, or if it is too large for an object of a bundle.
func (r *recordsOf) takeText(search *generate.Search, namespace, text string) {
	for document := range strings.SplitSeq("\n"+text, "\n---") {
		data := []byte(document)
		if openCost(data) > documentCost {
			continue
		}
		objects, _ := manifest.Parse(data)
		for _, o := range objects {
			id := manifest.IDOf(o)
			if id.Namespace == "" && !r.mayTake[id] { // as templates mostly have it
				id.Namespace = namespace
			}
			if r.mayTake[id] {
				search.Take(id, o)
			}
		}
	}
}
