package admin

import (
	"cmp"
	"context"
	"slices"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/wording"
)

// compared is an application in two releases. The content of a release that does not have it is zero.
type compared struct{ before, after store.Content }

// compareReleases returns the applications of two releases, sorted by name.
func compareReleases(before, after []store.Content) (all []compared) {
	old := map[bundle.ApplicationName]store.Content{}
	for _, c := range before {
		old[c.Name] = c
	}
	for _, c := range after {
		all = append(all, compared{old[c.Name], c})
		delete(old, c.Name)
	}
	for _, c := range old {
		all = append(all, compared{before: c})
	}
	slices.SortFunc(all, func(a, b compared) int { return a.name().Compare(b.name()) })
	return all
}

func (c compared) name() bundle.ApplicationName { return cmp.Or(c.after.Name, c.before.Name) }

// change returns what the later release changes.
func (c compared) change() adminv1.ApplicationChange {
	switch {
	case c.before.Digest.IsZero():
		return adminv1.ApplicationChange_APPLICATION_CHANGE_ADDED
	case c.after.Digest.IsZero():
		return adminv1.ApplicationChange_APPLICATION_CHANGE_REMOVED
	case c.before.Digest != c.after.Digest:
		return adminv1.ApplicationChange_APPLICATION_CHANGE_CHANGED
	}
	return adminv1.ApplicationChange_APPLICATION_CHANGE_SAME
}

// message returns the application as a message.
func (c compared) message(cluster string) *adminv1.ReleasedApplication {
	m := &adminv1.ReleasedApplication{Key: fold.KeyMessage(api.ApplicationKey(cluster, c.name())), Change: c.change()}
	if !c.after.Digest.IsZero() {
		m.Revision, m.Digest, m.Bases = c.after.Revision, c.after.Digest.String(), c.after.Bases.List()
	}
	if !c.before.Digest.IsZero() {
		m.RevisionBefore, m.DigestBefore = c.before.Revision, c.before.Digest.String()
		m.BasesBefore = c.before.Bases.List()
	}
	return m
}

// changesOf returns in words what is different in two releases, sorted.
func changesOf(before, after []store.Content) (changes []string) {
	for _, c := range compareReleases(before, after) {
		switch c.change() {
		case adminv1.ApplicationChange_APPLICATION_CHANGE_ADDED:
			changes = append(changes, c.name().String()+" added ("+sourcesOf(c.after)+")")
		case adminv1.ApplicationChange_APPLICATION_CHANGE_CHANGED:
			changes = append(changes, c.name().String()+" changed ("+sourcesOf(c.after)+")")
		case adminv1.ApplicationChange_APPLICATION_CHANGE_REMOVED:
			changes = append(changes, c.name().String()+" removed")
		}
	}
	return changes
}

// sourcesOf returns the revision that an application was rendered from, and those of at most three remote bases.
func sourcesOf(c store.Content) string {
	bases := c.Bases.List()
	if len(bases) == 0 {
		return c.Revision
	}
	return c.Revision + "; remote bases: " + wording.List(bases, len(bases), 3)
}

// listedOf returns the applications of the first of some past releases, compared with the second.
func listedOf(cluster string, past []store.Past) (listed []*adminv1.ReleasedApplication) {
	var before []store.Content
	if len(past) > 1 {
		before = past[1].Applications
	}
	for _, c := range compareReleases(before, past[0].Applications) {
		m := c.message(cluster)
		if len(past) == 1 {
			m.Change = adminv1.ApplicationChange_APPLICATION_CHANGE_UNSPECIFIED
		}
		listed = append(listed, m)
	}
	return listed
}

// PreviewRollback implements adminv1.AdminServiceServer. Applications that the past release does not have stay.
func (s *Server) PreviewRollback(ctx context.Context, r *adminv1.PreviewRollbackRequest) (
	*adminv1.PreviewRollbackResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	h, past, err := s.chooseRelease(ctx, &adminv1.RollbackRequest{Cluster: r.GetCluster(), Sequence: r.GetSequence()})
	if err != nil {
		return nil, s.fail(err)
	}
	response := &adminv1.PreviewRollbackResponse{Sequence: past.Bundle.Sequence}
	for _, c := range compareReleases(h.now(), past.Applications) {
		m := c.message(r.GetCluster())
		if m.Change == adminv1.ApplicationChange_APPLICATION_CHANGE_REMOVED {
			m.Change = adminv1.ApplicationChange_APPLICATION_CHANGE_KEPT
		}
		response.Applications = append(response.Applications, m)
	}
	return response, nil
}
