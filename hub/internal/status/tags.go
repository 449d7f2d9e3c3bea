package status

import (
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wording"
)

// withTags returns the verdict about a source that chooses a tag, with the decisions of operators about tags. Until the
// hub has carried out the last decision, the verdict is not True.
func (f Facts) withTags(v verdict) verdict {
	d := f.Resource.Tags
	if v.ready == condition.True && !f.Resource.IsSuspended() && d.RequestedAt != "" &&
		!api.Answers(f.Condition.HandledRequest, d.RequestedAt, f.Resource.Requested()) {
		v = pending(condition.Progressing, "The hub is to choose the tag as an operator decided. Before that: "+v.message,
			v.since)
	}
	if d.Pin.Tag != "" {
		v.message += ". " + f.tagPinText()
	}
	if len(d.Excluded) > 0 {
		v.message += ". " + f.excludedText()
	}
	return v
}

// maxExcluded is how many excluded tags a message names.
const maxExcluded = 5

// excludedText returns a sentence about the excluded tags of an ImagePolicy, those that were excluded last first.
func (f Facts) excludedText() string {
	list := slices.Clone(f.Resource.Tags.Excluded)
	slices.SortStableFunc(list, func(a, b store.TagDecision) int { return b.At.Compare(a.At) })
	names := make([]string, len(list))
	for i, d := range list {
		names[i] = d.Tag + byOperator(d)
	}
	key := f.Resource.Key
	return fmt.Sprintf("Excluded: %s; to allow one again: nave image include %s TAG%s",
		wording.List(names, len(names), maxExcluded), key.Name, FlagsOf(key))
}

// isPinned reports whether an operator pinned the object itself: a HelmRelease to a revision, an ImagePolicy to a tag.
func (f Facts) isPinned() bool { return f.Resource.Pin.Revision != 0 || f.Resource.Tags.Pin.Tag != "" }

// tagPinText returns a sentence about the pin of an ImagePolicy.
func (f Facts) tagPinText() string {
	pin := f.Resource.Tags.Pin
	return fmt.Sprintf("Pinned to tag %s since %s%s; to follow the policy again: %s", pin.Tag, wording.Time(pin.At),
		byOperator(pin), f.releasing())
}

func byOperator(d store.TagDecision) string {
	if d.By == "" {
		return ""
	}
	return " by " + identity.NameOf(d.By)
}

// tagDetails sets the condition Pinned of an ImagePolicy, and fields that have the decisions of operators.
func (f Facts) tagDetails(c *conditions, status fields) {
	d := f.Resource.Tags
	if pin := d.Pin; pin.Tag != "" {
		value, reason := condition.True, condition.Pinned
		if f.Condition == nil || !api.Answers(f.Condition.HandledRequest, d.RequestedAt, f.Resource.Requested()) {
			value, reason = condition.Unknown, condition.Progressing
		}
		c.set(condition.Pinned, value, reason, f.tagPinText(), pin.At)
		status["pinned"] = decisionField(pin)
	}
	if len(d.Excluded) > 0 {
		excluded := make([]any, len(d.Excluded))
		for i, one := range d.Excluded {
			excluded[i] = decisionField(one)
		}
		status["excluded"] = excluded
	}
}

// decisionField returns the field of the status that has a decision.
func decisionField(d store.TagDecision) map[string]any {
	field := fields{"tag": d.Tag, "since": wording.Time(d.At)}
	field.set("by", identity.NameOf(d.By))
	return map[string]any(field)
}
