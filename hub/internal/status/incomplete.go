package status

import (
	"encoding/json"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// isIncomplete reports whether the last run of an ImageUpdateAutomation passed over markers.
func (f Facts) isIncomplete() bool {
	if f.role() != api.SourceRole || f.Fetched == nil || f.Fetched.Artifact == nil {
		return false
	}
	if view, err := f.Resource.Object.Source(); err != nil || !view.Writes {
		return false
	}
	var status struct {
		Problems []string `json:"problems"`
	}
	return json.Unmarshal([]byte(f.Fetched.Artifact.Status), &status) == nil && len(status.Problems) > 0
}

// explainIncomplete returns the explanation of an ImageUpdateAutomation that is ready and passed over markers.
func (f Facts) explainIncomplete(v verdict) *adminv1.Explanation {
	return &adminv1.Explanation{Object: KeyMessage(f.Resource.Key), Since: timestamppb.New(v.since),
		Reason: api.ImageUpdateIncomplete, Message: v.message, Advice: f.advice(api.ImageUpdateIncomplete)}
}
