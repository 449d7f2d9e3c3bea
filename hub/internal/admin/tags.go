package admin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/image"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wording"
)

// Tags returns the tags in the artifact of an ImageRepository.
type Tags func(context.Context, artifact.Artifact) ([]string, error)

// maxExcluded is how many tags of one policy may be excluded.
const maxExcluded = 500

// ControlTags implements adminv1.AdminServiceServer. The decisions are part of what is fetched of the policy, so
// package fetch carries them out as it does a change of the spec.
func (s *Server) ControlTags(ctx context.Context, r *adminv1.ControlTagsRequest) (*adminv1.ControlTagsResponse, error) {
	who, key, err := s.subject(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	if err := checkTags(r); err != nil {
		return nil, err
	}
	if err := s.requireTag(ctx, key, r.GetPin()); err != nil {
		return nil, s.fail(err)
	}
	var response *adminv1.ControlTagsResponse
	var change tagChange
	err = s.update(ctx, func(tx *store.Tx) error {
		row, err := choosing(tx, key)
		if err != nil {
			return err
		}
		if change, err = decideTags(&row, r, who.String(), s.now().UTC()); err != nil {
			return err
		}
		if response = tagsResponse(row, change); !response.Changed {
			return nil
		}
		err = s.record(tx, key, change.reason, change.text()+" by "+identity.NameOf(who.String()))
		if err != nil {
			return err
		}
		return errors.Join(store.Resources.Put(tx, key.Path(), row),
			s.audit(ctx, tx, "decided about tags", change.text(), key))
	})
	if err == nil && response.Changed {
		s.did(who, change.text(), key)
	}
	return response, s.fail(err)
}

// checkTags returns an error about a request for several decisions or none, or about a tag that no registry can have.
func checkTags(r *adminv1.ControlTagsRequest) error {
	wanted := 0
	for _, is := range []bool{r.GetPin() != "", r.GetRelease(), len(r.GetExclude()) > 0,
		len(r.GetInclude()) > 0 || r.GetIncludeAll()} {
		if is {
			wanted++
		}
	}
	if wanted != 1 {
		return status.Error(codes.InvalidArgument, "want one of pin, release, exclude, and include or include_all")
	}
	for _, tag := range slices.Concat([]string{r.GetPin()}, r.GetExclude(), r.GetInclude()) {
		if tag != "" && !image.IsTag(tag) {
			return status.Errorf(codes.InvalidArgument, "%q cannot be a tag: want letters, digits, and . _ - behind the "+
				"first, at most 128", tag)
		}
	}
	return nil
}

// choosing returns the row of a source that chooses a tag.
func choosing(tx *store.Tx, key api.Key) (store.Resource, error) {
	row, err := resource(tx, key)
	if err != nil {
		return row, err
	}
	if view, err := row.Object.Source(); err != nil || !view.ChoosesTag {
		return row, status.Errorf(codes.InvalidArgument, "%s chooses no tag: an ImagePolicy does", key)
	}
	if of := row.AliasOf; of != nil {
		return row, status.Errorf(codes.FailedPrecondition, "%s of the hub stands for %s: decide about that one (without "+
			"--cluster)", of, key)
	}
	return row, nil
}

// requireTag returns an error if the ImageRepository of a policy does not have a tag. An empty tag is none.
func (s *Server) requireTag(ctx context.Context, key api.Key, tag string) error {
	if tag == "" {
		return nil
	}
	var fetched store.Fetched
	var repository api.Key
	err := s.store.View(ctx, func(tx *store.Tx) error {
		row, err := choosing(tx, key)
		if err != nil {
			return err
		}
		fetch, _, err := row.FetchOf(func(key api.Key) (store.Resource, bool, error) {
			return store.Resources.Get(tx, key.Path())
		})
		if err != nil {
			return status.Errorf(codes.FailedPrecondition, "%s cannot be pinned: %v", key, err)
		}
		repository = fetch.Upstream.Key
		fetched, _, err = store.Sources.Get(tx, fetch.Inputs[0])
		return err
	})
	if err != nil {
		return err
	}
	scan := "nave reconcile image repository " + repository.Name + fold.FlagsOf(repository)
	if fetched.Artifact == nil || s.tags == nil {
		return status.Errorf(codes.FailedPrecondition, "%s has found no tags yet, so nothing can be pinned to one: %s",
			repository, scan)
	}
	tags, err := s.tags(ctx, *fetched.Artifact)
	if err == nil && !slices.Contains(tags, tag) {
		err = status.Errorf(codes.FailedPrecondition, "%s has no tag %q; it has: %s. If the tag is new, let the hub find it "+
			"first: %s", repository, tag, image.Similar(tags, tag), scan)
	}
	return err
}

// tagChange is a decision about tags, as its event tells it.
type tagChange struct {
	reason string
	tags   []string // none: all was as somebody decided now
}

// text says what was done: "pinned to tag 1.0.0".
func (c tagChange) text() string {
	tags := wording.List(c.tags, len(c.tags), 20)
	switch c.reason {
	case condition.Pinned:
		return "pinned to tag " + tags
	case condition.PinEnded:
		return "released from tag " + tags
	case condition.TagsExcluded:
		return "excluded " + tags
	}
	return "included " + tags
}

// decideTags changes the decisions in a row as a request wants.
func decideTags(row *store.Resource, r *adminv1.ControlTagsRequest, by string, at time.Time) (c tagChange, err error) {
	d := row.Tags
	d.Excluded = slices.Clone(d.Excluded)
	switch {
	case r.GetRelease():
		c.reason = condition.PinEnded
		if old := d.Pin.Tag; old != "" {
			c.tags, d.Pin = []string{old}, store.TagDecision{}
		}
	case r.GetPin() != "":
		c.reason = condition.Pinned
		if tag := r.GetPin(); tag != d.Pin.Tag {
			c.tags, d.Pin = []string{tag}, store.TagDecision{Tag: tag, At: at, By: by}
		}
	case len(r.GetExclude()) > 0:
		c.reason = condition.TagsExcluded
		c.tags, err = exclude(&d, row.Key, r.GetExclude(), by, at)
	default:
		c.reason = condition.TagsIncluded
		wanted := r.GetInclude()
		if r.GetIncludeAll() {
			wanted = row.Tags.Control().Excluded
		}
		c.tags = include(&d, wanted)
	}
	if err == nil && len(c.tags) > 0 {
		d.RequestedAt = at.Format(time.RFC3339Nano)
		row.Tags, row.RequestedAt = d, d.RequestedAt
	}
	return c, err
}

// exclude excludes tags, and returns those that were not excluded.
func exclude(d *store.TagDecisions, key api.Key, tags []string, by string, at time.Time) (added []string, err error) {
	if tag := d.Pin.Tag; tag != "" && slices.Contains(tags, tag) {
		return nil, status.Errorf(codes.FailedPrecondition, "%s is pinned to tag %s: release it first (nave image release "+
			"%s), or pin it to another tag", key, tag, key.Name+fold.FlagsOf(key))
	}
	for _, tag := range tags {
		i, has := slices.BinarySearchFunc(d.Excluded, tag, byTag)
		if !has {
			d.Excluded = slices.Insert(d.Excluded, i, store.TagDecision{Tag: tag, At: at, By: by})
			added = append(added, tag)
		}
	}
	if n := len(d.Excluded); n > maxExcluded && len(added) > 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "%s would have %d excluded tags, and at most %d may be: leave "+
			"out more of them by spec.filterTags, or by spec.exclusionList of the ImageRepository", key, n, maxExcluded)
	}
	return added, nil
}

// include ends the exclusion of tags, and returns those that were excluded.
func include(d *store.TagDecisions, tags []string) (gone []string) {
	for _, tag := range tags {
		if i, has := slices.BinarySearchFunc(d.Excluded, tag, byTag); has {
			d.Excluded = slices.Delete(d.Excluded, i, i+1)
			gone = append(gone, tag)
		}
	}
	return gone
}

func byTag(d store.TagDecision, tag string) int { return strings.Compare(d.Tag, tag) }

// tagsResponse returns the answer about a row that was changed.
func tagsResponse(row store.Resource, c tagChange) *adminv1.ControlTagsResponse {
	control := row.Tags.Control()
	response := &adminv1.ControlTagsResponse{Changed: len(c.tags) > 0, Pin: control.Pinned, Excluded: control.Excluded}
	if c.reason == condition.PinEnded {
		response.Released = strings.Join(c.tags, "")
	} else {
		response.Tags = c.tags
	}
	if !row.IsSuspended() { // what was decided before may not be carried out yet
		response.RequestedAt = row.Tags.RequestedAt
	}
	return response
}
